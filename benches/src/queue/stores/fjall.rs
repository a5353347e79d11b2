use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Concurrent, Contestant, PAYLOADS, Reopen, Store};
use crate::report::Failure;

/// `fjall`: keys are the numbers of the messages.
pub struct Fjall {
    database: Database,
    messages: Keyspace,
    next: AtomicU64,
}

impl Fjall {
    fn number(&self) -> [u8; 8] {
        self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes()
    }
}

impl Contestant for Fjall {
    const NAME: &'static str = "fjall";

    fn create(directory: &Path) -> Result<Self, Failure> {
        let database = Database::builder(directory).open()?;
        let messages = database.keyspace("messages", KeyspaceCreateOptions::default)?;
        Ok(Self { database, messages, next: AtomicU64::new(0) })
    }
}

impl Store for Fjall {
    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        if let [message] = messages {
            return self.append_one(message);
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for message in messages {
            batch.insert(&self.messages, self.number(), *message);
        }
        Ok(batch.commit()?)
    }
}

impl Reopen for Fjall {
    fn fill(directory: &Path, count: u64) -> Result<Self, Failure> {
        let store = Self::create(directory)?;
        for _ in 0..count {
            store.messages.insert(store.number(), PAYLOADS[0])?;
        }
        store.database.persist(PersistMode::SyncData)?;
        Ok(store)
    }

    fn open_and_take(directory: &Path) -> Result<Vec<u8>, Failure> {
        let store = Self::create(directory)?;
        let first = store.messages.first_key_value().ok_or("the store is empty")?;
        Ok(first.value()?.to_vec())
    }
}

impl Concurrent for Fjall {
    fn append_one(&self, message: &[u8]) -> Result<(), Failure> {
        self.messages.insert(self.number(), message)?;
        Ok(self.database.persist(PersistMode::SyncData)?)
    }
}
