use alloc::vec;
use alloc::vec::Vec;

use iot_core::Instant;

use super::*;
use crate::config::Unreadable;
use crate::format::record::FIRST_CONTROL;
use crate::log::Shape;
use crate::log::segment_state::Phase;
use crate::storage::{Fate, Fault, MemoryStorage, SegmentNumber};
use crate::{Message, OpenError};

const KIND: u8 = FIRST_CONTROL;
const STANDING: u8 = FIRST_CONTROL + 1;

fn open(storage: MemoryStorage) -> Log<MemoryStorage> {
    try_open(storage).expect("nothing is wrong with the storage")
}

fn try_open(storage: MemoryStorage) -> Result<Log<MemoryStorage>, OpenError> {
    Log::open(storage, Shape { segment_len: 4096, segments: 6, random: [3; 8], unreadable: Unreadable::Refuse })
}

fn append(log: &mut Log<MemoryStorage>, len: usize) -> u64 {
    log.enter_all(&[Message::new(&vec![7; len])], Instant::START).expect("there is room")
}

fn payloads(log: &mut Log<MemoryStorage>, kind: u8) -> Vec<Vec<u8>> {
    let controls = log.take_recovered_controls().into_iter();
    controls.filter(|control| control.kind == kind).map(|control| control.payload).collect()
}

/// Messages and control records over three segments, and the payloads of the latter.
fn sample() -> (MemoryStorage, Vec<Vec<u8>>) {
    let mut log = open(MemoryStorage::new());
    let mut expected = Vec::new();
    for number in 0..40_u8 {
        append(&mut log, 100);
        expected.push(vec![number; usize::from(number)]);
        log.enter_control(KIND, &expected[usize::from(number)]).expect("there is room");
    }
    log.commit().expect("the storage works");
    assert_eq!(log.segments().0, 3);
    (log.into_storage(), expected)
}

#[test]
fn control_records_come_back_in_order_and_once() {
    let (storage, expected) = sample();
    let mut log = open(storage);
    assert_eq!(payloads(&mut log, KIND), expected);
    assert!(log.take_recovered_controls().is_empty());
    assert_eq!(log.unsettled(), 40);
}

#[test]
fn any_flipped_bit_costs_at_most_the_control_record_it_hit() {
    let (storage, expected) = sample();
    let mut hits = 0;
    for segment in 0..3 {
        for octet in 0..4096 {
            let mut damaged = storage.clone();
            damaged.damage(SegmentNumber::new(segment), |octets| octets[octet] ^= 1 << (octet % 8));
            let found = payloads(&mut open(damaged), KIND);
            let lost = expected.len() - found.len();
            assert!(lost <= 1 && found.iter().all(|payload| expected.contains(payload)), "{segment}, {octet}");
            hits += lost;
        }
    }
    let octets: usize = expected.iter().map(Vec::len).sum();
    assert_eq!(hits, octets, "one bit of each octet of their payloads was flipped");
}

#[test]
fn what_stands_outlives_the_segments_that_said_it() {
    let mut log = open(MemoryStorage::new());
    log.set_standing(STANDING, 1, b"first").expect("there is room");
    log.set_standing(STANDING, 2, b"gone").expect("there is room");
    for number in 0..200 {
        assert_eq!(append(&mut log, 200), number);
        log.settle(number);
        log.commit().expect("the storage works");
        if number == 100 {
            log.set_standing(STANDING, 1, b"second").expect("there is room");
            log.clear_standing(STANDING, 2);
        }
    }
    assert_eq!(log.segments().0, 1);
    let mut storage = log.into_storage();
    storage.crash(|_| Fate::Lost);
    let found = payloads(&mut open(storage), STANDING);
    assert!(!found.is_empty() && found.iter().all(|payload| payload == b"second"), "{found:?}");
}

