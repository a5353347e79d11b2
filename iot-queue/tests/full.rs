//! What a full queue does: it refuses, or drops the oldest and says so.

use core::future::Future as _;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Wake;

use iot_core::{DeviceId, Incarnation, Instant, Position, StreamId};
use iot_queue::shared::{SharedQueue, SharedSettings};
use iot_queue::{
    AppendError, Consumers, CursorId, Durability, Entry, Fate, Fault, GapCause, GapRecord, GapSigner, GapSigningError,
    LeaseError, MaxLag, MemoryStorage, Message, Offset, Queue, QueueConfig, Retention, Seek, SegmentNumber, WhenFull,
};
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);
const NOW: Instant = Instant::START;

fn config(consumers: Consumers) -> QueueConfig {
    let config = QueueConfig::default().max_payload(1024).and_then(|config| config.segment_len(4096));
    let config = config.and_then(|config| config.segments(4)).expect("a small configuration");
    config.durability(Durability::Manual).consumers(consumers).when_full(WhenFull::DropOldest).max_gap_feeds(4)
}

fn open(storage: MemoryStorage, consumers: Consumers, opening: u8) -> Queue<MemoryStorage> {
    Queue::open(storage, config(consumers), [opening; 8]).expect("nothing is wrong with the storage")
}

/// The position of message `number`, which one of three sources in turn has sent.
fn position(number: u64) -> Position {
    Position {
        source: DeviceId::from_bytes([number as u8 % 3; 32]),
        stream: StreamId::new(0),
        incarnation: Incarnation::from_bytes([1; 8]),
        sequence: number,
    }
}

fn append(queue: &mut Queue<MemoryStorage>, count: u64) -> Result<(), AppendError> {
    for _ in 0..count {
        queue.append(&Message::new(&[7; 300]).at(position(queue.next_offset().number())))?;
    }
    Ok(())
}

/// The numbers of the messages that a cursor reads, after the gap before them if there is one.
fn read(queue: &mut Queue<MemoryStorage>, cursor: CursorId) -> (Option<(u64, u64, GapCause)>, Vec<u64>) {
    let mut entries = queue.read_cursor(NOW, cursor, 999).expect("the storage works").into_iter().peekable();
    let gap = entries.next_if(|entry| matches!(entry, Entry::Gap(_))).map(|entry| {
        let Entry::Gap(gap) = entry else { unreachable!("it was just looked at") };
        (gap.from.number(), gap.until.number(), gap.cause)
    });
    let number = |entry: Entry| match entry {
        Entry::Message(stored) => stored.offset.number(),
        Entry::Gap(gap) => panic!("{gap:?}"),
    };
    (gap, entries.map(number).collect())
}

#[test]
fn a_full_work_queue_takes_the_new_and_names_what_it_dropped_of_each_source() {
    let mut queue = open(MemoryStorage::new(), Consumers::Leasing, 1);
    let leased = {
        append(&mut queue, 3).expect("there is room");
        queue.reserve(NOW, MINUTE, 2).expect("the storage works")
    };
    queue.ack(leased[0].lease).expect("it is held");
    append(&mut queue, 97).expect("the oldest make room");
    let stale = LeaseError::Stale { offset: leased[1].offset };
    assert_eq!(queue.ack(leased[1].lease), Err(stale), "it was dropped");
    assert!(!queue.is_told_of_drops());
    let record = queue.dropped().expect("something was dropped").clone();
    let left: BTreeSet<_> = queue.reserve(NOW, MINUTE, 999).expect("the storage works").into_iter().collect_offsets();
    assert_eq!((record.gap.from, record.gap.until.number()), (Offset::new(1), *left.first().expect("some are left")));
    assert_eq!(left.len() as u64 + record.messages, 99, "all but the one that was acknowledged");
    assert_eq!((queue.stats().dropped, queue.stats().depth), (record.messages, left.len() as u64));
    assert_eq!((record.feeds.len(), record.unnamed, record.signature.len()), (3, 0, 0));
    for feed in &record.feeds {
        let of_feed = (1..record.gap.until.number()).filter(|&number| position(number).source == feed.source);
        let of_feed: Vec<_> = of_feed.collect();
        let expected = (of_feed[0], of_feed[of_feed.len() - 1] + 1, of_feed.len() as u64);
        assert_eq!((feed.from, feed.until, feed.messages), expected);
    }
    // It lasts until they were told.
    let mut queue = open(queue.into_storage(), Consumers::Leasing, 2);
    assert_eq!(queue.dropped(), Some(&record));
    queue.ack_dropped(record.gap.until).expect("the storage works");
    queue.commit().expect("the storage works");
    let queue = open(queue.into_storage(), Consumers::Leasing, 3);
    assert_eq!((queue.dropped(), queue.is_told_of_drops()), (None, true));
}

