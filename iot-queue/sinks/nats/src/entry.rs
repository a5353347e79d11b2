//! What the headers of a message say of its place.

use async_nats::{HeaderMap, HeaderValue};
use iot_queue_driven::{LOG, PropertyError, Published};

/// Reads a message of a stream that this crate has published: what a consumer does to know that nothing is missing. The last
/// part of its subject names the log.
///
/// # Errors
/// When another program has published it.
pub fn published(subject: &str, headers: Option<&HeaderMap>, payload: &[u8]) -> Result<Published, PropertyError> {
    let log = subject.rsplit('.').next();
    let header = |name| headers.and_then(|headers| headers.get(name)).map(HeaderValue::as_str);
    Published::read(|name| if name == LOG { log } else { header(name) }, payload.to_vec())
}

#[cfg(test)]
mod tests {
    use iot_queue::sink::Forwarded;
    use iot_queue::{Epoch, Gap, GapCause, GapNotice, Lane, Offset, Stored};
    use iot_queue_driven::ENTRY;

    use super::*;

    const SUBJECT: &str = "readings.gateway-7.01020304050607ff";

    fn headers_of(entry: &Forwarded) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in Published::properties_beside_log(entry) {
            headers.insert(name, value);
        }
        headers
    }

    #[test]
    fn headers_and_subject_say_which_places_an_entry_takes() {
        let gap = Gap { from: Offset::new(7), until: Offset::new(900), cause: GapCause::Expired };
        let message = Stored {
            offset: Offset::new(12),
            position: None,
            key: Some(vec![0, 255]),
            lane: Lane::MOST_URGENT,
            id: None,
            payload: b"21.5".to_vec(),
        };
        for (entry, said) in
            [(Forwarded::Gap(GapNotice::unsigned(gap)), "7-900 expired"), (Forwarded::Message(message), "12")]
        {
            let headers = headers_of(&entry);
            assert_eq!(headers.get(ENTRY).map(HeaderValue::as_str), Some(said));
            let payload = Published::payload(entry.clone(), 1000);
            let feed = Epoch::from_bytes([1, 2, 3, 4, 5, 6, 7, 255]);
            assert_eq!(published(SUBJECT, Some(&headers), &payload), Ok(Published { feed, entry }));
        }
    }

    #[test]
    fn messages_of_others_are_refused() {
        assert_eq!(published(SUBJECT, None, b""), Err(PropertyError::Missing { name: ENTRY }));
        assert_eq!(published("readings", None, b""), Err(PropertyError::Malformed { name: LOG }));
    }
}
