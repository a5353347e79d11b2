use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{Concurrent, Contestant, FILL_BATCH, PAYLOADS, Reopen, Store};
use crate::report::Failure;

/// `redb`: one table, keys are the numbers of the messages.
pub struct Redb {
    database: redb::Database,
    next: AtomicU64,
}

const MESSAGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("messages");

impl Redb {
    fn append(&self, messages: &[&[u8]]) -> Result<(), Failure> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(MESSAGES)?;
            for message in messages {
                table.insert(self.next.fetch_add(1, Ordering::Relaxed), *message)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Contestant for Redb {
    const NAME: &'static str = "redb";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Ok(Self { database: redb::Database::create(directory.join("messages.redb"))?, next: AtomicU64::new(0) })
    }
}

impl Store for Redb {
    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        self.append(messages)
    }
}

impl Concurrent for Redb {
    fn append_one(&self, message: &[u8]) -> Result<(), Failure> {
        self.append(&[message])
    }
}

impl Reopen for Redb {
    fn fill(directory: &Path, count: u64) -> Result<Self, Failure> {
        let store = Self::create(directory)?;
        let batch = [PAYLOADS[0].as_slice(); FILL_BATCH as usize];
        for from in (0..count).step_by(FILL_BATCH as usize) {
            store.append(&batch[..FILL_BATCH.min(count - from) as usize])?;
        }
        Ok(store)
    }

    fn open_and_take(directory: &Path) -> Result<Vec<u8>, Failure> {
        let store = Self::create(directory)?;
        let table = store.database.begin_read()?.open_table(MESSAGES)?;
        let (_, message) = table.first()?.ok_or("the store is empty")?;
        Ok(message.value().to_vec())
    }
}
