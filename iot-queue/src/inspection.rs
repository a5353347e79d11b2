use alloc::vec::Vec;
use core::fmt;

use crate::error::OpenError;
use crate::log;
use crate::offset::Offset;
use crate::storage::{SegmentNumber, Storage};

/// What of a log is not as it was written: each record of each kind, copies of headers and footers included, and wrong
/// bits that opening puts right.
///
/// Nothing is written, and everything that is needed of the log is read, record by record. What the log does not use is
/// not looked at: octets between records and behind the last, and lives of segments that nobody needs any more, but for
/// their headers. A message that a power cut tore is damaged, too, if its header is there. What stood last in a log that was not closed, and is destroyed with its whole header, cannot be told
/// from what an append leaves that a crash cut off.
///
/// ```
/// use iot_queue::{Damage, Inspection, MemoryStorage, Message, Queue, QueueConfig, SegmentNumber, Storage};
///
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// let config = QueueConfig::default().max_payload(1024)?.segment_len(4096)?.segments(2)?;
/// let mut queue = Queue::open(MemoryStorage::new(), config, [7; 8])?;
/// queue.append(&Message::new(b"21.5 C"))?;
/// let mut storage = queue.close()?;
/// assert_eq!(Inspection::of(&storage)?.damaged().len(), 0);
///
/// storage.write_at(SegmentNumber::new(0), 512, &[0; 64])?;
/// let inspection = Inspection::of(&storage)?;
/// let damaged: Vec<_> = inspection.damaged().collect();
/// assert_eq!(damaged[0].to_string(), "segment 0, octet 512: copy of the header is lost");
/// assert_eq!(damaged[0].damage, Damage::Lost);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    pub(crate) damaged: Vec<DamagedRecord>,
    pub(crate) intact: u64,
}

/// A record that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamagedRecord {
    /// Where it stands,
    pub segment: SegmentNumber,
    /// and how many octets behind the segment's first.
    pub position: u32,
    /// What it is.
    pub kind: RecordKind,
    /// What became of it.
    pub damage: Damage,
}

/// What became of a damaged record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// One bit is wrong, and is put right wherever the record is read: nothing is lost.
    Corrected,
    /// The record says nothing any more. What a copy of a header or a footer said is found out from the rest of the log;
    /// what it costs otherwise, `docs/formats/queue.md` says of each kind.
    Lost,
    /// The medium fails to read it.
    Unread,
}

/// What a damaged record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordKind {
    /// One of the two copies of a segment's header.
    Header,
    /// The end of a segment's footer.
    Footer,
    /// The places and ranges in a segment's footer.
    Index,
    /// A message.
    Message(Offset),
    /// A message that was moved out of an earlier segment, if its number can be read.
    MovedMessage(Option<Offset>),
    /// Acknowledgements.
    Acknowledgements,
    /// What an earlier opening found uncertain.
    Uncertainties,
    /// The states of messages: attempts, delays, dead letters.
    Leases,
    /// Messages whose time ended.
    Expired,
    /// A reading of the clock.
    Clock,
    /// What was appended of a source, or under which identifiers.
    Duplicates,
    /// The end of what a segment begins with.
    Checkpoint,
    /// Cursors: a name, places, an end.
    Cursor,
    /// What was dropped to make room.
    Dropped,
    /// A record of a kind that this version does not know.
    Other(u8),
    /// So many octets where records stood whose headers are destroyed.
    Unknown(u32),
}

impl Inspection {
    /// Looks at the log that `storage` holds, and leaves it as it is. One that holds none has no damage.
    ///
    /// # Errors
    /// As [`Queue::open`](crate::Queue::open), but for what is merely damaged or cannot be read.
    pub fn of<S: Storage>(storage: &S) -> Result<Self, OpenError> {
        log::inspect(storage)
    }

    /// Every damaged record: headers first, then the lives of segments from the oldest on, each in the order of its places
    /// and with its footer last. There are as many as the log has damaged records, at the most.
    pub fn damaged(&self) -> impl ExactSizeIterator<Item = DamagedRecord> + '_ {
        self.damaged.iter().copied()
    }

    /// How many records are as they were written, headers and footers included.
    pub fn intact(&self) -> u64 {
        self.intact
    }
}

impl fmt::Display for DamagedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.damage {
            Damage::Corrected => "has a wrong bit, which is put right",
            Damage::Lost => "is lost",
            Damage::Unread => "cannot be read",
        };
        write!(f, "segment {}, octet {}: {} {words}", self.segment, self.position, self.kind)
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Header => "copy of the header",
            Self::Footer => "footer",
            Self::Index => "index of the footer",
            Self::Message(offset) => return write!(f, "message {offset}"),
            Self::MovedMessage(Some(offset)) => return write!(f, "moved message {offset}"),
            Self::MovedMessage(None) => "moved message without a number",
            Self::Acknowledgements => "record of acknowledgements",
            Self::Uncertainties => "record of what is uncertain",
            Self::Leases => "record of leases",
            Self::Expired => "record of what expired",
            Self::Clock => "record of the clock",
            Self::Duplicates => "record against repetitions",
            Self::Checkpoint => "checkpoint",
            Self::Cursor => "record of a cursor",
            Self::Dropped => "record of what was dropped",
            Self::Other(kind) => return write!(f, "record of kind {kind}"),
            Self::Unknown(len) => return write!(f, "whatever stood in {len} octets"),
        };
        f.write_str(words)
    }
}
