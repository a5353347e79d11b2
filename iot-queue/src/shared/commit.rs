//! One sync for everybody who waits.

use crate::error::CommitError;
use crate::offset::Offset;
use crate::storage::{Storage, Syncer as _};

use super::state::Locked;
use super::turn::Word;
use super::{Clock, Shared};

impl<S: Storage, C: Clock> Shared<S, C> {
    /// Waits until everything before `until` is durable: for the sync of somebody else, or its own.
    pub(super) fn wait_durable<'g>(&'g self, mut state: Locked<'g, S>, until: Offset) -> Result<(), CommitError> {
        while state.queue.durable() < until {
            if !state.is_syncing {
                return self.lead(state).map(drop);
            }
            if Self::wait_turn(state, until) == Word::Durable {
                return Ok(());
            }
            state = self.lock();
        }
        // A segment that was full may have made it durable: if it was called to begin a commit, others still wait for that.
        if !state.is_syncing {
            state.wake_next();
        }
        Ok(())
    }

    /// Commits what there is now, in a commit that begins after this call.
    pub(super) fn commit_now<'g>(&'g self, mut state: Locked<'g, S>) -> Result<Locked<'g, S>, CommitError> {
        while state.is_syncing {
            // The commit after the one that is under way.
            let word = Self::wait_turn(state, Offset::new(u64::MAX));
            state = self.lock();
            if word == Word::Durable {
                return Ok(state);
            }
        }
        self.lead(state)
    }

    /// Waits for the commit that makes everything before `until` durable, while somebody syncs.
    fn wait_turn(mut state: Locked<'_, S>, until: Offset) -> Word {
        let turn = state.turn_until(until);
        drop(state);
        turn.wait()
    }

    /// Commits for all who wait. Nobody else does meanwhile.
    fn lead<'g>(&'g self, mut state: Locked<'g, S>) -> Result<Locked<'g, S>, CommitError> {
        state.is_syncing = true;
        state = self.linger(state);
        let uncommitted = state.uncommitted.take();
        state.unwritten = 0;
        let until = state.queue.next_offset();
        state.begin_turn(until);
        let committed = match state.queue.begin_commit() {
            Ok(Some(pending)) => {
                let syncer = state.queue.syncer(pending);
                let synced = match syncer {
                    Ok(Some(syncer)) => {
                        drop(state);
                        let synced = {
                            let _unless_it_panics = GiveWay { shared: self };
                            syncer.sync()
                        };
                        state = self.lock();
                        synced
                    }
                    // One that cannot be had is no failed sync: the process may have no descriptor left for it.
                    Ok(None) | Err(_) => state.queue.sync(pending),
                };
                state.queue.end_commit(pending, synced)
            }
            Ok(None) => Ok(state.queue.durable()),
            Err(error) => Err(error),
        };
        state.is_syncing = false;
        let (durable, failure) = (state.queue.durable(), committed.err());
        if failure.is_some() {
            state.uncommitted = uncommitted.or(state.uncommitted);
        }
        state.wake_committing(durable, failure);
        match failure {
            None => state.end_turn(),
            Some(_) => state.give_way(),
        }
        #[cfg(iot_fault)]
        if crate::fault::loses_wakeups() {
            state.lose_wakeups();
        }
        self.announce_room(&mut state);
        self.announce_durable(&mut state);
        match failure {
            Some(failure) => Err(failure),
            None => Ok(state),
        }
    }

    /// Gives others the time to join, if the settings say so.
    fn linger<'g>(&'g self, mut state: Locked<'g, S>) -> Locked<'g, S> {
        if self.settings.linger.is_zero() {
            return state;
        }
        let end = self.clock.now().saturating_add(self.settings.linger);
        loop {
            let left = end.saturating_since(self.clock.now());
            if left.is_zero() || state.is_closed {
                return state;
            }
            state = state.wait_timeout(&self.demand, left);
        }
    }
}

/// Lets others sync when a syncer of the caller's panics.
struct GiveWay<'a, S: Storage, C> {
    shared: &'a Shared<S, C>,
}

impl<S: Storage, C> Drop for GiveWay<'_, S, C> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Some(mut state) = Locked::unless_poisoned(&self.shared.state) {
                state.is_syncing = false;
                state.give_way();
            }
        }
    }
}