/// A segment's header was synced and the power cut before what stands was: the segments that said it before are in use
/// until it is said again.
#[test]
fn what_stands_is_said_again_before_the_last_that_said_it_is_overwritten() {
    let mut log = open(MemoryStorage::new());
    log.set_standing(STANDING, 1, b"cursor").expect("there is room");
    log.enter_control(STANDING, b"cursor").expect("there is room");
    while log.segments().0 == 1 {
        let number = append(&mut log, 200);
        log.settle(number);
        if log.segments().0 == 1 {
            log.commit().expect("the storage works");
        }
    }
    let mut storage = log.into_storage();
    storage.crash(|_| Fate::Lost);
    for round in 0..8 {
        let mut log = open(storage);
        let found = payloads(&mut log, STANDING);
        assert_eq!(found.last().map(Vec::as_slice), Some(&b"cursor"[..]), "round {round}");
        log.set_standing(STANDING, 1, b"cursor").expect("there is room");
        let numbers: Vec<_> = core::iter::successors(log.next_unsettled(0), |&at| log.next_unsettled(at + 1)).collect();
        numbers.into_iter().for_each(|number| assert!(log.settle(number)));
        log.commit().expect("the storage works");
        let (used, _) = log.segments();
        while log.segments().0 == used {
            let number = append(&mut log, 200);
            log.settle(number);
        }
        storage = log.into_storage();
        storage.crash(|_| Fate::Lost);
    }
}

#[test]
fn control_records_leave_the_room_that_acknowledgements_need() {
    let mut log = open(MemoryStorage::new());
    while log.enter_all(&[Message::new(&[1; 30])], Instant::START).is_ok() {}
    let live = log.unsettled();
    let mut entered = 0;
    while log.enter_control(KIND, &[2; 24]).is_ok() {
        entered += 1;
    }
    assert!(entered >= live / 2, "{entered} control records for {live} messages");
    assert_eq!(log.enter_control(KIND, &[2; 24]), Err(LogError::Full));
    // One by one and out of order, so that each acknowledgement is a record of its own.
    for number in (0..live).step_by(2).chain((1..live).step_by(2)) {
        log.settle(number);
        log.commit().expect("there is room for acknowledgements");
    }
    assert_eq!(log.unsettled(), 0);
    log.enter_control(KIND, &[2; 24]).expect("the queue was drained");
}

#[test]
fn refuses_what_would_fill_a_segment() {
    let mut log = open(MemoryStorage::new());
    let longest = log.longest_control() as usize;
    assert_eq!(log.enter_control(KIND, &vec![0; longest]), Ok(()));
    assert_eq!(log.enter_control(KIND, &vec![0; longest + 1]), Err(LogError::Full));
    assert_eq!(log.set_standing(STANDING, 0, &vec![0; longest - 100]), Ok(()));
    assert_eq!(log.set_standing(STANDING, 1, &[0; 200]), Err(LogError::Full));
    assert_eq!(log.set_standing(STANDING, 0, &[0; 200]), Ok(()));
    assert_eq!(log.set_standing(STANDING, 1, &[0; 200]), Ok(()));
}

/// Nothing stood, the last segment took no more records, and what nobody needed was not freed because something that
/// stands might have been missing: an empty queue was full for good.
#[test]
fn segments_come_back_although_the_last_one_takes_nothing_that_stands() {
    let mut log = open(MemoryStorage::new());
    while log.segments().0 < 4 {
        append(&mut log, 300);
    }
    (0..log.next()).for_each(|number| assert!(log.settle(number)));
    log.commit().expect("there is room for acknowledgements");
    assert_eq!(log.segments().0, 1);
    let mut log = open(log.into_storage());
    log.standing_due = true;
    log.tail_mut().phase = Phase::Closing;
    log.commit().expect("the storage works");
    assert!(!log.standing_due);
    assert_eq!(log.segments().0, 1);
    append(&mut log, 300);
}

/// Each opening of a segment that a flipped bit had disturbed wrote once more what stands, until there was no room to
/// acknowledge anything.
#[test]
fn what_stands_leaves_room_for_acknowledgements_however_often_it_is_written() {
    let mut log = open(MemoryStorage::new());
    while log.enter_all(&[Message::new(&[7; 300])], Instant::START).is_ok() {}
    log.commit().expect("the storage works");
    for _ in 0..40 {
        log = open(log.into_storage());
        assert!(log.stand(STANDING, 0, &[5; 200]));
        log.standing_due = true;
        log.enter_due_standing().expect("the storage works");
        log.commit().expect("there is always room for this");
    }
    let numbers: Vec<_> = (0..log.next()).collect();
    for number in numbers {
        assert!(log.settle(number));
        log.commit().expect("there is room for an acknowledgement");
    }
    append(&mut log, 300);
}

fn open_two(storage: MemoryStorage, segment_len: u32) -> Log<MemoryStorage> {
    let shape = Shape { segment_len, segments: 2, random: [3; 8], unreadable: Unreadable::Refuse };
    Log::open(storage, shape).expect("nothing is wrong with the storage")
}

