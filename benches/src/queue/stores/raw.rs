use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{Store, Unsynced};
use crate::report::Failure;

/// Writes to a file that was filled with zeros: the least that each kind of durability costs.
pub struct Raw {
    file: File,
    at: u64,
    batch: Vec<u8>,
}

impl Raw {
    const LEN: u64 = 64 << 20;

    fn create(directory: &Path) -> Result<Self, Failure> {
        let file = File::create_new(directory.join("raw"))?;
        // The kernel keeps what is written at once in one folio, and goes through all of a folio's blocks at each write:
        // in pieces of a mebibyte, writes of 256 octets take four times as long. The queue's own segments are made so.
        let zeros = vec![0; 64 << 10];
        for at in (0..Self::LEN).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0, batch: Vec::new() })
    }

    fn write(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        self.batch.clear();
        messages.iter().for_each(|message| self.batch.extend_from_slice(message));
        if self.at + self.batch.len() as u64 > Self::LEN {
            self.at = 0;
        }
        self.file.write_all_at(&self.batch, self.at)?;
        self.at += self.batch.len() as u64;
        Ok(())
    }
}

impl Store for Raw {
    const NAME: &'static str = "raw fdatasync";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Self::create(directory)
    }

    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        self.write(messages)?;
        Ok(self.file.sync_data()?)
    }
}

impl Unsynced for Raw {
    const NAME: &'static str = "raw writes";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Self::create(directory)
    }

    fn append(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        self.write(messages)
    }
}
