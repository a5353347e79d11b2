//! What can go wrong, by what was asked of the queue.

use crate::log::LogError;
use crate::offset::Offset;
use crate::storage::{SegmentNumber, StorageError};

/// Why a queue could not be opened. Damage to messages is never a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A later version of this crate wrote the segment; use that one.
    #[error("segment {segment} has format version {version}, which this version of iot-queue cannot read")]
    NewerFormat {
        /// The segment that says so.
        segment: SegmentNumber,
        /// The version that it names.
        version: u16,
    },
    /// The segment is intact and belongs to something else: another program, or another queue.
    #[error("segment {segment} does not belong to this queue")]
    Foreign {
        /// The segment that says so.
        segment: SegmentNumber,
    },
    /// The storage failed to read octets, three times, without which recovery would give up messages that may be there.
    /// Nothing was written: it may be tried again. When it never gets better,
    /// [`QueueConfig::unreadable`](crate::QueueConfig::unreadable) gives them up.
    #[error("segment {segment} cannot be read in full")]
    Unreadable {
        /// The segment.
        segment: SegmentNumber,
        /// What the storage said.
        source: StorageError,
    },
    /// The queue holds messages whose payloads are encrypted: open it with the cipher that knows their key, by
    /// [`open_encrypted`](crate::Queue::open_encrypted). Nothing is lost.
    #[error("message {offset} is encrypted, and there is no cipher")]
    Encrypted {
        /// The first such message that somebody needs.
        offset: Offset,
    },
    /// The cipher does not open the messages that the queue holds: it has another key. Nothing is lost.
    #[error("message {offset} is encrypted under another key")]
    WrongKey {
        /// A message that does not open, although it is stored as it was written.
        offset: Offset,
    },
    /// The medium failed.
    #[error("the storage of the queue failed")]
    Storage(#[from] StorageError),
}

