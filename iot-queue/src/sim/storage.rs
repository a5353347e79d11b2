use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::counts::{FaultClass, FaultCounts};
use super::medium::{Extent, Fate};
use super::random::Random;
use crate::storage::{Operation, SegmentExtent, SegmentNumber, Storage, StorageError, Syncer};

/// What Linux calls EIO and ENOSPC.
const EIO: i32 = 5;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Reads of segments.
    Read,
    /// Writes to segments, after any part of their octets.
    Write,
    /// Writes to segments, for want of space, after any part of their octets.
    WriteSpace,
    /// Syncs of segments. As on Linux, what they were to cover stays in the cache, counts as clean, and is on the medium
    /// in part at the most: a second sync succeeds and changes nothing.
    Sync,
    /// Allocations: the medium is full, after any part of their octets.
    Space,
    /// Allocations, after any part of their octets.
    Allocate,
    /// Syncs of the directory, and removals.
    Directory,
    /// Everything: the power is cut, until [`SimStorage::crash`] puts it back. What it interrupts may
    /// have happened in any part.
    Power,
}

/// A simulated disk: segments behind a page cache, with everything that may go wrong with them.
///
/// It is a handle: clones share one disk, so that a test keeps one while the queue has another. It fails only as it is
/// told, and everything that is left to chance follows from the number given to [`seed`](Self::seed).
///
/// - A write goes to the cache. Killing the process ([`kill`](Self::kill)) leaves it there; a power cut
///   ([`crash`](Self::crash)) keeps any part of what no sync covered, sector by sector or octet by octet, in any order.
/// - A segment that was allocated, or removed, may be gone, or back, unless the directory was synced.
/// - [`inject`](Self::inject) and [`inject_once`](Self::inject_once) let operations fail, or cut the power in the middle
///   of one.
/// - Sectors cannot be read, as [`hide_sector`](Self::hide_sector) says, until they are written again.
/// - [`flip_bit`](Self::flip_bit) and [`zero_sector`](Self::zero_sector) change the medium behind everybody's back.
///
/// ```
/// use iot_queue::sim::SimStorage;
/// use iot_queue::{Durability, Message, Queue, QueueConfig};
///
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// let disk = SimStorage::new();
/// let config = QueueConfig::default().segment_len(256 << 10)?.durability(Durability::Manual);
/// let mut queue = Queue::open(disk.clone(), config, [1; 8])?;
/// queue.append(&Message::new(b"durable"))?;
/// queue.commit()?;
/// queue.append(&Message::new(b"perhaps"))?;
/// drop(queue);
///
/// disk.seed(7);
/// disk.crash();
/// let queue = Queue::open(disk, config, [2; 8])?;
/// assert!(queue.next_offset().number() >= 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct SimStorage {
    disk: Arc<Mutex<Disk>>,
}

/// Syncs one segment of a [`SimStorage`] from another thread.
#[derive(Clone, Debug)]
pub struct SimSyncer {
    storage: SimStorage,
    segment: SegmentNumber,
}

#[derive(Debug)]
struct Disk {
    segments: BTreeMap<SegmentNumber, Entry>,
    /// Segments whose removal is not durable.
    removed: BTreeMap<SegmentNumber, Extent>,
    /// What cannot be read.
    hidden: Vec<(SegmentNumber, Range<usize>)>,
    plans: Vec<Plan>,
    power: Power,
    random: Random,
    counts: FaultCounts,
    /// Operations that failed since somebody last asked to forget them.
    failures: u64,
}

#[derive(Debug, Default)]
struct Entry {
    extent: Extent,
    existence: Existence,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Existence {
    #[default]
    Unsynced,
    Durable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    Cut,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    fault: Fault,
    after: u64,
    repeat: Repeat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    Once,
    ForGood,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            segments: BTreeMap::new(),
            removed: BTreeMap::new(),
            hidden: Vec::new(),
            plans: Vec::new(),
            power: Power::On,
            random: Random::new(0),
            counts: FaultCounts::default(),
            failures: 0,
        }
    }
}

impl SimStorage {
    /// An empty disk that never fails by itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everything that is left to chance follow from this number, from here on.
    pub fn seed(&self, seed: u64) {
        self.disk().random = Random::new(seed);
    }

    /// Lets `fault` happen for good once `after` more operations of its kind have succeeded.
    pub fn inject(&self, fault: Fault, after: u64) {
        self.disk().plans.push(Plan { fault, after, repeat: Repeat::ForGood });
    }

