//! What the headers of a message say of its place.

use std::fmt::Write as _;

use async_nats::{HeaderMap, HeaderValue};
use iot_queue::sink::Forwarded;
use iot_queue::{GapCause, Lane, Offset};

const ENTRY: &str = "Iot-Entry";
const POSITION: &str = "Iot-Position";
const KEY: &str = "Iot-Key";
const ID: &str = "Iot-Id";
const LANE: &str = "Iot-Lane";

/// Where a message of a stream stood in its log: what a consumer reads to know that nothing is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHeaders {
    /// The first place: the offset of a message, or the first that is missing.
    pub from: Offset,
    /// The place behind it.
    pub until: Offset,
    /// Why the places are missing, if they are: the payload is a [`GapNotice`](iot_queue::GapNotice) then.
    pub gap: Option<GapCause>,
}

impl EntryHeaders {
    /// Reads the headers of a message that this crate has published.
    ///
    /// # Errors
    /// When it has not.
    pub fn read(headers: &HeaderMap) -> Result<Self, HeaderError> {
        let value = headers.get(ENTRY).ok_or(HeaderError::Missing)?.as_str();
        let number = |digits: &str| digits.parse().map(Offset::new).map_err(|_| HeaderError::Malformed);
        match value.split_once(' ') {
            None => {
                let from = number(value)?;
                Ok(Self { from, until: from.next(), gap: None })
            }
            Some((range, cause)) => {
                let cause = GapCause::from_name(cause).ok_or(HeaderError::Malformed)?;
                let (from, until) = range.split_once('-').ok_or(HeaderError::Malformed)?;
                let (from, until) = (number(from)?, number(until)?);
                if from < until { Ok(Self { from, until, gap: Some(cause) }) } else { Err(HeaderError::Malformed) }
            }
        }
    }
}

/// Why a message is none of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Another program wrote it.
    #[error("the message has no header Iot-Entry")]
    Missing,
    /// Another program, or a later version of this one.
    #[error("the header Iot-Entry names no place")]
    Malformed,
}

/// The headers of an entry.
pub(crate) fn headers_of(entry: &Forwarded) -> HeaderMap {
    let mut headers = HeaderMap::new();
    match entry {
        Forwarded::Message(message) => {
            headers.insert(ENTRY, HeaderValue::from(message.offset.number()));
            if let Some(position) = &message.position {
                headers.insert(POSITION, position.to_string().as_str());
            }
            if let Some(key) = &message.key {
                headers.insert(KEY, hexadecimal(key).as_str());
            }
            if let Some(id) = &message.id {
                headers.insert(ID, hexadecimal(id.as_bytes()).as_str());
            }
            if message.lane != Lane::NORMAL {
                headers.insert(LANE, HeaderValue::from(u64::from(message.lane.number())));
            }
        }
        Forwarded::Gap(notice) => {
            let gap = notice.gap;
            headers.insert(ENTRY, format!("{}-{} {}", gap.from, gap.until, gap.cause.name()).as_str());
        }
    }
    headers
}

pub(crate) fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut digits, octet| {
        let _ = write!(digits, "{octet:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use iot_queue::{Gap, GapNotice, Stored};

    #[test]
    fn headers_say_which_places_an_entry_takes() {
        let gap = Gap { from: Offset::new(7), until: Offset::new(900), cause: GapCause::Expired };
        let headers = headers_of(&Forwarded::Gap(GapNotice::unsigned(gap)));
        assert_eq!(headers.get(ENTRY).map(HeaderValue::as_str), Some("7-900 expired"));
        let read = EntryHeaders { from: gap.from, until: gap.until, gap: Some(GapCause::Expired) };
        assert_eq!(EntryHeaders::read(&headers), Ok(read));

        let message = Stored {
            offset: Offset::new(12),
            position: None,
            key: Some(vec![0, 255]),
            lane: Lane::MOST_URGENT,
            id: None,
            payload: Vec::new(),
        };
        let headers = headers_of(&Forwarded::Message(message));
        assert_eq!(headers.get(KEY).map(HeaderValue::as_str), Some("00ff"));
        assert_eq!(headers.get(LANE).map(HeaderValue::as_str), Some("0"));
        let read = EntryHeaders { from: Offset::new(12), until: Offset::new(13), gap: None };
        assert_eq!(EntryHeaders::read(&headers), Ok(read));
    }

    #[test]
    fn refuses_headers_of_others() {
        assert_eq!(EntryHeaders::read(&HeaderMap::new()), Err(HeaderError::Missing));
        for value in ["", "-", "x", "1-", "5-5 expired", "9-2 expired", "-1", "1-2", "1-2 other"] {
            let mut headers = HeaderMap::new();
            headers.insert(ENTRY, value);
            assert_eq!(EntryHeaders::read(&headers), Err(HeaderError::Malformed), "{value:?}");
        }
    }
}
