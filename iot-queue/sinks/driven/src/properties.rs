//! What stands beside a payload in a message of a broker, in plain words.

use std::fmt::Write as _;

use iot_core::{DeviceId, Incarnation, Position, StreamId};
use iot_queue::sink::Forwarded;
use iot_queue::{Epoch, Gap, GapCause, GapNotice, Lane, MessageId, Offset, Stored};

/// The name of the property that names the log: its epoch, hexadecimal.
pub const LOG: &str = "Iot-Log";
/// The name of the property that says which places an entry takes.
pub const ENTRY: &str = "Iot-Entry";
const POSITION: &str = "Iot-Position";
const KEY: &str = "Iot-Key";
const ID: &str = "Iot-Id";
const LANE: &str = "Iot-Lane";

/// An entry of a log as a message of a broker: a payload, and properties (user properties of MQTT, headers of AMQP and
/// Kafka) which say of it what the queue knew.
///
/// | property | value |
/// | --- | --- |
/// | `Iot-Log` | the epoch of the log, hexadecimal |
/// | `Iot-Entry` | the offset of a message; of a gap, `FROM-UNTIL CAUSE`, half open |
/// | `Iot-Position` | `SOURCE/STREAM/INCARNATION/SEQUENCE`, as [`Position`] prints it |
/// | `Iot-Key`, `Iot-Id` | hexadecimal |
/// | `Iot-Lane` | 0 to 7, where it is not 4 |
///
/// The payload is that of the queue; in the place of messages that are missing, a [`GapNotice`], with the signed claim of
/// whoever dropped them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The log.
    pub feed: Epoch,
    /// The entry.
    pub entry: Forwarded,
}

impl Published {
    /// The properties of an entry of the log `feed`.
    pub fn properties(feed: Epoch, entry: &Forwarded) -> Vec<(&'static str, String)> {
        let mut properties = Self::properties_beside_log(entry);
        properties.push((LOG, hexadecimal(feed.as_bytes())));
        properties
    }

    /// The same without that which names the log, for where it is named otherwise.
    pub fn properties_beside_log(entry: &Forwarded) -> Vec<(&'static str, String)> {
        let mut properties = Vec::new();
        match entry {
            Forwarded::Message(message) => {
                properties.push((ENTRY, message.offset.to_string()));
                properties.extend(message.position.map(|position| (POSITION, position.to_string())));
                properties.extend(message.key.as_ref().map(|key| (KEY, hexadecimal(key))));
                properties.extend(message.id.map(|id| (ID, hexadecimal(id.as_bytes()))));
                if message.lane != Lane::NORMAL {
                    properties.push((LANE, message.lane.to_string()));
                }
            }
            Forwarded::Gap(GapNotice { gap, .. }) => {
                properties.push((ENTRY, format!("{}-{} {}", gap.from, gap.until, gap.cause.name())));
            }
        }
        properties
    }

    /// The payload of an entry: of a gap its notice, and that without the claim where it has more than `longest` octets.
    pub fn payload(entry: Forwarded, longest: usize) -> Vec<u8> {
        match entry {
            Forwarded::Message(message) => message.payload,
            Forwarded::Gap(notice) => {
                let whole = notice.to_vec();
                if whole.len() <= longest { whole } else { GapNotice::unsigned(notice.gap).to_vec() }
            }
        }
    }

    /// Reads a message of a broker, given each of its properties by name.
    ///
    /// # Errors
    /// See [`PropertyError`]: another program has published it.
    pub fn read<'p>(
        property: impl Fn(&'static str) -> Option<&'p str>,
        payload: Vec<u8>,
    ) -> Result<Self, PropertyError> {
        let feed = property(LOG).ok_or(PropertyError::Missing { name: LOG })?;
        let feed = octets(feed).map(Epoch::from_bytes).ok_or(PropertyError::Malformed { name: LOG })?;
        let value = property(ENTRY).ok_or(PropertyError::Missing { name: ENTRY })?;
        let malformed = |name| move || PropertyError::Malformed { name };
        if let Some((range, cause)) = value.split_once(' ') {
            let gap = gap_of(range, cause).ok_or_else(malformed(ENTRY))?;
            let notice = GapNotice::from_slice(&payload).filter(|notice| notice.gap == gap);
            return Ok(Self { feed, entry: Forwarded::Gap(notice.ok_or(PropertyError::Notice)?) });
        }
        let read = |name, parsed: fn(&str) -> Option<Vec<u8>>| {
            property(name).map(|value| parsed(value).ok_or_else(malformed(name))).transpose()
        };
        let position = property(POSITION).map(|value| position_of(value).ok_or_else(malformed(POSITION)));
        let id = property(ID).map(|value| octets(value).map(MessageId::from_bytes).ok_or_else(malformed(ID)));
        let lane = property(LANE).map(|value| value.parse().ok().and_then(Lane::new).ok_or_else(malformed(LANE)));
        let entry = Forwarded::Message(Stored {
            offset: value.parse().map(Offset::new).map_err(|_| malformed(ENTRY)())?,
            position: position.transpose()?,
            key: read(KEY, |value| unhexadecimal(value).filter(|key| !key.is_empty()))?,
            lane: lane.transpose()?.unwrap_or_default(),
            id: id.transpose()?,
            payload,
        });
        Ok(Self { feed, entry })
    }
}

