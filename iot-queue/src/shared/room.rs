//! Appends that wait for room.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use crate::config::Durability;
use crate::error::AppendError;
use crate::message::Message;
use crate::offset::Offset;
use crate::storage::Storage;

use super::{Clock, SharedQueue, Ticket};

impl<S: Storage, C: Clock> SharedQueue<S, C> {
    /// As [`append`](Self::append), and waits up to `patience` while the queue is full.
    ///
    /// # Errors
    /// As [`append`](Self::append); [`AppendError::Full`] when there was no room by then, or the queue was
    /// [closed](Self::close). A message that the queue could not take if it were empty is waited for in vain.
    pub fn append_wait(&self, message: &Message<'_>, patience: Duration) -> Result<Offset, AppendError> {
        self.append_batch_wait(core::slice::from_ref(message), patience)
    }

    /// As [`append_batch`](Self::append_batch), and waits up to `patience` while the queue is full. Each time that a
    /// message is acknowledged, a cursor advances or a commit ends, it tries again, which may sync.
    ///
    /// # Errors
    /// As [`append_wait`](Self::append_wait).
    pub fn append_batch_wait(&self, messages: &[Message<'_>], patience: Duration) -> Result<Offset, AppendError> {
        let shared = &*self.shared;
        let end = shared.clock.now().saturating_add(patience);
        let mut state = shared.lock();
        let ticket = loop {
            match shared.enter(&mut state, messages) {
                Err(AppendError::Full { .. }) if state.queue.has_untold_losses() && !state.is_closed => {
                    // Whoever looks for gaps may find it now, and then what held room back does no longer.
                    drop(state);
                    state = shared.lock();
                    state.queue.handle_timeout(shared.clock.now());
                }
                Err(full @ AppendError::Full { .. }) => {
                    let now = shared.clock.now();
                    if now >= end || state.is_closed {
                        return Err(full);
                    }
                    let until = state.queue.poll_timeout().map_or(end, |due| due.min(end));
                    state.waiting_for_room += 1;
                    state = state.wait_timeout(&shared.room, until.saturating_since(now));
                    state.waiting_for_room -= 1;
                    state.queue.handle_timeout(shared.clock.now());
                }
                entered => break entered?,
            }
        };
        if shared.durability == Durability::EachMessage {
            shared.wait_durable(state, ticket.until)?;
        }
        Ok(ticket.first)
    }

    /// As [`submit_batch`](Self::submit_batch), for a task, which waits while the queue is full, as long as it likes:
    /// to give up, it drops the future, and nothing is appended.
    pub fn submitting<'m>(&self, messages: &'m [Message<'m>]) -> Submitting<'m, S, C> {
        Submitting { queue: self.clone(), messages, task: None }
    }
}

/// Waits until there is room for messages; see [`SharedQueue::submitting`]. [`AppendError::Full`] comes when the queue
/// was closed.
#[must_use = "a future does nothing unless it is polled"]
pub struct Submitting<'m, S: Storage, C> {
    queue: SharedQueue<S, C>,
    messages: &'m [Message<'m>],
    task: Option<u64>,
}

impl<S: Storage, C: Clock> Future for Submitting<'_, S, C> {
    type Output = Result<Ticket, AppendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let shared = &*this.queue.shared;
        // Wakers are dropped when the lock is free: one may be the last to hold a task.
        let former;
        let mut state = shared.lock();
        let entered = shared.enter(&mut state, this.messages);
        if !matches!(entered, Err(AppendError::Full { .. })) || state.is_closed {
            former = this.task.take().and_then(|task| state.submitting.remove(&task));
            drop(state);
            drop(former);
            return Poll::Ready(entered);
        }
        let task = *this.task.get_or_insert_with(|| state.name_task());
        former = state.submitting.insert(task, context.waker().clone());
        let has_more = state.queue.has_untold_losses();
        drop(state);
        drop(former);
        if has_more {
            // Whoever looks for gaps may find it now, and then what held room back does no longer.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<S: Storage, C> Drop for Submitting<'_, S, C> {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            let waiting = self.queue.shared.lock().submitting.remove(&task);
            drop(waiting);
        }
    }
}

impl<S: Storage, C> fmt::Debug for Submitting<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitting").field("messages", &self.messages.len()).finish_non_exhaustive()
    }
}
