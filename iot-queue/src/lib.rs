//! Under construction.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod checksum;
mod config;
mod error;
mod format;
mod lease;
mod log;
mod message;
mod offset;
mod queue;
mod stats;
mod storage;

pub use crate::config::{Durability, QueueConfig};
pub use crate::error::{AppendError, CommitError, ConfigError, LeaseError, OpenError, ReserveError};
pub use crate::lease::{LeaseId, Leased};
pub use crate::message::{Entry, Message, Stored};
pub use crate::offset::{Epoch, Gap, GapCause, Offset};
pub use crate::queue::{Entries, Queue};
pub use crate::stats::Stats;
#[cfg(all(feature = "std", unix))]
pub use crate::storage::FileStorage;
pub use crate::storage::{Fate, Fault, MemoryStorage, Operation, SegmentExtent, SegmentNumber, Storage, StorageError};
