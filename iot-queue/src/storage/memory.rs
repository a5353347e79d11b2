use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::ops::Range;

use super::{Operation, SegmentExtent, SegmentNumber, Storage, StorageError};

/// Segments in memory, with what a disk does to them when the power fails: for tests, and for queues that need not
/// outlive their process.
///
/// A write waits as *unsynced* until the sync of its segment. [`crash`](Self::crash) decides what became of each.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    segments: BTreeMap<SegmentNumber, Segment>,
    faults: Vec<(Fault, u64)>,
    hidden: Vec<(SegmentNumber, Range<usize>)>,
}

/// What a power cut makes of one write that no sync covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of it reached the medium.
    Kept,
    /// None of it did.
    Lost,
    /// Only so many octets at its front did.
    TornAfter(usize),
    /// Everything but so many octets at its front did.
    TornBefore(usize),
}

/// What fails, each time it is asked for once it began to, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Syncs of segments, without making anything durable.
    Sync,
    /// One sync of a segment, as systems fail that take what they could not write for written: it stays readable, a
    /// later sync succeeds and does not cover it, and a crash takes it.
    OneSync,
    /// Writes, after half of their octets.
    Write,
    /// Everything: the power is cut. The write that it interrupts waits as unsynced.
    Power,
    /// Allocations: the medium is full.
    Space,
}

#[derive(Clone, Debug, Default)]
struct Segment {
    /// What reads see.
    present: Vec<u8>,
    /// What a crash leaves for certain.
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    entry: Entry,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Entry {
    #[default]
    Unsynced,
    Durable,
}

impl MemoryStorage {
    /// An empty medium that never fails by itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `fault` happen for good once `after` more operations of its kind have succeeded.
    pub fn inject(&mut self, fault: Fault, after: u64) {
        self.faults.push((fault, after));
    }

    /// Lets reads fail that touch these octets of `segment`, until the next [`crash`](Self::crash).
    pub fn hide(&mut self, segment: SegmentNumber, octets: Range<usize>) {
        self.hidden.push((segment, octets));
    }

    /// Cuts the power and puts it back: asks for the fate of every unsynced write, oldest first in each segment, by its
    /// length, and forgets segments whose existence was not synced. Injected faults end.
    pub fn crash(&mut self, mut fate: impl FnMut(usize) -> Fate) {
        self.faults.clear();
        self.hidden.clear();
        self.segments.retain(|_, segment| segment.entry == Entry::Durable);
        for segment in self.segments.values_mut() {
            for (position, bytes) in core::mem::take(&mut segment.unsynced) {
                let kept = match fate(bytes.len()) {
                    Fate::Kept => 0..bytes.len(),
                    Fate::Lost => 0..0,
                    Fate::TornAfter(octets) => 0..octets.min(bytes.len()),
                    Fate::TornBefore(octets) => octets.min(bytes.len())..bytes.len(),
                };
                segment.durable[position + kept.start..position + kept.end].copy_from_slice(&bytes[kept]);
            }
            segment.present.clone_from(&segment.durable);
        }
    }

    /// The octets of a segment, as reads see them, to damage them on purpose: what is changed counts as durable.
    pub fn damage(&mut self, segment: SegmentNumber, change: impl FnOnce(&mut [u8])) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            change(&mut segment.present);
            segment.durable.clone_from(&segment.present);
        }
    }

    fn fails(&mut self, fault: Fault) -> bool {
        self.faults.iter_mut().any(|(planned, after)| {
            let counts = *planned == fault || *planned == Fault::Power;
            let now = counts && *after == 0;
            *after -= u64::from(counts && !now);
            now
        })
    }

    /// Whether this sync is the one that [`Fault::OneSync`] is about.
    fn forgets(&mut self) -> bool {
        let due = self.faults.iter().position(|&(planned, after)| planned == Fault::OneSync && after == 0);
        self.faults.iter_mut().filter(|(planned, _)| *planned == Fault::OneSync).for_each(|(_, after)| {
            *after = after.saturating_sub(1);
        });
        due.map(|at| self.faults.remove(at)).is_some()
    }

    fn segment(&mut self, segment: SegmentNumber) -> Result<&mut Segment, StorageError> {
        self.segments.get_mut(&segment).ok_or(StorageError::MissingSegment { segment })
    }
}

impl Storage for MemoryStorage {
    type Syncer = Infallible;

    /// Less than a disk's, so that small segments have some.
    fn page_len(&self) -> u32 {
        512
    }

    fn list(&self) -> Result<Vec<SegmentExtent>, StorageError> {
        let extent =
            |(&segment, held): (&SegmentNumber, &Segment)| SegmentExtent { segment, len: held.present.len() as u64 };
        Ok(self.segments.iter().map(extent).collect())
    }

    fn allocate(&mut self, segment: SegmentNumber, len: u32) -> Result<(), StorageError> {
        let operation = Operation::Allocate(segment);
        if self.fails(Fault::Space) {
            return Err(StorageError::NoSpace { operation });
        }
        let held = self.segments.entry(segment).or_default();
        if held.present.len() < len as usize {
            held.present.resize(len as usize, 0);
            held.durable.resize(len as usize, 0);
        }
        Ok(())
    }

    fn read_at(&self, segment: SegmentNumber, position: u32, buffer: &mut [u8]) -> Result<(), StorageError> {
        let held = self.segments.get(&segment).ok_or(StorageError::MissingSegment { segment })?;
        let (start, end) = (position as usize, position as usize + buffer.len());
        if self.hidden.iter().any(|(of, hidden)| *of == segment && hidden.start < end && start < hidden.end) {
            return Err(StorageError::Io { operation: Operation::Read(segment), code: 5 });
        }
        let rest = held.present.get(position as usize..).unwrap_or_default();
        let (found, past_the_end) = buffer.split_at_mut(rest.len().min(buffer.len()));
        found.copy_from_slice(&rest[..found.len()]);
        past_the_end.fill(0);
        Ok(())
    }

    fn write_at(&mut self, segment: SegmentNumber, position: u32, bytes: &[u8]) -> Result<(), StorageError> {
        let fails = self.fails(Fault::Write);
        let held = self.segment(segment)?;
        let operation = Operation::Write(segment);
        let position = position as usize;
        let written = if fails { &bytes[..bytes.len() / 2] } else { bytes };
        let Some(target) = held.present.get_mut(position..position + written.len()) else {
            return Err(StorageError::NoSpace { operation });
        };
        target.copy_from_slice(written);
        held.unsynced.push((position, written.to_vec()));
        if fails { Err(StorageError::Io { operation, code: 5 }) } else { Ok(()) }
    }

    fn sync(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        if self.fails(Fault::Sync) {
            return Err(StorageError::Io { operation: Operation::Sync(segment), code: 5 });
        }
        if self.forgets() {
            self.segment(segment)?.unsynced.clear();
            return Err(StorageError::Io { operation: Operation::Sync(segment), code: 5 });
        }
        let held = self.segment(segment)?;
        for (position, bytes) in core::mem::take(&mut held.unsynced) {
            held.durable[position..position + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.segments.remove(&segment).map(drop).ok_or(StorageError::MissingSegment { segment })
    }

    fn sync_directory(&mut self) -> Result<(), StorageError> {
        if self.fails(Fault::Power) {
            return Err(StorageError::Io { operation: Operation::SyncDirectory, code: 5 });
        }
        self.segments.values_mut().for_each(|segment| segment.entry = Entry::Durable);
        Ok(())
    }
}
