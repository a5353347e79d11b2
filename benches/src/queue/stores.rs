//! The stores behind one trait. Each is used as its documentation shows for the job, with its defaults.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use iot_queue::{Durability, FileStorage, Message, Queue, QueueConfig};
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::PAYLOAD;
use crate::report::Failure;

/// A store of messages in a directory of its own.
pub trait Store: Sized {
    /// Who it is.
    const NAME: &'static str;

    /// A new store in an empty directory.
    fn create(directory: &Path) -> Result<Self, Failure>;

    /// Appends messages; when it returns, no power cut takes them back.
    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure>;

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

/// `iot-queue`.
pub struct Ours {
    queue: Queue<FileStorage>,
    appended: usize,
}

/// Octets of the budget of [`Ours`] that appends may use before old messages are acknowledged.
const ROOM: usize = 32 << 20;
/// What a caller draws for each opening.
const RANDOM: &[u8; 8] = b"drawn it";
/// What a record needs beside its payload, generously.
const RECORD_OVERHEAD: usize = 64;

impl Store for Ours {
    const NAME: &'static str = "ours";

    fn create(directory: &Path) -> Result<Self, Failure> {
        let queue = Queue::open(FileStorage::open(directory)?, QueueConfig::default(), *RANDOM)?;
        Ok(Self { queue, appended: 0 })
    }

    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        if let [message] = messages {
            self.queue.append(&Message::new(message))?;
        } else {
            let mut batch = [Message::new(&[]); 64];
            let batch = &mut batch[..messages.len()];
            batch.iter_mut().zip(messages).for_each(|(slot, payload)| *slot = Message::new(payload));
            self.queue.append_batch(batch)?;
        }
        self.appended += messages.len();
        Ok(())
    }

    fn make_room(&mut self) -> Result<(), Failure> {
        if self.appended * (PAYLOAD + RECORD_OVERHEAD) > ROOM {
            self.queue.ack_before(self.queue.next_offset())?;
            self.queue.commit()?;
            self.appended = 0;
        }
        Ok(())
    }
}

/// The largest budget that a queue of the default's segments needs here: a million messages.
fn large() -> Result<QueueConfig, Failure> {
    Ok(QueueConfig::default().durability(Durability::Manual).segments(96)?)
}

impl Reopen for Ours {
    fn fill(directory: &Path, count: u64) -> Result<Self, Failure> {
        let mut queue = Queue::open(FileStorage::open(directory)?, large()?, *RANDOM)?;
        let batch = vec![Message::new(&super::PAYLOADS[0]); FILL_BATCH as usize];
        for from in (0..count).step_by(FILL_BATCH as usize) {
            queue.append_batch(&batch[..FILL_BATCH.min(count - from) as usize])?;
        }
        queue.commit()?;
        Ok(Self { queue, appended: 0 })
    }

    fn open_and_take(directory: &Path) -> Result<Vec<u8>, Failure> {
        let mut queue = Queue::open(FileStorage::open(directory)?, large()?, *RANDOM)?;
        let mut leased = queue.reserve(iot_core::Instant::default(), Duration::from_secs(60), 1)?;
        Ok(leased.pop().ok_or("the queue is empty")?.payload)
    }
}

/// Writes to a file that was filled with zeros, each followed by `fdatasync`: the least that durability costs.
pub struct Raw {
    file: File,
    at: u64,
    batch: Vec<u8>,
}

impl Raw {
    const LEN: u64 = 64 << 20;
}

impl Store for Raw {
    const NAME: &'static str = "raw fdatasync";

    fn create(directory: &Path) -> Result<Self, Failure> {
        let file = File::create_new(directory.join("raw"))?;
        let zeros = vec![0; 1 << 20];
        for at in (0..Self::LEN).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0, batch: Vec::new() })
    }

    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        self.batch.clear();
        messages.iter().for_each(|message| self.batch.extend_from_slice(message));
        if self.at + self.batch.len() as u64 > Self::LEN {
            self.at = 0;
        }
        self.file.write_all_at(&self.batch, self.at)?;
        self.file.sync_data()?;
        self.at += self.batch.len() as u64;
        Ok(())
    }
}