    /// Lets `fault` happen to one operation of its kind, once `after` others have succeeded.
    pub fn inject_once(&self, fault: Fault, after: u64) {
        self.disk().plans.push(Plan { fault, after, repeat: Repeat::Once });
    }

    /// Forgets the faults that were injected and have not happened, and those that happen for good.
    pub fn stop_faults(&self) {
        self.disk().plans.clear();
    }

    /// Ends the process that used the disk: what it wrote stays in the cache, and the faults that were injected stay too.
    /// Octets that a failed sync left in the cache alone may leave it.
    pub fn kill(&self) {
        let disk = &mut *self.disk();
        disk.counts.note(FaultClass::Kill);
        if disk.random.happens(1, 2) {
            disk.segments.values_mut().for_each(|entry| entry.extent.evict(&mut disk.counts));
        }
    }

    /// Cuts the power and puts it back: any part of what no sync covered is gone, by chance. Injected faults end.
    pub fn crash(&self) {
        let disk = &mut *self.disk();
        disk.restart();
        disk.settle_directory(Chance::Drawn);
        for entry in disk.segments.values_mut() {
            entry.extent.crash(&mut disk.random, &mut disk.counts);
        }
    }

    /// Like [`crash`](Self::crash), but `fate` says what became of each write that no sync covered, oldest first in each
    /// segment, by its length; and segments whose existence was not durable are gone.
    pub fn crash_with(&self, mut fate: impl FnMut(usize) -> Fate) {
        let disk = &mut *self.disk();
        disk.restart();
        disk.settle_directory(Chance::Worst);
        for entry in disk.segments.values_mut() {
            entry.extent.crash_with(&mut fate);
        }
    }

    /// Whether an injected [`Fault::Power`] has happened and nobody has restarted the disk.
    pub fn is_without_power(&self) -> bool {
        self.disk().power == Power::Cut
    }

    /// What went wrong so far.
    pub fn counts(&self) -> FaultCounts {
        self.disk().counts.clone()
    }

    /// The octets of a segment, as reads see them, to damage them on purpose: what is changed counts as durable.
    pub fn damage(&self, segment: SegmentNumber, change: impl FnOnce(&mut [u8])) {
        if let Some(entry) = self.disk().segments.get_mut(&segment) {
            entry.extent.change(change);
        }
    }

    /// Flips one bit of the medium, `bit` counted from the least of the octet. Does nothing when a write that no sync
    /// covered is about to overwrite it. Says whether it did.
    pub fn flip_bit(&self, segment: SegmentNumber, octet: u32, bit: u32) -> bool {
        let octet = octet as usize;
        self.spoil(segment, octet..octet + 1, FaultClass::BitFlipped, |octets| octets[0] ^= 1 << (bit % 8))
    }

    /// Makes zeros of octets of the medium, as [`flip_bit`](Self::flip_bit) flips one.
    pub fn zero_sector(&self, segment: SegmentNumber, octets: Range<u32>) -> bool {
        let octets = octets.start as usize..octets.end as usize;
        self.spoil(segment, octets, FaultClass::SectorZeroed, |octets| octets.fill(0))
    }

    /// Lets reads fail that touch these octets, until they are written again in part or as a whole: a power cut and a new
    /// process change nothing. Says whether the segment has them.
    pub fn hide_sector(&self, segment: SegmentNumber, octets: Range<u32>) -> bool {
        let disk = &mut *self.disk();
        let octets = octets.start as usize..octets.end as usize;
        let has = disk.segments.get(&segment).is_some_and(|entry| octets.end <= entry.extent.cache.len());
        if has {
            disk.hidden.push((segment, octets));
            disk.counts.note(FaultClass::SectorUnreadable);
        }
        has
    }

    /// Lets everything be read again, as a medium that cools down may.
    pub fn show_sectors(&self) {
        self.disk().hidden.clear();
    }

    /// Operations that failed since [`forget_failures`](Self::forget_failures).
    pub(super) fn failures(&self) -> u64 {
        self.disk().failures
    }

    pub(super) fn forget_failures(&self) {
        self.disk().failures = 0;
    }

    /// The octets of a segment, as reads see them; none when it does not exist.
    pub(super) fn octets(&self, segment: SegmentNumber) -> Vec<u8> {
        self.disk().segments.get(&segment).map(|entry| entry.extent.cache.clone()).unwrap_or_default()
    }

    fn spoil(&self, segment: SegmentNumber, octets: Range<usize>, class: FaultClass, by: impl Fn(&mut [u8])) -> bool {
        let disk = &mut *self.disk();
        let Some(entry) = disk.segments.get_mut(&segment) else { return false };
        let is_clean = octets.end <= entry.extent.cache.len() && !entry.extent.is_dirty(&octets);
        if is_clean {
            entry.extent.change_at(octets, by);
            disk.counts.note(class);
        }
        is_clean
    }

