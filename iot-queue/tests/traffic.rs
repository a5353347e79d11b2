//! What the queue asks of its storage: how many writes and syncs, and how much it reads.

use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::time::Duration;
use std::collections::BTreeSet;
use std::rc::Rc;

use iot_core::Instant;
use iot_queue::{
    Durability, Fate, GapCause, MemoryStorage, Message, Offset, Queue, QueueConfig, SegmentExtent, SegmentNumber,
    Storage, StorageError,
};

const MINUTE: Duration = Duration::from_secs(60);
/// What a file system writes at the least.
const PAGE: u32 = 4096;

#[derive(Clone, Debug, Default)]
struct Counts {
    writes: Rc<Cell<u64>>,
    syncs: Rc<Cell<u64>>,
    octets_read: Rc<Cell<u64>>,
    /// Pages that were written since the last sync of their segment, and how many there were in all.
    dirty: Rc<RefCell<BTreeSet<(SegmentNumber, u32)>>>,
    pages: Rc<Cell<u64>>,
}

impl Counts {
    fn taken(&self) -> (u64, u64, u64) {
        (self.writes.take(), self.syncs.take(), self.octets_read.take())
    }
}

#[derive(Debug, Default)]
struct Counting {
    storage: MemoryStorage,
    counts: Counts,
}

impl Storage for Counting {
    type Syncer = Infallible;

    fn page_len(&self) -> u32 {
        PAGE
    }

    fn list(&self) -> Result<Vec<SegmentExtent>, StorageError> {
        self.storage.list()
    }

    fn allocate(&mut self, segment: SegmentNumber, len: u32) -> Result<(), StorageError> {
        self.storage.allocate(segment, len)
    }

    fn read_at(&self, segment: SegmentNumber, position: u32, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.counts.octets_read.set(self.counts.octets_read.get() + buffer.len() as u64);
        self.storage.read_at(segment, position, buffer)
    }

    fn write_at(&mut self, segment: SegmentNumber, position: u32, bytes: &[u8]) -> Result<(), StorageError> {
        self.counts.writes.set(self.counts.writes.get() + 1);
        let last = position + bytes.len().max(1) as u32 - 1;
        self.counts.dirty.borrow_mut().extend((position / PAGE..=last / PAGE).map(|page| (segment, page)));
        self.storage.write_at(segment, position, bytes)
    }

    fn sync(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.counts.syncs.set(self.counts.syncs.get() + 1);
        let mut dirty = self.counts.dirty.borrow_mut();
        let before = dirty.len();
        dirty.retain(|&(other, _)| other != segment);
        self.counts.pages.set(self.counts.pages.get() + (before - dirty.len()) as u64);
        drop(dirty);
        self.storage.sync(segment)
    }

    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.storage.remove(segment)
    }

    fn sync_directory(&mut self) -> Result<(), StorageError> {
        self.storage.sync_directory()
    }
}

fn config(durability: Durability) -> QueueConfig {
    let config = QueueConfig::default().segment_len(128 << 10).and_then(|config| config.segments(16));
    config.expect("in range").durability(durability)
}

fn open(storage: Counting, durability: Durability) -> Queue<Counting> {
    Queue::open(storage, config(durability), [1; 8]).expect("nothing is wrong with the storage")
}

#[test]
fn an_append_is_one_write_and_where_asked_for_one_sync() {
    for (durability, syncs) in [(Durability::Manual, 0), (Durability::EachMessage, 1)] {
        let storage = Counting::default();
        let counts = storage.counts.clone();
        let mut queue = open(storage, durability);
        counts.taken();
        queue.append(&Message::new(b"a")).expect("there is room");
        assert_eq!(counts.taken(), (1, syncs, 0));
        queue.append_batch(&[Message::new(b"b"); 64]).expect("there is room");
        assert_eq!(counts.taken(), (1, syncs, 0));
    }
}

#[test]
fn acknowledgements_travel_with_the_next_durable_append() {
    let storage = Counting::default();
    let counts = storage.counts.clone();
    let mut queue = open(storage, Durability::EachMessage);
    queue.append_batch(&[Message::new(b"a"); 9]).expect("there is room");
    let leased = queue.reserve(Instant::START, MINUTE, 9).expect("the storage works");
    counts.taken();
    leased.into_iter().for_each(|leased| queue.ack(leased.lease).expect("it is held"));
    assert_eq!(counts.taken(), (0, 0, 0));
    queue.append(&Message::new(b"b")).expect("there is room");
    assert_eq!(counts.taken(), (1, 1, 0));
    let mut queue = open(queue.into_storage(), Durability::EachMessage);
    assert_eq!(queue.reserve(Instant::START, MINUTE, 99).expect("the storage works").len(), 1);
}

