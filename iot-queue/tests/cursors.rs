//! Cursors: what they read, what they hold, and what becomes of those that stay behind.

use core::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_queue::{
    AppendError, Consumers, CursorError, CursorId, Durability, Entry, GapCause, MaxLag, MemoryStorage, Message, Offset,
    Queue, QueueConfig, Seek, Storage,
};

const NOW: Instant = Instant::START;
const UNLIMITED: MaxLag = MaxLag::UNLIMITED;

fn small(consumers: Consumers) -> QueueConfig {
    let config = QueueConfig::default().max_payload(1024).and_then(|config| config.segment_len(4096));
    let config = config.and_then(|config| config.segments(4)).expect("a small configuration");
    config.durability(Durability::Manual).consumers(consumers)
}

fn open(storage: MemoryStorage, consumers: Consumers) -> Queue<MemoryStorage> {
    let is_new = storage.list().expect("the storage works").is_empty();
    let random = if is_new { *b"testtest" } else { *b"TESTTEST" };
    Queue::open(storage, small(consumers), random).expect("nothing is wrong with the storage")
}

fn log() -> Queue<MemoryStorage> {
    open(MemoryStorage::new(), Consumers::CursorsOnly)
}

fn reopen(queue: Queue<MemoryStorage>, consumers: Consumers) -> Queue<MemoryStorage> {
    open(queue.into_storage(), consumers)
}

/// Appends messages of 500 octets that begin with their number, until the queue refuses or there are `most`.
fn fill(queue: &mut Queue<MemoryStorage>, most: u64) -> u64 {
    for count in 0..most {
        let mut payload = [0; 500];
        payload[..8].copy_from_slice(&queue.next_offset().number().to_le_bytes());
        match queue.append(&Message::new(&payload)) {
            Ok(_) => {}
            Err(AppendError::Full { .. }) => return count,
            Err(error) => panic!("{error}"),
        }
    }
    most
}

/// The numbers of the messages that a cursor reads, and its gaps.
type Read = (Vec<u64>, Vec<(u64, u64, GapCause)>);

fn read(queue: &mut Queue<MemoryStorage>, cursor: CursorId, max: usize) -> Read {
    let (mut numbers, mut gaps) = (Vec::new(), Vec::new());
    for entry in queue.read_cursor(NOW, cursor, max).expect("the storage works") {
        match entry {
            Entry::Message(stored) => {
                assert_eq!(stored.payload[..8], stored.offset.number().to_le_bytes());
                numbers.push(stored.offset.number());
            }
            Entry::Gap(gap) => gaps.push((gap.from.number(), gap.until.number(), gap.cause)),
        }
    }
    (numbers, gaps)
}

fn status(queue: &Queue<MemoryStorage>, name: &str) -> (u64, u64, u64) {
    let status = queue.cursors().find(|status| status.name == name).expect("there is such a cursor");
    (status.position.number(), status.read.number(), status.lag)
}

#[test]
fn each_cursor_reads_everything_in_order_at_its_own_pace() {
    let mut queue = log();
    let early = queue.open_cursor("early", Seek::Oldest, UNLIMITED).expect("there is room");
    fill(&mut queue, 5);
    let late = queue.open_cursor("late", Seek::End, UNLIMITED).expect("there is room");
    fill(&mut queue, 2);
    assert_eq!(read(&mut queue, early, 3).0, [0, 1, 2]);
    assert_eq!(read(&mut queue, late, 99).0, [5, 6]);
    assert_eq!(read(&mut queue, early, 99).0, [3, 4, 5, 6]);
    assert!(read(&mut queue, early, 99).0.is_empty());
    assert!(queue.reserve(NOW, Duration::from_secs(1), 9).expect("the storage works").is_empty());
    assert_eq!(queue.open_cursor("late", Seek::Oldest, UNLIMITED), Ok(late), "it is there already");
    assert_eq!((queue.cursor("early"), queue.cursor("other")), (Some(early), None));
}

#[test]
fn a_committed_place_outlives_a_power_cut_and_one_that_is_not_does_not() {
    let mut queue = log();
    let cursor = queue.open_cursor("mirror", Seek::Oldest, UNLIMITED).expect("there is room");
    fill(&mut queue, 6);
    read(&mut queue, cursor, 4);
    queue.advance_cursor(cursor, Offset::new(3)).expect("it was read");
    queue.commit().expect("the storage works");
    queue.advance_cursor(cursor, Offset::new(4)).expect("it was read");
    assert_eq!((status(&queue, "mirror"), queue.stats().unsaved), ((4, 4, 2), 1));
    let mut storage = queue.into_storage();
    storage.crash(|_| iot_queue::Fate::Lost);
    let mut queue = open(storage, Consumers::CursorsOnly);
    assert_eq!(queue.read_cursor(NOW, cursor, 1), Err(CursorError::NotFound), "it is of another opening");
    let cursor = queue.cursor("mirror").expect("it lasts");
    assert_eq!(status(&queue, "mirror"), (3, 3, 3));
    assert_eq!(read(&mut queue, cursor, 99).0, [3, 4, 5]);
    queue.rewind_cursor(cursor).expect("it exists");
    assert_eq!(read(&mut queue, cursor, 1).0, [3]);
}

