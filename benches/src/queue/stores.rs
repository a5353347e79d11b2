//! The stores behind traits, one for each kind of work. Each is used as its documentation shows for the job, with its
//! defaults.

use std::path::Path;

use super::{PAYLOAD, PAYLOADS};
use crate::report::Failure;

mod fjall;
mod okaywal;
mod ours;
mod queue_file;
mod raw;
mod redb;
mod sqlite;
mod yaque;

pub use self::fjall::Fjall;
pub use self::okaywal::Okaywal;
pub use self::ours::{Ours, SharedOurs, UnsyncedOurs};
pub use self::queue_file::QueueFile;
pub use self::raw::{Raw, RawRecords, RawWrites};
pub use self::redb::Redb;
pub use self::sqlite::Sqlite;
pub use self::yaque::Yaque;

/// A store of messages in a directory of its own.
pub trait Contestant: Sized {
    /// Who it is.
    const NAME: &'static str;

    /// The store in a directory, a new one where that is empty.
    fn create(directory: &Path) -> Result<Self, Failure>;
}

/// A store whose messages survive the end of the machine.
pub trait Store: Contestant {
    /// Appends messages; when it returns, no power cut takes them back.
    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure>;

    /// Lets go of old messages where the store has a budget. Not timed.
    fn make_room(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// A store in which many threads append at once, each waiting for its own message.
pub trait Concurrent: Contestant + Send + Sync {
    /// Messages that a thread appends while one sample is taken, so that samples of all stores take about as long: few
    /// where each message pays for a sync of its own.
    const MESSAGES: u32 = 4;

    /// Appends a message; when it returns, no power cut takes it back.
    fn append_one(&self, message: &[u8]) -> Result<(), Failure>;

    /// Lets go of old messages where the store has a budget. Not timed.
    fn make_room(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// A store whose messages survive the end of its process, and not that of the machine.
pub trait Unsynced: Contestant {
    /// Appends messages; when it returns, no end of the process takes them back.
    fn append(&mut self, messages: &[&[u8]]) -> Result<(), Failure>;

    /// Lets go of old messages where the store has a budget. Not timed.
    fn make_room(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// A store that is opened again.
pub trait Reopen {
    /// Makes a store with `count` messages, all of them durable, and keeps it open.
    fn fill(directory: &Path, count: u64) -> Result<Self, Failure>
    where
        Self: Sized;

    /// Opens the store and hands out its oldest message.
    fn open_and_take(directory: &Path) -> Result<Vec<u8>, Failure>;
}

/// How many messages a filler gives to a store at a time.
const FILL_BATCH: u64 = 1_000;
