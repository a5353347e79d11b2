//! Devices without a clock of their own, which learn the time some seconds after they have begun to work: what the queue
//! had missed then counts for what is older than that, and for nothing else.

use core::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_queue::{
    Consumers, Durability, Entry, LeaseError, MaxLag, MemoryStorage, Message, Queue, QueueConfig, Release, Seek,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: u64 = 24 * 3600;

const fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn wall(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds)
}

fn small() -> QueueConfig {
    let config = QueueConfig::default().max_payload(256).and_then(|config| config.segment_len(4096));
    config.and_then(|config| config.segments(6)).expect("in range").durability(Durability::Manual)
}

fn open(storage: MemoryStorage, config: QueueConfig, opening: u8) -> Queue<MemoryStorage> {
    Queue::open(storage, config, [opening; 8]).expect("nothing is wrong with the storage")
}

/// What comes after an opening that ended well, and saved what it knew of the time.
fn next(queue: Queue<MemoryStorage>, config: QueueConfig, opening: u8) -> Queue<MemoryStorage> {
    open(queue.close().expect("the storage works"), config, opening)
}

fn append(queue: &mut Queue<MemoryStorage>, message: Message<'_>) {
    queue.append(&message).expect("there is room");
}

fn waiting(queue: &mut Queue<MemoryStorage>, now: Instant) -> Vec<String> {
    let found = queue.peek(now, 99).expect("the storage works");
    found.into_iter().map(|stored| String::from_utf8(stored.payload).expect("tests write text")).collect()
}

