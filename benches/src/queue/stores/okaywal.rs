use std::path::Path;

use super::{Concurrent, Contestant, Store};
use crate::report::Failure;

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

impl Contestant for Okaywal {
    const NAME: &'static str = "okaywal";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Ok(Self(okaywal::WriteAheadLog::recover(directory, Forgetful)?))
    }
}

impl Store for Okaywal {
    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        let mut entry = self.0.begin_entry()?;
        for message in messages {
            entry.write_chunk(message)?;
        }
        entry.commit()?;
        Ok(())
    }
}

impl Concurrent for Okaywal {
    const MESSAGES: u32 = 100;

    fn append_one(&self, message: &[u8]) -> Result<(), Failure> {
        let mut entry = self.0.begin_entry()?;
        entry.write_chunk(message)?;
        entry.commit()?;
        Ok(())
    }
}
