//! Cursors that wait for what is appended.

use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use crate::cursor::CursorId;
use crate::error::CursorError;
use crate::message::Entry;
use crate::storage::Storage;

use super::state::State;
use super::{Clock, Shared, SharedQueue};

impl<S: Storage, C: Clock> SharedQueue<S, C> {
    /// The next entries of a cursor; see [`Queue::read_cursor`](crate::Queue::read_cursor). Waits up to `patience` until
    /// there is one. Gives none when there was none, or the queue was [closed](Self::close). The other calls for cursors go
    /// through [`with`](Self::with).
    ///
    /// # Errors
    /// As [`Queue::read_cursor`](crate::Queue::read_cursor).
    pub fn read_wait(&self, cursor: CursorId, max: usize, patience: Duration) -> Result<Vec<Entry>, CursorError> {
        let end = self.shared.clock.now().saturating_add(patience);
        let mut state = self.shared.lock();
        loop {
            let entries = self.shared.read(&mut state, cursor, max)?;
            let now = self.shared.clock.now();
            if !entries.is_empty() || now >= end || state.is_closed || max == 0 {
                return Ok(entries);
            }
            state = self.shared.wait_for_arrival(state, end.saturating_since(now));
        }
    }

    /// As [`read_wait`](Self::read_wait), for a task, which waits as long as it likes.
    pub fn reading(&self, cursor: CursorId, max: usize) -> Reading<S, C> {
        Reading { queue: self.clone(), cursor, max, task: None }
    }
}

impl<S: Storage, C: Clock> Shared<S, C> {
    fn read(&self, state: &mut State<S>, cursor: CursorId, max: usize) -> Result<Vec<Entry>, CursorError> {
        state.make_readable();
        state.queue.read_cursor(self.clock.now(), cursor, max)
    }
}

/// Waits for entries of a cursor; see [`SharedQueue::reading`]. Dropping it before it is ready leaves them to the next
/// reading. Gives none when the queue was closed.
#[must_use = "a future does nothing unless it is polled"]
pub struct Reading<S: Storage, C> {
    queue: SharedQueue<S, C>,
    cursor: CursorId,
    max: usize,
    task: Option<u64>,
}

impl<S: Storage, C: Clock> Future for Reading<S, C> {
    type Output = Result<Vec<Entry>, CursorError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let shared = &*this.queue.shared;
        // Wakers are dropped when the lock is free: one may be the last to hold a task.
        let former;
        let mut state = shared.lock();
        let entries = shared.read(&mut state, this.cursor, this.max);
        if !matches!(&entries, Ok(entries) if entries.is_empty()) || state.is_closed || this.max == 0 {
            former = this.task.take().and_then(|task| state.reserving.remove(&task));
            drop(state);
            drop(former);
            return Poll::Ready(entries);
        }
        let task = *this.task.get_or_insert_with(|| state.name_task());
        former = state.reserving.insert(task, context.waker().clone());
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl<S: Storage, C> Drop for Reading<S, C> {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            let waiting = self.queue.shared.lock().reserving.remove(&task);
            drop(waiting);
        }
    }
}

impl<S: Storage, C> fmt::Debug for Reading<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("cursor", &self.cursor).field("max", &self.max).finish_non_exhaustive()
    }
}
