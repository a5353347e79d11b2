//! Records: what the driver writes of an entry, and what is read of one.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf as _, Bytes, BytesMut};
use iot_queue::Epoch;
use iot_queue::sink::Forwarded;
use iot_queue_driven::{LOG, PropertyError, Published, hexadecimal};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
    TimestampType,
};

use crate::error::KafkaError;
use crate::partition::Producer;

/// The header of a record that fences off whoever wrote before.
const FENCE: &str = "Iot-Fence";

/// Octets of a batch in front of its length, with that, and of the shortest one.
const BATCH_HEAD: usize = 12;

/// Octets of the claim of a gap that may be left out; a batch is not longer.
const LONGEST_CLAIM: usize = 256 << 10;

/// What goes into a record.
#[derive(Default)]
pub(crate) struct Content {
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(&'static str, String)>,
}

impl Content {
    /// A fence of the log `feed`.
    pub(crate) fn fence(feed: Epoch) -> Self {
        Self { headers: vec![(LOG, hexadecimal(feed.as_bytes())), (FENCE, "1".into())], ..Self::default() }
    }

    /// An entry of the log `feed`.
    pub(crate) fn of(feed: Epoch, entry: Forwarded) -> Self {
        let key = match &entry {
            Forwarded::Message(message) => message.key.clone().map(Bytes::from),
            Forwarded::Gap(_) => None,
        };
        let headers = Published::properties(feed, &entry);
        Self { key, headers, value: Some(Published::payload(entry, LONGEST_CLAIM).into()) }
    }

    /// Octets of its value.
    pub(crate) fn len(&self) -> usize {
        self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// A batch of records whose first has the sequence number `sequence`.
pub(crate) fn batch(producer: Producer, sequence: i32, contents: Vec<Content>) -> Result<Bytes, KafkaError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let timestamp = since.as_millis().try_into().unwrap_or(i64::MAX);
    let records: Vec<_> = (0..)
        .zip(contents)
        .map(|(delta, content)| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(delta),
            sequence: sequence.wrapping_add(delta),
            timestamp,
            key: content.key,
            value: content.value,
            headers: content
                .headers
                .into_iter()
                .map(|(name, value)| (StrBytes::from_static_str(name), Some(Bytes::from(value))))
                .collect(),
        })
        .collect();
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, &records, &options).map_err(|_| KafkaError::Malformed)?;
    Ok(batch.freeze())
}

/// The sequence number behind `count` more records.
pub(crate) fn advance(sequence: i32, count: usize) -> i32 {
    // Kafka counts on from 0 behind the largest.
    ((i64::from(sequence) + count as i64) & i64::from(i32::MAX)) as i32
}

/// What a record of the partition is.
pub(crate) enum Found {
    /// A fence of a log.
    Fence,
    /// An entry of a log.
    Entry(Published),
    /// Somebody else's.
    Foreign(PropertyError),
}

/// Reads the records from `offset` on in what a broker sent, which may break off in the middle of a batch.
pub(crate) fn read(octets: &Bytes, offset: i64) -> Result<Vec<(i64, Found)>, KafkaError> {
    let mut whole = octets.slice(..len_of_whole(octets));
    let batches = RecordBatchDecoder::decode_batch_info(&mut whole.clone()).map_err(|_| KafkaError::Malformed)?;
    if let Some(batch) = batches.iter().find(|batch| batch.compression != Compression::None) {
        return Err(KafkaError::Compressed { offset: batch.min_offset });
    }
    let batches = RecordBatchDecoder::decode_all(&mut whole).map_err(|_| KafkaError::Malformed)?;
    let records = batches.into_iter().flat_map(|batch| batch.records);
    let records = records.filter(|record| record.offset >= offset && !record.control);
    Ok(records.map(|record| (record.offset, found(record))).collect())
}

/// Octets of the batches that are there to their ends.
fn len_of_whole(octets: &[u8]) -> usize {
    let mut end = 0;
    while let Some(mut len) = octets.get(end + BATCH_HEAD - 4..end + BATCH_HEAD) {
        let next = usize::try_from(len.get_i32()).ok().and_then(|len| end.checked_add(BATCH_HEAD + len));
        match next {
            Some(next) if next <= octets.len() => end = next,
            _ => break,
        }
    }
    end
}

