use std::path::Path;

use super::{Contestant, Store};
use crate::report::Failure;

/// `queue-file`: syncs at each call, which is its default. Its file begins as long as all messages of a run need, so that
/// it never grows while it is timed.
pub struct QueueFile(queue_file::QueueFile);

impl QueueFile {
    const CAPACITY: u64 = 32 << 20;
    /// Messages beyond which the oldest are removed.
    const KEPT: usize = 64 << 10;
}

impl Contestant for QueueFile {
    const NAME: &'static str = "queue-file";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Ok(Self(queue_file::QueueFile::with_capacity(directory.join("messages.queue"), Self::CAPACITY)?))
    }
}

impl Store for QueueFile {
    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        Ok(self.0.add_n(messages)?)
    }

    fn make_room(&mut self) -> Result<(), Failure> {
        if self.0.size() > Self::KEPT {
            self.0.clear()?;
        }
        Ok(())
    }
}