/// Pages that a file system would write, of 4096 octets, footers and headers of segments included.
#[test]
fn a_durable_message_of_256_octets_costs_little_more_than_its_page_or_its_share_of_a_batch() {
    for (batch, count, bound) in [(1, 20_000, 4352), (64, 40_000, 330)] {
        let storage = Counting::default();
        let counts = storage.counts.clone();
        let config =
            QueueConfig::default().segment_len(1 << 20).and_then(|config| config.segments(4)).expect("in range");
        let mut queue = Queue::open(storage, config, [1; 8]).expect("a new queue");
        counts.pages.take();
        let mut appended = 0;
        while appended < count {
            let offset = queue.append_batch(&vec![Message::new(&[7; 256]); batch]).expect("there is room");
            appended += batch as u64;
            // Segments are used again and again.
            if appended % 1024 == 0 {
                queue.ack_before(offset).expect("the storage works");
            }
        }
        let octets = counts.pages.get() * u64::from(PAGE) / appended;
        assert!(octets <= bound, "{octets} octets a message, {batch} at a time");
    }
}

#[test]
fn opening_reads_one_segment_and_the_footers() {
    let storage = Counting::default();
    let counts = storage.counts.clone();
    let mut queue = open(storage, Durability::Manual);
    let count = 4000;
    for _ in 0..count {
        queue.append(&Message::new(&[7; 200])).expect("there is room");
    }
    let (used, segments) = (u64::from(queue.stats().segments_used), u64::from(queue.stats().segments));
    assert!(used > 7, "{used}");
    counts.taken();
    let queue = open(queue.into_storage(), Durability::Manual);
    assert_eq!(queue.stats().depth, count);
    let (_, _, octets) = counts.taken();
    let footers = 4 * count + used * (64 + 8);
    // The newest segment is read piece by piece, and the pieces overlap a little where a record crosses their border.
    let newest = (128 << 10) + 1024;
    // Each segment begins with a checkpoint, which is read with what follows it.
    let checkpoints = used * 4096;
    assert!(octets <= newest + footers + checkpoints + segments * (1024 + 64), "{octets} octets");
}

#[test]
fn a_torn_tail_is_cut_behind_the_last_sound_record() {
    // The torn record's header has 32 octets: without all of them nothing stands there, with them its number does.
    for (kept, next, lost, cut) in [(0, 2, 0, 0), (1, 2, 0, 1), (31, 2, 0, 1), (32, 3, 1, 0), (50, 3, 1, 0)] {
        let mut queue = open(Counting::default(), Durability::Manual);
        queue.append_batch(&[Message::new(b"sound"); 2]).expect("there is room");
        queue.commit().expect("the storage works");
        queue.append(&Message::new(b"this message is torn somewhere")).expect("there is room");
        let mut storage = queue.into_storage();
        storage.storage.crash(|_| Fate::TornAfter(kept));
        let mut queue = open(storage, Durability::Manual);
        assert_eq!(queue.next_offset(), Offset::new(next), "{kept} octets");
        let gaps: Vec<_> = queue.gaps().map(|gap| (gap.from.number(), gap.cause)).collect();
        assert_eq!(gaps, [(2, GapCause::Uncertain)][..lost], "{kept} octets");
        assert_eq!(queue.stats().cut > 0, cut > 0, "{kept} octets: {:?}", queue.stats());
        queue.append(&Message::new(b"after")).expect("there is room");
        queue.commit().expect("the storage works");
        let mut queue = open(queue.into_storage(), Durability::Manual);
        let payloads = queue.reserve(Instant::START, MINUTE, 9).expect("the storage works");
        let payloads: Vec<_> = payloads.into_iter().map(|leased| leased.payload).collect();
        assert_eq!(payloads, [&b"sound"[..], b"sound", b"after"], "{kept} octets");
        assert_eq!(queue.gaps().count(), lost, "{kept} octets");
    }
}

#[test]
fn opening_after_a_clean_end_reads_no_record() {
    let storage = Counting::default();
    let counts = storage.counts.clone();
    let mut queue = open(storage, Durability::Manual);
    for _ in 0..700 {
        queue.append(&Message::new(&[7; 200])).expect("there is room");
    }
    let segments = u64::from(queue.stats().segments);
    let storage = queue.close().expect("the storage works");
    counts.taken();
    let queue = open(storage, Durability::Manual);
    assert_eq!((queue.stats().depth, queue.durable()), (700, Offset::new(700)));
    let (_, _, octets) = counts.taken();
    assert!(octets <= 4 * 700 + segments * (1024 + 64) + 2 * 4096 + 200, "{octets} octets");
}