trait CollectOffsets {
    fn collect_offsets(self) -> BTreeSet<u64>;
}

impl<I: Iterator<Item = iot_queue::Leased>> CollectOffsets for I {
    fn collect_offsets(self) -> BTreeSet<u64> {
        self.map(|leased| leased.offset.number()).collect()
    }
}

#[test]
fn a_cursor_meets_the_gap_in_its_place_and_the_record_goes_when_all_have_passed() {
    let mut queue = open(MemoryStorage::new(), Consumers::CursorsOnly, 1);
    let [slow, quick] =
        ["slow", "quick"].map(|name| queue.open_cursor(name, Seek::Oldest, MaxLag::UNLIMITED).expect("there is room"));
    append(&mut queue, 5).expect("there is room");
    assert_eq!(read(&mut queue, slow), (None, (0..5).collect()));
    queue.advance_cursor(slow, Offset::new(2)).expect("it was read");
    for _ in 0..20 {
        append(&mut queue, 5).expect("the oldest make room");
        read(&mut queue, quick);
        queue.advance_cursor(quick, queue.next_offset()).expect("it was read");
    }
    let record = queue.dropped().expect("something was dropped").clone();
    let until = record.gap.until.number();
    assert_eq!((record.gap.from.number(), record.messages), (2, until - 2));
    // What it had read before is no part of its gap, until it reads that again.
    assert_eq!(read(&mut queue, slow), (Some((5, until, GapCause::Dropped)), (until..105).collect()));
    queue.commit().expect("the storage works");
    let mut queue = open(queue.into_storage(), Consumers::CursorsOnly, 2);
    let slow = queue.cursor("slow").expect("it lasts");
    assert_eq!(queue.dropped(), Some(&record));
    assert_eq!(read(&mut queue, slow), (Some((2, until, GapCause::Dropped)), (until..105).collect()));
    queue.advance_cursor(slow, record.gap.until).expect("it was read");
    queue.commit().expect("the storage works");
    assert_eq!(queue.dropped(), None, "everybody was told");
    let queue = open(queue.into_storage(), Consumers::CursorsOnly, 3);
    assert_eq!(queue.dropped(), None);
}

#[test]
fn what_finds_no_room_in_the_record_is_counted() {
    let mut queue = open(MemoryStorage::new(), Consumers::Leasing, 1);
    for number in 0..60_u8 {
        let position = Position { source: DeviceId::from_bytes([number % 9; 32]), ..position(number.into()) };
        let message = Message::new(&[7; 300]);
        queue.append(&if number % 2 == 0 { message.at(position) } else { message }).expect("the oldest make room");
    }
    let record = queue.dropped().expect("something was dropped");
    let named: u64 = record.feeds.iter().map(|feed| feed.messages).sum();
    assert_eq!((record.feeds.len(), named + record.unnamed), (4, record.messages));
    assert!(record.unnamed >= record.messages / 2 && record.messages > 40);
}

/// Signs with a sum, for as long as it can.
#[derive(Debug)]
struct Sum {
    works: u32,
}

impl GapSigner for Sum {
    fn signature_len(&self) -> usize {
        8
    }

    fn sign(&mut self, claim: &[u8]) -> Result<Vec<u8>, GapSigningError> {
        self.works = self.works.checked_sub(1).ok_or(GapSigningError)?;
        Ok(claim.iter().map(|&octet| u64::from(octet)).sum::<u64>().to_le_bytes().to_vec())
    }
}

