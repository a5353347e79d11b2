use std::collections::BTreeMap;
use std::time::Duration;
use std::vec::Vec;

use iot_crypto::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::feed::format::{Entry, Head};
use crate::feed::{Publisher, PublisherConfig};

mod hostile;
mod model;

const WALL: Timestamp = Timestamp::from_secs(1_767_225_600);

fn owner() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

/// A feed of so many segments with two messages each, as a perfect network would hold it.
struct World {
    publisher: Publisher,
    records: BTreeMap<Key, Record>,
}

impl World {
    fn new(segments: u64) -> Self {
        let mut world =
            Self { publisher: Publisher::new(b"feed", PublisherConfig::default()), records: BTreeMap::new() };
        world.publish(segments);
        world
    }

    fn publish(&mut self, segments: u64) {
        for _ in 0..segments {
            for half in 0..2 {
                let number = self.publisher.next_segment() * 2 + half;
                self.publisher.push(&number.to_be_bytes()).unwrap();
            }
            self.seal();
        }
    }

    fn seal(&mut self) {
        self.publisher.seal(&owner(), WALL, 0).unwrap();
        self.put_outbox();
    }

    fn put_outbox(&mut self) {
        let records: Vec<_> = self.publisher.outbox().cloned().collect();
        for record in records {
            self.publisher.confirm(record.key(), record.sequence());
            self.records.insert(*record.key(), record);
        }
    }

    fn remove(&mut self, name: &[u8]) -> Record {
        let key = Key::of_record(&owner().verifying_key().device_id(), name);
        self.records.remove(&key).unwrap()
    }

    fn reader(&self, cursor: Cursor, config: ReaderConfig) -> Reader {
        Reader::new(owner().verifying_key().device_id(), b"feed", cursor, config)
    }

    fn answer(&self, fetch: &Fetch) -> Fetched {
        let found = self.records.get(&fetch.key).filter(|record| match fetch.mode {
            GetMode::Newest => true,
            GetMode::Matching(hash) => record.value_hash() == hash,
        });
        Fetched { record: found.cloned(), asked: 8, answered: 7 }
    }

    /// Drives a reader until it wants nothing before its next look at the head.
    fn read(&self, reader: &mut Reader, now: &mut Instant) -> Vec<Item> {
        let mut items = Vec::new();
        for _ in 0..10_000 {
            let mut busy = false;
            while let Some(fetch) = reader.poll_fetch(*now, WALL) {
                busy = true;
                let answer = self.answer(&fetch);
                reader.handle_fetched(*now, WALL, fetch.id, answer.clone());
                // A repeated result changes nothing.
                reader.handle_fetched(*now, WALL, fetch.id, answer);
            }
            while let Some(item) = reader.poll_item(&OwnerOnly) {
                busy = true;
                items.push(item);
            }
            if !busy && reader.caught_up() == Some(true) {
                return items;
            }
            if !busy {
                *now = reader.poll_timeout().max(*now);
            }
        }
        panic!("not caught up");
    }
}

fn numbers(items: &[Item]) -> Vec<u64> {
    let number = |item: &Item| match item {
        Item::Message { place, octets } => {
            let number = u64::from_be_bytes(octets.as_slice().try_into().unwrap());
            assert_eq!(*place, Place { segment: number / 2, index: (number % 2) as u32 });
            Some(number)
        }
        Item::Gap(_) | Item::Fork(_) => None,
    };
    items.iter().filter_map(number).collect()
}

fn gaps(items: &[Item]) -> Vec<Gap> {
    items.iter().filter_map(|item| if let Item::Gap(gap) = item { Some(*gap) } else { None }).collect()
}

