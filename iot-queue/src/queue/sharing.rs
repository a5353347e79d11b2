//! A commit in two halves, for a front in which one sync serves many.

use super::Queue;
use crate::config::Durability;
use crate::error::{AppendError, CommitError};
use crate::log::Pending;
use crate::message::Message;
use crate::offset::Offset;
use crate::storage::{Storage, StorageError};

impl<S: Storage> Queue<S> {
    /// Whether a message turned out to be damaged in the last call, so that its segment is not used again before the next.
    pub(crate) fn has_untold_losses(&self) -> bool {
        self.log.has_untold_losses()
    }

    pub(crate) fn durability(&self) -> Durability {
        self.config.durability_choice()
    }

    /// Takes messages in as [`append_batch`](Self::append_batch) does, without writing them.
    pub(crate) fn enter_batch(&mut self, messages: &[Message<'_>]) -> Result<Offset, AppendError> {
        self.refuse_duplicates(messages)?;
        self.enter_checked(messages)
    }

    /// Writes what was taken in.
    pub(crate) fn write(&mut self) -> Result<(), AppendError> {
        let budget = self.budget();
        self.log.write().map_err(|error| AppendError::from_log(error, budget))
    }

    /// The first half of a [`commit`](Self::commit): writes everything, and says what is to be synced, if anything is.
    pub(crate) fn begin_commit(&mut self) -> Result<Option<Pending>, CommitError> {
        self.log.tell_losses();
        let budget = self.budget();
        self.begin_all().map_err(|error| CommitError::from_log(error, budget))
    }

    /// What syncs while the queue is in use, where the storage has such a thing.
    pub(crate) fn syncer(&mut self, pending: Pending) -> Result<Option<S::Syncer>, StorageError> {
        self.log.syncer(pending)
    }

    /// Syncs, where it has not.
    pub(crate) fn sync(&mut self, pending: Pending) -> Result<(), StorageError> {
        self.log.sync(pending)
    }

    /// The second half of a [`commit`](Self::commit), with how the sync ended.
    pub(crate) fn end_commit(
        &mut self,
        pending: Pending,
        synced: Result<(), StorageError>,
    ) -> Result<Offset, CommitError> {
        let budget = self.budget();
        let durable = self.log.end_commit(pending, synced).map_err(|error| CommitError::from_log(error, budget))?;
        self.trim();
        Ok(Offset::new(durable))
    }
}