    /// A thread that panicked in a storage call leaves nothing half done that the next one could trip over.
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a power cut decides about what no sync of the directory covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chance {
    Drawn,
    Worst,
}

impl Disk {
    fn restart(&mut self) {
        self.plans.clear();
        self.power = Power::On;
        self.counts.note(FaultClass::PowerCut);
    }

    /// Decides which segments exist, durably from now on.
    fn settle_directory(&mut self, chance: Chance) {
        let (random, counts) = (&mut self.random, &mut self.counts);
        self.segments.retain(|_, entry| {
            let stays = entry.existence == Existence::Durable || (chance == Chance::Drawn && random.happens(1, 2));
            entry.existence = Existence::Durable;
            if !stays {
                counts.note(FaultClass::EntryLost);
            }
            stays
        });
        for (segment, extent) in core::mem::take(&mut self.removed) {
            if chance == Chance::Drawn && random.happens(1, 2) && !self.segments.contains_key(&segment) {
                counts.note(FaultClass::EntryBack);
                self.segments.insert(segment, Entry { extent, existence: Existence::Durable });
            }
        }
    }

    /// Which of these faults happens to the operation at hand, if any does. Each counts the operation.
    fn fault(&mut self, faults: &[Fault]) -> Option<Fault> {
        if self.power == Power::Cut {
            self.failures += 1;
            return Some(Fault::Power);
        }
        let mut happening = None;
        self.plans.retain_mut(|plan| {
            if plan.fault != Fault::Power && !faults.contains(&plan.fault) {
                return true;
            }
            if plan.after > 0 {
                plan.after -= 1;
                return true;
            }
            happening = Some(plan.fault);
            plan.repeat == Repeat::ForGood
        });
        if happening == Some(Fault::Power) {
            self.power = Power::Cut;
            self.counts.note(FaultClass::PowerCutInOperation);
        }
        self.failures += u64::from(happening.is_some());
        happening
    }

    fn extent(&mut self, segment: SegmentNumber) -> Result<&mut Extent, StorageError> {
        let entry = self.segments.get_mut(&segment).ok_or(StorageError::MissingSegment { segment })?;
        Ok(&mut entry.extent)
    }

    fn read(&mut self, segment: SegmentNumber, position: usize, buffer: &mut [u8]) -> Result<(), StorageError> {
        match self.fault(&[Fault::Read]) {
            None => {}
            Some(Fault::Power) => return Err(failed(Operation::Read(segment))),
            Some(_) => {
                self.counts.note(FaultClass::ReadFailed);
                return Err(failed(Operation::Read(segment)));
            }
        }
        let octets = position..position + buffer.len();
        if self.hidden.iter().any(|(of, hidden)| *of == segment && overlap(hidden, &octets)) {
            self.failures += 1;
            self.counts.note(FaultClass::ReadFailed);
            return Err(failed(Operation::Read(segment)));
        }
        let cache = &self.extent(segment)?.cache;
        let rest = cache.get(position..).unwrap_or_default();
        let (found, past_the_end) = buffer.split_at_mut(rest.len().min(buffer.len()));
        found.copy_from_slice(&rest[..found.len()]);
        past_the_end.fill(0);
        Ok(())
    }

    fn write(&mut self, segment: SegmentNumber, position: usize, bytes: &[u8]) -> Result<(), StorageError> {
        let operation = Operation::Write(segment);
        let was_without_power = self.power == Power::Cut;
        let fault = self.fault(&[Fault::Write, Fault::WriteSpace]);
        let part = self.random.index(bytes.len() + 1);
        let octets = position..position + bytes.len();
        if !was_without_power {
            self.hidden.retain(|(of, hidden)| *of != segment || !overlap(hidden, &octets));
        }
        let extent = self.extent(segment)?;
        match fault {
            None if position + bytes.len() > extent.cache.len() => Err(StorageError::NoSpace { operation }),
            None => {
                extent.write(position, bytes);
                Ok(())
            }
            Some(Fault::Power) => {
                if !was_without_power {
                    extent.write(position, bytes);
                }
                Err(failed(operation))
            }
            Some(Fault::WriteSpace) => {
                extent.write(position, &bytes[..part]);
                self.counts.note(FaultClass::WriteWithoutSpace);
                Err(StorageError::NoSpace { operation })
            }
            Some(_) => {
                extent.write(position, &bytes[..part]);
                self.counts.note(FaultClass::WriteFailed);
                Err(failed(operation))
            }
        }
    }

