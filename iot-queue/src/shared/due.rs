//! Waiting until a mirror has something to do.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use iot_core::Instant;

use crate::mirror::Mirror;
use crate::offset::Offset;
use crate::storage::Storage;

use super::state::State;
use super::{Clock, SharedQueue};

/// Why a wait for a mirror has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There is something to do.
    Due,
    /// The queue was [closed](SharedQueue::close).
    Closed,
}

/// What a mirror waits for, apart from the other side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    /// Something durable at or behind this place, if it may send.
    pub(super) offset: Option<Offset>,
    pub(super) time: Option<Instant>,
    /// A nudge after so many.
    pub(super) nudges: u64,
}

impl Awaited {
    fn wake<S: Storage>(&self, state: &State<S>, now: Instant) -> Option<Wake> {
        if state.is_closed {
            return Some(Wake::Closed);
        }
        let is_due = self.offset.is_some_and(|offset| state.queue.durable() > offset)
            || self.time.is_some_and(|time| time <= now)
            || self.nudges != state.nudges;
        is_due.then_some(Wake::Due)
    }
}

impl<S: Storage, C: Clock> SharedQueue<S, C> {
    /// Waits, for a task, until `mirror` has something to do that its sink does not tell: there is more to be
    /// forwarded, or something is due. Who forwards drives the mirror then, and whenever the sink has heard something.
    /// [`run`](Self::run) tells the time.
    pub fn due(&self, mirror: &Mirror) -> Due<S, C> {
        let nudges = self.nudges();
        Due::new(self, Awaited { offset: mirror.awaits(), time: mirror.poll_timeout(), nudges })
    }

    /// How often [`nudge`](Self::nudge) was called.
    pub(super) fn nudges(&self) -> u64 {
        self.shared.lock().nudges
    }

    /// Whether nobody is to wait any more.
    pub(super) fn is_closed(&self) -> bool {
        self.shared.lock().is_closed
    }

    /// Tells whoever waits for a mirror that there is something to do.
    pub(super) fn nudge(&self) {
        let mut state = self.shared.lock();
        state.nudges += 1;
        self.shared.announce_forwarding(&mut state);
    }

    /// As a [`Due`], on a thread.
    pub(super) fn wait_due(&self, awaited: Awaited) -> Wake {
        let shared = &*self.shared;
        let mut state = shared.lock();
        loop {
            let now = shared.clock.now();
            if let Some(wake) = awaited.wake(&state, now) {
                return wake;
            }
            state.waiting_to_forward += 1;
            state = match awaited.time {
                Some(time) => state.wait_timeout(&shared.forwarding, time.saturating_since(now)),
                None => state.wait(&shared.forwarding),
            };
            state.waiting_to_forward -= 1;
        }
    }
}

/// Waits until a mirror has something to do; see [`SharedQueue::due`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Due<S: Storage, C> {
    queue: SharedQueue<S, C>,
    awaited: Awaited,
    task: Option<u64>,
}

impl<S: Storage, C> Due<S, C> {
    pub(super) fn new(queue: &SharedQueue<S, C>, awaited: Awaited) -> Self {
        Self { queue: queue.clone(), awaited, task: None }
    }
}

impl<S: Storage, C: Clock> Future for Due<S, C> {
    type Output = Wake;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Wake> {
        let this = self.get_mut();
        let shared = &*this.queue.shared;
        // Wakers are dropped when the lock is free: one may be the last to hold a task.
        let former;
        let mut state = shared.lock();
        if let Some(wake) = this.awaited.wake(&state, shared.clock.now()) {
            former = this.task.take().and_then(|task| state.forwarding.remove(&task));
            drop(state);
            drop(former);
            return Poll::Ready(wake);
        }
        let task = *this.task.get_or_insert_with(|| state.name_task());
        former = state.forwarding.insert(task, (context.waker().clone(), this.awaited.time));
        // Upkeep is to tell the time for it.
        shared.demand.notify_all();
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl<S: Storage, C> Drop for Due<S, C> {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            let waiting = self.queue.shared.lock().forwarding.remove(&task);
            drop(waiting);
        }
    }
}

impl<S: Storage, C> fmt::Debug for Due<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Due").field("awaited", &self.awaited).finish_non_exhaustive()
    }
}
