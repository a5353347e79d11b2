use iot_core::Instant;

use crate::Message;
use crate::log::{Log, Shape};
use crate::storage::{Fate, MemoryStorage};

fn open(storage: MemoryStorage) -> Log<MemoryStorage> {
    let shape = Shape { segment_len: 4096, segments: 4, random: [3; 8] };
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
