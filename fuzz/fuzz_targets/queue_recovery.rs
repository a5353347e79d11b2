//! Opening a queue whose segments were damaged.
//!
//! The input is a list of changes to the segments of a small queue that has been through a life: a segment (u8), an
//! offset (u16, little endian), a count (u8), and as many bytes to write there. A single change of one bit is held to
//! more: every message that the queue still gives is one that was appended there. (More than that, and a fuzzer learns
//! to write checksums.)

#![no_main]

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use iot_core::Instant;
use iot_queue::{Durability, Entry, MemoryStorage, Message, Offset, Queue, QueueConfig, SegmentNumber, Storage};
use libfuzzer_sys::fuzz_target;

const SEGMENT_LEN: u32 = 4096;
const SEGMENTS: u32 = 4;

struct Lived {
    storage: MemoryStorage,
    appended: BTreeMap<Offset, Vec<u8>>,
}

static LIVED: LazyLock<Lived> = LazyLock::new(|| {
    let mut queue = open(MemoryStorage::new(), 1).expect("an empty medium");
    let mut appended = BTreeMap::new();
    for round in 0..40_u8 {
        let payload = vec![round; 40 + 20 * usize::from(round % 9)];
        let offset = queue.append(&Message::new(&payload)).expect("acknowledged ones make room");
        appended.insert(offset, payload);
        if round % 3 != 0 {
            let leased = queue.reserve(Instant::from_micros(0), Duration::from_secs(1), 1).expect("one is there");
            queue.ack(leased[0].lease).expect("just leased");
        }
        if round % 4 == 0 {
            queue.commit().expect("memory does not fail");
        }
    }
    queue.commit().expect("memory does not fail");
    Lived { storage: queue.into_storage(), appended }
});

fn open(storage: MemoryStorage, opening: u8) -> Result<Queue<MemoryStorage>, iot_queue::OpenError> {
    let config = QueueConfig::default()
        .max_payload(1024)
        .and_then(|config| config.segment_len(SEGMENT_LEN))
        .and_then(|config| config.segments(SEGMENTS))
        .expect("within limits")
        .durability(Durability::Manual);
    Queue::open(storage, config, [opening; 8])
}

/// Everything that the queue gives, up to more than a queue of this size can hold.
fn entries(queue: &Queue<MemoryStorage>) -> Vec<Entry> {
    queue.entries_from(Offset::START).take(10_000).map(|entry| entry.expect("memory does not fail")).collect()
}

fuzz_target!(|input: &[u8]| {
    let lived = &*LIVED;
    let mut storage = lived.storage.clone();
    let changes = changes(input);
    for (segment, offset, bytes) in &changes {
        storage.damage(SegmentNumber::new(*segment), |octets| {
            let start = offset % octets.len();
            let end = octets.len().min(start + bytes.len());
            octets[start..end].copy_from_slice(&bytes[..end - start]);
        });
    }
    let bits = flipped_bits(&lived.storage, &storage);
    let Ok(mut queue) = open(storage, 2) else {
        assert!(bits > 1, "a single bit keeps the queue from opening");
        return;
    };
    let found = entries(&queue);
    if bits <= 1 {
        for entry in &found {
            if let Entry::Message(stored) = entry {
                assert_eq!(lived.appended.get(&stored.offset), Some(&stored.payload), "at {}", stored.offset);
            }
        }
    }

    // It works on, and what it says survives another opening.
    let Ok(offset) = queue.append(&Message::new(b"after the damage")) else { return };
    queue.commit().expect("memory does not fail");
    let before = entries(&queue);
    let again = open(queue.into_storage(), 3).expect("opened once, opens again");
    let after = entries(&again);
    let message = |entry: &&Entry| matches!(entry, Entry::Message(_));
    assert_eq!(before.iter().filter(message).collect::<Vec<_>>(), after.iter().filter(message).collect::<Vec<_>>());
    assert!(after.iter().any(|entry| matches!(entry, Entry::Message(stored) if stored.offset == offset)));
});

fn changes(mut input: &[u8]) -> Vec<(u32, usize, &[u8])> {
    let mut changes = Vec::new();
    while let [segment, low, high, count, rest @ ..] = input {
        let (bytes, rest) = rest.split_at(rest.len().min(usize::from(*count)));
        changes.push((u32::from(*segment) % SEGMENTS, usize::from(u16::from_le_bytes([*low, *high])), bytes));
        input = rest;
    }
    changes
}

fn flipped_bits(left: &MemoryStorage, right: &MemoryStorage) -> u32 {
    (0..SEGMENTS)
        .map(|number| {
            let read = |storage: &MemoryStorage| {
                let mut octets = vec![0; SEGMENT_LEN as usize];
                storage.read_at(SegmentNumber::new(number), 0, &mut octets).expect("every segment is allocated");
                octets
            };
            read(left).iter().zip(read(right)).map(|(left, right)| (left ^ right).count_ones()).sum::<u32>()
        })
        .sum()
}