fn found(record: Record) -> Found {
    let header = |name: &str| std::str::from_utf8(record.headers.get(name.as_bytes())?.as_ref()?).ok();
    if header(FENCE).is_some() {
        return Found::Fence;
    }
    let payload = record.value.as_ref().map(|value| value.to_vec()).unwrap_or_default();
    match Published::read(header, payload) {
        Ok(published) => Found::Entry(published),
        Err(cause) => Found::Foreign(cause),
    }
}

#[cfg(test)]
mod tests {
    use iot_queue::{Lane, Offset, Stored};

    use super::*;

    const FEED: Epoch = Epoch::from_bytes([3; 8]);
    const PRODUCER: Producer = Producer { id: 7, epoch: 2 };

    fn entry(number: u64) -> Forwarded {
        Forwarded::Message(Stored {
            offset: Offset::new(number),
            position: None,
            key: Some(vec![number as u8]),
            lane: Lane::NORMAL,
            id: None,
            payload: number.to_le_bytes().to_vec(),
        })
    }

    /// A fence and three entries, in two batches that a broker has given the offsets 0 and 1.
    fn batches() -> Bytes {
        let fence = batch(PRODUCER, 0, vec![Content::fence(FEED)]).expect("it is short");
        let entries = batch(PRODUCER, 1, (0..3).map(|number| Content::of(FEED, entry(number))).collect());
        let mut entries = entries.expect("they are short").to_vec();
        entries[..8].copy_from_slice(&1_i64.to_be_bytes());
        [fence.to_vec(), entries].concat().into()
    }

    fn numbers(found: Vec<(i64, Found)>) -> Vec<i64> {
        let of = |(offset, found)| match found {
            Found::Fence => -1 - offset,
            Found::Entry(published) => {
                assert_eq!(published, Published { feed: FEED, entry: entry(offset as u64 - 1) });
                offset
            }
            Found::Foreign(error) => panic!("{error}"),
        };
        found.into_iter().map(of).collect()
    }

    #[test]
    fn records_come_back_from_any_offset() {
        assert_eq!(numbers(read(&batches(), 0).expect("it is whole")), [-1, 1, 2, 3]);
        assert_eq!(numbers(read(&batches(), 2).expect("it is whole")), [2, 3]);
    }

    #[test]
    fn of_a_batch_that_breaks_off_nothing_is_read() {
        let whole = batches();
        let first = len_of_whole(&whole[..whole.len() - 1]);
        for len in 0..whole.len() {
            let count = usize::from(len >= first);
            assert_eq!(read(&whole.slice(..len), 0).expect("what is there is whole").len(), count, "{len}");
        }
    }

    #[test]
    fn no_altered_batch_is_read_as_it_was() {
        let whole = batches();
        let expected = numbers(read(&whole, 0).expect("it is whole"));
        // What stands before the checksum of a batch is the broker's: where it begins, how long it is, who leads.
        let checked = 17..len_of_whole(&whole[..whole.len() - 1]);
        for at in checked {
            for bit in 0..8 {
                let mut altered = whole.to_vec();
                altered[at] ^= 1 << bit;
                let found = read(&altered.into(), 0);
                assert!(
                    found.is_err(),
                    "bit {bit} of octet {at}: {} of {}",
                    found.map_or(0, |all| all.len()),
                    expected.len()
                );
            }
        }
    }

    #[test]
    fn compressed_records_are_named() {
        let mut whole = batches().slice(..);
        let records = RecordBatchDecoder::decode_all(&mut whole).expect("it is whole").remove(1).records;
        let options = RecordEncodeOptions { version: 2, compression: Compression::Gzip };
        let mut compressed = BytesMut::new();
        let compress = |from: &mut BytesMut, to: &mut BytesMut, _| {
            to.extend_from_slice(from);
            Ok(())
        };
        RecordBatchEncoder::encode_with_custom_compression(&mut compressed, &records, &options, Some(compress))
            .expect("it is short");
        assert!(matches!(read(&compressed.freeze(), 0), Err(KafkaError::Compressed { offset: 1 })));
    }

    #[test]
    fn sequences_go_on_from_nought_behind_the_last() {
        assert_eq!(advance(5, 3), 8);
        assert_eq!(advance(i32::MAX, 1), 0);
        assert_eq!(advance(i32::MAX - 1, 4), 2);
    }
}
