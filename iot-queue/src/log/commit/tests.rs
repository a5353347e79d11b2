use iot_core::Instant;

use crate::Message;
use crate::config::Unreadable;
use crate::log::{Log, Lookup, Shape, Window};
use crate::storage::{Fate, MemoryStorage, Operation, StorageError};

fn open(storage: MemoryStorage) -> Log<MemoryStorage> {
    let shape = Shape { segment_len: 4096, segments: 4, random: [3; 8], unreadable: Unreadable::Refuse };
    Log::open(storage, shape).expect("nothing is wrong with the storage")
}

fn append(log: &mut Log<MemoryStorage>) -> u64 {
    log.enter_all(&[Message::new(&[7; 300])], Instant::START).expect("there is room")
}

#[test]
fn a_commit_covers_what_was_entered_when_it_began() {
    let mut log = open(MemoryStorage::new());
    append(&mut log);
    let first = log.begin_commit().expect("the storage works").expect("there is something to sync");
    append(&mut log);
    let second = log.begin_commit().expect("the storage works").expect("there is more to sync");
    assert_eq!((first.number, second.number, log.durable()), (1, 2, 0));
    let synced = log.sync(first);
    append(&mut log);
    // In any order, and once more.
    assert_eq!(log.end_commit(second, synced), Ok(2));
    assert_eq!(log.end_commit(first, synced), Ok(2));
    assert_eq!(log.durable(), 2);
    let third = log.begin_commit().expect("the storage works").expect("the third message waits");
    let synced = log.sync(third);
    assert_eq!(log.end_commit(third, synced), Ok(3));
    assert_eq!(log.begin_commit(), Ok(None));
}

#[test]
fn a_commit_ends_well_although_its_segment_was_sealed_meanwhile() {
    let mut log = open(MemoryStorage::new());
    append(&mut log);
    let pending = log.begin_commit().expect("the storage works").expect("there is something to sync");
    while log.segments().0 == 1 {
        append(&mut log);
    }
    let synced = log.sync(pending);
    let sealed = log.durable();
    assert_eq!(log.end_commit(pending, synced), Ok(sealed));
    assert_eq!(log.commit(), Ok(log.next()));
}

/// Each opening of a file hears once of a failed write. A sync of the medium and one of a `Syncer` each tell of all
/// failures, so one that failed cannot take back what the other has made durable.
#[test]
fn a_failed_sync_costs_nothing_when_its_segment_was_sealed_meanwhile() {
    let mut log = open(MemoryStorage::new());
    append(&mut log);
    let pending = log.begin_commit().expect("the storage works").expect("there is something to sync");
    while log.segments().0 == 1 {
        append(&mut log);
    }
    let sealed = log.durable();
    let failed = Err(StorageError::Io { operation: Operation::Sync(pending.segment), code: 5 });
    assert_eq!(log.end_commit(pending, failed), Ok(sealed));
    assert_eq!(log.commit(), Ok(log.next()));
}

/// A segment came back as soon as a commit ended, although its last message was acknowledged after that commit had
/// begun: a power cut then found the message's segment overwritten and no acknowledgement.
#[test]
fn a_segment_comes_back_only_by_a_commit_that_covers_its_acknowledgements() {
    let mut log = open(MemoryStorage::new());
    while log.segments().0 == 1 {
        append(&mut log);
    }
    let last = log.next() - 1;
    (0..last - 1).for_each(|number| assert!(log.settle(number)));
    let pending = log.begin_commit().expect("the storage works").expect("there is something to sync");
    assert!(log.settle(last - 1));
    let synced = log.sync(pending);
    assert!(log.end_commit(pending, synced).is_ok());
    assert_eq!(log.segments().0, 2, "message {} is needed after a power cut", last - 1);
    let mut storage = log.into_storage();
    storage.crash(|_| Fate::Lost);
    let mut log = open(storage);
    assert_eq!(log.next_unsettled(0), Some(last - 1));
    log.settle(last - 1);
    assert!(log.commit().is_ok());
    assert_eq!(log.segments().0, 1);
}

/// The last segment did not count as free although nobody needed anything in it, and nothing else made it so.
#[test]
fn an_empty_log_of_two_segments_takes_the_longest_message() {
    let shape = Shape { segment_len: 4096, segments: 2, random: [3; 8], unreadable: Unreadable::Refuse };
    let mut log = Log::open(MemoryStorage::new(), shape).expect("a new log");
    for round in 0..20 {
        for _ in 0..round % 5 {
            let number = append(&mut log);
            assert!(log.settle(number));
        }
        let longest = [1; crate::log::longest_payload(4096) as usize];
        let number = log.enter_all(&[Message::new(&longest)], Instant::START).expect("nothing else is needed");
        assert!(log.settle(number));
        log.commit().expect("there is room for an acknowledgement");
    }
}

