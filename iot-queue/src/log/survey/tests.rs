use alloc::vec::Vec;

use iot_core::Instant;

use crate::Message;
use crate::checksum;
use crate::config::Unreadable;
use crate::log::{Log, Shape, Window};
use crate::storage::{MemoryStorage, SegmentNumber};

const SEGMENTS: u32 = 5;

fn open(storage: MemoryStorage) -> Result<Log<MemoryStorage>, crate::error::OpenError> {
    Log::open(storage, Shape { segment_len: 4096, segments: SEGMENTS, random: [3; 8], unreadable: Unreadable::Refuse })
}

/// A log that has used its segments more than once, and has moved nothing.
fn lived() -> MemoryStorage {
    let mut log = open(MemoryStorage::new()).expect("a new log");
    for round in 0..60 {
        let number = log.enter_all(&[Message::new(&[round; 300])], Instant::START).expect("there is room");
        if round < 48 {
            assert!(log.settle(number));
        }
        log.commit().expect("the storage works");
    }
    assert!(log.segments().0 > 2);
    log.into_storage()
}

/// The same with `octets` in both copies of a segment's header, and checksums that hold.
fn altered(storage: &MemoryStorage, segment: u32, alter: impl Fn(&mut [u8])) -> MemoryStorage {
    let mut storage = storage.clone();
    storage.damage(SegmentNumber::new(segment), |octets| {
        for copy in [0, 512] {
            let header = &mut octets[copy..copy + 64];
            alter(header);
            let crc = checksum::crc32c(0, &header[..60]);
            header[60..].copy_from_slice(&crc.to_le_bytes());
        }
    });
    storage
}

/// A header whose checksum holds said that all lives were retired, and the log had no segment. Nobody writes such a header,
/// but the checksum is no defence against somebody who does.
#[test]
fn a_header_that_says_what_none_says_keeps_nothing_from_working() {
    let lived = lived();
    let mut refused = 0;
    let mut try_with = |storage: MemoryStorage| {
        let Ok(mut log) = open(storage) else {
            refused += 1;
            return;
        };
        let mut window = Window::default();
        for number in log.oldest()..log.next().min(log.oldest() + 1000) {
            let _ = log.read(number, &mut window).expect("memory does not fail");
        }
        let _ = log.losses().count();
        for round in 0..20 {
            if let Ok(number) = log.enter_all(&[Message::new(&[round; 300])], Instant::START) {
                log.settle(number);
            }
            let _ = log.commit();
        }
        drop(open(log.into_storage()));
    };
    for segment in 0..SEGMENTS {
        for bit in 8 * 8..60 * 8 {
            try_with(altered(&lived, segment, |header| header[bit / 8] ^= 1 << (bit % 8)));
        }
        for field in [24, 32, 40, 52] {
            for value in [0_u64, 1, 13, 4096, 1 << 40, (1 << 62) - 1, u64::MAX] {
                let octets: Vec<_> = value.to_le_bytes().into_iter().take(60 - field).collect();
                try_with(altered(&lived, segment, |header| {
                    header[field..field + octets.len()].copy_from_slice(&octets);
                }));
            }
        }
    }
    assert!(refused > 0, "a header of another version or another queue is refused");
}
