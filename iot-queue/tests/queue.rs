//! What a queue does while nothing goes wrong, and at its limits.

use core::time::Duration;

use iot_core::{DeviceId, Incarnation, Instant, Position, StreamId};
use iot_queue::{
    AppendError, Durability, Entry, Fault, LeaseError, MemoryStorage, Message, Offset, Queue, QueueConfig,
    ReserveError, StorageError,
};

const MINUTE: Duration = Duration::from_secs(60);
const NOW: Instant = Instant::START;

fn small() -> QueueConfig {
    let config = QueueConfig::default().max_payload(1024).and_then(|config| config.segment_len(4096));
    config.and_then(|config| config.segments(4)).expect("a small configuration").durability(Durability::Manual)
}

fn open(storage: MemoryStorage) -> Queue<MemoryStorage> {
    Queue::open(storage, small(), *b"testtest").expect("nothing is wrong with the storage")
}

fn reopen(queue: Queue<MemoryStorage>) -> Queue<MemoryStorage> {
    let (segment_len, next) = (4096, queue.next_offset());
    let queue = Queue::open(queue.into_storage(), small(), *b"TESTTEST").expect("it was open before");
    assert_eq!((queue.stats().budget, queue.next_offset()), (4 * segment_len, next));
    queue
}

fn payloads(queue: &mut Queue<MemoryStorage>, now: Instant, max: usize) -> Vec<Vec<u8>> {
    let leased = queue.reserve(now, MINUTE, max).expect("the storage works");
    leased.into_iter().map(|leased| leased.payload).collect()
}

#[test]
fn hands_messages_out_in_log_order_and_each_once() {
    let mut queue = open(MemoryStorage::new());
    for payload in [b"a", b"b", b"c"] {
        queue.append(&Message::new(payload)).expect("there is room");
    }
    assert_eq!(payloads(&mut queue, NOW, 2), [b"a", b"b"]);
    assert_eq!(payloads(&mut queue, NOW, 2), [b"c"]);
    assert!(payloads(&mut queue, NOW, 2).is_empty());
    assert_eq!((queue.stats().depth, queue.stats().leased), (3, 3));
}

#[test]
fn hands_out_again_what_was_released_or_ran_out_before_anything_later() {
    let mut queue = open(MemoryStorage::new());
    queue.append_batch(&[b"a", b"b", b"c"].map(|payload| Message::new(payload))).expect("there is room");
    let first = queue.reserve(NOW, MINUTE, 2).expect("the storage works");
    queue.release(first[1].lease).expect("it is held");
    assert_eq!(queue.poll_timeout(), Some(NOW.saturating_add(MINUTE)));
    assert_eq!(payloads(&mut queue, NOW, 1), [b"b"]);

    let later = NOW.saturating_add(MINUTE);
    let again = queue.reserve(later, MINUTE, 9).expect("the storage works");
    let seen: Vec<_> = again.iter().map(|leased| (&leased.payload[..], leased.attempts)).collect();
    assert_eq!(seen, [(&b"a"[..], 2), (b"b", 3), (b"c", 1)]);
    assert_eq!(queue.ack(first[0].lease), Err(LeaseError::Stale { offset: Offset::START }));
    assert_eq!(queue.ack(again[0].lease), Ok(()));
    assert_eq!(queue.ack(again[0].lease), Err(LeaseError::Stale { offset: Offset::START }));
    assert_eq!(queue.release(again[0].lease), Err(LeaseError::Stale { offset: Offset::START }));
}

#[test]
fn a_lease_that_ran_out_counts_until_somebody_else_gets_the_message() {
    let mut queue = open(MemoryStorage::new());
    queue.append(&Message::new(b"a")).expect("there is room");
    let leased = queue.reserve(NOW, MINUTE, 1).expect("the storage works");
    queue.handle_timeout(NOW.saturating_add(2 * MINUTE));
    assert_eq!(queue.stats().leased, 0);
    assert_eq!(queue.ack(leased[0].lease), Ok(()));
    assert_eq!(queue.stats().depth, 0);
}

#[test]
fn a_lease_of_an_earlier_opening_is_stale() {
    let mut queue = open(MemoryStorage::new());
    queue.append(&Message::new(b"a")).expect("there is room");
    let old = queue.reserve(NOW, MINUTE, 1).expect("the storage works");
    let mut queue = reopen(queue);
    let new = queue.reserve(NOW, MINUTE, 1).expect("the storage works");
    assert_eq!(queue.ack(old[0].lease), Err(LeaseError::Stale { offset: Offset::START }));
    assert_eq!(queue.ack(new[0].lease), Ok(()));
}