#[test]
fn nothing_is_dropped_without_a_signature_where_there_is_a_signer() {
    let mut queue = open(MemoryStorage::new(), Consumers::Leasing, 1);
    queue.sign_gaps_with(Box::new(Sum { works: 2 }));
    let refused = append(&mut queue, 99);
    assert_eq!(refused, Err(AppendError::GapUnsigned));
    let record = queue.dropped().expect("two segments were dropped").clone();
    let (epoch, read) = GapRecord::decode_claim(&record.claim, &record.signature).expect("it is a claim");
    assert_eq!((epoch, &read), (queue.epoch(), &record));
    assert_eq!(Ok(record.signature), Sum { works: 1 }.sign(&record.claim));
    assert_eq!(queue.stats().depth + record.messages, queue.next_offset().number());
    queue.sign_gaps_with(Box::new(Sum { works: 99 }));
    append(&mut queue, 99).expect("it can sign again");
}

#[test]
fn a_batch_that_never_fits_drops_nothing() {
    let mut queue = open(MemoryStorage::new(), Consumers::Leasing, 1);
    append(&mut queue, 20).expect("there is room");
    let before = (queue.stats().depth, queue.stats().dropped);
    assert!(matches!(queue.append_batch(&[Message::new(&[0; 1000]); 20]), Err(AppendError::Full { .. })));
    assert_eq!((queue.stats().depth, queue.stats().dropped), before);
}

/// A queue of 4 segments held two dead letters of 100 messages, and dropped them as soon as it had gone round once: the
/// segment that it keeps free for a record of drops was denied to what would have been moved.
#[test]
fn what_is_left_in_a_log_that_is_mostly_acknowledged_is_moved_and_not_dropped() {
    let mut queue = open(MemoryStorage::new(), Consumers::Leasing, 1);
    let mut kept = Vec::new();
    for number in 0..300 {
        append(&mut queue, 1).expect("there is room");
        for leased in queue.reserve(NOW, MINUTE, 1).expect("the storage works") {
            if number % 100 == 7 {
                kept.push(leased.offset);
                queue.reject(leased.lease, "poison").expect("it is held");
            } else {
                queue.ack(leased.lease).expect("it is held");
            }
        }
        if number % 10 == 0 {
            queue.commit().expect("the storage works");
        }
    }
    let stats = queue.stats();
    assert_eq!((stats.dropped, stats.dead, stats.moved > 0), (0, 3, true));
    let mut queue = open(queue.into_storage(), Consumers::Leasing, 2);
    let dead = |queue: &Queue<MemoryStorage>| -> Vec<_> {
        queue.dead_letters(Offset::new(0)).map(|letter| letter.offset).collect()
    };
    assert_eq!(dead(&queue), kept);
    // What is needed of a whole segment is more than it pays to move: then the oldest goes.
    append(&mut queue, 60).expect("the oldest make room");
    assert!(queue.stats().dropped > 3);
    assert!(dead(&queue).is_empty());
}

#[test]
fn two_segments_are_enough_to_drop_from() {
    let config = config(Consumers::Leasing).segments(2).expect("the fewest");
    let mut queue = Queue::open(MemoryStorage::new(), config, [1; 8]).expect("a new queue");
    append(&mut queue, 50).expect("the oldest make room");
    let record = queue.dropped().expect("something was dropped");
    assert_eq!(record.messages + queue.stats().depth, 50);
    assert!(queue.stats().depth > 0);
}

