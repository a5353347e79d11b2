use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use iot_core::Instant;

use crate::Message;
use crate::config::Unreadable;
use crate::format::record::FIRST_CONTROL;
use crate::format::segment::Cut;
use crate::log::segment_state::Phase;
use crate::log::{Log, LogError, Lookup, Outbox, Shape, Window};
use crate::offset::GapCause;
use crate::storage::{Fate, Fault, MemoryStorage, Operation, SegmentNumber, StorageError};

fn open(storage: MemoryStorage) -> Log<MemoryStorage> {
    let shape = Shape { segment_len: 4096, segments: 6, random: [3; 8], unreadable: Unreadable::Refuse };
    Log::open(storage, shape).expect("nothing keeps the log shut")
}

fn payload(number: u64) -> Vec<u8> {
    vec![number as u8; 100 + number as usize % 300]
}

fn append(log: &mut Log<MemoryStorage>) -> Result<u64, LogError> {
    let number = log.next();
    log.enter_all(&[Message::new(&payload(number))], Instant::START)
}

fn waiting(log: &Log<MemoryStorage>) -> BTreeMap<u64, Vec<u8>> {
    let numbers = core::iter::successors(log.next_unsettled(0), |&number| log.next_unsettled(number + 1));
    let read = |number| match log.read(number, &mut Window::default()) {
        Ok(Lookup::Message { payload, .. }) => (number, payload.octets().to_vec()),
        _ => panic!("message {number} cannot be read"),
    };
    numbers.map(read).collect()
}

/// Appends, acknowledges and enters control records until the sync fails that is asked for, and for a while after that.
/// Gives what must be found after a power cut.
fn run(failing: u64) -> (Log<MemoryStorage>, BTreeSet<u64>, Vec<u8>) {
    let mut log = open(MemoryStorage::new());
    log.storage.inject(Fault::OneSync, failing);
    let (mut live, mut controls) = (BTreeSet::new(), Vec::new());
    for round in 0..40 {
        for _ in 0..round % 4 {
            live.insert(append(&mut log).expect("one failure does not end the log"));
        }
        if round % 3 == 1 {
            log.enter_control(FIRST_CONTROL, &[round]).expect("there is room");
            controls.push(round);
        }
        while live.len() > 10 {
            live.pop_first().into_iter().for_each(|number| assert!(log.settle(number)));
        }
        let durable = log.commit().expect("one failure does not end the log");
        assert_eq!(durable, log.next());
        assert_eq!(log.unsettled(), waiting(&log).len() as u64);
    }
    (log, live, controls)
}

#[test]
fn one_failed_sync_anywhere_costs_nothing() {
    let mut abandoned = 0;
    for failing in 0..60 {
        let (log, live, _) = run(failing);
        abandoned += log.traffic.abandoned;
        let mut storage = log.into_storage();
        storage.crash(|_| Fate::Lost);
        let found = waiting(&open(storage));
        let lost: Vec<_> = live.iter().filter(|number| !found.contains_key(number)).collect();
        assert!(lost.is_empty(), "sync {failing}: {lost:?} lost");
        assert!(found.iter().all(|(&number, found)| *found == payload(number)), "sync {failing}");
        assert_eq!(found.len(), live.len(), "sync {failing}: {found:?} came back");
    }
    assert!(abandoned > 30, "{abandoned}");
}

#[test]
fn control_records_that_stand_in_both_segments_are_given_once() {
    let mut repeated = 0;
    for failing in 0..60 {
        let (log, _, controls) = run(failing);
        let mut storage = log.into_storage();
        storage.crash(|_| Fate::Kept);
        let mut log = open(storage);
        let found: Vec<_> = log.take_recovered_controls().into_iter().map(|control| control.payload[0]).collect();
        // Those of retired segments are gone.
        assert!(controls.ends_with(&found), "sync {failing}: {found:?} of {controls:?}");
        repeated += usize::from(found.len() > 1);
    }
    assert!(repeated > 30);
}

