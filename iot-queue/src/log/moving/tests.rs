use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use iot_core::Instant;

use super::Move;
use crate::Message;
use crate::config::Unreadable;
use crate::log::{Log, LogError, Lookup, Shape, Window};
use crate::offset::GapCause;
use crate::storage::{Fate, Fault, MemoryStorage, SegmentNumber};

fn open(storage: MemoryStorage) -> Log<MemoryStorage> {
    let shape = Shape { segment_len: 4096, segments: 4, random: [3; 8], unreadable: Unreadable::Refuse };
    Log::open(storage, shape).expect("nothing keeps the log shut")
}

fn payload(number: u64) -> Vec<u8> {
    vec![number as u8; 100 + number as usize % 100]
}

fn append(log: &mut Log<MemoryStorage>) -> Result<u64, LogError> {
    let number = log.next();
    log.enter_all(&[Message::new(&payload(number))], Instant::START)
}

/// A log of which segments 1 and 2 are full, and hardly anything in the first is needed.
fn scattered() -> (Log<MemoryStorage>, BTreeSet<u64>) {
    let mut log = open(MemoryStorage::new());
    while log.segments().0 < 3 {
        append(&mut log).expect("there is room");
    }
    let end = log.front().end;
    let mut live: BTreeSet<_> = (0..log.next()).collect();
    for number in (0..end).filter(|number| number % 6 != 5) {
        assert!(log.settle(number) && live.remove(&number));
    }
    log.commit().expect("the storage works");
    (log, live)
}

fn move_front(log: &mut Log<MemoryStorage>) -> Vec<u64> {
    let numbers = log.movable();
    for &number in &numbers {
        assert_eq!(log.move_message(number, &mut Window::default()), Ok(Move::Done));
    }
    log.write().expect("the storage works");
    numbers
}

fn waiting(log: &Log<MemoryStorage>) -> BTreeSet<u64> {
    let numbers = core::iter::successors(log.next_unsettled(0), |&number| log.next_unsettled(number + 1));
    let read = |number| match log.read(number, &mut Window::default()) {
        Ok(Lookup::Message { payload: found, .. }) if found.octets() == payload(number) => number,
        _ => panic!("message {number} cannot be read"),
    };
    let waiting: BTreeSet<_> = numbers.map(read).collect();
    assert_eq!(log.unsettled(), waiting.len() as u64);
    waiting
}

#[test]
fn a_segment_is_free_once_what_was_needed_of_it_is_durable_elsewhere() {
    let (mut log, live) = scattered();
    let end = log.front().end;
    let moved = move_front(&mut log);
    assert_eq!(moved, live.range(..end).copied().collect::<Vec<_>>());
    assert_eq!((log.segments().0, waiting(&log)), (3, live.clone()), "no sync covered the copies yet");
    log.commit().expect("the storage works");
    assert_eq!((log.segments().0, waiting(&log)), (2, live.clone()));
    assert_eq!((log.oldest(), log.begin()), (moved[0], end));
    // In the order of the log, the holes passed over.
    let stored = core::iter::successors(log.next_stored(0), |&number| log.next_stored(number + 1));
    assert_eq!(stored.collect::<BTreeSet<_>>(), live);
    // And so after a crash, from the records and from the footer.
    let mut storage = log.into_storage();
    storage.crash(|_| Fate::Lost);
    let mut log = open(storage);
    assert_eq!(waiting(&log), live);
    while log.segments().0 < 3 {
        append(&mut log).expect("there is room");
    }
    log.commit().expect("the storage works");
    let all: BTreeSet<_> = live.iter().copied().chain(*live.last().expect("some are live") + 1..log.next()).collect();
    assert_eq!(waiting(&open(log.into_storage())), all);
}

#[test]
fn an_acknowledgement_counts_for_every_copy() {
    let (mut log, mut live) = scattered();
    let moved = move_front(&mut log);
    log.commit().expect("the storage works");
    for &number in &moved[..2] {
        assert!(log.settle(number) && !log.settle(number) && live.remove(&number));
    }
    log.commit().expect("the storage works");
    assert_eq!(waiting(&log), live);
    assert!(matches!(log.read(moved[0], &mut Window::default()), Ok(Lookup::Message { .. })), "it is still stored");
    let mut log = open(log.into_storage());
    assert_eq!(waiting(&log), live);
    live.iter().for_each(|&number| assert!(log.settle(number)));
    log.commit().expect("the storage works");
    let log = open(log.into_storage());
    assert_eq!(log.unsettled(), 0);
}

