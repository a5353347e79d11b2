use std::path::Path;

use rusqlite::Connection;

use super::{Contestant, Store};
use crate::report::Failure;

/// `SQLite`: one table, write-ahead log, `synchronous = FULL`, which syncs that log at each commit.
pub struct Sqlite(Connection);

impl Contestant for Sqlite {
    const NAME: &'static str = "SQLite FULL";

    fn create(directory: &Path) -> Result<Self, Failure> {
        let connection = Connection::open(directory.join("messages.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute("CREATE TABLE messages (number INTEGER PRIMARY KEY, payload BLOB NOT NULL)", ())?;
        Ok(Self(connection))
    }
}

impl Store for Sqlite {
    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO messages (payload) VALUES (?1)")?;
            for message in messages {
                insert.execute([message])?;
            }
        }
        Ok(transaction.commit()?)
    }
}