/// `okaywal`: an entry a call, a chunk a message.
pub struct Okaywal(okaywal::WriteAheadLog);

#[derive(Debug)]
struct Forgetful;

impl okaywal::LogManager for Forgetful {
    fn recover(&mut self, _: &mut okaywal::Entry<'_>) -> std::io::Result<()> {
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: okaywal::EntryId,
        _: &mut okaywal::SegmentReader,
        _: &okaywal::WriteAheadLog,
    ) -> std::io::Result<()> {
        Ok(())
    }
}

impl Store for Okaywal {
    const NAME: &'static str = "okaywal";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Ok(Self(okaywal::WriteAheadLog::recover(directory, Forgetful)?))
    }

    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        let mut entry = self.0.begin_entry()?;
        for message in messages {
            entry.write_chunk(message)?;
        }
        entry.commit()?;
        Ok(())
    }
}

/// `fjall`: keys are the numbers of the messages.
pub struct Fjall {
    database: Database,
    messages: Keyspace,
    next: u64,
}

impl Fjall {
    fn open(directory: &Path) -> Result<Self, Failure> {
        let database = Database::builder(directory).open()?;
        let messages = database.keyspace("messages", KeyspaceCreateOptions::default)?;
        Ok(Self { database, messages, next: 0 })
    }

    fn number(&mut self) -> [u8; 8] {
        self.next += 1;
        self.next.to_be_bytes()
    }
}

impl Store for Fjall {
    const NAME: &'static str = "fjall";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Self::open(directory)
    }

    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        if let [message] = messages {
            let key = self.number();
            self.messages.insert(key, *message)?;
            return Ok(self.database.persist(PersistMode::SyncData)?);
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for message in messages {
            let key = self.number();
            batch.insert(&self.messages, key, *message);
        }
        Ok(batch.commit()?)
    }
}

impl Reopen for Fjall {
    fn fill(directory: &Path, count: u64) -> Result<Self, Failure> {
        let mut store = Self::open(directory)?;
        for _ in 0..count {
            let key = store.number();
            store.messages.insert(key, super::PAYLOADS[0])?;
        }
        store.database.persist(PersistMode::SyncData)?;
        Ok(store)
    }

    fn open_and_take(directory: &Path) -> Result<Vec<u8>, Failure> {
        let store = Self::open(directory)?;
        let first = store.messages.first_key_value().ok_or("the store is empty")?;
        Ok(first.value()?.to_vec())
    }
}

/// `redb`: one table, keys are the numbers of the messages.
pub struct Redb {
    database: redb::Database,
    next: u64,
}

const MESSAGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("messages");

impl Redb {
    fn open(directory: &Path) -> Result<Self, Failure> {
        Ok(Self { database: redb::Database::create(directory.join("messages.redb"))?, next: 0 })
    }
}

impl Store for Redb {
    const NAME: &'static str = "redb";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Self::open(directory)
    }

    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(MESSAGES)?;
            for message in messages {
                self.next += 1;
                table.insert(self.next, *message)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Reopen for Redb {
    fn fill(directory: &Path, count: u64) -> Result<Self, Failure> {
        let mut store = Self::open(directory)?;
        let batch = [super::PAYLOADS[0].as_slice(); FILL_BATCH as usize];
        for from in (0..count).step_by(FILL_BATCH as usize) {
            store.append_durably(&batch[..FILL_BATCH.min(count - from) as usize])?;
        }
        Ok(store)
    }

    fn open_and_take(directory: &Path) -> Result<Vec<u8>, Failure> {
        let store = Self::open(directory)?;
        let table = store.database.begin_read()?.open_table(MESSAGES)?;
        let (_, message) = table.first()?.ok_or("the store is empty")?;
        Ok(message.value().to_vec())
    }
}
