//! Sectors that the medium fails to read behind a footer: they hold nothing else up, what is in them comes when they can
//! be read, and who gives them up gets gaps instead.

#![cfg(feature = "sim")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use iot_core::{DeviceId, Instant};
use iot_queue::mirror::{Mirror, MirrorConfig};
use iot_queue::sim::SimStorage;
use iot_queue::sink::{Intake, QueueSink};
use iot_queue::{
    Consumers, CursorError, Durability, Entry, GapCause, Lane, MaxLag, Message, MessageId, Offset, Queue, QueueConfig,
    ReserveError, Seek, SegmentNumber, Storage, StorageError, Unreadable, WhenFull,
};

const MINUTE: Duration = Duration::from_secs(60);
const FIRST: SegmentNumber = SegmentNumber::new(0);

/// The second sector of records.
const SECTOR: Range<u32> = 1536..2048;

fn config() -> QueueConfig {
    let config = QueueConfig::default().max_payload(1000).and_then(|config| config.segment_len(8192));
    config.and_then(|config| config.segments(8)).expect("all are in range").durability(Durability::Manual)
}

const fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn numbers<'l>(leased: impl IntoIterator<Item = &'l iot_queue::Leased>) -> Vec<u64> {
    leased.into_iter().map(|leased| leased.offset.number()).collect()
}

/// A disk with a closed queue of 60 messages in several segments, made by `message`, of which the first has a footer.
fn closed(config: QueueConfig, message: impl for<'p> Fn(u8, &'p [u8]) -> Message<'p>) -> SimStorage {
    let disk = SimStorage::new();
    let mut queue = Queue::open(disk.clone(), config, [1; 8]).expect("a new queue");
    for number in 0..60 {
        queue.append(&message(number, &[number; 200])).expect("there is room");
    }
    assert!(queue.stats().segments_used > 1, "the first segment has a footer");
    queue.close().expect("the storage works");
    disk
}

/// A queue did not open when a message that had a key, a lane, a delay, a time to live or an identifier stood in a sector
/// that could not be read: opening reads those, and took the failure for one of the storage, be it told to give up or not.
#[test]
fn opens_although_a_message_with_a_key_cannot_be_read_and_gives_it_when_it_can() {
    type Make = for<'p> fn(u8, &'p [u8]) -> Message<'p>;
    let kinds: [Make; 5] = [
        |number, payload| Message::new(payload).key(if number.is_multiple_of(2) { b"even" } else { b"odd" }),
        |_, payload| Message::new(payload).lane(Lane::new(3).expect("it is in range")),
        |_, payload| Message::new(payload).delay(MINUTE),
        |_, payload| Message::new(payload).time_to_live(MINUTE * 100),
        |number, payload| Message::new(payload).id(MessageId::from_bytes([number; 16])),
    ];
    for (kind, make) in kinds.into_iter().enumerate() {
        let config = config().deduplicate_ids(16).expect("it is in range");
        let disk = closed(config, make);
        disk.hide_sector(FIRST, SECTOR);
        for unreadable in [Unreadable::Refuse, Unreadable::GiveUp] {
            let config = config.unreadable(unreadable);
            let mut queue = Queue::open(disk.clone(), config, [2; 8]).unwrap_or_else(|error| panic!("{kind}: {error}"));
            assert_eq!(queue.reserve(at(0), MINUTE, 0).map(|none| none.len()), Ok(0));
            assert!(queue.stats().depth <= 60 && queue.stats().leased == 0);
        }
        let mut queue = Queue::open(disk.clone(), config, [3; 8]).expect("it opened before");
        let unread = queue.stats().unread;
        assert!((2..6).contains(&unread), "{kind}: {unread} messages are held aside");
        let mut come = BTreeSet::new();
        for round in 0..200 {
            if round == 100 {
                disk.show_sectors();
            }
            // Of a key one at a time is handed out; a message that is held aside can be behind a delay, too.
            for leased in queue.reserve(at(round * 60), MINUTE, 100).unwrap_or_default() {
                assert!(come.insert(leased.offset.number()), "{kind}: once");
                assert_eq!(leased.payload, [leased.offset.number() as u8; 200]);
                queue.ack(leased.lease).expect("it is held");
            }
        }
        let expired: u64 = queue.stats().expired;
        assert_eq!((come.len() as u64 + expired, queue.stats().unread), (60, 0), "{kind}");
        assert!(kind == 3 || expired == 0, "{kind}: {expired}");
        let again = Message::new(b"again").id(MessageId::from_bytes([come.last().copied().unwrap_or(0) as u8; 16]));
        assert_eq!(queue.append(&again).is_err(), kind == 4, "{kind}: a repetition is known");
    }
}