/// Opens a log in which `stands` stands, and does something with it. Cuts the power at each operation of the storage: what
/// stands is still said then.
fn cut_the_power(
    storage: &MemoryStorage,
    segment_len: u32,
    stands: &[u8],
    act: impl Fn(&mut Log<MemoryStorage>) -> Result<(), LogError>,
) {
    let says = |log: &mut Log<_>| payloads(log, STANDING).last().is_some_and(|payload| payload == stands);
    for operations in 0.. {
        let mut log = open_two(storage.clone(), segment_len);
        assert!(says(&mut log) && log.stand(STANDING, 1, stands));
        log.storage.inject(Fault::Power, operations);
        let outcome = act(&mut log);
        let mut storage = log.into_storage();
        storage.crash(|_| Fate::Lost);
        assert!(says(&mut open_two(storage, segment_len)), "the power was cut after {operations} operations");
        match outcome {
            Ok(()) => return,
            Err(error) => assert!(matches!(error, LogError::Storage(_) | LogError::ReadOnly(_)), "{error:?}"),
        }
    }
}

/// Acknowledges message after message, each durably, and appends one.
fn drain(log: &mut Log<MemoryStorage>) -> Result<(), LogError> {
    log.enter_due_standing()?;
    while let Some(number) = log.next_unsettled(0) {
        assert!(log.settle(number));
        log.commit()?;
    }
    log.enter_all(&[Message::new(b"again")], Instant::START)?;
    log.commit().map(drop)
}

/// Two segments after two failures: nobody needs the first, which alone says what stands, and so many messages are in the
/// second, which has no room for that beside their acknowledgements.
fn failed_twice(count: u64) -> MemoryStorage {
    let mut log = open_two(MemoryStorage::new(), 4096);
    log.set_standing(STANDING, 1, b"cursor").expect("there is room");
    log.enter_control(STANDING, b"cursor").expect("there is room");
    append(&mut log, 100);
    log.settle(0);
    log.commit().expect("the storage works");
    for _ in 0..count {
        append(&mut log, 50);
    }
    log.storage.inject(Fault::OneSync, 0);
    // That of the fresh header, and that of the messages, succeed.
    log.storage.inject(Fault::Sync, 3);
    assert!(log.commit().is_err() && log.writable().is_err());
    let mut storage = log.into_storage();
    storage.crash(|_| Fate::Lost);
    let log = open_two(storage, 4096);
    assert!(log.unsettled() == count && log.standing_due && log.front_is_settled());
    log.into_storage()
}

/// The simulator found it, seed 82675. In a queue of two segments a sync failed, and then the one of what stands, behind what
/// was written again. The next opening found no room for what stands beside that of acknowledgements, and used the first
/// segment again, the only one that said it, before the other one did.
#[test]
fn the_last_segment_that_says_what_stands_stays_until_another_says_it_durably() {
    for count in 10..24 {
        let storage = failed_twice(count);
        cut_the_power(&storage, 4096, b"cursor", drain);
        // Nor when the other one is left, for whatever reason.
        cut_the_power(&storage, 4096, b"cursor", Log::rotate);
        let mut log = open_two(storage, 4096);
        assert!(log.stand(STANDING, 1, b"cursor"));
        let generation = log.tail_generation();
        log.commit().expect("the storage works");
        assert_eq!((log.tail_generation(), log.segments().0), (generation, 1), "it goes on where it has room");
    }
}

/// The second segment was filled before a sync covered what stands at its head, and a power cut tore that alone. Until the
/// first segment was acknowledged, acknowledgements took the room that was left.
#[test]
fn a_segment_is_not_filled_before_what_it_begins_with_is_durable() {
    let (segment_len, stands) = (65536, vec![5; 15000]);
    let mut log = open_two(MemoryStorage::new(), segment_len);
    log.set_standing(STANDING, 1, &stands).expect("there is room");
    log.enter_control(STANDING, &stands).expect("there is room");
    while log.has_room_for(&[Message::new(&[7; 1000])]) {
        append(&mut log, 1000);
        log.write().expect("the storage works");
    }
    assert_eq!(log.segments().0, 2);
    let mut storage = log.into_storage();
    storage.crash(|len| if len > 15000 { Fate::TornBefore(15032) } else { Fate::Kept });
    cut_the_power(&storage, segment_len, &stands, drain);
}
