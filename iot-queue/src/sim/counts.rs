use alloc::collections::BTreeMap;
use core::fmt;

/// What a [`SimStorage`](super::SimStorage) did to whoever used it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultClass {
    /// A read failed (EIO).
    ReadFailed,
    /// A write failed (EIO), after any part of its octets.
    WriteFailed,
    /// A write found no space (ENOSPC), after any part of its octets.
    WriteWithoutSpace,
    /// A sync failed (EIO): what it was to cover is in the cache, counts as clean, and is on the medium in part.
    SyncFailed,
    /// An allocation failed (EIO), after any part of its octets.
    AllocationFailed,
    /// An allocation found no space (ENOSPC), after any part of its octets.
    AllocationWithoutSpace,
    /// A sync of the directory failed (EIO).
    DirectorySyncFailed,
    /// The removal of a segment failed (EIO).
    RemovalFailed,
    /// The process ended, and what it had written stayed in the cache.
    Kill,
    /// The power was cut.
    PowerCut,
    /// The power was cut in the middle of an operation.
    PowerCutInOperation,
    /// At a power cut, a piece of a write was on the medium already, although no sync had covered it.
    Kept,
    /// At a power cut, a piece of a write was not on the medium.
    Lost,
    /// At a power cut, some octets of a sector were on the medium and others were not.
    Torn,
    /// At a power cut, a write was on the medium over a later one.
    Reordered,
    /// At a power cut, a segment was gone whose existence was not durable.
    EntryLost,
    /// At a power cut, a segment was there again whose removal was not durable.
    EntryBack,
    /// At a power cut, a segment was shorter than had been asked for.
    Shortened,
    /// Clean octets left the cache and were read from the medium again, which held others since a sync had failed.
    Evicted,
    /// A bit of the medium changed by itself.
    BitFlipped,
    /// A sector of the medium became zeros.
    SectorZeroed,
    /// A sector of the medium cannot be read until it is written again.
    SectorUnreadable,
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadFailed => "reads failed (EIO)",
            Self::WriteFailed => "writes failed (EIO), in part",
            Self::WriteWithoutSpace => "writes without space (ENOSPC), in part",
            Self::SyncFailed => "syncs failed (EIO), and left the pages clean",
            Self::AllocationFailed => "allocations failed (EIO), in part",
            Self::AllocationWithoutSpace => "allocations without space (ENOSPC), in part",
            Self::DirectorySyncFailed => "directory syncs failed (EIO)",
            Self::RemovalFailed => "removals failed (EIO)",
            Self::Kill => "processes killed",
            Self::PowerCut => "power cuts",
            Self::PowerCutInOperation => "power cuts in the middle of an operation",
            Self::Kept => "unsynced pieces of writes kept",
            Self::Lost => "unsynced pieces of writes lost",
            Self::Torn => "sectors torn",
            Self::Reordered => "writes reordered",
            Self::EntryLost => "directory entries lost",
            Self::EntryBack => "removed segments back",
            Self::Shortened => "segments shortened",
            Self::Evicted => "caches dropped",
            Self::BitFlipped => "bits flipped",
            Self::SectorZeroed => "sectors zeroed",
            Self::SectorUnreadable => "sectors unreadable until they are written",
        })
    }
}

/// How often each [`FaultClass`] occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts(BTreeMap<FaultClass, u64>);

impl FaultCounts {
    /// How often this class occurred.
    pub fn count(&self, class: FaultClass) -> u64 {
        self.0.get(&class).copied().unwrap_or(0)
    }

    /// The classes that occurred, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (FaultClass, u64)> + '_ {
        self.0.iter().map(|(&class, &count)| (class, count))
    }

    /// Adds what another count found.
    pub fn add(&mut self, other: &Self) {
        other.iter().for_each(|(class, count)| *self.0.entry(class).or_default() += count);
    }

    pub(super) fn note(&mut self, class: FaultClass) {
        *self.0.entry(class).or_default() += 1;
    }
}