#[test]
fn what_a_cursor_has_not_passed_is_kept_though_it_is_acknowledged() {
    let mut queue = open(MemoryStorage::new(), Consumers::Leasing);
    let cursor = queue.open_cursor("journal", Seek::Oldest, UNLIMITED).expect("there is room");
    let count = fill(&mut queue, 99);
    assert!((15..30).contains(&count), "{count}");
    for leased in queue.reserve(NOW, Duration::from_secs(1), 99).expect("the storage works") {
        queue.ack(leased.lease).expect("it is held");
    }
    queue.commit().expect("the storage works");
    assert_eq!(queue.stats().depth, 0);
    let count = count + fill(&mut queue, 99);
    assert!(count < 30, "the cursor holds everything");
    let mut queue = reopen(queue, Consumers::Leasing);
    for leased in queue.reserve(NOW, Duration::from_secs(1), 99).expect("the storage works") {
        queue.ack(leased.lease).expect("it is held");
    }
    assert_eq!(queue.stats().depth, 0);
    let count = count + fill(&mut queue, 99);
    assert!(count < 30, "the cursor still holds everything");
    assert_ne!(queue.cursor("journal"), Some(cursor));
    let cursor = queue.cursor("journal").expect("it lasts");
    assert_eq!(read(&mut queue, cursor, 99), ((0..count).collect(), vec![]));
    queue.advance_cursor(cursor, Offset::new(count)).expect("it was read");
    assert_eq!(fill(&mut queue, 9), 9, "space came back");
}

#[test]
fn a_full_log_is_drained_by_its_cursors_one_message_at_a_time() {
    let mut queue = log();
    let names = ["a", "b", "c"];
    let cursors = names.map(|name| queue.open_cursor(name, Seek::Oldest, UNLIMITED).expect("there is room"));
    for round in 0..40 {
        assert!(fill(&mut queue, 99) > 0, "round {round}");
        let end = queue.next_offset();
        // Each commit of each place asks for a record.
        for cursor in cursors {
            while status(&queue, names[cursors.iter().position(|&other| other == cursor).unwrap_or(0)]).2 > 0 {
                let entry = queue.read_cursor(NOW, cursor, 1).expect("the storage works").remove(0);
                queue.advance_cursor(cursor, entry.end()).expect("it was read");
                queue.commit().expect("a full log can be drained");
            }
            assert_eq!(read(&mut queue, cursor, 1).0, [0; 0]);
        }
        assert_eq!((queue.next_offset(), queue.stats().depth), (end, 0));
    }
}

#[test]
fn a_cursor_that_stays_behind_is_moved_on_and_told_what_it_missed() {
    let mut queue = log();
    let few = queue.open_cursor("few", Seek::Oldest, UNLIMITED.messages(10)).expect("there is room");
    let short = queue.open_cursor("short", Seek::Oldest, UNLIMITED.octets(7_000)).expect("there is room");
    assert_eq!(read(&mut queue, few, 9), (vec![], vec![]));
    assert_eq!(fill(&mut queue, 4), 4);
    assert_eq!(read(&mut queue, few, 2).0, [0, 1]);
    assert_eq!(fill(&mut queue, 96), 96, "nobody holds the log up for ever");
    queue.commit().expect("the storage works");
    let mut queue = {
        let (numbers, gaps) = read(&mut queue, few, 4);
        assert_eq!((numbers, gaps), (vec![90, 91, 92], vec![(2, 90, GapCause::Expired)]));
        reopen(queue, Consumers::CursorsOnly)
    };
    let [few, short_again] = ["few", "short"].map(|name| queue.cursor(name).expect("it lasts"));
    assert_ne!(short, short_again);
    let (numbers, gaps) = read(&mut queue, few, 99);
    assert_eq!((numbers[0], numbers.len(), gaps), (90, 10, vec![(0, 90, GapCause::Expired)]), "none was done with");
    let (numbers, gaps) = read(&mut queue, short_again, 99);
    assert!(numbers[0] > 80 && gaps == [(0, numbers[0], GapCause::Expired)], "{numbers:?}");
    // What it was told and has passed is not told again.
    queue.advance_cursor(few, Offset::new(95)).expect("it was read");
    queue.commit().expect("the storage works");
    let mut queue = reopen(queue, Consumers::CursorsOnly);
    let few = queue.cursor("few").expect("it lasts");
    assert_eq!(read(&mut queue, few, 99), (vec![95, 96, 97, 98, 99], vec![]));
}