/// Why messages were not appended. Unless the storage failed, none of them was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The caller asks for more than the queue was configured to take.
    #[error("a payload of {len} octets is longer than the limit of {limit}")]
    TooLarge {
        /// Octets of the payload.
        len: usize,
        /// The limit: the configured one, or what fits in a segment if that is less.
        limit: u32,
    },
    /// The caller gave a message a key that is longer than any may be.
    #[error("a key of {len} octets is longer than the limit of {limit}")]
    KeyTooLong {
        /// Octets of the key.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The message was appended before, by its position or its identifier; or it comes so late, behind so many others of
    /// its source, that the queue cannot tell any more. None of the batch was appended:
    /// [`append_unseen`](crate::Queue::append_unseen) appends the others.
    #[error("message {index} of those to append was appended before")]
    Duplicate {
        /// The first such message, counted from 0.
        index: usize,
    },
    /// A limit was reached: what is free is kept for acknowledging what the queue holds. Acknowledge, then append again.
    ///
    /// An append that makes room by moving messages may find one of them damaged. Its segment is not used again before the
    /// caller could hear of that by [`gaps`](crate::Queue::gaps), so that this may be the answer once although the next
    /// append finds room.
    #[error("the queue is full: what is free of its {budget} octets is kept for acknowledgements")]
    Full {
        /// Octets of all segments.
        budget: u64,
    },
    /// The oldest messages were to make room, and the [`GapSigner`](crate::GapSigner) could not sign the record of that.
    /// Nothing was dropped.
    #[error("the record of what is to be dropped could not be signed")]
    GapUnsigned,
    /// The [`PayloadCipher`](crate::PayloadCipher) could not encrypt a payload, or made it longer than it said.
    #[error("a payload could not be encrypted")]
    Unsealed,
    /// The storage failed earlier, and what it holds since the last commit is in doubt. Open the queue again.
    #[error("the queue is read-only since its storage failed")]
    ReadOnly(#[source] StorageError),
    /// The storage failed just now; the queue is read-only from here on.
    #[error("the storage of the queue failed")]
    Storage(#[source] StorageError),
}

/// Why the queue could not make durable what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// There is no room for the records of acknowledgements. Only after damage that lost many such records, or a message that
    /// was moved, which counts again in the segment that it had left free; or failures that took the segments that were free.
    /// And only until everything in the oldest segment is acknowledged, and no cursor is before its end.
    #[error("the queue has no room left for acknowledgements: its budget is {budget} octets")]
    Full {
        /// Octets of all segments.
        budget: u64,
    },
    /// The storage failed earlier, and what it holds since the last commit is in doubt. Open the queue again.
    #[error("the queue is read-only since its storage failed")]
    ReadOnly(#[source] StorageError),
    /// The storage failed just now; the queue is read-only from here on.
    #[error("the storage of the queue failed")]
    Storage(#[source] StorageError),
}

/// Why messages were not handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// The storage failed earlier, so that no acknowledgement would last. Open the queue again.
    #[error("the queue is read-only since its storage failed")]
    ReadOnly(#[source] StorageError),
    /// The storage could not be read.
    #[error("the storage of the queue failed")]
    Storage(#[source] StorageError),
}

/// Why a lease could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// The caller no longer holds the message: it was acknowledged or released, somebody else has it, or the queue was
    /// opened anew.
    #[error("the lease on message {offset} has ended")]
    Stale {
        /// The message that it was for.
        offset: Offset,
    },
    /// There is no dead letter at the place: there never was, or it was acknowledged or redriven.
    #[error("message {offset} is no dead letter")]
    NotDead {
        /// The place.
        offset: Offset,
    },
    /// The storage failed earlier, so that no acknowledgement would last. Open the queue again.
    #[error("the queue is read-only since its storage failed")]
    ReadOnly(#[source] StorageError),
    /// The storage failed just now, when it was told how the lease ended; the queue is read-only from here on.
    #[error("the storage of the queue failed")]
    Storage(#[source] StorageError),
}

/// Why a configuration is not possible; the caller corrects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The value lies outside of its range.
    #[error("{setting} of {value} is not between {least} and {most}")]
    OutOfRange {
        /// The setter that refused.
        setting: &'static str,
        /// What it was given.
        value: u64,
        /// The least that it takes.
        least: u64,
        /// The most that it takes, with the other settings as they are.
        most: u64,
    },
    /// Segments consist of whole words of 8 octets.
    #[error("segment_len of {value} is not a multiple of 8")]
    Unaligned {
        /// What the setter was given.
        value: u32,
    },
}

/// Why a cursor could not be made or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// The caller gave a name that is empty or too long.
    #[error("a name of {len} octets is empty or longer than the limit of {limit}")]
    NameLength {
        /// Octets of the name.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The cursor was deleted, or comes from another opening of the queue.
    #[error("there is no such cursor")]
    NotFound,
    /// The caller is done with messages that nobody has appended.
    #[error("place {offset} is beyond the end of the log at {next}")]
    Beyond {
        /// The place that the caller gave.
        offset: Offset,
        /// The place that the next message gets.
        next: Offset,
    },
    /// The queue was never told what the wall clock shows.
    #[error("the queue does not know the wall clock")]
    ClockUnknown,
    /// A limit was reached: that of the configuration, or the room for such records at the beginning of a segment.
    #[error("there is no room for another cursor beside {count}")]
    TooMany {
        /// How many cursors there are.
        count: usize,
    },
    /// A limit was reached: what is free is kept for draining what the queue holds.
    #[error("the queue is full: what is free of its {budget} octets is kept for acknowledgements")]
    Full {
        /// Octets of all segments.
        budget: u64,
    },
    /// The storage failed earlier, and what it holds since the last commit is in doubt. Open the queue again.
    #[error("the queue is read-only since its storage failed")]
    ReadOnly(#[source] StorageError),
    /// The storage failed just now.
    #[error("the storage of the queue failed")]
    Storage(#[source] StorageError),
}

impl CursorError {
    pub(crate) fn from_log(error: LogError, budget: u64) -> Self {
        match error {
            LogError::Full => Self::Full { budget },
            LogError::ReadOnly(cause) => Self::ReadOnly(cause),
            LogError::Storage(cause) => Self::Storage(cause),
        }
    }
}

impl From<ReserveError> for CursorError {
    /// Why a message could not be read.
    fn from(error: ReserveError) -> Self {
        match error {
            ReserveError::ReadOnly(cause) => Self::ReadOnly(cause),
            ReserveError::Storage(cause) => Self::Storage(cause),
        }
    }
}

impl AppendError {
    pub(crate) fn from_log(error: LogError, budget: u64) -> Self {
        match error {
            LogError::Full => Self::Full { budget },
            LogError::ReadOnly(cause) => Self::ReadOnly(cause),
            LogError::Storage(cause) => Self::Storage(cause),
        }
    }
}

impl From<CommitError> for AppendError {
    /// Why messages are not durable that were to be.
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full { budget } => Self::Full { budget },
            CommitError::ReadOnly(cause) => Self::ReadOnly(cause),
            CommitError::Storage(cause) => Self::Storage(cause),
        }
    }
}

impl CommitError {
    pub(crate) fn from_log(error: LogError, budget: u64) -> Self {
        match error {
            LogError::Full => Self::Full { budget },
            LogError::ReadOnly(cause) => Self::ReadOnly(cause),
            LogError::Storage(cause) => Self::Storage(cause),
        }
    }
}

impl ReserveError {
    /// Leases are saved as far as there is room: a log that has none did not fail.
    pub(crate) fn unless_full(error: LogError) -> Result<(), Self> {
        match error {
            LogError::Full => Ok(()),
            LogError::ReadOnly(cause) => Err(Self::ReadOnly(cause)),
            LogError::Storage(cause) => Err(Self::Storage(cause)),
        }
    }
}

impl LeaseError {
    /// As [`ReserveError::unless_full`].
    pub(crate) fn unless_full(error: LogError) -> Result<(), Self> {
        match error {
            LogError::Full => Ok(()),
            LogError::ReadOnly(cause) => Err(Self::ReadOnly(cause)),
            LogError::Storage(cause) => Err(Self::Storage(cause)),
        }
    }
}
