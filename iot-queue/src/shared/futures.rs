use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use crate::error::{CommitError, ReserveError};
use crate::lease::Leased;
use crate::offset::Offset;
use crate::storage::Storage;

use super::state::Committing;
use super::{Clock, SharedQueue};

/// Waits until messages are durable; see [`SharedQueue::committed`]. Dropping it takes nothing back.
#[must_use = "a future does nothing unless it is polled"]
pub struct Committed<S: Storage, C> {
    queue: SharedQueue<S, C>,
    until: Offset,
    task: Option<u64>,
}

impl<S: Storage, C> Committed<S, C> {
    pub(super) fn new(queue: SharedQueue<S, C>, until: Offset) -> Self {
        Self { queue, until, task: None }
    }
}

impl<S: Storage, C: Clock> Future for Committed<S, C> {
    type Output = Result<(), CommitError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let shared = &*this.queue.shared;
        // Wakers are dropped when the lock is free: one may be the last to hold a task.
        let former;
        let mut state = shared.lock();
        let failure = this.task.and_then(|task| state.committing.get(&task)?.failure);
        if state.queue.durable() >= this.until || failure.is_some() {
            former = this.task.take().and_then(|task| state.committing.remove(&task));
            drop(state);
            drop(former);
            return Poll::Ready(failure.map_or(Ok(()), Err));
        }
        let task = *this.task.get_or_insert_with(|| state.name_task());
        let waiting = Committing { until: this.until, waker: context.waker().clone(), failure: None };
        former = state.committing.insert(task, waiting);
        shared.demand.notify_all();
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl<S: Storage, C> Drop for Committed<S, C> {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            let waiting = self.queue.shared.lock().committing.remove(&task);
            drop(waiting);
        }
    }
}

impl<S: Storage, C> fmt::Debug for Committed<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committed").field("until", &self.until).finish_non_exhaustive()
    }
}

/// Waits for messages; see [`SharedQueue::reserving`]. Dropping it before it is ready leaves them to others. Gives none
/// when the queue was closed.
#[must_use = "a future does nothing unless it is polled"]
pub struct Reserving<S: Storage, C> {
    queue: SharedQueue<S, C>,
    timeout: Duration,
    max: usize,
    task: Option<u64>,
}

impl<S: Storage, C> Reserving<S, C> {
    pub(super) fn new(queue: SharedQueue<S, C>, timeout: Duration, max: usize) -> Self {
        Self { queue, timeout, max, task: None }
    }
}

impl<S: Storage, C: Clock> Future for Reserving<S, C> {
    type Output = Result<Vec<Leased>, ReserveError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let shared = &*this.queue.shared;
        let former;
        let mut state = shared.lock();
        let leased = shared.reserve(&mut state, this.timeout, this.max);
        if !matches!(&leased, Ok(leased) if leased.is_empty()) || state.is_closed || this.max == 0 {
            former = this.task.take().and_then(|task| state.reserving.remove(&task));
            drop(state);
            drop(former);
            return Poll::Ready(leased);
        }
        let task = *this.task.get_or_insert_with(|| state.name_task());
        former = state.reserving.insert(task, context.waker().clone());
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl<S: Storage, C> Drop for Reserving<S, C> {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            let waiting = self.queue.shared.lock().reserving.remove(&task);
            drop(waiting);
        }
    }
}

impl<S: Storage, C> fmt::Debug for Reserving<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserving").field("timeout", &self.timeout).field("max", &self.max).finish_non_exhaustive()
    }
}