#[test]
fn a_long_backlog_is_read_in_order_with_few_pages_in_hand() {
    let world = World::new(100);
    let mut now = Instant::START;
    let mut reader = world.reader(Cursor::default(), ReaderConfig::default().pages(2));
    let items = world.read(&mut reader, &mut now);
    assert_eq!(numbers(&items), (0..200).collect::<Vec<_>>());
    assert!(reader.index.pages_at_hand() <= 2 && reader.segments.len() <= 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Stopped anywhere and started again from its cursor, it neither repeats nor skips.
    #[test]
    fn resumes_at_its_cursor(segments in 1_u64..50, stop in 0_usize..100, more in 0_u64..20) {
        let mut world = World::new(segments);
        let mut now = Instant::START;
        let mut first = world.reader(Cursor::default(), ReaderConfig::default());
        let mut read = Vec::new();
        'reading: while first.caught_up() != Some(true) {
            while let Some(fetch) = first.poll_fetch(now, WALL) {
                first.handle_fetched(now, WALL, fetch.id, world.answer(&fetch));
            }
            while let Some(item) = first.poll_item(&OwnerOnly) {
                read.push(item);
                if read.len() > stop { break 'reading; }
            }
        }
        world.publish(more);
        let cursor: Cursor = cbor::from_slice(&cbor::to_vec(&first.cursor())).unwrap();
        let mut second = world.reader(cursor, ReaderConfig::default());
        read.extend(world.read(&mut second, &mut now));
        prop_assert_eq!(numbers(&read), (0..(segments + more) * 2).collect::<Vec<_>>());
        prop_assert!(gaps(&read).is_empty());
    }
}

#[test]
fn a_missing_segment_is_a_gap_after_the_configured_attempts() {
    let mut world = World::new(20);
    world.remove(b"feed/s/3");
    let mut now = Instant::START;
    let mut reader = world.reader(Cursor::default(), ReaderConfig::default().attempts(3));
    let items = world.read(&mut reader, &mut now);
    assert_eq!(gaps(&items), [Gap::Unavailable { segment: 3, asked: 8, answered: 7 }]);
    assert_eq!(numbers(&items).len(), 38);
    assert!(now >= Instant::from_micros(4_000_000), "two pauses before the third attempt");
    assert_eq!(reader.stats().fetches, 1 + 1 + 20 + 2, "head, page, segments, and two more attempts");
}

#[test]
fn without_its_page_a_segment_is_found_by_name() {
    let mut world = World::new(40);
    world.remove(b"feed/p/0");
    let mut now = Instant::START;
    let mut reader = world.reader(Cursor::default(), ReaderConfig::default());
    let items = world.read(&mut reader, &mut now);
    assert_eq!(numbers(&items), (0..80).collect::<Vec<_>>());
}

#[test]
fn an_older_head_is_not_believed_even_after_a_restart() {
    let mut world = World::new(3);
    let old = world.remove(b"feed/head");
    world.publish(2);
    let mut now = Instant::START;
    let mut reader = world.reader(Cursor::default(), ReaderConfig::default());
    assert_eq!(numbers(&world.read(&mut reader, &mut now)).len(), 10);

    let mut reader = world.reader(reader.cursor(), ReaderConfig::default());
    let fetch = reader.poll_fetch(now, WALL).unwrap();
    reader.handle_fetched(now, WALL, fetch.id, Fetched { record: Some(old), asked: 8, answered: 8 });
    assert_eq!((reader.caught_up(), reader.stats().heads_stale), (None, 1));
}

#[test]
fn a_head_that_contradicts_itself_is_refused() {
    let world = World::new(1);
    let sign = |value: &[u8]| {
        Record::sign(&owner(), b"feed/head", 9, WALL.saturating_add(Duration::from_secs(9)), value).unwrap()
    };
    let good = Head { first: 0, next: 0, pages: 0, last_page: None, tail: List(Vec::new()), renewed_by: 0, open: None };
    let bad = [
        Head { first: 1, ..good.clone() },
        Head { next: 1, ..good.clone() },
        Head { pages: 1, next: 16, ..good.clone() },
        Head { pages: u64::MAX, last_page: Some([0; 32]), ..good.clone() },
        Head { last_page: Some([0; 32]), ..good.clone() },
    ];
    let values = bad.iter().map(cbor::to_vec).chain([b"noise".to_vec()]);
    for value in values {
        let mut reader = world.reader(Cursor::default(), ReaderConfig::default());
        let fetch = reader.poll_fetch(Instant::START, WALL).unwrap();
        reader.handle_fetched(
            Instant::START,
            WALL,
            fetch.id,
            Fetched { record: Some(sign(&value)), asked: 1, answered: 1 },
        );
        assert_eq!((reader.caught_up(), reader.stats().malformed), (None, 1));
    }
}

#[test]
fn a_pushed_head_is_read_without_asking_for_it() {
    let mut world = World::new(3);
    let mut now = Instant::START;
    let mut reader = world.reader(Cursor::default(), ReaderConfig::default());
    assert_eq!(numbers(&world.read(&mut reader, &mut now)).len(), 6);
    world.publish(1);
    let head = world.records[&reader.head_key()].clone();
    let other = world.remove(b"feed/s/0");
    reader.handle_pushed(now, WALL, other);
    assert_eq!((reader.stats().refused, reader.caught_up()), (1, Some(true)));

    let before = reader.stats().fetches;
    reader.handle_pushed(now, WALL, head.clone());
    reader.handle_pushed(now, WALL, head);
    assert_eq!(numbers(&world.read(&mut reader, &mut now)), [6, 7]);
    assert_eq!(reader.stats().fetches, before + 1, "the segment alone");
}
