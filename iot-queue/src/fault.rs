//! Safeguards of the queue that a test can switch off, to show that the simulator would notice. Exists only under
//! `--cfg iot_fault`, which no feature and no option sets.
//!
//! `tests/sim_power.rs` switches them off one at a time, and `docs/durability.md` lists how many seeds each survives.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::storage::{SegmentNumber, Storage, StorageError};

/// A sync, a check or a precaution that `docs/formats/queue.md` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The sync of a segment's octets when it is allocated.
    AllocationSync,
    /// The sync of the directory after an allocation.
    DirectorySync,
    /// The sync of a segment's header before its first record.
    HeaderSync,
    /// The sync of a segment and its footer before the next header.
    FooterSync,
    /// The sync that an opening makes before what it found counts as durable.
    OpeningSync,
    /// The sync of a commit.
    CommitSync,
    /// The checksum of a record's header.
    RecordHeaderCrc,
    /// The checksum of a record's body.
    BodyCrc,
    /// The checksum of a footer's places and ranges.
    IndexCrc,
    /// The checksum of a footer's trailer.
    TrailerCrc,
    /// The checksum of a segment's header.
    SegmentHeaderCrc,
    /// The room that appends leave for acknowledgements.
    Reserve,
    /// The commit mark in each record.
    CommitMark,
    /// The record of what a recovery missed where no sync is known to have covered it.
    UncertaintyRecord,
    /// The generation below which lives are retired, in each segment's header.
    RetiredBelow,
    /// The sync of messages that were moved, before the segment that they left is used again.
    MoveSync,
    /// The records of attempts, dead letters and delays.
    LeaseRecord,
    /// What each segment begins with again: positions, identifiers, cursors, drops.
    Standing,
    /// The record of what is dropped, before it is.
    DropRecord,
    /// The signature of that record.
    GapSignature,
    /// The records of places of cursors.
    CursorRecord,
    /// The record that a cursor is gone.
    CursorDeletion,
    /// That a segment stays while a cursor needs it.
    CursorHold,
    /// That a group's cursor stops before what is not acknowledged.
    GroupOrder,
    /// That a message is with one holder at a time.
    Exclusion,
    /// That a touched lease ends later.
    Touch,
    /// That a lease which has ended is refused.
    Token,
    /// That a message waits for the earlier ones of its key.
    KeyOrder,
    /// That the most urgent lane goes first.
    LaneOrder,
    /// That a message waits for its delay.
    Delay,
    /// The identifiers of messages since the last checkpoint.
    IdentifierWindow,
    /// That what failed often enough becomes a dead letter.
    MaxAttempts,
    /// That what nobody needs stays as long as retention says.
    Retention,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 33] = [
        Self::AllocationSync,
        Self::DirectorySync,
        Self::HeaderSync,
        Self::FooterSync,
        Self::OpeningSync,
        Self::CommitSync,
        Self::RecordHeaderCrc,
        Self::BodyCrc,
        Self::IndexCrc,
        Self::TrailerCrc,
        Self::SegmentHeaderCrc,
        Self::Reserve,
        Self::CommitMark,
        Self::UncertaintyRecord,
        Self::RetiredBelow,
        Self::MoveSync,
        Self::LeaseRecord,
        Self::Standing,
        Self::DropRecord,
        Self::GapSignature,
        Self::CursorRecord,
        Self::CursorDeletion,
        Self::CursorHold,
        Self::GroupOrder,
        Self::Exclusion,
        Self::Touch,
        Self::Token,
        Self::KeyOrder,
        Self::LaneOrder,
        Self::Delay,
        Self::IdentifierWindow,
        Self::MaxAttempts,
        Self::Retention,
    ];

    const fn bit(self) -> u64 {
        1 << self as u32
    }
}

static LOSES_WAKEUPS: AtomicBool = AtomicBool::new(false);

/// Lets the end of a shared sync wake one of those who wait for it, not all: what the model check of the shared queue
/// must find.
pub fn lose_wakeups() {
    LOSES_WAKEUPS.store(true, Ordering::SeqCst);
}

#[cfg(feature = "std")]
pub(crate) fn loses_wakeups() -> bool {
    LOSES_WAKEUPS.load(Ordering::SeqCst)
}

static OFF: AtomicU64 = AtomicU64::new(0);

/// Switches these guards off for the whole process, and all others on.
pub fn switch_off(guards: &[Guard]) {
    OFF.store(guards.iter().map(|guard| guard.bit()).sum(), Ordering::SeqCst);
}

/// Whether the guard is switched off.
pub(crate) fn is_off(guard: Guard) -> bool {
    OFF.load(Ordering::SeqCst) & guard.bit() != 0
}

/// Syncs a segment, unless that is switched off.
pub(crate) fn sync_unless<S: Storage>(
    guard: Guard,
    storage: &mut S,
    segment: SegmentNumber,
) -> Result<(), StorageError> {
    if is_off(guard) { Ok(()) } else { storage.sync(segment) }
}