/// The sector was read again a minute later, but the queue never tried: the turn had passed it.
#[test]
fn what_could_not_be_read_comes_in_the_same_opening_once_it_can() {
    let disk = SimStorage::new();
    let mut queue = Queue::open(disk.clone(), config(), [1; 8]).expect("a new queue");
    for number in 0..20 {
        queue.append(&Message::new(&[number; 200])).expect("there is room");
    }
    queue.commit().expect("the storage works");
    disk.hide_sector(FIRST, SECTOR);
    let leased = queue.reserve(at(1), MINUTE, 100).expect("the rest can be read");
    let (came, unread) = (leased.len() as u64, queue.stats().unread);
    assert!((2..5).contains(&unread) && came + unread == 20, "{unread} of them cannot be read");
    for leased in leased {
        queue.ack(leased.lease).expect("it is held");
    }
    assert_eq!(queue.reserve(at(1), MINUTE, 100), Ok(Vec::new()), "there is nothing else, and nobody says so twice");
    // It tells when it tries again, and then waits longer.
    assert_eq!(queue.poll_timeout(), Some(at(2)));
    queue.handle_timeout(at(2));
    assert_eq!(queue.poll_timeout(), Some(at(4)));
    disk.show_sectors();
    assert_eq!(queue.reserve(at(3), MINUTE, 100), Ok(Vec::new()), "it is not tried before");
    let leased = queue.reserve(at(4), MINUTE, 100).expect("it can be read");
    assert_eq!((leased.len() as u64, queue.stats().unread), (unread, 0));
    assert!(leased.iter().all(|leased| leased.payload == [leased.offset.number() as u8; 200]));
}

/// Twenty messages in one segment, made by `message`: a queue that was closed opens although its newest cannot be read.
fn closed_in_one_segment(config: QueueConfig, message: impl for<'p> Fn(u8, &'p [u8]) -> Message<'p>) -> SimStorage {
    let disk = SimStorage::new();
    let mut queue = Queue::open(disk.clone(), config, [1; 8]).expect("a new queue");
    queue.handle_timeout(at(0));
    for number in 0..20 {
        queue.append(&message(number, &[number; 200])).expect("there is room");
    }
    assert_eq!(queue.stats().segments_used, 1);
    queue.close().expect("the storage works");
    disk
}

/// What a message was given was unknown when the queue was opened, and counts from when it is read.
#[test]
fn what_is_read_later_waits_for_its_delay_and_goes_by_its_lane() {
    let disk = closed_in_one_segment(config(), |number, payload| match number % 4 {
        0 | 2 => Message::new(payload).delay(MINUTE * 60),
        1 => Message::new(payload).lane(Lane::new(5).expect("it is in range")),
        _ => Message::new(payload).lane(Lane::new(1).expect("it is in range")),
    });
    disk.hide_sector(FIRST, SECTOR);
    let mut queue = Queue::open(disk.clone(), config(), [2; 8]).expect("the footer can be read");
    queue.handle_timeout(at(1));
    assert!(queue.stats().unread > 1, "one of them has a delay, and another has none");
    disk.show_sectors();
    queue.handle_timeout(at(10));
    assert_eq!(queue.stats().unread, 0);
    let of = |rests: &'static [u64]| (0..20).filter(|number| rests.contains(&(number % 4)));
    let leased = queue.reserve(at(10), MINUTE, 100).expect("it can be read");
    assert_eq!(numbers(&leased), of(&[3]).chain(of(&[1])).collect::<Vec<_>>());
    for leased in leased {
        queue.ack(leased.lease).expect("it is held");
    }
    let leased = queue.reserve(at(3700), MINUTE, 100).expect("it can be read");
    assert_eq!(numbers(&leased), of(&[0, 2]).collect::<Vec<_>>());
}