/// A bit flipped in the record of acknowledgements that a retired segment's room had been used on the strength of: the
/// segment was in use again, none was free, and there was no room to record acknowledgements once more.
#[test]
fn lost_acknowledgements_do_not_wedge_a_full_log() {
    for octet in (0..4096).step_by(5) {
        let mut log = open(MemoryStorage::new());
        let fill =
            |log: &mut Log<MemoryStorage>| while log.enter_all(&[Message::new(&[7; 100])], Instant::START).is_ok() {};
        fill(&mut log);
        (0..log.next() - 3).for_each(|number| assert!(log.settle(number)));
        log.commit().expect("there is room for acknowledgements");
        fill(&mut log);
        log.write().expect("the storage works");
        let mut storage = log.into_storage();
        for segment in 0..4 {
            storage.damage(crate::SegmentNumber::new(segment), |octets| octets[octet] ^= 4);
        }
        let mut log = open(storage);
        let numbers: alloc::vec::Vec<_> =
            core::iter::successors(log.next_unsettled(0), |&number| log.next_unsettled(number + 1)).collect();
        for number in numbers {
            log.settle(number);
            assert!(log.commit().is_ok(), "octet {octet}");
        }
        assert_eq!(log.unsettled(), 0);
        append(&mut log);
    }
}

/// Three records of acknowledgements named what is one range, as long as all three were there. A bit flipped in the second,
/// and the footer, of which nobody had kept room for another range, was written over the last message.
#[test]
fn a_footer_that_grew_by_damage_overwrites_nothing() {
    let mut log = open(MemoryStorage::new());
    log.enter_all(&[Message::new(&[7; 8]); 9], Instant::START).expect("there is room");
    let mut middle = 0;
    for number in [0, 2, 1] {
        middle = log.tail().end;
        assert!(log.settle(number));
        log.commit().expect("there is room for an acknowledgement");
    }
    // To the last octet before the footer.
    let rest = log.segment_len - log.tail().end - log.tail().footer_len();
    let len = rest - crate::format::record::HEADER_LEN - 8;
    log.enter_all(&[Message::new(&alloc::vec![9; len as usize])], Instant::START).expect("there is room");
    log.commit().expect("the storage works");
    assert!(log.tail().end + log.tail().footer_len() + 8 > log.segment_len, "the segment is full");
    let last = log.next() - 1;
    let mut storage = log.into_storage();
    storage.damage(crate::SegmentNumber::new(0), |octets| octets[middle as usize + 32] ^= 1);
    let mut log = open(storage);
    assert_eq!(log.tail().pairs(), 2, "the ranges are apart");
    append(&mut log);
    assert_eq!(log.segments().0, 2);
    let mut window = Window::default();
    let found = log.read(last, &mut window).expect("the storage works");
    assert!(matches!(found, Lookup::Message { .. }), "message {last} is lost");
    // What found no room there is recorded in the next segment.
    log.commit().expect("the storage works");
    let mut storage = log.into_storage();
    storage.crash(|_| Fate::Lost);
    assert_eq!(open(storage).next_unsettled(0), Some(1));
}

/// A message turned out to be damaged, and before the call that found it had returned its segment was used again: nobody
/// heard of it.
#[test]
fn a_segment_stays_until_its_losses_could_be_heard_of() {
    let mut log = open(MemoryStorage::new());
    while log.segments().0 == 1 {
        append(&mut log);
    }
    let last = log.next() - 1;
    (1..last).for_each(|number| assert!(log.settle(number)));
    log.lose(0);
    for _ in 0..5 {
        log.enter_control(crate::format::record::FIRST_CONTROL, &[1]).expect("there is room");
        log.commit().expect("the storage works");
        assert_eq!(log.losses().count(), 1);
    }
    // Nor when there is no other room.
    while log.enter_control(crate::format::record::FIRST_CONTROL, &[1; 500]).is_ok() {}
    assert_eq!(log.losses().count(), 1);
    log.tell_losses();
    log.commit().expect("the storage works");
    assert_eq!(log.losses().count(), 0);
}