#[test]
fn a_cursor_goes_back_to_a_place_or_a_time() {
    let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
    let mut queue = log();
    let cursor = queue.open_cursor("replay", Seek::Oldest, UNLIMITED).expect("there is room");
    assert_eq!(queue.seek_cursor(cursor, Seek::Time(Timestamp::from_secs(5))), Err(CursorError::ClockUnknown));
    for second in 0..10 {
        queue.tell_wall_clock(at(second * 10), Timestamp::from_secs(1_000 + second * 10));
        fill(&mut queue, 1);
    }
    read(&mut queue, cursor, 99);
    let mut from = |to| {
        let place = queue.seek_cursor(cursor, to).expect("it can be found").number();
        let (numbers, _) = read(&mut queue, cursor, 99);
        assert_eq!(numbers, (place..10).collect::<Vec<_>>());
        place
    };
    assert_eq!([Seek::Offset(Offset::new(4)), Seek::Oldest, Seek::End].map(&mut from), [4, 0, 10]);
    let ages = [0, 25, 1_000].map(|seconds| Seek::Age(Duration::from_secs(seconds)));
    assert_eq!(ages.map(&mut from), [8, 6, 0], "all that may be so young");
    let times = [1_035, 2_000, 5].map(|seconds| Seek::Time(Timestamp::from_secs(seconds)));
    assert_eq!(times.map(&mut from), [3, 10, 0]);
    assert_eq!(from(Seek::Offset(Offset::new(99))), 10);
    let beyond = CursorError::Beyond { offset: Offset::new(11), next: Offset::new(10) };
    assert_eq!(queue.advance_cursor(cursor, Offset::new(11)), Err(beyond));
}

#[test]
fn ages_outlive_the_opening_and_move_a_cursor_on() {
    let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
    let mut queue = log();
    let max_lag = UNLIMITED.age(Duration::from_secs(60));
    queue.open_cursor("slow", Seek::Oldest, max_lag).expect("there is room");
    queue.handle_timeout(at(1));
    assert_eq!(fill(&mut queue, 8), 8);
    queue.handle_timeout(at(50));
    assert_eq!(fill(&mut queue, 4), 4);
    queue.handle_timeout(at(52));
    assert_eq!(fill(&mut queue, 4), 4);
    queue.handle_timeout(at(111));
    let cursor = queue.cursor("slow").expect("it lasts");
    assert_eq!(status(&queue, "slow").2, 16);
    let entries = queue.read_cursor(at(111), cursor, 99).expect("the storage works");
    assert!(matches!(entries[0], Entry::Gap(gap) if gap.cause == GapCause::Expired), "some are older than a minute");
    assert_eq!(entries[0].end(), entries[1].start());
    assert!(entries[1].start() <= Offset::new(8) && entries[1].start() > Offset::START);
    assert_eq!(queue.stats().passed_over, entries[0].end().number());
}

#[test]
fn messages_that_expire_become_gaps_for_cursors_too() {
    let mut queue = log();
    let cursor = queue.open_cursor("reader", Seek::Oldest, UNLIMITED).expect("there is room");
    let brief = |payload| Message::new(payload).time_to_live(Duration::from_secs(5));
    let messages = [brief(b"b"), brief(b"c"), brief(b"d"), Message::new(b"\x03\0\0\0\0\0\0\0")];
    queue.handle_timeout(Instant::START);
    queue.append_batch(&messages[..2]).expect("there is room");
    queue.handle_timeout(Instant::from_micros(6_000_000));
    let (numbers, gaps) = read(&mut queue, cursor, 99);
    assert_eq!((numbers, gaps, queue.stats().expired), (vec![], vec![(0, 2, GapCause::Expired)], 2));
    queue.append_batch(&messages[2..]).expect("there is room");
    queue.commit().expect("the storage works");
    let mut queue = reopen(queue, Consumers::CursorsOnly);
    let cursor = queue.cursor("reader").expect("it lasts");
    queue.handle_timeout(Instant::START);
    queue.handle_timeout(Instant::from_micros(6_000_000));
    assert_eq!(read(&mut queue, cursor, 99), (vec![3], vec![(0, 3, GapCause::Expired)]));
    assert_eq!((queue.stats().expired, queue.stats().depth), (3, 1));
}

