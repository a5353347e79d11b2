//! Each block of 512 octets of a larger log, made zeros: it costs the messages that stood in it, and each is named.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};

use iot_queue::{Durability, Entry, MemoryStorage, Message, Offset, Queue, QueueConfig, SegmentNumber, Storage};

const BLOCK: usize = 512;
const SEGMENT_LEN: usize = 64 << 10;
const SEGMENTS: u32 = 24;
/// So many hold something: a log of 1 MiB.
const USED: u32 = 16;
const MARK: [u8; 8] = *b"payload:";

fn config() -> QueueConfig {
    let config = QueueConfig::default().max_payload(4096).and_then(|config| config.segment_len(SEGMENT_LEN as u32));
    config.and_then(|config| config.segments(SEGMENTS)).expect("in range").durability(Durability::Manual)
}

/// Where each message stands: its segment, and the octets of its record.
type Places = BTreeMap<u64, (u32, Range<usize>)>;

/// Begins with octets by which the test finds it on the medium.
fn payload(number: u64) -> Vec<u8> {
    let len = 40 + (number * 37 % 500) as usize + if number.is_multiple_of(100) { 3000 } else { 0 };
    MARK.into_iter().chain(number.to_le_bytes()).chain((0..len).map(|index| (number as usize + index) as u8)).collect()
}

/// A queue whose last segment is in use, and where each message stands.
fn sample() -> (Queue<MemoryStorage>, Places) {
    let mut queue = Queue::open(MemoryStorage::new(), config(), [7; 8]).expect("a new queue");
    while queue.stats().segments_used < USED || !queue.next_offset().number().is_multiple_of(150) {
        let number = queue.next_offset().number();
        queue.append(&Message::new(&payload(number))).expect("there is room");
        if number.is_multiple_of(7) {
            queue.commit().expect("the storage works");
        }
    }
    queue.commit().expect("the storage works");
    assert_eq!(queue.stats().segments_used, USED);
    let mut places = BTreeMap::new();
    let storage = queue.into_storage();
    for segment in 0..SEGMENTS {
        let octets = octets(&storage, segment);
        for at in (1024..SEGMENT_LEN - 16).step_by(8).filter(|&at| octets[at..at + 8] == MARK) {
            let number = octets[at + 8..at + 16].try_into().map(u64::from_le_bytes).expect("they are 8");
            places.insert(number, (segment, at - 32..at + payload(number).len()));
        }
    }
    (Queue::open(storage, config(), [8; 8]).expect("nothing is wrong with it"), places)
}

fn octets(storage: &MemoryStorage, segment: u32) -> Vec<u8> {
    let mut octets = vec![0; SEGMENT_LEN];
    storage.read_at(SegmentNumber::new(segment), 0, &mut octets).expect("it can be read");
    octets
}

/// Makes zeros of one block of these segments after the other, and holds what can be read then to what stood there. Gives how many messages
/// that cost together, and the most that it cost without a gap.
fn zero_each_block(storage: MemoryStorage, places: &Places, segments: RangeInclusive<u32>) -> (usize, usize) {
    let whole: Vec<_> = (0..SEGMENTS).map(|segment| octets(&storage, segment)).collect();
    let (mut storage, mut cost, mut unnamed) = (storage, 0, 0);
    for segment in segments {
        for at in (0..SEGMENT_LEN).step_by(BLOCK) {
            storage.damage(SegmentNumber::new(segment), |octets| octets[at..at + BLOCK].fill(0));
            let queue = Queue::open(storage, config(), [9; 8])
                .unwrap_or_else(|error| panic!("segment {segment}, octet {at}: {error}"));
            let (mut found, mut named) = (BTreeSet::new(), BTreeSet::new());
            for entry in queue.entries_from(Offset::START) {
                match entry.expect("the storage works") {
                    Entry::Message(stored) => {
                        assert!(stored.payload == payload(stored.offset.number()), "segment {segment}, octet {at}");
                        found.insert(stored.offset.number());
                    }
                    Entry::Gap(gap) => named.extend(gap.from.number()..gap.until.number()),
                }
            }
            let hit = |number: &u64| {
                let (of, octets) = &places[number];
                *of == segment && octets.start < at + BLOCK && at < octets.end
            };
            let missing: BTreeSet<_> = places.keys().copied().filter(|number| !found.contains(number)).collect();
            let innocent: Vec<_> = missing.iter().filter(|number| !hit(number)).collect();
            assert!(innocent.is_empty(), "segment {segment}, octet {at}: {innocent:?} did not stand there");
            assert!(named.is_subset(&missing), "segment {segment}, octet {at}: {named:?} named");
            // Nothing behind it tells of what stood last, unless the queue was closed.
            let untold: Vec<_> = missing.difference(&named).copied().collect();
            assert!(
                untold.first() >= untold.first().and(found.last()),
                "segment {segment}, octet {at}: {untold:?} unnamed"
            );
            cost += missing.len();
            unnamed = unnamed.max(untold.len());
            storage = queue.into_storage();
            for touched in [segment, USED - 1, USED] {
                storage.damage(SegmentNumber::new(touched), |octets| octets.copy_from_slice(&whole[touched as usize]));
            }
        }
    }
    (cost, unnamed)
}

#[test]
fn each_zeroed_block_costs_the_messages_in_it_and_names_them() {
    let (queue, places) = sample();
    assert_eq!(places.len() as u64, queue.next_offset().number());
    let (cost, unnamed) = zero_each_block(queue.close().expect("the storage works"), &places, 0..=USED);
    assert!(cost > places.len(), "a block of each message was lost");
    assert_eq!(unnamed, 0, "the queue was closed, so that each loss is named");
}

#[test]
fn in_a_queue_that_was_not_closed_only_what_stood_last_goes_unnamed() {
    let (queue, places) = sample();
    let (cost, unnamed) = zero_each_block(queue.into_storage(), &places, USED - 2..=USED);
    assert!(cost > 0);
    assert!((1..=BLOCK / 88 + 1).contains(&unnamed), "{unnamed}");
}
