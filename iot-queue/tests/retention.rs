//! What stays although nobody needs it, and what goes although somebody does.

use core::time::Duration;

use iot_core::Instant;
use iot_queue::{
    Consumers, CursorId, Durability, Entry, GapCause, MaxLag, MemoryStorage, Message, Queue, QueueConfig, Release,
    Retention, Seek,
};

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn config(consumers: Consumers, retention: Retention) -> QueueConfig {
    let config = QueueConfig::default().max_payload(1024).and_then(|config| config.segment_len(4096));
    let config = config.and_then(|config| config.segments(6)).expect("a small configuration");
    config.durability(Durability::Manual).consumers(consumers).retention(retention)
}

fn open(storage: MemoryStorage, config: QueueConfig, opening: u8) -> Queue<MemoryStorage> {
    Queue::open(storage, config, [opening; 8]).expect("nothing is wrong with the storage")
}

fn append(queue: &mut Queue<MemoryStorage>, count: u64) {
    for _ in 0..count {
        queue.append(&Message::new(&[7; 500])).expect("there is room");
    }
    queue.commit().expect("the storage works");
}

/// How many messages can be read again, all of the newest ones.
fn stored(queue: &mut Queue<MemoryStorage>, cursor: CursorId) -> u64 {
    queue.seek_cursor(cursor, Seek::Oldest).expect("it exists");
    let entries = queue.read_cursor(at(0), cursor, 999).expect("the storage works");
    assert!(entries.iter().all(|entry| matches!(entry, Entry::Message(_))));
    let (first, next) = (entries[0].start().number(), queue.next_offset().number());
    assert_eq!(first + entries.len() as u64, next);
    queue.seek_cursor(cursor, Seek::End).expect("it exists");
    queue.commit().expect("the storage works");
    next - first
}

fn reader(queue: &mut Queue<MemoryStorage>) -> CursorId {
    queue.open_cursor("reader", Seek::End, MaxLag::UNLIMITED).expect("there is room")
}

#[test]
fn what_was_read_stays_while_there_is_room_and_keeps_nothing_out() {
    for consumers in [Consumers::CursorsOnly, Consumers::Leasing] {
        let config = config(consumers, Retention::WHILE_ROOM);
        let mut queue = open(MemoryStorage::new(), config, 1);
        let cursor = reader(&mut queue);
        for _ in 0..20 {
            append(&mut queue, 4);
            for leased in queue.reserve(at(0), MINUTE, 99).expect("the storage works") {
                queue.ack(leased.lease).expect("it is held");
            }
            queue.seek_cursor(cursor, Seek::End).expect("it exists");
            queue.commit().expect("the storage works");
        }
        let kept = stored(&mut queue, cursor);
        assert!((16..30).contains(&kept), "{consumers:?}: most of the segments, not {kept}");
        assert_eq!(queue.stats().depth, 0);
        let mut queue = open(queue.into_storage(), config, 2);
        let cursor = reader(&mut queue);
        assert!(stored(&mut queue, cursor) >= kept - 1, "it is still there");
        append(&mut queue, 20);
        // Without it, nothing stays.
        let config = config.retention(Retention::NONE);
        let mut queue = open(queue.into_storage(), config, 3);
        for leased in queue.reserve(at(0), MINUTE, 99).expect("the storage works") {
            queue.ack(leased.lease).expect("it is held");
        }
        let cursor = reader(&mut queue);
        queue.seek_cursor(cursor, Seek::End).expect("it exists");
        queue.commit().expect("the storage works");
        queue.commit().expect("the storage works");
        assert_eq!(queue.stats().segments_used, 1, "{consumers:?}");
    }
}

#[test]
fn what_was_read_goes_by_size_and_by_age() {
    let mut queue = open(MemoryStorage::new(), config(Consumers::CursorsOnly, Retention::NONE.max_octets(6_000)), 1);
    let cursor = reader(&mut queue);
    append(&mut queue, 20);
    assert_eq!(stored(&mut queue, cursor), 20, "a cursor needed it");
    queue.commit().expect("the storage works");
    assert!((5..12).contains(&stored(&mut queue, cursor)));

    let retention = Retention::WHILE_ROOM.max_age(MINUTE);
    let mut queue = open(MemoryStorage::new(), config(Consumers::CursorsOnly, retention), 1);
    let cursor = reader(&mut queue);
    for second in 0..20 {
        queue.handle_timeout(at(second * 10));
        append(&mut queue, 1);
        queue.seek_cursor(cursor, Seek::End).expect("it exists");
        queue.commit().expect("the storage works");
    }
    assert!((7..=12).contains(&stored(&mut queue, cursor)), "a minute, and what shares its segment");
}

#[test]
fn what_nobody_acknowledged_expires_only_where_the_configuration_says_so() {
    let config = config(Consumers::Leasing, Retention::NONE).max_attempts(9).expect("in range");
    let mut queue = open(MemoryStorage::new(), config.expire_after(Some(MINUTE)), 1);
    queue.handle_timeout(at(0));
    append(&mut queue, 4);
    let leased = queue.reserve(at(5), 10 * MINUTE, 2).expect("the storage works");
    queue.reject(leased[0].lease, "no use").expect("it is held");
    queue.handle_timeout(at(50));
    append(&mut queue, 1);
    queue.handle_timeout(at(115));
    assert_eq!((queue.stats().depth, queue.stats().expired), (2, 3), "one is leased, one dead");
    let gaps: Vec<_> = queue.gaps().map(|gap| (gap.from.number(), gap.until.number(), gap.cause)).collect();
    assert_eq!(gaps, [(2, 5, GapCause::Expired)]);
    queue.release_to(at(116), leased[1].lease, Release::InPlace).expect("it is held");
    append(&mut queue, 1);
    queue.handle_timeout(at(190));
    assert_eq!((queue.stats().depth, queue.stats().expired), (1, 5), "what was given back is too old now");
    queue.commit().expect("the storage works");
    let queue = open(queue.into_storage(), config, 2);
    assert_eq!((queue.stats().depth, queue.stats().dead, queue.stats().expired), (1, 1, 5));
}

#[test]
fn the_statistics_tell_what_the_medium_is_handed_for_each_octet() {
    let mut queue = open(MemoryStorage::new(), config(Consumers::Leasing, Retention::NONE), 1);
    assert_eq!(queue.stats().write_amplification(), None);
    let before = queue.stats().written;
    append(&mut queue, 4);
    let stats = queue.stats();
    assert_eq!(stats.appended_octets, 2_000);
    // A header of 32 octets each, and padding.
    assert_eq!(stats.written - before, 4 * (32 + 504));
    assert_eq!(stats.write_amplification(), Some(stats.written as f64 / 2_000.0));
}