#[test]
fn a_deleted_cursor_holds_nothing_and_stays_away() {
    let mut queue = log();
    let cursor = queue.open_cursor("gone", Seek::Oldest, UNLIMITED).expect("there is room");
    fill(&mut queue, 99);
    assert_eq!(fill(&mut queue, 9), 0);
    queue.delete_cursor(cursor).expect("a full log has room for that");
    assert_eq!(queue.delete_cursor(cursor), Err(CursorError::NotFound));
    assert_eq!(queue.read_cursor(NOW, cursor, 1), Err(CursorError::NotFound));
    queue.commit().expect("the storage works");
    assert_eq!(fill(&mut queue, 99), 99);
    let mut queue = reopen(queue, Consumers::CursorsOnly);
    assert_eq!(queue.cursors().count(), 0);
    // Its slot goes to another.
    let other = queue.open_cursor("other", Seek::Oldest, UNLIMITED).expect("there is room");
    assert_ne!(other, cursor);
    queue.commit().expect("the storage works");
    let queue = reopen(queue, Consumers::CursorsOnly);
    assert_eq!(queue.cursors().map(|status| status.name).collect::<Vec<_>>(), ["other"]);
}

#[test]
fn limits_are_told_where_they_are_met() {
    let mut queue = log();
    let length = |len| CursorError::NameLength { len, limit: 64 };
    assert_eq!(queue.open_cursor("", Seek::End, UNLIMITED), Err(length(0)));
    assert_eq!(queue.open_cursor(&"n".repeat(65), Seek::End, UNLIMITED), Err(length(65)));
    let made = (0..99).map_while(|at| queue.open_cursor(&format!("cursor {at}"), Seek::End, UNLIMITED).ok()).count();
    assert!((4..16).contains(&made), "a quarter of a segment takes {made}");
    assert_eq!(queue.open_cursor("more", Seek::End, UNLIMITED), Err(CursorError::TooMany { count: made }));
    assert!(fill(&mut queue, 99) >= 10);
    let mut queue = Queue::open(MemoryStorage::new(), small(Consumers::Leasing).max_cursors(1), [1; 8]).expect("new");
    assert!(queue.open_cursor("one", Seek::End, UNLIMITED).is_ok());
    assert_eq!(queue.open_cursor("two", Seek::End, UNLIMITED), Err(CursorError::TooMany { count: 1 }));
}

#[test]
fn a_log_that_becomes_a_work_queue_hands_out_what_is_stored() {
    let mut queue = log();
    fill(&mut queue, 3);
    queue.commit().expect("the storage works");
    let mut queue = reopen(queue, Consumers::Leasing);
    assert_eq!(queue.reserve(NOW, Duration::from_secs(1), 9).expect("the storage works").len(), 3);
}

#[test]
fn a_damaged_message_is_a_gap_in_its_place_and_counted_once() {
    let mut queue = log();
    queue.open_cursor("reader", Seek::Oldest, UNLIMITED).expect("there is room");
    fill(&mut queue, 3);
    // The next opening reads no records then: the cursor finds out.
    let mut storage = queue.close().expect("the storage works");
    storage.damage(iot_queue::SegmentNumber::new(0), |octets| {
        let is_second = |octets: &[u8]| octets[0] == 1 && octets[1..].iter().all(|&octet| octet == 0);
        let second = octets[1024..].windows(500).position(is_second).expect("it was appended");
        octets[1024 + second + 300] ^= 1;
    });
    let mut queue = open(storage, Consumers::CursorsOnly);
    let cursor = queue.cursor("reader").expect("it lasts");
    for _ in 0..2 {
        queue.rewind_cursor(cursor).expect("it exists");
        assert_eq!(read(&mut queue, cursor, 99), (vec![0, 2], vec![(1, 2, GapCause::Damaged)]));
        let stats = queue.stats();
        assert_eq!((stats.gaps, stats.quarantined, stats.depth, stats.cursor_lag), (1, 1, 2, 3));
    }
}

/// The simulator found it, seeds 3029, 3960 and 15041 of the programs that open and delete cursors: a cursor that found no
/// room for its record held what it would have read, and the room for its end. Nothing was let go any more, and the queue
/// was full until it was opened again.
#[test]
fn a_cursor_that_finds_no_room_holds_nothing() {
    for len in (16..600).step_by(3) {
        let mut queue = open(MemoryStorage::new(), Consumers::Leasing);
        while queue.append(&Message::new(&vec![7; len])).is_ok() {}
        while queue.append(&Message::new(b"")).is_ok() {}
        // Their records take what room there is.
        let refused = (0..1000).find_map(|_| match queue.open_cursor("reader", Seek::Oldest, UNLIMITED) {
            Ok(cursor) => queue.delete_cursor(cursor).err(),
            Err(error) => Some(error),
        });
        assert!(matches!(refused, Some(CursorError::Full { .. })), "{len}: {refused:?}");
        assert_eq!(queue.cursor("reader"), None);
        queue.ack_before(queue.next_offset()).expect("the storage works");
        queue.commit().expect("acknowledgements have their room");
        queue.append(&Message::new(&vec![7; len])).expect("nobody needs anything");
        assert!(queue.stats().segments_used < 4, "{len}: {:?}", queue.stats());
    }
}