/// Wherever the power fails while messages are dropped, each message is there or in the record.
#[test]
fn a_power_cut_at_any_operation_hides_no_loss() {
    for consumers in [Consumers::Leasing, Consumers::CursorsOnly] {
        for operations in 0..80 {
            for fate in [Fate::Lost, Fate::Kept] {
                let mut queue = open(MemoryStorage::new(), consumers, 1);
                queue.open_cursor("reader", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
                append(&mut queue, 12).expect("there is room");
                queue.commit().expect("the storage works");
                let mut storage = queue.into_storage();
                storage.inject(Fault::Power, operations);
                let Ok(mut queue) = Queue::open(storage, config(consumers), [2; 8]) else { continue };
                // Fails where the power does.
                let _ = append(&mut queue, 30);
                let durable = queue.durable().number();
                let mut storage = queue.into_storage();
                storage.crash(|_| fate);
                let mut queue = open(storage, consumers, 3);
                let dropped = queue.dropped().map_or(0, |record| record.gap.until.number());
                let cursor = queue.cursor("reader").expect("it lasts");
                let mut next = 0;
                for entry in queue.read_cursor(NOW, cursor, 999).expect("the storage works") {
                    assert_eq!(entry.start().number(), next);
                    next = entry.end().number();
                    match entry {
                        Entry::Message(stored) => assert!(stored.offset.number() >= dropped),
                        Entry::Gap(gap) if gap.cause == GapCause::Dropped => assert_eq!(next, dropped),
                        Entry::Gap(gap) => assert!(gap.from.number() >= durable, "{consumers:?} {operations}: {gap:?}"),
                    }
                }
                assert!(next >= durable, "{consumers:?} {operations}: {next} < {durable}");
                if consumers == Consumers::Leasing {
                    let left =
                        queue.reserve(NOW, MINUTE, 999).expect("the storage works").into_iter().collect_offsets();
                    assert!((dropped..durable).all(|number| left.contains(&number)), "{operations} {fate:?}");
                    assert!(left.first().is_none_or(|&first| first >= dropped));
                }
            }
        }
    }
}

#[test]
fn what_is_kept_for_replay_goes_before_anything_is_dropped() {
    let config = config(Consumers::CursorsOnly).retention(Retention::WHILE_ROOM).segments(8).expect("in range");
    let mut queue = Queue::open(MemoryStorage::new(), config, [1; 8]).expect("a new queue");
    let cursor = queue.open_cursor("reader", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    append(&mut queue, 40).expect("there is room");
    queue.advance_cursor(cursor, Offset::new(30)).expect("they are there");
    queue.commit().expect("the storage works");
    while queue.oldest() < Offset::new(20) {
        append(&mut queue, 1).expect("what was read makes room");
    }
    assert_eq!(queue.dropped(), None);
    append(&mut queue, 99).expect("the oldest make room");
    let record = queue.dropped().expect("something was dropped").clone();
    assert_eq!(record.gap.from, Offset::new(30));
    assert!(queue.oldest() >= record.gap.until);
    let mut queue = Queue::open(queue.into_storage(), config, [2; 8]).expect("it was open before");
    assert!(queue.oldest() >= record.gap.until, "what was dropped stays away");
    let cursor = queue.cursor("reader").expect("it lasts");
    let until = record.gap.until.number();
    let end = queue.next_offset().number();
    assert_eq!(read(&mut queue, cursor), (Some((30, until, GapCause::Dropped)), (until..end).collect()));
}

#[derive(Clone, Debug)]
enum Step {
    Append { count: usize, len: usize },
    Work { max: usize },
    Read { max: usize },
    Told,
    Commit,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..6_usize, 1..600_usize).prop_map(|(count, len)| Step::Append { count, len }),
        2 => (1..9_usize).prop_map(|max| Step::Work { max }),
        2 => (1..20_usize).prop_map(|max| Step::Read { max }),
        1 => Just(Step::Told),
        1 => Just(Step::Commit),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each message is acknowledged, stored or told to be dropped, whoever asks.
    #[test]
    fn every_message_is_accounted_for(steps in steps()) {
        let mut queue = open(MemoryStorage::new(), Consumers::Leasing, 1);
        queue.open_cursor("reader", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
        queue.commit().expect("the storage works");
        // By number, for the leasing consumers: what was acknowledged. And what both were told is dropped.
        let (mut acked, mut told, mut passed) = (BTreeSet::new(), 0, 0);
        for step in steps {
            match step {
                Step::Append { count, len } => {
                    queue.append_batch(&vec![Message::new(&vec![7; len]); count]).expect("the oldest make room");
                }
                Step::Work { max } => {
                    for leased in queue.reserve(NOW, MINUTE, max).expect("the storage works") {
                        queue.ack(leased.lease).expect("it is held");
                        prop_assert!(acked.insert(leased.offset.number()), "it came twice");
                    }
                    queue.commit().expect("the storage works");
                }
                Step::Read { max } => {
                    let cursor = queue.cursor("reader").expect("it lasts");
                    for entry in queue.read_cursor(NOW, cursor, max).expect("the storage works") {
                        prop_assert_eq!(entry.start().number(), passed);
                        if let Entry::Gap(gap) = &entry {
                            prop_assert_eq!(gap.cause, GapCause::Dropped);
                            prop_assert!(queue.dropped().is_some_and(|record| record.gap.until >= gap.until));
                        }
                        passed = entry.end().number();
                    }
                    queue.advance_cursor(cursor, Offset::new(passed)).expect("it was read");
                    queue.commit().expect("the storage works");
                }
                Step::Told => {
                    let until = queue.dropped().map_or(told, |record| record.gap.until.number());
                    queue.ack_dropped(Offset::new(until)).expect("the storage works");
                    told = told.max(until);
                }
                Step::Commit => drop(queue.commit().expect("the storage works")),
                Step::Kill => {
                    let opening = queue.next_offset().number() as u8 | 1;
                    queue = open(queue.into_storage(), Consumers::Leasing, opening);
                    let cursor = queue.cursor("reader").expect("it lasts");
                    queue.rewind_cursor(cursor).expect("it exists");
                    passed = queue.cursors().next().expect("it lasts").position.number();
                }
            }
            let dropped = queue.dropped().map_or(told, |record| record.gap.until.number());
            let end = queue.next_offset().number();
            let gone = acked.iter().filter(|&&number| number >= dropped).count() as u64;
            prop_assert_eq!(queue.stats().depth, end - dropped - gone);
        }
        let rest = queue.reserve(NOW, MINUTE, 999).expect("the storage works").into_iter().collect_offsets();
        prop_assert!(rest.is_disjoint(&acked));
    }
}

/// A queue of which somebody needs one message, which is damaged.
fn with_one_that_is_damaged() -> Queue<MemoryStorage> {
    let config = config(Consumers::Leasing).segments(3).expect("a small configuration").when_full(WhenFull::Refuse);
    let mut queue = Queue::open(MemoryStorage::new(), config, [1; 8]).expect("a new queue");
    while queue.append(&Message::new(&[7; 300])).is_ok() {}
    let needed = Offset::new(1);
    for number in 0..queue.next_offset().number() {
        let offset = Offset::new(number);
        assert!(offset == needed || queue.ack_at(offset).expect("the storage works"));
    }
    let mut storage = queue.close().expect("there is room for acknowledgements");
    storage.damage(SegmentNumber::new(0), |octets| {
        let payloads: Vec<_> = (0..octets.len() - 300).filter(|&at| octets[at..at + 300] == [7; 300]).collect();
        octets[payloads[1]] ^= 1;
    });
    Queue::open(storage, config, [2; 8]).expect("a flipped bit keeps no queue shut")
}

/// More than fits beside any segment that holds something.
const MUCH: [Message<'_>; 4] = [Message::new(&[8; 1000]); 4];

/// An append moves the one message that is needed, finds it damaged, and would have to use the segment again that says so
/// before anybody could hear of it. It is refused once, although there is room for the next one.
#[test]
fn who_finds_damage_where_room_was_to_be_made_is_refused_once() {
    let mut queue = with_one_that_is_damaged();
    assert_eq!(queue.gaps().count(), 0);
    assert!(matches!(queue.append_batch(&MUCH), Err(AppendError::Full { .. })));
    let gaps: Vec<_> = queue.gaps().map(|gap| (gap.from.number(), gap.until.number(), gap.cause)).collect();
    assert_eq!(gaps, [(1, 2, GapCause::Damaged)]);
    queue.append_batch(&MUCH).expect("there is room");
}

/// Who waited for room waited until something else happened, which in a queue of one user is never.
#[test]
fn who_waits_for_room_does_not_wait_for_what_damage_held_up() {
    let share = || SharedQueue::new(with_one_that_is_damaged(), || NOW, SharedSettings::default());
    share().append_batch_wait(&MUCH, Duration::ZERO).expect("there is room at once");

    let (queue, woken) = (share(), Arc::new(Woken(AtomicBool::new(false))));
    let waker = Arc::clone(&woken).into();
    let mut submitting = queue.submitting(&MUCH);
    let mut poll = || Pin::new(&mut submitting).poll(&mut Context::from_waker(&waker));
    assert!(poll().is_pending());
    assert_eq!(queue.with(|queue, _| queue.gaps().count()), 1, "somebody else may hear of it");
    assert!(woken.0.load(Ordering::SeqCst), "it has not to wait for anything");
    assert!(matches!(poll(), Poll::Ready(Ok(_))));
}

/// Takes note that a task was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