    fn sync(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        let fault = self.fault(&[Fault::Sync]);
        let operation = Operation::Sync(segment);
        let entry = self.segments.get_mut(&segment).ok_or(StorageError::MissingSegment { segment })?;
        match fault {
            None => {
                entry.extent.sync();
                Ok(())
            }
            Some(Fault::Power) => Err(failed(operation)),
            Some(_) => {
                self.counts.note(FaultClass::SyncFailed);
                entry.extent.fail_sync(&mut self.random, &mut self.counts);
                if self.random.happens(1, 4) {
                    entry.extent.evict(&mut self.counts);
                }
                Err(failed(operation))
            }
        }
    }

    fn allocate(&mut self, segment: SegmentNumber, len: usize) -> Result<(), StorageError> {
        let operation = Operation::Allocate(segment);
        let was_without_power = self.power == Power::Cut;
        let fault = self.fault(&[Fault::Space, Fault::Allocate]);
        if fault.is_some() && was_without_power {
            return Err(failed(operation));
        }
        let part = self.random.index(len.max(1));
        let entry = self.segments.entry(segment).or_default();
        match fault {
            None => {
                entry.extent.lengthen(len);
                #[cfg(iot_fault)]
                if crate::fault::is_off(crate::fault::Guard::AllocationSync) {
                    return Ok(());
                }
                entry.extent.settle_len();
                Ok(())
            }
            Some(fault) => {
                entry.extent.lengthen(part);
                match fault {
                    Fault::Power => {}
                    Fault::Space => self.counts.note(FaultClass::AllocationWithoutSpace),
                    _ => self.counts.note(FaultClass::AllocationFailed),
                }
                Err(if fault == Fault::Space { StorageError::NoSpace { operation } } else { failed(operation) })
            }
        }
    }

    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        match self.fault(&[Fault::Directory]) {
            None => {}
            Some(Fault::Power) => return Err(failed(Operation::Remove(segment))),
            Some(_) => {
                self.counts.note(FaultClass::RemovalFailed);
                return Err(failed(Operation::Remove(segment)));
            }
        }
        let entry = self.segments.remove(&segment).ok_or(StorageError::MissingSegment { segment })?;
        if entry.existence == Existence::Durable {
            self.removed.insert(segment, entry.extent);
        }
        Ok(())
    }

    fn sync_directory(&mut self) -> Result<(), StorageError> {
        match self.fault(&[Fault::Directory]) {
            None => {
                self.segments.values_mut().for_each(|entry| entry.existence = Existence::Durable);
                self.removed.clear();
                Ok(())
            }
            Some(Fault::Power) => Err(failed(Operation::SyncDirectory)),
            Some(_) => {
                self.counts.note(FaultClass::DirectorySyncFailed);
                Err(failed(Operation::SyncDirectory))
            }
        }
    }
}

impl Storage for SimStorage {
    type Syncer = SimSyncer;

    fn list(&self) -> Result<Vec<SegmentExtent>, StorageError> {
        let disk = self.disk();
        if disk.power == Power::Cut {
            return Err(failed(Operation::List));
        }
        let extent = |(&segment, entry): (&SegmentNumber, &Entry)| SegmentExtent {
            segment,
            len: entry.extent.cache.len() as u64,
        };
        Ok(disk.segments.iter().map(extent).collect())
    }

    fn allocate(&mut self, segment: SegmentNumber, len: u32) -> Result<(), StorageError> {
        self.disk().allocate(segment, len as usize)
    }

    fn read_at(&self, segment: SegmentNumber, position: u32, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.disk().read(segment, position as usize, buffer)
    }

    fn write_at(&mut self, segment: SegmentNumber, position: u32, bytes: &[u8]) -> Result<(), StorageError> {
        self.disk().write(segment, position as usize, bytes)
    }

    fn sync(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.disk().sync(segment)
    }

    fn syncer(&mut self, segment: SegmentNumber) -> Result<Option<SimSyncer>, StorageError> {
        Ok(Some(SimSyncer { storage: self.clone(), segment }))
    }

    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.disk().remove(segment)
    }

    fn sync_directory(&mut self) -> Result<(), StorageError> {
        self.disk().sync_directory()
    }
}

impl Syncer for SimSyncer {
    fn sync(&self) -> Result<(), StorageError> {
        self.storage.disk().sync(self.segment)
    }
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

const fn failed(operation: Operation) -> StorageError {
    StorageError::Io { operation, code: EIO }
}

#[cfg(test)]
mod tests;