/// Why a message of a broker is no entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PropertyError {
    /// Another program wrote it.
    #[error("the message has no property {name}")]
    Missing {
        /// The property.
        name: &'static str,
    },
    /// Another program, or a later version of this one.
    #[error("the property {name} does not say what it should")]
    Malformed {
        /// The property.
        name: &'static str,
    },
    /// It is to tell of missing messages, and its payload does not.
    #[error("the payload is no notice of the gap that the properties name")]
    Notice,
}

/// The digits of octets, in lower case.
pub fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut digits, octet| {
        let _ = write!(digits, "{octet:02x}");
        digits
    })
}

fn unhexadecimal(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    pairs.map(|pair| Some(value(*pair.first()?)? << 4 | value(*pair.get(1)?)?)).collect()
}

pub(crate) fn octets<const LEN: usize>(digits: &str) -> Option<[u8; LEN]> {
    unhexadecimal(digits)?.try_into().ok()
}

fn position_of(value: &str) -> Option<Position> {
    let mut parts = value.split('/');
    let position = Position {
        source: DeviceId::from_bytes(octets(parts.next()?)?),
        stream: StreamId::new(parts.next()?.parse().ok()?),
        incarnation: Incarnation::from_bytes(octets(parts.next()?)?),
        sequence: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(position)
}

fn gap_of(range: &str, cause: &str) -> Option<Gap> {
    let (from, until) = range.split_once('-')?;
    let (from, until) = (Offset::new(from.parse().ok()?), Offset::new(until.parse().ok()?));
    let cause = GapCause::from_name(cause)?;
    (from < until).then_some(Gap { from, until, cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: Epoch = Epoch::from_bytes([1, 2, 3, 4, 5, 6, 7, 255]);

    fn read(properties: &[(&'static str, String)], payload: &[u8]) -> Result<Published, PropertyError> {
        let find = |name| properties.iter().find(|(of, _)| *of == name).map(|(_, value)| value.as_str());
        Published::read(find, payload.to_vec())
    }

    fn message() -> Forwarded {
        Forwarded::Message(Stored {
            offset: Offset::new(12),
            position: Some(Position {
                source: DeviceId::from_bytes([7; 32]),
                stream: StreamId::new(3),
                incarnation: Incarnation::from_bytes([9; 8]),
                sequence: u64::MAX,
            }),
            key: Some(vec![0, 255]),
            lane: Lane::MOST_URGENT,
            id: Some(MessageId::from_bytes([5; 16])),
            payload: b"21.5".to_vec(),
        })
    }

    #[test]
    fn entries_come_back_as_they_were() {
        let gap = Gap { from: Offset::new(7), until: Offset::new(900), cause: GapCause::Expired };
        let bare = Stored {
            offset: Offset::new(0),
            position: None,
            key: None,
            lane: Lane::NORMAL,
            id: None,
            payload: Vec::new(),
        };
        for entry in [message(), Forwarded::Message(bare), Forwarded::Gap(GapNotice::unsigned(gap))] {
            let properties = Published::properties(FEED, &entry);
            let payload = Published::payload(entry.clone(), usize::MAX);
            assert_eq!(read(&properties, &payload), Ok(Published { feed: FEED, entry }));
        }
    }

    #[test]
    fn a_claim_that_is_too_long_is_left_out() {
        let gap = Gap { from: Offset::new(7), until: Offset::new(900), cause: GapCause::Dropped };
        let notice = GapNotice { claim: vec![1; 300], signature: vec![2; 64], ..GapNotice::unsigned(gap) };
        assert!(Published::payload(Forwarded::Gap(notice.clone()), 1000).len() > 300);
        let short = Published::payload(Forwarded::Gap(notice), 100);
        assert_eq!(GapNotice::from_slice(&short), Some(GapNotice::unsigned(gap)));
    }

    #[test]
    fn messages_of_others_are_refused() {
        assert_eq!(read(&[], b""), Err(PropertyError::Missing { name: LOG }));
        let log = (LOG, hexadecimal(FEED.as_bytes()));
        assert_eq!(read(std::slice::from_ref(&log), b""), Err(PropertyError::Missing { name: ENTRY }));
        for value in ["", "-", "x", "1-", "5-5 expired", "9-2 expired", "-1", "1-2", "1-2 other"] {
            let malformed = Err(PropertyError::Malformed { name: ENTRY });
            assert_eq!(read(&[log.clone(), (ENTRY, value.into())], b""), malformed, "{value:?}");
        }
        assert_eq!(read(&[log, (ENTRY, "1-9 expired".into())], b"x"), Err(PropertyError::Notice));
        for (name, value) in
            [(LOG, "01"), (POSITION, "07/1/09/3"), (KEY, "0"), (KEY, "zz"), (KEY, ""), (ID, "05"), (LANE, "8")]
        {
            let mut properties = Published::properties(FEED, &message());
            properties.iter_mut().filter(|(of, _)| *of == name).for_each(|(_, old)| *old = value.into());
            assert_eq!(read(&properties, b""), Err(PropertyError::Malformed { name }), "{name} {value}");
        }
    }
}
