//! Where segments live: the trait that the log asks of a medium, and its failures.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;

#[cfg(all(feature = "std", any(unix, windows)))]
mod file;
mod memory;
#[cfg(feature = "embedded-storage")]
mod nor;

#[cfg(all(feature = "std", any(unix, windows)))]
pub use self::file::{FileStorage, FileSyncer, FileSystemWarning};
pub use self::memory::{Fate, Fault, MemoryStorage};
#[cfg(feature = "embedded-storage")]
pub use self::nor::{NorRegionError, NorStorage};

/// The name of a segment: a place on the medium that is filled, emptied and filled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(u32);

impl SegmentNumber {
    /// The segment with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of the segment.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A segment that a medium holds, as [`Storage::list`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentExtent {
    /// Its name.
    pub segment: SegmentNumber,
    /// Its octets; less than were asked for when a crash interrupted [`Storage::allocate`].
    pub len: u64,
}

/// What is written and erased together on a medium that takes no octet a second time before it is erased, such as NOR
/// flash. On it a segment is as long as [`Storage::list`] says, from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granularity {
    /// Octets that are written together, from a multiple of as many: a power of two, at most 256.
    pub write_len: u32,
    /// Octets that are erased together. A segment is one or more of them.
    pub erase_len: u32,
    /// What an erased octet reads as: 255 on most flash, 0 on some.
    pub erased: u8,
}

/// A medium that holds numbered segments of a fixed length.
///
/// A write is durable after the [`sync`](Self::sync) of its segment, a segment's existence after
/// [`sync_directory`](Self::sync_directory). Until then a crash may keep any part of any write, in any order. The log
/// relies on nothing else: in particular not on the atomicity of a sector, nor on the order of two writes.
///
/// The log writes ahead through a segment, and writes over octets of the segment's present life only where a crash may
/// have torn them, and over the last 64 octets when it goes on in a segment of a queue that was closed. On a medium with
/// a [`granularity`](Self::granularity) it writes over none.
pub trait Storage {
    /// What syncs a segment from another thread; [`Infallible`] where there is no such thing.
    type Syncer: Syncer;

    /// Octets that the medium writes at the least, however few it is given: a power of two, by default 4096.
    ///
    /// What is synced together begins at a multiple of it where that saves a write of so many octets.
    fn page_len(&self) -> u32 {
        4096
    }

    /// What the medium needs of its writer if it takes no octet a second time before it is erased. By default nothing:
    /// octets can be written over, and any number of them anywhere.
    ///
    /// With one, each segment is [erased](Self::erase) once for each of its lives; a write begins and ends at multiples of
    /// `write_len`; it is durable when [`write_at`](Self::write_at) returns; and a write that a power cut interrupts leaves
    /// whatever it leaves within its own octets.
    fn granularity(&self) -> Option<Granularity> {
        None
    }

    /// Erases the whole of `segment`, durably, before its next life. Called only on a medium with a
    /// [`granularity`](Self::granularity). After a power cut in the middle it holds anything, and is erased again before
    /// it is used.
    ///
    /// # Errors
    /// When the segment does not exist or the medium fails.
    fn erase(&mut self, segment: SegmentNumber) -> Result<(), StorageError> {
        let _ = segment;
        Ok(())
    }

    /// The segments that exist, in any order.
    ///
    /// # Errors
    /// When the medium fails.
    fn list(&self) -> Result<Vec<SegmentExtent>, StorageError>;

    /// Makes `segment` exist with `len` octets, durably: those that it had stay, new ones are zero.
    ///
    /// # Errors
    /// [`StorageError::NoSpace`] or [`StorageError::Denied`] when the medium cannot give them; otherwise when it fails.
    fn allocate(&mut self, segment: SegmentNumber, len: u32) -> Result<(), StorageError>;

    /// Fills `buffer` with the octets that begin at `position`. Octets past the end read as zeros.
    ///
    /// # Errors
    /// When the segment does not exist or the medium fails.
    fn read_at(&self, segment: SegmentNumber, position: u32, buffer: &mut [u8]) -> Result<(), StorageError>;

    /// Writes all of `bytes` from `position` on, within the length that was allocated.
    ///
    /// # Errors
    /// When the segment does not exist or the medium fails; any part of the bytes may then have been written.
    fn write_at(&mut self, segment: SegmentNumber, position: u32, bytes: &[u8]) -> Result<(), StorageError>;

    /// Returns once everything written to `segment` is durable.
    ///
    /// # Errors
    /// When the medium fails. What was written since the last successful sync is then in doubt for good: the log never
    /// calls again in the hope of better news.
    fn sync(&mut self, segment: SegmentNumber) -> Result<(), StorageError>;

    /// What syncs `segment` while the storage itself is in use, so that others can append during the sync. Nothing where
    /// there is no such thing: then [`sync`](Self::sync) does it.
    ///
    /// # Errors
    /// When the segment does not exist or the medium fails.
    fn syncer(&mut self, segment: SegmentNumber) -> Result<Option<Self::Syncer>, StorageError> {
        let _ = segment;
        Ok(None)
    }

    /// Gives the octets of `segment` back to the medium.
    ///
    /// # Errors
    /// When the segment does not exist or the medium fails.
    fn remove(&mut self, segment: SegmentNumber) -> Result<(), StorageError>;