#[test]
fn a_second_failure_leaves_the_log_read_only_and_readable() {
    let mut log = open(MemoryStorage::new());
    append(&mut log).expect("there is room");
    log.commit().expect("the storage works");
    append(&mut log).expect("there is room");
    log.storage.inject(Fault::Sync, 0);
    let cause = StorageError::Io { operation: Operation::Sync(SegmentNumber::new(0)), code: 5 };
    assert_eq!(log.commit(), Err(LogError::Storage(cause)));
    assert_eq!(append(&mut log), Err(LogError::ReadOnly(cause)));
    assert_eq!(waiting(&log).into_keys().collect::<Vec<_>>(), [0]);
}

/// Nothing of the fresh segment but its header reached the medium: then it ended nothing, and what the process had
/// written to the segment before is still there.
#[test]
fn a_segment_that_was_begun_in_vain_ends_nothing() {
    let mut log = open(MemoryStorage::new());
    append(&mut log).expect("there is room");
    log.commit().expect("the storage works");
    append(&mut log).expect("there is room");
    log.write().expect("the storage works");
    let tail = log.tail();
    let cut = Cut { end: tail.synced, generation: tail.header.generation as u32, is_doubtful: false };
    let first = log.next() - 1;
    log.begin_next(first, Some(cut)).expect("there is a free segment");
    for _ in 0..3 {
        log = open(log.into_storage());
        assert_eq!(waiting(&log).into_keys().collect::<Vec<_>>(), (0..log.next()).collect::<Vec<_>>());
        append(&mut log).expect("there is room");
        log.commit().expect("the storage works");
    }
    assert_eq!(log.next(), 5);
    while log.segments().0 < 4 {
        append(&mut log).expect("there is room");
    }
    log.write().expect("the storage works");
    let next = log.next();
    let log = open(log.into_storage());
    assert_eq!(waiting(&log).len() as u64, next);
}

#[test]
fn what_is_beyond_memory_when_a_sync_fails_leaves_the_log_read_only() {
    let shape = Shape { segment_len: 4 << 20, segments: 2, random: [3; 8], unreadable: Unreadable::Refuse };
    for (count, goes_on) in [(3, true), (30, false)] {
        let mut log = Log::open(MemoryStorage::new(), shape).expect("a new log");
        for _ in 0..count {
            log.enter_all(&[Message::new(&[1; 65536])], Instant::START).expect("there is room");
            log.write().expect("the storage works");
        }
        log.storage.inject(Fault::OneSync, 0);
        assert_eq!(log.commit().is_ok(), goes_on);
        assert_eq!(log.writable().is_ok(), goes_on);
    }
}

#[test]
fn octets_that_cannot_be_read_cost_their_message_and_only_for_now() {
    let mut log = open(MemoryStorage::new());
    for _ in 0..30 {
        append(&mut log).expect("there is room");
    }
    log.commit().expect("the storage works");
    let all = waiting(&log);
    log.storage.hide(SegmentNumber::new(0), 1536..1540);
    let is_unread =
        |&number: &u64| matches!(log.read(number, &mut Window::default()), Ok(Lookup::Unread(StorageError::Io { .. })));
    assert_eq!((0..30).filter(is_unread).count(), 1);
    let mut storage = log.into_storage();
    for (segment, octets) in [(0, 0..512), (0, 512..1024), (1, 4032..4096), (0, 1536..2048), (2, 1536..2048)] {
        storage.crash(|_| Fate::Kept);
        storage.hide(SegmentNumber::new(segment), octets.clone());
        let log = open(storage.clone());
        let found = (0..30).filter(|&number| {
            log.read(number, &mut Window::default()).is_ok_and(|found| matches!(found, Lookup::Message { .. }))
        });
        assert!(found.count() >= 24, "segment {segment}, {octets:?}");
        let mut after = log.into_storage();
        after.crash(|_| Fate::Kept);
        if octets.start < 1024 || octets.start > 4000 {
            assert_eq!(waiting(&open(after)), all, "segment {segment}, {octets:?}");
        }
    }
}