#[test]
fn what_is_read_later_expires_as_it_was_given() {
    let disk = closed_in_one_segment(config(), |_, payload| Message::new(payload).time_to_live(MINUTE));
    disk.hide_sector(FIRST, SECTOR);
    let mut queue = Queue::open(disk.clone(), config(), [2; 8]).expect("the footer can be read");
    queue.handle_timeout(at(1));
    assert!(queue.stats().unread > 1);
    disk.show_sectors();
    queue.handle_timeout(at(10));
    assert_eq!((queue.stats().unread, queue.stats().expired), (0, 0));
    queue.handle_timeout(at(100));
    assert_eq!((queue.stats().depth, queue.stats().expired), (0, 20));
}

#[test]
fn what_is_read_later_is_known_for_a_repetition() {
    fn named(number: u8, payload: &[u8]) -> Message<'_> {
        Message::new(payload).id(MessageId::from_bytes([number; 16]))
    }
    let config = config().deduplicate_ids(64).expect("it is in range");
    let disk = closed_in_one_segment(config, named);
    disk.hide_sector(FIRST, SECTOR);
    let mut queue = Queue::open(disk.clone(), config, [2; 8]).expect("the footer can be read");
    queue.handle_timeout(at(1));
    disk.show_sectors();
    queue.handle_timeout(at(10));
    for number in 0..20 {
        let error = queue.append(&named(number, b"again")).expect_err("it is there");
        assert!(matches!(error, iot_queue::AppendError::Duplicate { index: 0 }), "{number}: {error}");
    }
}

/// The first one that could not be read was tried each time, and those after it never.
#[test]
fn messages_that_cannot_be_read_take_turns() {
    let disk = closed_in_one_segment(config(), |_, payload| Message::new(payload));
    let later = 4096..4608;
    disk.hide_sector(FIRST, SECTOR);
    disk.hide_sector(FIRST, later);
    let mut queue = Queue::open(disk.clone(), config(), [2; 8]).expect("the footer can be read");
    let came = queue.reserve(at(0), MINUTE * 60, 100).expect("the rest can be read").len() as u64;
    let unread = queue.stats().unread;
    assert_eq!(came + unread, 20);
    disk.show_sectors();
    disk.hide_sector(FIRST, SECTOR);
    let mut second = 0;
    while queue.stats().unread == unread && second < 2000 {
        second += 1;
        queue.handle_timeout(at(second));
    }
    // The medium reads again: what is left is not made to wait for what failed before.
    assert!(queue.poll_timeout() <= Some(at(second + 2)), "{:?} at {second} s", queue.poll_timeout());
    let leased = queue.reserve(at(2000), MINUTE * 60, 100).expect("the others can be read");
    assert!(!leased.is_empty() && leased.iter().all(|leased| leased.offset.number() > 8), "{:?}", numbers(&leased));
    assert_eq!(came + leased.len() as u64 + queue.stats().unread, 20);
}

