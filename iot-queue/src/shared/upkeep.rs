//! What happens in time: leases that end, and commits that nobody waits for on a thread.

use core::time::Duration;

use crate::error::CommitError;
use crate::storage::Storage;

use super::{Clock, SharedQueue};

/// How long upkeep waits when a commit has failed for want of room, before it tries again.
const PAUSE: Duration = Duration::from_secs(1);

impl<S: Storage, C: Clock> SharedQueue<S, C> {
    /// Keeps the queue up until it is [closed](Self::close), on a thread that the caller gives for it: takes leases back
    /// that ran out, commits what waits longer than [`flush_after`](super::SharedSettings::flush_after), and serves the
    /// futures of this module.
    ///
    /// # Errors
    /// When a commit failed for good, because the storage did; who waits has been told, too. A commit that found no room
    /// is tried again.
    pub fn run(&self) -> Result<(), CommitError> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        loop {
            let now = shared.clock.now();
            if state.queue.poll_timeout().is_some_and(|due| due <= now) {
                state.queue.handle_timeout(now);
                shared.announce(&mut state);
                shared.announce_room(&mut state);
            }
            if state.forwarding_due().is_some_and(|due| due <= now) {
                state.wake_forwarding();
            }
            let closing = state.is_closed;
            let due =
                state.uncommitted.zip(shared.settings.flush_after).map(|(since, after)| since.saturating_add(after));
            if closing || state.wants_commit() || due.is_some_and(|due| due <= now) {
                state = match shared.commit_now(state) {
                    Ok(state) => state,
                    Err(CommitError::Full { .. }) if !closing => shared.lock().wait_timeout(&shared.demand, PAUSE),
                    Err(error) => return Err(error),
                };
                if closing {
                    return Ok(());
                }
                continue;
            }
            let wake = due.into_iter().chain(state.queue.poll_timeout()).chain(state.forwarding_due()).min();
            state = match wake {
                Some(wake) => state.wait_timeout(&shared.demand, wake.saturating_since(now)),
                None => state.wait(&shared.demand),
            };
        }
    }
}
