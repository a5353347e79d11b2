//! A persistent queue for messages that must outlive power cuts: a log in preallocated segments, handed out under leases.
//!
//! # What it does not do
//!
//! It contains no cryptography, knows no transport and starts no thread; it reads no clock and draws no randomness. It
//! serves one owner at a time: a second process is refused. It does not look into payloads, and it does not drop
//! anything to make room: a full queue refuses.
//!
//! # Example
//!
#![cfg_attr(all(feature = "std", unix), doc = "```")]
#![cfg_attr(not(all(feature = "std", unix)), doc = "```ignore")]
//! use core::time::Duration;
//! use iot_core::Instant;
//! use iot_queue::{FileStorage, Message, Queue, QueueConfig};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let random = [7; 8];
//! let storage = FileStorage::create(directory.path().join("readings"))?;
//! let config = QueueConfig::default().segment_len(256 << 10)?.segments(4)?;
//! let mut queue = Queue::open(storage, config, random)?;
//!
//! // When this returns, the reading is on the disk.
//! queue.append(&Message::new(b"21.5 C"))?;
//!
//! let now = Instant::START;
//! for leased in queue.reserve(now, Duration::from_secs(30), 16)? {
//!     assert_eq!(leased.payload, b"21.5 C");
//!     queue.ack(leased.lease)?;
//! }
//! queue.commit()?;
//! assert_eq!(queue.stats().depth, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # How to drive it
//!
//! Open a [`Queue`] on a [`Storage`] with 8 octets drawn at random for this opening.
//! [`append`](Queue::append) and [`append_batch`](Queue::append_batch) write at once; when what they wrote is durable is
//! the choice of [`Durability`]. [`commit`](Queue::commit) makes everything durable, acknowledgements too.
//! [`reserve`](Queue::reserve) hands messages out until a time that the caller gives by its own clock, and
//! [`ack`](Queue::ack) or [`release`](Queue::release) ends a lease; what is neither comes again.
//! [`entries_from`](Queue::entries_from) and [`ack_before`](Queue::ack_before) make a journal of it.
//!
//! What each step promises:
//!
//! | after | the process is killed | the power is cut |
//! |---|---|---|
//! | `append`, [`Durability::EachMessage`] | kept | kept |
//! | `append`, [`Durability::Manual`] | kept | may be lost, in any part |
//! | `commit` | kept | kept |
//! | `ack` | may come again | may come again |
//! | `ack`, then `commit` | does not come again | does not come again |
//!
//! A lease, and the count of attempts, does not outlive the process.
//!
//! When the storage fails to write or sync, the queue is read-only from then on: no second try can tell what the medium
//! holds. Drop it, look after the medium, and open it again.
//!
//! Damage never keeps a queue shut. A message whose checksum does not hold is not given; it becomes a [`Gap`], listed by
//! [`gaps`](Queue::gaps), and what comes after it is delivered.
//!
//! # Limits
//!
//! Payloads of up to [`QueueConfig::max_payload`], 64 KiB by default, and never more than a segment holds. All segments
//! are allocated when the queue is opened. Of them, 64 octets for each message that has no acknowledgement yet are kept
//! for it, so that a full queue can be drained: at 100 % `append` says [`AppendError::Full`] while `ack` and `commit`
//! work. Space returns in the order of the log, a segment at a time: one old message that nobody acknowledges holds what
//! comes after it. In memory a stored message takes 4 octets and a bit, a lease about 100 octets.
//!
//! # Features
//!
//! - `std` (default): `FileStorage`, on Unix, and CRC32C by the processor's instructions. Without it the crate needs
//!   `alloc` only, and computes CRC32C by a table.
//!
//! # Panics
//!
//! None of its functions panics, whatever the storage holds.
//!
//! # Standards
//!
//! CRC32C as in RFC 3720 §12.1. The format of the log is defined in `docs/formats/queue.md`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod checksum;
mod config;
mod error;
#[cfg(iot_fault)]
pub mod fault;
mod format;
mod lease;
mod log;
mod message;
mod offset;
mod queue;
#[cfg(feature = "sim")]
pub mod sim;
mod stats;
mod storage;

pub use crate::config::{AttemptDurability, Durability, QueueConfig};
pub use crate::error::{AppendError, CommitError, ConfigError, LeaseError, OpenError, ReserveError};
pub use crate::lease::{Backoff, DeadLetter, DeathCause, LaneOrder, LeaseId, Leased, Nacked, Release};
pub use crate::message::{Appended, Entry, Lane, Message, MessageId, Stored};
pub use crate::offset::{Epoch, Gap, GapCause, Offset};
pub use crate::queue::{Entries, Queue};
pub use crate::stats::Stats;
pub use crate::storage::{
    Fate, Fault, MemoryStorage, Operation, SegmentExtent, SegmentNumber, Storage, StorageError, Syncer,
};
#[cfg(all(feature = "std", unix))]
pub use crate::storage::{FileStorage, FileSyncer};