#[test]
fn a_medium_that_reads_nothing_is_not_taken_for_an_empty_one() {
    let mut log = open(MemoryStorage::new());
    append(&mut log).expect("there is room");
    log.commit().expect("the storage works");
    let mut storage = log.into_storage();
    (0..6).for_each(|segment| storage.hide(SegmentNumber::new(segment), 0..4096));
    let shape = Shape { segment_len: 4096, segments: 6, random: [3; 8], unreadable: Unreadable::Refuse };
    assert!(Log::open(storage.clone(), shape).is_err());
    storage.crash(|_| Fate::Kept);
    assert_eq!(waiting(&open(storage)).len(), 1);
}

#[test]
fn a_segment_that_cannot_be_read_is_not_taken_for_a_free_one() {
    let mut log = open(MemoryStorage::new());
    while log.segments().0 < 3 {
        append(&mut log).expect("there is room");
    }
    log.commit().expect("the storage works");
    let all = waiting(&log);
    let storage = log.into_storage();
    for number in (0..3).map(SegmentNumber::new) {
        let mut hidden = storage.clone();
        hidden.hide(number, 0..4096);
        let shape = Shape { segment_len: 4096, segments: 6, random: [3; 8], unreadable: Unreadable::Refuse };
        assert!(Log::open(hidden.clone(), shape).is_err());
        hidden.crash(|_| Fate::Kept);
        assert_eq!(waiting(&open(hidden)), all);

        // By its records it is known, to who does not wait for the medium to read again.
        let mut hidden = storage.clone();
        hidden.hide(number, 0..1024);
        hidden.hide(number, 4032..4096);
        let shape = Shape { unreadable: Unreadable::GiveUp, ..shape };
        let found = waiting(&Log::open(hidden, shape).expect("it gives up what cannot be read"));
        assert!(found == all, "segment {number}: {:?}", found.keys());
    }
}

/// What a recovery found torn, it noted for the footer, because the segment had no room for a record of it. The footer failed,
/// the log went on elsewhere, and the next opening took the torn messages for damaged.
#[test]
fn what_was_torn_stays_uncertain_when_its_segment_is_left() {
    const RECORD: u32 = 48;
    let mut log = open(MemoryStorage::new());
    append(&mut log).expect("there is room");
    log.commit().expect("the storage works");
    for _ in 0..3 {
        append(&mut log).expect("there is room");
        log.write().expect("the storage works");
    }
    let mut storage = log.into_storage();
    let mut write = 0;
    storage.crash(|_| {
        write += 1;
        if write == 2 { Fate::Lost } else { Fate::Kept }
    });
    let lost = |log: &Log<MemoryStorage>| log.losses().map(|gap| (gap.from.number(), gap.cause)).collect::<Vec<_>>();
    let mut log = open(storage);
    assert_eq!(lost(&log), [(2, GapCause::Uncertain)]);
    // As if the record had found no room.
    let (number, end) = (log.tail().number, log.tail().end - RECORD);
    log.storage.damage(number, |octets| octets[end as usize..][..RECORD as usize].fill(0));
    let tail = log.tail_mut();
    (tail.end, tail.written, tail.synced, tail.phase) = (end, end, end, Phase::Closing);
    log.outbox = Outbox::beginning_at(end);
    log.storage.inject(Fault::OneSync, 0);
    append(&mut log).expect("one failure does not end the log");
    log.commit().expect("the storage works");
    assert_eq!((log.traffic.abandoned, lost(&log)), (1, [(2, GapCause::Uncertain)].into()));
    let mut storage = log.into_storage();
    storage.crash(|_| Fate::Lost);
    let mut log = open(storage);
    assert_eq!(lost(&log), [(2, GapCause::Uncertain)]);
    // The footer of the segment that says so says where.
    let segments = log.segments().0;
    while log.segments().0 == segments {
        append(&mut log).expect("there is room");
    }
    assert_eq!(lost(&open(log.into_storage())), [(2, GapCause::Uncertain)]);
}
