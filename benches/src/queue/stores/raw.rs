use std::fs::File;
use std::mem;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{Contestant, PAYLOAD, Store, Unsynced};
use crate::report::Failure;

/// Writes to a file that was filled with zeros: the least that each kind of durability costs.
pub struct Raw {
    file: File,
    at: u64,
    batch: Vec<u8>,
}

impl Raw {
    const LEN: u64 = 64 << 20;

    fn write(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        let mut batch = mem::take(&mut self.batch);
        batch.clear();
        messages.iter().for_each(|message| batch.extend_from_slice(message));
        let written = self.write_octets(&batch);
        self.batch = batch;
        written
    }

    fn write_octets(&mut self, octets: &[u8]) -> Result<(), Failure> {
        let len = octets.len() as u64;
        if self.at + len > Self::LEN {
            self.at = 0;
        }
        self.file.write_all_at(octets, self.at)?;
        self.at += len;
        Ok(())
    }
}

impl Contestant for Raw {
    const NAME: &'static str = "raw fdatasync";

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
}

impl Store for Raw {
    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        self.write(messages)?;
        Ok(self.file.sync_data()?)
    }
}

/// The same writes without a sync.
pub struct RawWrites(Raw);

impl Contestant for RawWrites {
    const NAME: &'static str = "raw writes";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Ok(Self(Raw::create(directory)?))
    }
}

impl Unsynced for RawWrites {
    fn append(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        self.0.write(messages)
    }
}

/// The same writes, where each message has before it 32 octets that hold two CRC32Cs, of the message and of themselves:
/// what a log costs that can tell what it wrote from anything else, and does nothing more.
pub struct RawRecords {
    raw: Raw,
    records: Vec<[u8; RawRecords::LEN]>,
}

impl RawRecords {
    const HEADER_LEN: usize = 32;
    const LEN: usize = Self::HEADER_LEN + PAYLOAD;

    fn encode(message: &[u8], record: &mut [u8; Self::LEN]) {
        let (header, body) = record.split_at_mut(Self::HEADER_LEN);
        body.copy_from_slice(message);
        header[24..28].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        let crc = crc32c::crc32c(&header[..28]);
        header[28..].copy_from_slice(&crc.to_le_bytes());
    }
}

impl Contestant for RawRecords {
    const NAME: &'static str = "with two checksums";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Ok(Self { raw: Raw::create(directory)?, records: Vec::new() })
    }
}

impl Unsynced for RawRecords {
    fn append(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        self.records.resize(messages.len(), [0; Self::LEN]);
        self.records.iter_mut().zip(messages).for_each(|(record, message)| Self::encode(message, record));
        self.raw.write_octets(self.records.as_flattened())
    }
}
