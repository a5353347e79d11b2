use std::path::Path;

use super::{Contestant, Unsynced};
use crate::report::Failure;

/// `yaque`, which hands each batch to the system and syncs nothing.
pub struct Yaque(yaque::Sender);

impl Contestant for Yaque {
    const NAME: &'static str = "yaque";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Ok(Self(yaque::Sender::open(directory.join("queue"))?))
    }
}

impl Unsynced for Yaque {
    fn append(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        match self.0.try_send_batch(messages) {
            Ok(()) => Ok(()),
            Err(yaque::TrySendError::Io(error)) => Err(error.into()),
            Err(yaque::TrySendError::QueueFull { .. }) => Err("a queue without a limit is full".into()),
        }
    }
}