#[test]
fn nothing_is_lost_whatever_part_of_a_move_a_power_cut_keeps() {
    for kept in 0..1_u32 << 6 {
        let (mut log, live) = scattered();
        for number in log.movable() {
            assert_eq!(log.move_message(number, &mut Window::default()), Ok(Move::Done));
            log.write().expect("the storage works");
        }
        let mut storage = log.into_storage();
        let mut write = 0;
        storage.crash(|_| {
            write += 1;
            if kept >> (write - 1) & 1 == 1 { Fate::Kept } else { Fate::Lost }
        });
        let mut log = open(storage);
        assert_eq!(waiting(&log), live, "kept {kept:06b}");
        move_front(&mut log);
        log.commit().expect("the storage works");
        assert_eq!(log.segments().0, 2, "kept {kept:06b}");
        assert_eq!(waiting(&open(log.into_storage())), live, "kept {kept:06b}");
    }
}

#[test]
fn a_failed_sync_moves_the_copies_once_more_or_leaves_the_messages_where_they_were() {
    for failures in [Fault::OneSync, Fault::Sync] {
        let (mut log, live) = scattered();
        move_front(&mut log);
        log.storage.inject(failures, 0);
        assert_eq!(log.commit().is_ok(), failures == Fault::OneSync);
        assert_eq!(waiting(&log), live);
        let mut storage = log.into_storage();
        storage.crash(|_| Fate::Lost);
        assert_eq!(waiting(&open(storage)), live);
    }
}

#[test]
fn what_the_owner_holds_stays_where_it_is() {
    let (mut log, _) = scattered();
    log.hold_from(log.front().end - 1);
    assert!(log.movable().is_empty());
    log.hold_from(log.front().end);
    log.commit().expect("the storage works");
    assert!(!log.movable().is_empty());
}

#[test]
fn a_segment_that_is_mostly_needed_stays() {
    let mut log = open(MemoryStorage::new());
    while log.segments().0 < 3 {
        append(&mut log).expect("there is room");
    }
    for number in (0..log.front().end).filter(|number| number % 4 == 0) {
        assert!(log.settle(number));
    }
    log.commit().expect("the storage works");
    assert!(log.movable().is_empty());
    // But two pay together of which one is needed.
    (log.front().end..log.tail_first()).for_each(|number| assert!(log.settle(number)));
    log.commit().expect("the storage works");
    assert!(!log.movable().is_empty());
}

#[test]
fn a_damaged_message_is_named_as_long_as_if_it_had_been_moved() {
    let (mut log, live) = scattered();
    let (first, end) = (*live.first().expect("some are live"), log.front().end);
    let needle = payload(first);
    log.storage.damage(SegmentNumber::new(0), |octets| {
        let at = octets.windows(needle.len()).position(|window| window == needle).expect("it stands there");
        octets[at] ^= 1;
    });
    move_front(&mut log);
    log.commit().expect("the storage works");
    // A record that says that a sync had covered it.
    append(&mut log).expect("there is room");
    log.commit().expect("the storage works");
    let live: BTreeSet<_> = live.into_iter().chain([log.next() - 1]).collect();
    // The next opening knows it, too, when the segment is used again.
    let mut storage = log.storage.clone();
    storage.damage(SegmentNumber::new(0), |octets| octets.fill(0));
    for log in [&log, &open(storage)] {
        assert_eq!(log.begin(), end);
        let losses: Vec<_> = log.losses().map(|gap| (gap.from.number(), gap.cause)).collect();
        assert_eq!(losses, [(first, GapCause::Damaged)]);
        assert!(matches!(log.read(first, &mut Window::default()), Ok(Lookup::Lost(GapCause::Damaged))));
        assert_eq!(waiting(log), live.range(first + 1..).copied().collect());
    }
}