/// What was missed ended the leases that had just been given, so that messages had two holders.
#[test]
fn leases_end_when_they_would_have() {
    let mut queue = open(MemoryStorage::new(), small(), 1);
    queue.tell_wall_clock(at(0), wall(0));
    append(&mut queue, Message::new(b"a"));
    append(&mut queue, Message::new(b"b"));
    let mut queue = next(queue, small(), 2);
    let cursor = queue.open_cursor("group", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    let held = queue.reserve(at(5), MINUTE, 1).expect("the storage works").remove(0);
    let shared = queue.reserve_from(at(5), cursor, MINUTE, 1).expect("the storage works").remove(0);

    queue.tell_wall_clock(at(20), wall(DAY));
    assert_eq!((held.deadline, queue.stats().leased), (at(65), 1));
    assert_eq!(waiting(&mut queue, at(64)), ["b"]);
    assert_eq!(queue.touch(at(64), held.lease, MINUTE), Ok(at(124)));
    queue.touch_from(at(64), cursor, shared.lease, MINUTE).expect("it has not ended");
    // Nor do they end later.
    assert_eq!(queue.touch(at(124), held.lease, MINUTE), Err(LeaseError::Stale { offset: held.offset }));
    assert_eq!(queue.reserve_from(at(124), cursor, MINUTE, 9).expect("the storage works").len(), 2);
}

/// Messages that were appended before the time was known came too early, or were given up.
#[test]
fn delays_and_times_to_live_count_from_when_they_were_given() {
    for restart in [false, true] {
        let mut queue = open(MemoryStorage::new(), small(), 1);
        queue.tell_wall_clock(at(0), wall(0));
        append(&mut queue, Message::new(b"old").delay(seconds(500)));
        append(&mut queue, Message::new(b"stale").time_to_live(seconds(300)));
        append(&mut queue, Message::new(b"again"));
        let mut queue = next(queue, small(), 2);
        append(&mut queue, Message::new(b"late").delay(seconds(100)));
        append(&mut queue, Message::new(b"short").time_to_live(seconds(100)));
        append(&mut queue, Message::new(b"both").delay(seconds(50)).time_to_live(seconds(200)));
        let leased = queue.reserve(at(0), MINUTE, 2).expect("the storage works");
        assert_eq!(leased[1].payload, b"again");
        queue.release(leased[0].lease).expect("it is held");
        queue.release_to(at(0), leased[1].lease, Release::After(seconds(70))).expect("it is held");

        queue.tell_wall_clock(at(20), wall(420));
        assert_eq!(queue.stats().expired, 1, "the one that was too old before");
        // Each later opening begins where the one before ended, with all that it knew of the time.
        let (mut queue, begun) = if restart { (open(queue.into_storage(), small(), 3), 20) } else { (queue, 0) };
        queue.tell_wall_clock(at(20 - begun), wall(420));
        let mut seen = |second: u64| waiting(&mut queue, at(second - begun));
        assert_eq!(seen(49), ["short"]);
        assert_eq!(seen(50), ["short", "both"]);
        assert_eq!(seen(69), ["short", "both"]);
        assert_eq!(seen(70), ["again", "short", "both"]);
        assert_eq!(seen(99), ["again", "short", "both"]);
        assert_eq!(seen(100), ["old", "again", "late", "both"]);
        assert_eq!(seen(199), ["old", "again", "late", "both"]);
        assert_eq!(seen(200), ["old", "again", "late"]);
    }
}

/// In a queue for cursors a time to live ends for all of them.
#[test]
fn times_to_live_of_a_queue_for_cursors_count_from_when_they_were_given() {
    let config = small().consumers(Consumers::CursorsOnly);
    let mut queue = open(MemoryStorage::new(), config, 1);
    queue.tell_wall_clock(at(0), wall(0));
    queue.open_cursor("reader", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    append(&mut queue, Message::new(b"stale").time_to_live(seconds(300)));
    let mut queue = next(queue, config, 2);
    queue.handle_timeout(at(0));
    append(&mut queue, Message::new(b"short").time_to_live(seconds(100)));
    queue.tell_wall_clock(at(20), wall(420));
    let mut queue = open(queue.into_storage(), config, 3);
    queue.handle_timeout(at(0));
    let cursor = queue.open_cursor("reader", Seek::Oldest, MaxLag::UNLIMITED).expect("it is there");
    let mut read = |now| {
        queue.rewind_cursor(cursor).expect("it is there");
        let entries = queue.read_cursor(now, cursor, 9).expect("the storage works");
        entries.into_iter().map(|entry| matches!(entry, Entry::Message(_))).collect::<Vec<_>>()
    };
    assert_eq!(read(at(79)), [false, true]);
    assert_eq!(read(at(80)), [false]);
}

/// With a limit of age what had been appended since the start got too old at once.
#[test]
fn ages_count_from_when_messages_were_appended() {
    let limited = small().expire_after(Some(seconds(DAY)));
    for restart in [false, true] {
        let mut queue = open(MemoryStorage::new(), limited, 1);
        queue.tell_wall_clock(at(0), wall(0));
        (0..3).for_each(|second| {
            queue.handle_timeout(at(10 * second));
            append(&mut queue, Message::new(b"old"));
        });
        let mut queue = next(queue, limited, 2);
        (0..3).for_each(|second| {
            queue.handle_timeout(at(10 * second));
            append(&mut queue, Message::new(b"new"));
        });
        queue.tell_wall_clock(at(30), wall(3 * DAY));
        assert_eq!((queue.stats().expired, waiting(&mut queue, at(30))), (3, vec!["new".to_owned(); 3]));
        let oldest = queue.stats().oldest_age.expect("it is known");
        assert!(oldest >= seconds(30) && oldest <= seconds(31), "{oldest:?}");
        let mut queue = if restart { open(queue.into_storage(), limited, 3) } else { queue };
        queue.handle_timeout(at(if restart { 0 } else { 30 }));
        queue.handle_timeout(at(DAY - 1));
        assert_eq!(queue.stats().expired, 3, "none is a day old");
        queue.handle_timeout(at(DAY + 31));
        assert_eq!((queue.stats().expired, queue.stats().depth), (6, 0));
    }
}

/// A process that told the wall clock and nothing else of the time, as a command does that appends and ends, saved nothing
/// of it: what passed until the next one never counted.
#[test]
fn a_wall_clock_is_saved_although_no_time_has_passed() {
    let mut queue = open(MemoryStorage::new(), small(), 1);
    queue.tell_wall_clock(at(0), wall(0));
    append(&mut queue, Message::new(b"x").time_to_live(seconds(300)));
    let mut queue = next(queue, small(), 2);
    queue.tell_wall_clock(at(0), wall(300));
    assert_eq!((queue.stats().expired, queue.stats().depth), (1, 0));
}