    /// Returns once the existence of every segment that was allocated, and the absence of every one that was removed,
    /// is durable.
    ///
    /// # Errors
    /// When the medium fails.
    fn sync_directory(&mut self) -> Result<(), StorageError>;
}

/// Makes the octets of one segment durable, from whichever thread.
///
/// It tells of every failure itself: a sync that succeeds covers all that was written before it began, whatever another
/// sync of the same segment says.
pub trait Syncer: Send + 'static {
    /// As [`Storage::sync`].
    ///
    /// # Errors
    /// As [`Storage::sync`].
    fn sync(&self) -> Result<(), StorageError>;
}

/// Octets that are read at a time around a place that cannot be read: what media call a sector, at the least.
const PIECE: u32 = 512;

/// What reading around failures met.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadAround {
    /// The first failure.
    pub(crate) failure: Option<StorageError>,
    /// Octets that were read.
    pub(crate) octets: usize,
}

/// Reads as [`Storage::read_at`] does, but fills with zeros what the medium fails to read. Anything else than such a
/// failure is an error.
pub(crate) fn read_around<S: Storage>(
    storage: &S,
    segment: SegmentNumber,
    position: u32,
    buffer: &mut [u8],
) -> Result<ReadAround, StorageError> {
    match storage.read_at(segment, position, buffer) {
        Ok(()) => return Ok(ReadAround { failure: None, octets: buffer.len() }),
        Err(StorageError::Io { .. }) => {}
        Err(other) => return Err(other),
    }
    let (mut around, mut at) = (ReadAround { failure: None, octets: 0 }, 0);
    while at < buffer.len() {
        let position = position + at as u32;
        let until = buffer.len().min(at + (PIECE - position % PIECE) as usize);
        let piece = &mut buffer[at..until];
        // Once more: a failure may be over in a moment, and what is not read now is given up.
        match storage.read_at(segment, position, piece).or_else(|_| storage.read_at(segment, position, piece)) {
            Ok(()) => around.octets += piece.len(),
            Err(error) => {
                piece.fill(0);
                around.failure.get_or_insert(error);
            }
        }
        at = until;
    }
    Ok(around)
}

impl Syncer for Infallible {
    fn sync(&self) -> Result<(), StorageError> {
        match *self {}
    }
}

/// Why a medium did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The path names nothing; the caller creates the directory or corrects the path.
    #[error("the directory of the queue does not exist")]
    MissingDirectory,
    /// The path names something else; the caller corrects it.
    #[error("the path of the queue is not a directory")]
    NotADirectory,
    /// A queue has one owner at a time.
    #[error("the queue is in use by another process or another handle")]
    Locked,
    /// The log asked for a segment that is not there, for example because somebody removed its file.
    #[error("segment {segment} does not exist")]
    MissingSegment {
        /// The segment that was asked for.
        segment: SegmentNumber,
    },
    /// The medium was divided into segments of another length than the queue has; the caller divides it as it was when
    /// the queue was made, or makes the configuration agree with it.
    #[error("segment {segment} is {found} octets long on the medium, and {expected} in the queue")]
    SegmentLength {
        /// The segment.
        segment: SegmentNumber,
        /// Octets that the queue's segments have.
        expected: u32,
        /// Octets that the medium's segments have.
        found: u64,
    },
    /// Permissions, or a medium mounted for reading only.
    #[error("no permission to {operation}")]
    Denied {
        /// What was not permitted.
        operation: Operation,
    },
    /// The medium is full, although the log stays within its budget: others fill it.
    #[error("no space left on the medium to {operation}")]
    NoSpace {
        /// What there was no space for.
        operation: Operation,
    },
    /// The medium failed.
    #[error("the medium failed to {operation}, system error {code}")]
    Io {
        /// What failed.
        operation: Operation,
        /// The number that the system gave; 0 when it gave none.
        code: i32,
    },
}

/// What the log asked of the medium when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Open the directory and take its lock.
    Lock,
    /// Find the segments.
    List,
    /// Open a segment that was found.
    Open(SegmentNumber),
    /// Make a segment exist.
    Allocate(SegmentNumber),
    /// Read from a segment.
    Read(SegmentNumber),
    /// Write to a segment.
    Write(SegmentNumber),
    /// Erase a segment.
    Erase(SegmentNumber),
    /// Make a segment's octets durable.
    Sync(SegmentNumber),
    /// Give a segment's octets back.
    Remove(SegmentNumber),
    /// Make the existence of segments durable.
    SyncDirectory,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock => f.write_str("lock the directory"),
            Self::List => f.write_str("list the directory"),
            Self::Open(segment) => write!(f, "open segment {segment}"),
            Self::Allocate(segment) => write!(f, "allocate segment {segment}"),
            Self::Read(segment) => write!(f, "read segment {segment}"),
            Self::Write(segment) => write!(f, "write segment {segment}"),
            Self::Erase(segment) => write!(f, "erase segment {segment}"),
            Self::Sync(segment) => write!(f, "sync segment {segment}"),
            Self::Remove(segment) => write!(f, "remove segment {segment}"),
            Self::SyncDirectory => f.write_str("sync the directory"),
        }
    }
}