#[test]
fn leases_no_more_than_configured() {
    let config = small().max_leases(2).expect("in range");
    let mut queue = Queue::open(MemoryStorage::new(), config, [1; 8]).expect("a new queue");
    queue.append_batch(&[Message::new(b"x"); 5]).expect("there is room");
    let held = queue.reserve(NOW, MINUTE, 9).expect("the storage works");
    assert_eq!(held.len(), 2);
    assert!(payloads(&mut queue, NOW, 9).is_empty());
    queue.ack(held[0].lease).expect("it is held");
    assert_eq!(payloads(&mut queue, NOW, 9).len(), 1);
}

#[test]
fn keeps_positions_and_committed_acknowledgements_across_openings() {
    let position = Position {
        source: DeviceId::from_bytes([1; 32]),
        stream: StreamId::new(2),
        incarnation: Incarnation::from_bytes([3; 8]),
        sequence: u64::MAX,
    };
    let mut queue = open(MemoryStorage::new());
    queue.append(&Message::new(b"a")).expect("there is room");
    queue.append(&Message::new(b"").at(position)).expect("there is room");
    let leased = queue.reserve(NOW, MINUTE, 1).expect("the storage works");
    queue.ack(leased[0].lease).expect("it is held");
    assert_eq!(queue.commit(), Ok(Offset::new(2)));
    let mut queue = reopen(queue);
    let left = queue.reserve(NOW, MINUTE, 9).expect("the storage works");
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].offset, left[0].position, left[0].payload.len()), (Offset::new(1), Some(position), 0));
}

#[test]
fn commits_with_one_sync_and_without_any_when_nothing_is_new() {
    let mut queue = open(MemoryStorage::new());
    let before = queue.stats().syncs;
    queue.append_batch(&[Message::new(b"x"); 8]).expect("there is room");
    assert_eq!((queue.stats().syncs, queue.durable()), (before, Offset::START));
    assert_eq!(queue.commit(), Ok(Offset::new(8)));
    assert_eq!(queue.commit(), Ok(Offset::new(8)));
    assert_eq!((queue.stats().syncs, queue.durable()), (before + 1, Offset::new(8)));
}

#[test]
fn serves_as_a_journal() {
    let mut queue = open(MemoryStorage::new());
    for index in 0..60_u8 {
        queue.append(&Message::new(&[index; 40])).expect("there is room");
    }
    let all: Vec<_> = queue.entries_from(Offset::START).map(|entry| entry.expect("the storage works")).collect();
    assert_eq!(all.len(), 60);
    for (index, entry) in all.iter().enumerate() {
        let Entry::Message(stored) = entry else { panic!("{entry:?}") };
        assert_eq!((stored.offset, &stored.payload[..]), (Offset::new(index as u64), &[index as u8; 40][..]));
    }
    assert_eq!(queue.entries_from(Offset::new(58)).count(), 2);
    assert_eq!(queue.read(Offset::new(60)), Ok(None));
    assert_eq!(queue.ack_before(Offset::new(50)), Ok(50));
    queue.commit().expect("the storage works");
    assert!(queue.oldest() > Offset::START && queue.oldest() <= Offset::new(50));
    assert_eq!(queue.read(Offset::START), Ok(None));
    assert_eq!(payloads(&mut queue, NOW, 99).len(), 10);
    let mut queue = reopen(queue);
    assert_eq!(payloads(&mut queue, NOW, 99).len(), 10);
}

#[test]
fn refuses_what_is_too_large_and_says_by_how_much() {
    let mut queue = open(MemoryStorage::new());
    assert_eq!(queue.append(&Message::new(&[0; 1025])), Err(AppendError::TooLarge { len: 1025, limit: 1024 }));
    let keyed = Message::new(&[0; 1024]).key(&[1; 256]);
    assert_eq!(queue.append(&keyed), Err(AppendError::KeyTooLong { len: 256, limit: 255 }));
    assert_eq!(queue.append(&Message::new(&[0; 1024])), Ok(Offset::START));
    // What a message has besides its payload takes from what fits in a segment.
    let config =
        QueueConfig::default().max_payload(2160).and_then(|config| config.segment_len(4096)).expect("in range");
    let mut queue = Queue::open(MemoryStorage::new(), config, [1; 8]).expect("a new queue");
    let outcome = queue.append(&Message::new(&[0; 2160]).key(&[1; 255]));
    assert!(matches!(outcome, Err(AppendError::TooLarge { len: 2160, limit: 1850..2160 })), "{outcome:?}");
    queue.append(&Message::new(&[0; 1850]).key(&[1; 255])).expect("it fits");
}