#[test]
fn each_flipped_bit_of_a_copy_costs_at_most_that_message_and_names_it() {
    let (mut log, live) = scattered();
    let moved = move_front(&mut log);
    log.commit().expect("the storage works");
    let tail = log.tail();
    let (number, start, end) = (tail.number, tail.guests[0].1 & !7, tail.end);
    let mut storage = log.into_storage();
    // The segment that they left is used again.
    storage.damage(SegmentNumber::new(0), |octets| octets.fill(0));
    let mut lost = BTreeMap::new();
    for octet in start..end {
        let mut damaged = storage.clone();
        damaged.damage(number, |octets| octets[octet as usize] ^= 1 << (octet % 8));
        let mut log = open(damaged);
        let read = |&number: &u64| matches!(log.read(number, &mut Window::default()), Ok(Lookup::Message { .. }));
        let missing: Vec<_> = live.iter().filter(|number| !read(number)).copied().collect();
        assert!(missing.len() <= 1, "octet {octet}: {missing:?}");
        for number in missing {
            log.lose(number);
            assert!(log.losses().any(|gap| gap.from.number() == number), "octet {octet}");
            *lost.entry(number).or_insert(0) += 1;
        }
    }
    assert_eq!(lost.into_keys().collect::<Vec<_>>(), moved);
}

/// Flips a bit of a message where it stands.
fn damage(log: &mut Log<MemoryStorage>, number: u64) {
    let at = log.guest(number).map(|(at, _)| at).or_else(|| log.segment_of(number)).expect("it is stored");
    let (segment, needle) = (log.segments[at].number, payload(number));
    log.storage.damage(segment, |octets| {
        let at = octets.windows(needle.len()).position(|window| window == needle).expect("it stands there");
        octets[at] ^= 1;
    });
}

/// A log in whose first segment a message is damaged that somebody needs, and that message.
fn damaged() -> (Log<MemoryStorage>, u64) {
    let (mut log, live) = scattered();
    let first = *live.first().expect("some are live");
    damage(&mut log, first);
    (log, first)
}

/// The same of a message that was moved there.
fn damaged_guest() -> (Log<MemoryStorage>, u64) {
    let (mut log, live) = scattered();
    let first = *live.first().expect("some are live");
    move_front(&mut log);
    log.commit().expect("the storage works");
    let host = log.tail_generation();
    while log.tail_generation() == host {
        append(&mut log).expect("there is room");
    }
    for number in log.front().start..log.tail_first() {
        assert!(log.settle(number));
    }
    log.commit().expect("the storage works");
    assert_eq!(log.front_generation(), host);
    damage(&mut log, first);
    (log, first)
}

fn is_named(log: &Log<MemoryStorage>, number: u64) -> bool {
    log.losses().any(|gap| gap.from.number() == number && gap.cause == GapCause::Damaged)
}

/// Acknowledges everything, durably.
fn settle_all(log: &mut Log<MemoryStorage>) {
    while let Some(number) = log.next_unsettled(0) {
        assert!(log.settle(number));
    }
    log.commit().expect("the storage works");
}

/// The simulator found it, seed 86087: one append found a message damaged, noted that in the segment that it moved others to,
/// and went on to move what was needed there, too. That made the segment free, and nobody had heard of the loss.
#[test]
fn what_nobody_heard_of_keeps_its_segment_whatever_becomes_of_the_rest() {
    let (mut log, first) = damaged();
    move_front(&mut log);
    let generation = log.tail_generation();
    while log.tail_generation() == generation {
        settle_all(&mut log);
        append(&mut log).expect("there is room");
    }
    settle_all(&mut log);
    assert!(is_named(&log, first));
    let mut storage = log.storage.clone();
    storage.crash(|_| Fate::Lost);
    // The next opening names it before its first commit, although nobody needs anything of that segment.
    assert!(is_named(&open(storage), first));
    log.tell_losses();
    log.commit().expect("the storage works");
    assert_eq!((log.segments().0, is_named(&log, first)), (1, false));
}

/// The sync failed that was to cover the note of a loss, and what was written again lacked it, because nobody needed it. The
/// next commit freed the segment where the message had stood.
#[test]
fn a_loss_is_named_although_the_sync_failed_that_was_to_cover_its_note() {
    for (mut log, number) in [damaged(), damaged_guest()] {
        assert!(move_front(&mut log).contains(&number));
        log.storage.inject(Fault::OneSync, 0);
        log.commit().expect("one failure does not end the log");
        assert_eq!(log.traffic.abandoned, 1);
        assert!(is_named(&log, number));
        settle_all(&mut log);
        assert!(is_named(&log, number));
        let mut storage = log.storage.clone();
        storage.crash(|_| Fate::Lost);
        let opened = open(storage);
        // It is named, or comes when it is read.
        let waits = opened.next_unsettled(number) == Some(number);
        assert!(waits || is_named(&opened, number), "{number}");
        log.tell_losses();
        log.commit().expect("the storage works");
        assert_eq!((log.segments().0, is_named(&log, number)), (1, false));
    }
}
