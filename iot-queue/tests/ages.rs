//! Limits of age: while nothing is appended, and over restarts of a clock that begins anew each time.

use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_queue::{Consumers, Durability, MaxLag, MemoryStorage, Message, Queue, QueueConfig, Seek};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn config() -> QueueConfig {
    let config = QueueConfig::default().max_payload(1000).and_then(|config| config.segment_len(8192));
    config.and_then(|config| config.segments(8)).expect("all are in range").durability(Durability::Manual)
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn open(storage: MemoryStorage, config: QueueConfig, opening: u64) -> Queue<MemoryStorage> {
    Queue::open(storage, config, (opening + 1).to_le_bytes()).expect("nothing is wrong with the storage")
}

/// Only what came before another message ever got too old: the last ones, and so all of a queue at rest, never did. Nor
/// did the queue ask to be told when they would.
#[test]
fn the_last_message_gets_too_old_while_nothing_is_appended() {
    let mut queue = open(MemoryStorage::new(), config().expire_after(Some(seconds(HOUR))), 0);
    queue.handle_timeout(at(0));
    queue.append(&Message::new(b"a")).expect("there is room");
    let mut now = Instant::START;
    let mut calls = 0;
    while queue.stats().depth > 0 {
        let next = queue.poll_timeout().expect("the message gets too old");
        assert!(next > now, "it asks for a time to come");
        now = next;
        queue.handle_timeout(now);
        calls += 1;
    }
    assert_eq!(
        (now, queue.stats().expired),
        (Instant::from_micros(HOUR * 1_000_000 + 1), 1),
        "not early, and not late"
    );
    assert!(calls <= 45, "{calls}: the clock is saved now and then, and that is all");
    assert_eq!(queue.poll_timeout(), None, "nothing is left that has an age");
}

/// What is remembered of when messages came is bounded. Forgetting the first of it made the oldest messages ageless.
#[test]
fn the_oldest_has_an_age_however_many_came_after_it() {
    let config = config().segment_len(1 << 20).expect("it is in range").expire_after(Some(seconds(DAY)));
    let mut queue = open(MemoryStorage::new(), config, 0);
    for second in 0..6000 {
        queue.handle_timeout(at(second));
        queue.append(&Message::new(b"x")).expect("there is room");
        assert_eq!(queue.stats().oldest_age, Some(seconds(second)));
    }
    // Those in between may get too old somewhat later than they do, and never sooner.
    let mut expired = 0;
    for second in [DAY, DAY + 2500, DAY + 6000] {
        queue.handle_timeout(at(second));
        assert!(queue.stats().expired <= second - DAY, "{} at {second}", queue.stats().expired);
        assert!(queue.stats().expired > expired || second == DAY);
        expired = queue.stats().expired;
    }
    assert_eq!(expired, 6000);
}

/// A cursor kept the last message, too: with a limit of an hour it held a message for a day and more.
#[test]
fn a_cursor_is_moved_past_the_last_message_while_nothing_is_appended() {
    let mut queue = open(MemoryStorage::new(), config().consumers(Consumers::CursorsOnly), 0);
    queue.handle_timeout(at(0));
    queue.open_cursor("gone", Seek::Oldest, MaxLag::UNLIMITED.age(seconds(HOUR))).expect("there is room");
    queue.append(&Message::new(b"x")).expect("there is room");
    queue.handle_timeout(at(HOUR));
    assert_eq!(queue.stats().cursor_lag, 1);
    assert!(queue.poll_timeout().is_some_and(|at| at <= Instant::from_micros(HOUR * 1_000_000 + 1)));
    queue.handle_timeout(at(HOUR + 1));
    assert_eq!((queue.stats().cursor_lag, queue.poll_timeout()), (0, None));
}

/// A device that was switched off each night had no message that was older than its last start: the clock was saved once
/// a segment, and its marks were not saved at all. With a limit of two days nothing had expired after eleven.
#[test]
fn ages_add_up_over_restarts() {
    let mut storage = MemoryStorage::new();
    for day in 0..10 {
        let mut queue = open(storage, config(), day);
        for hour in 0..24 {
            queue.handle_timeout(at(hour * HOUR));
            queue.append(&Message::new(b"x")).expect("there is room");
            queue.commit().expect("the storage works");
        }
        // The device was on for 23 hours of each day.
        let age = queue.stats().oldest_age.expect("it was told the time");
        assert_eq!(age, seconds((day + 1) * 23 * HOUR));
        storage = queue.close().expect("the storage works");
    }
    let mut queue = open(storage, config().expire_after(Some(seconds(2 * DAY))), 10);
    queue.handle_timeout(at(0));
    // 230 hours of use, of which the last 48 count: the messages of two days and a little.
    let left = queue.stats().depth;
    assert!((48..=72).contains(&left), "{left} of 240 are left");
    assert_eq!(queue.stats().expired, 240 - left);
    queue.handle_timeout(at(2 * DAY + 1));
    assert_eq!(queue.stats().depth, 0, "all are older than two days");
}

/// The same without an end: each day the power is cut. What the clock shows does not fill a queue of 64 KiB.
#[test]
fn a_power_cut_costs_an_age_a_sixteenth_of_the_opening() {
    let limited = config().expire_after(Some(seconds(2 * DAY)));
    let mut storage = MemoryStorage::new();
    for day in 0..6 {
        let mut queue = open(storage, limited, day);
        for minute in 0..24 * 60 {
            queue.handle_timeout(at(minute * 60));
            if minute % 60 == 0 {
                queue.append(&Message::new(b"x")).expect("there is room");
                queue.commit().expect("the storage works");
            }
        }
        let stats = queue.stats();
        assert!(stats.depth <= 54 && stats.oldest_age <= Some(seconds(2 * DAY + 4 * HOUR)), "day {day}: {stats:?}");
        assert!(day < 3 || stats.depth >= 48, "day {day}: {stats:?}");
        storage = queue.into_storage();
        storage.crash(|_| iot_queue::Fate::Kept);
    }
}

/// A clock that runs while the power is off made up for nothing: the first segment never held what it showed.
#[test]
fn a_wall_clock_counts_the_time_between_two_openings() {
    let limited = config().expire_after(Some(seconds(2 * DAY)));
    let mut storage = MemoryStorage::new();
    for day in 0..30 {
        let mut queue = open(storage, limited, day);
        queue.tell_wall_clock(at(0), Timestamp::from_secs(1_700_000_000 + day * DAY));
        for hour in 0..10 {
            queue.handle_timeout(at(hour * HOUR));
            queue.append(&Message::new(b"x")).expect("there is room");
        }
        let depth = queue.stats().depth;
        assert!(depth <= 30 && (day < 3 || depth >= 20), "day {day}: {depth} messages of two days");
        storage = queue.close().expect("the storage works");
    }
}

/// A cursor that nobody reads, with a limit of two days, held everything on a device that restarts each day.
#[test]
fn an_abandoned_cursor_holds_what_its_age_allows_over_restarts() {
    let config = config().consumers(Consumers::CursorsOnly);
    let mut storage = MemoryStorage::new();
    for day in 0..40 {
        let mut queue = open(storage, config, day);
        queue.handle_timeout(at(0));
        queue.open_cursor("gone", Seek::Oldest, MaxLag::UNLIMITED.age(seconds(2 * DAY))).expect("there is room");
        for hour in 0..24 {
            queue.handle_timeout(at(hour * HOUR));
            queue.append(&Message::new(&[7; 100])).expect("the cursor does not fill the queue");
            queue.commit().expect("the storage works");
        }
        let lag = queue.stats().cursor_lag;
        assert!(lag <= 3 * 24 && (day < 2 || lag >= 2 * 24), "day {day}: it is {lag} behind");
        storage = queue.close().expect("the storage works");
    }
}