/// To make room, an append reads what is to be moved. What it could not read somebody may hold, and still does.
#[test]
fn who_holds_what_cannot_be_moved_still_does() {
    let config = config().segment_len(16384).expect("it is in range");
    let disk = SimStorage::new();
    let mut queue = Queue::open(disk.clone(), config, [1; 8]).expect("a new queue");
    for _ in 0..300 {
        queue.append(&Message::new(&[7; 50])).expect("there is room");
    }
    let mut held = None;
    for leased in queue.reserve(at(0), MINUTE * 60, 300).expect("the storage works") {
        if leased.offset == Offset::new(6) {
            held = Some(leased.lease);
        } else {
            queue.ack(leased.lease).expect("it is held");
        }
    }
    queue.commit().expect("the storage works");
    disk.hide_sector(FIRST, SECTOR);
    let is_full = (0..3000).any(|_| {
        let appended = queue.append(&Message::new(&[7; 100])).is_ok();
        for leased in queue.reserve(at(1), MINUTE, 1).unwrap_or_default() {
            queue.ack(leased.lease).expect("it is held");
        }
        !appended
    });
    assert!(is_full, "the first segment stays");
    assert_eq!((queue.stats().unread, queue.stats().leased), (0, 1));
    queue.ack(held.expect("it was handed out")).expect("it is held");
    queue.commit().expect("there is room for that");
    queue.append(&Message::new(&[7; 100])).expect("nothing holds the first segment");
}

/// A hundred messages that had been handed out before stood in octets that could not be read: each reservation tried the
/// first 64, and failed, for ever.
#[test]
fn however_many_messages_cannot_be_read_those_behind_them_come() {
    let disk = SimStorage::new();
    let config = config().segment_len(16384).expect("it is in range");
    let mut queue = Queue::open(disk.clone(), config, [1; 8]).expect("a new queue");
    for number in 0..300_u32 {
        queue.append(&Message::new(&[number as u8; 50])).expect("there is room");
    }
    queue.reserve(at(0), MINUTE, 120).expect("the storage works");
    queue.close().expect("the storage works");
    disk.hide_sector(FIRST, 1024..12288);
    let mut queue = Queue::open(disk.clone(), config, [2; 8]).expect("the footer can be read");
    let mut come = 0;
    for round in 0..10 {
        come += queue.reserve(at(100), MINUTE, 100).map_or(0, |leased| leased.len());
        assert!(round < 2 || come > 0, "the first two calls meet 64 each");
    }
    let unread = queue.stats().unread;
    assert!(unread > 64 && come as u64 == 300 - unread, "{come} came, {unread} cannot be read");

    let mut queue = Queue::open(disk, config.unreadable(Unreadable::GiveUp), [3; 8]).expect("it opened before");
    let leased = queue.reserve(at(100), MINUTE, 300).expect("it is told to give up");
    assert_eq!((leased.len() as u64, queue.stats().quarantined, queue.stats().unread), (300 - unread, unread, 0));
}

/// Nobody could take out a message that could not be read: to acknowledge it one had to reserve it.
#[test]
fn what_cannot_be_read_can_be_acknowledged_by_its_place() {
    let disk = closed(config(), |_, payload| Message::new(payload));
    disk.hide_sector(FIRST, SECTOR);
    let mut queue = Queue::open(disk, config(), [2; 8]).expect("the rest can be read");
    let leased = queue.reserve(at(0), MINUTE, 100).expect("the rest can be read");
    let came = numbers(&leased);
    for number in (0..60).filter(|number| !came.contains(number)) {
        let offset = Offset::new(number);
        assert!(matches!(queue.reserve_at(at(0), MINUTE, offset), Err(ReserveError::Storage(StorageError::Io { .. }))));
        assert_eq!(queue.ack_at(offset), Ok(true));
        assert_eq!(queue.ack_at(offset), Ok(false), "it is gone");
    }
    assert_eq!(queue.ack_at(leased[0].offset), Ok(false), "somebody holds it");
    assert_eq!((queue.stats().depth, queue.stats().unread), (came.len() as u64, 0));
}

