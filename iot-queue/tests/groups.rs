//! Consumers that share the work of one cursor.

use core::time::Duration;

use iot_core::Instant;
use iot_queue::{
    Consumers, CursorId, Durability, LeaseError, Leased, MaxLag, MemoryStorage, Message, Offset, Queue, QueueConfig,
    Release, Seek,
};

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn open(storage: MemoryStorage, opening: u8) -> Queue<MemoryStorage> {
    let config = QueueConfig::default().max_payload(1024).and_then(|config| config.segment_len(4096));
    let config = config.and_then(|config| config.segments(4)).expect("a small configuration");
    let config = config.durability(Durability::Manual).consumers(Consumers::CursorsOnly);
    Queue::open(storage, config, [opening; 8]).expect("nothing is wrong with the storage")
}

fn queue(messages: u8) -> (Queue<MemoryStorage>, CursorId) {
    let mut queue = open(MemoryStorage::new(), 1);
    queue.handle_timeout(at(0));
    let cursor = queue.open_cursor("workers", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    for number in 0..messages {
        queue.append(&Message::new(&[number])).expect("there is room");
    }
    queue.commit().expect("the storage works");
    (queue, cursor)
}

fn reserve(queue: &mut Queue<MemoryStorage>, now: Instant, cursor: CursorId, max: usize) -> Vec<Leased> {
    queue.reserve_from(now, cursor, MINUTE, max).expect("the storage works")
}

fn numbers(leased: &[Leased]) -> Vec<u64> {
    leased.iter().map(|leased| leased.offset.number()).collect()
}

fn position(queue: &Queue<MemoryStorage>) -> u64 {
    queue.cursors().next().expect("there is one").position.number()
}

#[test]
fn each_message_goes_to_one_of_them_and_to_every_group() {
    let (mut queue, workers) = queue(6);
    let others = queue.open_cursor("others", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    let first = reserve(&mut queue, at(1), workers, 2);
    let second = reserve(&mut queue, at(1), workers, 9);
    assert_eq!((numbers(&first), numbers(&second)), (vec![0, 1], vec![2, 3, 4, 5]));
    assert!(reserve(&mut queue, at(1), workers, 9).is_empty());
    assert_eq!(numbers(&reserve(&mut queue, at(1), others, 9)), [0, 1, 2, 3, 4, 5]);
    let foreign = queue.ack_from(others, first[0].lease);
    assert_eq!(foreign, Err(LeaseError::Stale { offset: Offset::START }), "it is a lease of the other group");
}

#[test]
fn the_position_follows_the_first_that_is_not_acknowledged_and_outlives_the_process() {
    let (mut queue, cursor) = queue(6);
    let leased = reserve(&mut queue, at(1), cursor, 6);
    for (acknowledged, expected) in [(1, 0), (2, 0), (0, 3), (4, 3)] {
        queue.ack_from(cursor, leased[acknowledged].lease).expect("it is held");
        assert_eq!(position(&queue), expected);
    }
    let stale = LeaseError::Stale { offset: Offset::START };
    assert_eq!(queue.ack_from(cursor, leased[0].lease), Err(stale), "it was acknowledged");
    queue.commit().expect("the storage works");
    let mut queue = open(queue.into_storage(), 2);
    let cursor = queue.cursor("workers").expect("it lasts");
    let again = reserve(&mut queue, at(1), cursor, 9);
    assert_eq!(numbers(&again), [3, 4, 5], "4 was acknowledged before its turn");
    assert_eq!(again[0].attempts, 1);
}

#[test]
fn what_runs_out_or_is_given_back_goes_to_another() {
    let (mut queue, cursor) = queue(3);
    let leased = reserve(&mut queue, at(1), cursor, 2);
    queue.release_from(at(1), cursor, leased[1].lease, Release::InPlace).expect("it is held");
    assert_eq!(numbers(&reserve(&mut queue, at(1), cursor, 1)), [1]);
    queue.touch_from(at(30), cursor, leased[0].lease, MINUTE).expect("it is held");
    assert_eq!(queue.poll_timeout(), Some(at(61)));
    assert_eq!(numbers(&reserve(&mut queue, at(62), cursor, 9)), [1, 2], "the other was touched");
    let again = reserve(&mut queue, at(91), cursor, 9);
    assert_eq!((numbers(&again), again[0].attempts), (vec![0], 2));
    let stale = LeaseError::Stale { offset: leased[0].offset };
    assert_eq!(queue.ack_from(cursor, leased[0].lease), Err(stale), "somebody else has it");
    queue.seek_cursor(cursor, Seek::Oldest).expect("it exists");
    assert_eq!(queue.ack_from(cursor, again[0].lease), Err(stale), "the cursor was moved");
    assert_eq!(numbers(&reserve(&mut queue, at(91), cursor, 9)), [0, 1, 2]);
    queue.delete_cursor(cursor).expect("it exists");
    assert!(queue.reserve_from(at(92), cursor, MINUTE, 1).is_err());
}

#[test]
fn where_messages_are_missing_nobody_waits_for_them() {
    let (mut queue, cursor) = queue(1);
    let brief = Message::new(b"brief").time_to_live(Duration::from_secs(5));
    queue.append_batch(&[brief, brief, Message::new(b"stays")]).expect("there is room");
    let leased = reserve(&mut queue, at(20), cursor, 9);
    assert_eq!(numbers(&leased), [0, 3]);
    queue.ack_from(cursor, leased[0].lease).expect("it is held");
    assert_eq!(position(&queue), 3);
}
