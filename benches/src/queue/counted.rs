//! Syncs, counted: what leases cost beside appends.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use iot_core::Instant;
use iot_queue::{FileStorage, Message, Queue, QueueConfig, SegmentExtent, SegmentNumber, Storage, StorageError};

use super::{PAYLOADS, Place};
use crate::measure::Effort;
use crate::report::{Failure, Row};

/// No sync for reserving and acknowledging while appends flow.
pub(super) fn lease_syncs(effort: Effort) -> Result<Row, Failure> {
    let messages = effort.choose(5_000, 50);
    let alone = syncs(messages, |_| Ok(()))?;
    let leased = syncs(messages, |queue| {
        for leased in queue.reserve(Instant::START, Duration::from_secs(60), 1)? {
            queue.ack(leased.lease)?;
        }
        Ok(())
    })?;
    let extra = leased.saturating_sub(alone);
    Ok(Row::count(extra, &[], "syncs", 0).with_note(&format!("{leased} with a lease a message, {alone} without")))
}

/// The syncs of so many durable appends, `between` which something else is done.
fn syncs(messages: u32, between: impl Fn(&mut Queue<Counting>) -> Result<(), Failure>) -> Result<u64, Failure> {
    let place = Place::new()?;
    let syncs = Rc::new(Cell::new(0));
    let storage = Counting { files: FileStorage::open(&place.fresh("counted")?)?, syncs: Rc::clone(&syncs) };
    let mut queue = Queue::open(storage, QueueConfig::default(), *b"drawn it")?;
    syncs.set(0);
    for _ in 0..messages {
        queue.append(&Message::new(&PAYLOADS[0]))?;
        between(&mut queue)?;
    }
    Ok(syncs.get())
}

/// Files, and a count of their syncs.
struct Counting {
    files: FileStorage,
    syncs: Rc<Cell<u64>>,
}

impl Counting {
    fn count(&self) {
        self.syncs.set(self.syncs.get() + 1);
    }
}

impl Storage for Counting {
    type Syncer = Infallible;

    fn list(&self) -> Result<Vec<SegmentExtent>, StorageError> {
        self.files.list()
    }

    fn allocate(&mut self, segment: SegmentNumber, len: u32) -> Result<(), StorageError> {
        self.files.allocate(segment, len)
    }

    fn read_at(&self, segment: SegmentNumber, position: u32, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.files.read_at(segment, position, buffer)
    }

    fn write_at(&mut self, segment: SegmentNumber, position: u32, bytes: &[u8]) -> Result<(), StorageError> {
        self.files.write_at(segment, position, bytes)
    }

    fn sync(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.count();
        self.files.sync(segment)
    }

    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.files.remove(segment)
    }

    fn sync_directory(&mut self) -> Result<(), StorageError> {
        self.count();
        self.files.sync_directory()
    }
}