/// A cursor, and so every mirror, stood before such a place for ever, also in a queue that was told to give up.
#[test]
fn a_cursor_waits_where_it_cannot_read_and_passes_by_a_gap_when_that_is_given_up() {
    let config = config().consumers(Consumers::CursorsOnly);
    let disk = SimStorage::new();
    let mut queue = Queue::open(disk.clone(), config, [1; 8]).expect("a new queue");
    queue.open_cursor("reader", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    for number in 0..60 {
        queue.append(&Message::new(&[number; 200])).expect("there is room");
    }
    queue.close().expect("the storage works");
    disk.hide_sector(FIRST, SECTOR);

    let mut queue = Queue::open(disk.clone(), config, [2; 8]).expect("the rest can be read");
    let id = queue.cursor("reader").expect("it was saved");
    let before = queue.read_cursor(at(1), id, 100).expect("it reads up to there");
    assert!(matches!(queue.read_cursor(at(1), id, 100), Err(CursorError::Storage(_))), "then it waits");
    disk.show_sectors();
    let after = queue.read_cursor(at(1), id, 100).expect("it can be read");
    assert_eq!(before.len() + after.len(), 60, "and misses nothing");
    assert!(before.iter().chain(&after).all(|entry| matches!(entry, Entry::Message(_))));
    drop(queue);

    disk.hide_sector(FIRST, SECTOR);
    let mut edge = Queue::open(disk.clone(), config.unreadable(Unreadable::GiveUp), [3; 8]).expect("it opened before");
    let id = edge.cursor("reader").expect("it was saved");
    let entries = edge.read_cursor(at(1), id, 100).expect("it is told to give up");
    let gaps: Vec<_> = entries.iter().filter(|entry| matches!(entry, Entry::Gap(_))).collect();
    assert!(matches!(gaps[..], [Entry::Gap(gap)] if gap.cause == GapCause::Damaged), "{gaps:?}");
    assert_eq!(entries.last().map(Entry::end), Some(Offset::new(60)));

    let mut centre = Queue::open(SimStorage::new(), config, [4; 8]).expect("a new queue");
    let (mut intake, origin) = (Intake::new(4), DeviceId::from_bytes([9; 32]));
    let mut mirror = Mirror::new(MirrorConfig::default(), &edge, id, 7).expect("the cursor exists");
    for second in 0..200 {
        mirror.drive(at(second), &mut edge, &mut QueueSink::new(&mut centre, &mut intake, origin)).expect("both work");
    }
    assert_eq!(mirror.confirmed(), Offset::new(60), "everything went, and the notice of the gap");
}

/// The consumers of a group stood before such a place, too.
#[test]
fn a_group_goes_on_behind_what_cannot_be_read_and_its_cursor_stays() {
    let disk = SimStorage::new();
    let config = config().consumers(Consumers::CursorsOnly);
    let mut queue = Queue::open(disk.clone(), config, [1; 8]).expect("a new queue");
    let id = queue.open_cursor("group", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    for number in 0..20 {
        queue.append(&Message::new(&[number; 200])).expect("there is room");
    }
    queue.commit().expect("the storage works");
    disk.hide_sector(FIRST, SECTOR);
    let leased = queue.reserve_from(at(1), id, MINUTE, 100).expect("the rest can be read");
    let came = numbers(&leased);
    let missing: Vec<_> = (0..20).filter(|number| !came.contains(number)).collect();
    assert!((2..5).contains(&missing.len()), "{missing:?}");
    for leased in leased {
        queue.ack_from(id, leased.lease).expect("it is held");
    }
    assert_eq!(queue.cursors().next().map(|status| status.position), Some(Offset::new(missing[0])));
    disk.show_sectors();
    let leased = queue.reserve_from(at(2), id, MINUTE, 100).expect("it can be read");
    assert_eq!(numbers(&leased), missing);
}

/// An append to a full queue has to move what the oldest segment still holds. One message there that could not be read
/// made every append fail, although the others had room.
#[test]
fn an_append_goes_on_where_what_is_to_be_moved_cannot_be_read() {
    let config = config().segment_len(16384).expect("it is in range");
    let disk = SimStorage::new();
    let mut queue = Queue::open(disk.clone(), config, [1; 8]).expect("a new queue");
    for _ in 0..300 {
        queue.append(&Message::new(&[7; 50])).expect("there is room");
    }
    for leased in queue.reserve(at(0), MINUTE, 300).expect("the storage works") {
        if leased.offset != Offset::new(6) {
            queue.ack(leased.lease).expect("it is held");
        }
    }
    queue.close().expect("the storage works");
    disk.hide_sector(FIRST, SECTOR);

    let go_on = |queue: &mut Queue<SimStorage>, appends: u64| {
        for _ in 0..appends {
            queue.append(&Message::new(&[7; 100]))?;
            for leased in queue.reserve(at(1), MINUTE, 1).unwrap_or_default() {
                queue.ack(leased.lease).expect("it is held");
            }
        }
        Ok(())
    };
    // By default it keeps its segment and what comes behind that, until the queue is full. It says that, and goes on as
    // soon as the message can be read.
    let mut queue = Queue::open(disk.clone(), config, [2; 8]).expect("the footer can be read");
    let error = go_on(&mut queue, 3000).expect_err("the first segment stays");
    assert!(matches!(error, iot_queue::AppendError::Full { .. }), "{error}");
    assert_eq!(queue.stats().unread, 1);
    disk.show_sectors();
    queue.handle_timeout(at(1000));
    assert_eq!(queue.stats().unread, 0);
    go_on(&mut queue, 3000).expect("it was moved or handed out");
    drop(queue);
}

/// The same in queues that are told what to give up.
#[test]
fn an_append_goes_on_where_what_is_to_be_moved_is_given_up() {
    for (unreadable, when_full) in [(Unreadable::GiveUp, WhenFull::Refuse), (Unreadable::Refuse, WhenFull::DropOldest)]
    {
        let config = config().segment_len(16384).expect("it is in range").unreadable(unreadable).when_full(when_full);
        let disk = SimStorage::new();
        let mut queue = Queue::open(disk.clone(), config, [1; 8]).expect("a new queue");
        for _ in 0..300 {
            queue.append(&Message::new(&[7; 50])).expect("there is room");
        }
        for leased in queue.reserve(at(0), MINUTE, 300).expect("the storage works") {
            if leased.offset != Offset::new(6) {
                queue.ack(leased.lease).expect("it is held");
            }
        }
        queue.close().expect("the storage works");
        disk.hide_sector(FIRST, SECTOR);
        let mut queue = Queue::open(disk.clone(), config, [2; 8]).expect("the footer can be read");
        for _ in 0..3000 {
            queue.append(&Message::new(&[7; 100])).expect("it goes on");
            for leased in queue.reserve(at(1), MINUTE, 1).unwrap_or_default() {
                queue.ack(leased.lease).expect("it is held");
            }
        }
        assert_eq!(queue.stats().unread, 0);
    }
}

/// The receiver of mirrors could not start when a message in its own queue could not be read, given up or not.
#[test]
fn a_receiver_starts_once_what_it_cannot_read_is_given_up() {
    let disk = closed(config(), |_, payload| Message::new(payload));
    disk.hide_sector(FIRST, SECTOR);
    let queue = Queue::open(disk.clone(), config(), [2; 8]).expect("the rest can be read");
    assert!(Intake::new(4).recover(&queue).is_err(), "what it cannot read may be what a log goes on after");
    let queue = Queue::open(disk, config().unreadable(Unreadable::GiveUp), [2; 8]).expect("the rest can be read");
    Intake::new(4).recover(&queue).expect("it is given up");
}

/// The simulator found it, seed 18025: what could not be read stood in the newest segment of a full queue. Opening gave it
/// up, and the rest of the segment with it, where acknowledgements had their room: no commit found any, ever again.
#[test]
fn a_full_queue_that_gives_up_a_sector_of_its_newest_segment_can_be_drained() {
    let config = config().segments(2).expect("it is in range").unreadable(Unreadable::GiveUp);
    let disk = SimStorage::new();
    let mut queue = Queue::open(disk.clone(), config, [1; 8]).expect("a new queue");
    while queue.append(&Message::new(&[7; 200])).is_ok() {}
    queue.commit().expect("the storage works");
    drop(queue);
    disk.hide_sector(SegmentNumber::new(1), 7168..7680);
    let mut queue = Queue::open(disk, config, [2; 8]).expect("it is told to give up");
    let leased = queue.reserve(at(0), MINUTE, 100).expect("the rest can be read");
    assert!(leased.len() > 35, "{} came", leased.len());
    for leased in leased {
        queue.ack(leased.lease).expect("it is held");
        queue.commit().expect("there is room for an acknowledgement of each");
    }
    assert_eq!(queue.stats().depth, 0);
    queue.append(&Message::new(b"on it goes")).expect("there is room");
}

/// The simulator found it, seeds 29163 and 1036765: the header of a segment that was never used could not be read. It was
/// kept for better days, and the queue that had no other segment but the one in use was full for ever.
#[test]
fn a_queue_that_gives_up_the_header_of_a_free_segment_uses_the_segment() {
    let config = config().segments(2).expect("it is in range").unreadable(Unreadable::GiveUp);
    for sector in [0, 512] {
        let disk = SimStorage::new();
        let mut queue = Queue::open(disk.clone(), config, [1; 8]).expect("a new queue");
        queue.append(&Message::new(&[7; 200])).expect("there is room");
        drop(queue);
        disk.hide_sector(SegmentNumber::new(1), sector..sector + 512);
        let mut queue = Queue::open(disk, config, [2; 8]).expect("it is told to give up");
        for _ in 0..300 {
            queue.append(&Message::new(&[8; 200])).expect("everything before it is acknowledged");
            queue.ack_before(queue.next_offset()).expect("the storage works");
        }
    }
}

/// Giving up is for places that fail. While the medium reads nothing at all, nothing is given up.
#[test]
fn a_medium_that_reads_nothing_for_a_while_costs_no_message() {
    let hidden = Rc::new(RefCell::new(false));
    let disk = Absent { disk: SimStorage::new(), hidden: hidden.clone() };
    let config = config().unreadable(Unreadable::GiveUp);
    let mut queue = Queue::open(disk, config, [1; 8]).expect("a new queue");
    for number in 0..20 {
        queue.append(&Message::new(&[number; 200])).expect("there is room");
    }
    queue.commit().expect("the storage works");
    *hidden.borrow_mut() = true;
    assert!(matches!(queue.reserve(at(1), MINUTE, 100), Err(ReserveError::Storage(_))));
    *hidden.borrow_mut() = false;
    assert_eq!(queue.reserve(at(60), MINUTE, 100).map(|leased| leased.len()), Ok(20));
}

/// A disk whose cable comes loose.
#[derive(Debug)]
struct Absent {
    disk: SimStorage,
    hidden: Rc<RefCell<bool>>,
}

impl Storage for Absent {
    type Syncer = <SimStorage as Storage>::Syncer;

    fn list(&self) -> Result<Vec<iot_queue::SegmentExtent>, StorageError> {
        self.disk.list()
    }

    fn allocate(&mut self, segment: SegmentNumber, len: u32) -> Result<(), StorageError> {
        self.disk.allocate(segment, len)
    }

    fn read_at(&self, segment: SegmentNumber, position: u32, buffer: &mut [u8]) -> Result<(), StorageError> {
        if *self.hidden.borrow() {
            return Err(StorageError::Io { operation: iot_queue::Operation::Read(segment), code: 5 });
        }
        self.disk.read_at(segment, position, buffer)
    }

    fn write_at(&mut self, segment: SegmentNumber, position: u32, bytes: &[u8]) -> Result<(), StorageError> {
        self.disk.write_at(segment, position, bytes)
    }

    fn sync(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.disk.sync(segment)
    }

    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.disk.remove(segment)
    }

    fn sync_directory(&mut self) -> Result<(), StorageError> {
        self.disk.sync_directory()
    }
}