/// A full queue must take an acknowledgement of every message that it holds, even when each is committed alone and they
/// come in the worst order; and then it takes messages again.
#[test]
fn a_full_queue_can_be_drained_in_any_order() {
    for (order, payload) in [("first to last", 24), ("last to first", 24), ("every other", 8), ("every other", 700)] {
        let mut queue = open(MemoryStorage::new());
        for round in 0..5 {
            let mut appended = 0;
            loop {
                match queue.append(&Message::new(&vec![7; payload])) {
                    Ok(_) => appended += 1,
                    Err(error) => break assert_eq!(error, AppendError::Full { budget: 4 * 4096 }),
                }
            }
            assert!(appended >= 5, "{order}, round {round}: {appended}");
            assert_eq!(queue.append_batch(&[Message::new(b"x"); 9]), Err(AppendError::Full { budget: 4 * 4096 }));
            let mut queue_again = reopen(queue);
            let mut leases = queue_again.reserve(NOW, MINUTE, 9999).expect("the storage works");
            assert_eq!(leases.len(), appended);
            match order {
                "last to first" => leases.reverse(),
                "every other" => leases.sort_by_key(|leased| (leased.offset.number() % 2, leased.offset)),
                _ => {}
            }
            for leased in leases {
                queue_again.ack(leased.lease).expect("it is held");
                queue_again.commit().unwrap_or_else(|error| panic!("{order}, round {round}: {error}"));
            }
            assert_eq!(queue_again.stats().depth, 0);
            queue = reopen(queue_again);
            assert!(queue.reserve(NOW, MINUTE, 1).expect("the storage works").is_empty());
        }
    }
}

/// A sync that failed says that the system may have dropped what was written; a second one that succeeds proves nothing.
#[test]
fn a_failed_sync_makes_the_queue_read_only_for_good() {
    for fault in [Fault::Sync, Fault::Write] {
        let mut storage = open(MemoryStorage::new()).into_storage();
        storage.inject(fault, 3);
        let mut queue = open(storage);
        let mut failure = None;
        for index in 0..9 {
            let outcome = queue.append(&Message::new(&[index; 40])).map_err(|error| match error {
                AppendError::Storage(cause) => cause,
                other => panic!("{other}"),
            });
            if let Err(cause) = outcome.and_then(|_| {
                queue.commit().map_err(|error| match error {
                    iot_queue::CommitError::Storage(cause) => cause,
                    other => panic!("{other}"),
                })
            }) {
                failure = Some(cause);
                break;
            }
        }
        let cause = failure.expect("the fault was injected");
        assert!(matches!(cause, StorageError::Io { .. }));
        let (durable, syncs) = (queue.durable(), queue.stats().syncs);
        assert_eq!(queue.append(&Message::new(b"x")), Err(AppendError::ReadOnly(cause)));
        assert_eq!(queue.commit(), Err(iot_queue::CommitError::ReadOnly(cause)));
        assert_eq!(queue.reserve(NOW, MINUTE, 1), Err(ReserveError::ReadOnly(cause)));
        assert_eq!((queue.durable(), queue.stats().syncs), (durable, syncs));
        let mut storage = queue.into_storage();
        storage.crash(|_| iot_queue::Fate::Lost);
        let mut queue = open(storage);
        assert_eq!(payloads(&mut queue, NOW, 99).len() as u64, durable.number());
    }
}

#[test]
fn a_medium_without_room_is_named_and_left_as_it_was() {
    let mut storage = MemoryStorage::new();
    storage.inject(Fault::Space, 2);
    let error = Queue::open(storage.clone(), small(), [1; 8]).expect_err("two of four segments fit");
    assert!(matches!(error, iot_queue::OpenError::Storage(StorageError::NoSpace { .. })), "{error:?}");
}
