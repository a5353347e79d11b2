//! A queue for many threads and tasks, whose appends share their syncs.
//!
//! [`SharedQueue`] holds a [`Queue`] behind a lock. Who needs a message durable waits for a sync, and one
//! sync serves everybody who waits: the first of them does it, with the lock free, while others append. So the queue
//! starts no thread, and `n` threads that append at once pay for one sync, not `n`.
//!
//! # Durability by choice
//!
//! | what | how |
//! | --- | --- |
//! | each message | [`Durability::EachMessage`]: [`append`](SharedQueue::append) returns when the message is durable |
//! | many at once | the same with a [`linger`](SharedSettings::linger): who syncs first waits so long for others |
//! | now and then | [`Durability::Manual`], and [`flush_after`](SharedSettings::flush_after), with [`run`](SharedQueue::run) on a thread of the caller's |
//! | none | `Manual`, without |
//!
//! When the queue is full an append is refused, or the oldest messages make room, as its [`WhenFull`](crate::WhenFull)
//! says; [`append_wait`](SharedQueue::append_wait) and [`submitting`](SharedQueue::submitting) wait instead.
//!
//! Whatever the choice, [`submit`](SharedQueue::submit) does not wait: it gives a [`Ticket`], for which
//! [`wait`](SharedQueue::wait) waits on a thread and [`committed`](SharedQueue::committed) in a task.
//!
//! # Tasks
//!
//! The futures of this module work under any executor. Something must sync and tell the time for them: a thread of the
//! caller's that is in [`run`](SharedQueue::run). Without it they wait until somebody else commits.
//!
//! # Mirrors
//!
//! [`MirrorLink`] forwards over any byte stream, from two threads or a task, and [`serve`] takes it at the other end.
//! For other sinks, [`due`](SharedQueue::due) waits until a [`Mirror`](crate::mirror::Mirror) has something to do.
//!
//! # Panics
//!
//! When a [`Storage`] or a [`Clock`] of the caller's panics under the lock, every later call panics, too: nobody can tell
//! what the queue was about to do.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use iot_core::Instant;

use crate::config::Durability;
use crate::error::{AppendError, CommitError, LeaseError, ReserveError};
use crate::lease::{LeaseId, Leased, Nacked, Release};
use crate::message::Message;
use crate::offset::Offset;
use crate::queue::Queue;
use crate::stats::Stats;
use crate::storage::Storage;

mod clock;
mod commit;
mod due;
mod futures;
mod link;
mod reading;
mod room;
mod settings;
mod state;
mod sync;
mod turn;
mod upkeep;

pub use self::clock::Clock;
pub use self::due::{Due, Wake};
pub use self::futures::{Committed, Reserving};
pub use self::link::{LinkError, MirrorLink, Output, serve};
pub use self::reading::Reading;
pub use self::room::Submitting;
pub use self::settings::SharedSettings;

use self::state::{Locked, State};
use self::sync::{Arc, Condvar, Mutex};

/// A [`Queue`] for many threads and tasks; see [the module](self). A clone is another handle of the same queue.
///
/// ```
/// # use core::time::Duration;
/// # use iot_queue::{MemoryStorage, Message, Queue, QueueConfig};
/// # use iot_queue::shared::{SharedQueue, SharedSettings};
/// # use iot_core::Instant;
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// # let config = QueueConfig::default().max_payload(1024)?.segment_len(64 << 10)?.segments(4)?;
/// # let queue = Queue::open(MemoryStorage::new(), config, [7; 8])?;
/// let start = std::time::Instant::now();
/// let clock = move || Instant::from_micros(start.elapsed().as_micros() as u64);
/// let queue = SharedQueue::new(queue, clock, SharedSettings::default());
///
/// std::thread::scope(|threads| {
///     for reading in [b"21.5 C", b"21.6 C"] {
///         let queue = &queue;
///         threads.spawn(move || queue.append(&Message::new(reading)));
///     }
/// });
/// let leased = queue.reserve_wait(Duration::from_secs(30), 16, Duration::from_secs(1))?;
/// assert_eq!(leased.len(), 2);
/// # Ok(())
/// # }
/// ```
pub struct SharedQueue<S: Storage, C> {
    shared: Arc<Shared<S, C>>,
}

struct Shared<S: Storage, C> {
    state: Mutex<State<S>>,
    clock: C,
    settings: SharedSettings,
    durability: Durability,
    /// Tells who lingers that somebody asked for durability, and upkeep that there is something to do.
    demand: Condvar,
    /// Tells who waits for messages that there may be some.
    arrival: Condvar,
    /// Tells who waits for room that there may be some.
    room: Condvar,
    /// Tells who forwards that there may be something to do.
    forwarding: Condvar,
}

/// A place in the queue whose durability can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "without waiting for it nobody knows when the message is durable"]
pub struct Ticket {
    first: Offset,
    until: Offset,
}

impl Ticket {
    /// The place of the first message.
    pub const fn offset(self) -> Offset {
        self.first
    }

    /// The place behind the last message.
    pub const fn until(self) -> Offset {
        self.until
    }
}

impl<S: Storage, C: Clock> SharedQueue<S, C> {
    /// Shares `queue`. Its [`Durability`] is what [`append`](Self::append) promises.
    pub fn new(queue: Queue<S>, clock: C, settings: SharedSettings) -> Self {
        let durability = queue.durability();
        let shared = Shared {
            state: Mutex::new(State::new(queue)),
            clock,
            settings,
            durability,
            demand: Condvar::new(),
            arrival: Condvar::new(),
            room: Condvar::new(),
            forwarding: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Appends a message and gives its place; under [`Durability::EachMessage`] when it is durable.
    ///
    /// # Errors
    /// See [`AppendError`]. After [`AppendError::ReadOnly`] and [`AppendError::Storage`] a later opening may find the
    /// message.
    pub fn append(&self, message: &Message<'_>) -> Result<Offset, AppendError> {
        self.append_batch(core::slice::from_ref(message))
    }

    /// Appends messages one after the other, and gives the place of the first. Either all fit or none is appended.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_batch(&self, messages: &[Message<'_>]) -> Result<Offset, AppendError> {
        let mut state = self.shared.lock();
        let ticket = self.shared.enter(&mut state, messages)?;
        if self.shared.durability == Durability::EachMessage {
            self.shared.wait_durable(state, ticket.until)?;
        }
        Ok(ticket.first)
    }

    /// Appends a message without waiting for its durability, whatever the configuration. It is durable when a commit has
    /// ended that began later, whoever asked for that.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn submit(&self, message: &Message<'_>) -> Result<Ticket, AppendError> {
        self.submit_batch(core::slice::from_ref(message))
    }

    /// Appends messages as [`submit`](Self::submit) does with one. Either all fit or none is appended.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn submit_batch(&self, messages: &[Message<'_>]) -> Result<Ticket, AppendError> {
        let mut state = self.shared.lock();
        self.shared.enter(&mut state, messages)
    }

    /// Waits until what the ticket names is durable, and syncs if nobody else does.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub fn wait(&self, ticket: Ticket) -> Result<(), CommitError> {
        self.shared.wait_durable(self.shared.lock(), ticket.until)
    }

    /// As [`wait`](Self::wait), for a task.
    pub fn committed(&self, ticket: Ticket) -> Committed<S, C> {
        Committed::new(self.clone(), ticket.until)
    }

    /// Makes everything durable that was appended and acknowledged. Gives the place below which every message is durable.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub fn commit(&self) -> Result<Offset, CommitError> {
        self.shared.commit_now(self.shared.lock()).map(|state| state.queue.durable())
    }

    /// The place below which every message is durable.
    pub fn durable(&self) -> Offset {
        self.shared.lock().queue.durable()
    }

    /// Hands out up to `max` messages for `timeout`; see [`Queue::reserve`].
    ///
    /// # Errors
    /// See [`ReserveError`]. Nothing was handed out.
    pub fn reserve(&self, timeout: Duration, max: usize) -> Result<Vec<Leased>, ReserveError> {
        self.shared.reserve(&mut self.shared.lock(), timeout, max)
    }

    /// As [`reserve`](Self::reserve), and waits up to `patience` until there is a message. Gives none when there was
    /// none, or the queue was [closed](Self::close).
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn reserve_wait(&self, timeout: Duration, max: usize, patience: Duration) -> Result<Vec<Leased>, ReserveError> {
        self.reserve_until(timeout, max, patience, || false)
    }

    /// As [`reserve_wait`](Self::reserve_wait), and gives none as soon as it is `over`, of which
    /// [`look_again`](Self::look_again) tells.
    pub(crate) fn reserve_until(
        &self,
        timeout: Duration,
        max: usize,
        patience: Duration,
        over: impl Fn() -> bool,
    ) -> Result<Vec<Leased>, ReserveError> {
        let end = self.shared.clock.now().saturating_add(patience);
        let mut state = self.shared.lock();
        loop {
            if over() {
                return Ok(Vec::new());
            }
            let leased = self.shared.reserve(&mut state, timeout, max)?;
            let now = self.shared.clock.now();
            if !leased.is_empty() || now >= end || state.is_closed || max == 0 {
                return Ok(leased);
            }
            let until = state.queue.poll_timeout().map_or(end, |due| due.min(end));
            state = self.shared.wait_for_arrival(state, until.saturating_since(now));
        }
    }

    /// As [`reserve_wait`](Self::reserve_wait), for a task, which waits as long as it likes.
    pub fn reserving(&self, timeout: Duration, max: usize) -> Reserving<S, C> {
        Reserving::new(self.clone(), timeout, max)
    }

    /// Moves the end of a lease to `timeout` from now; see [`Queue::touch`].
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the lease has ended.
    pub fn touch(&self, lease: LeaseId, timeout: Duration) -> Result<Instant, LeaseError> {
        self.with(|queue, now| queue.touch(now, lease, timeout))
    }

    /// Acknowledges a leased message; see [`Queue::ack`]. It lasts from the next commit on, and costs no sync of its own:
    /// one that an append waits for covers it, and in a queue that rests, [`run`](Self::run) commits it after
    /// [`flush_after`](SharedSettings::flush_after).
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the caller no longer holds the message.
    pub fn ack(&self, lease: LeaseId) -> Result<(), LeaseError> {
        self.with(|queue, _| queue.ack(lease))
    }

    /// Gives a leased message back, to where the caller says; see [`Queue::release_to`].
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the lease has ended.
    pub fn release(&self, lease: LeaseId, to: Release) -> Result<(), LeaseError> {
        self.with(|queue, now| queue.release_to(now, lease, to))
    }

    /// Gives a leased message back because it could not be handled; see [`Queue::nack`].
    ///
    /// # Errors
    /// [`LeaseError::Stale`] when the lease has ended.
    pub fn nack(&self, lease: LeaseId, reason: &str, to: Release) -> Result<Nacked, LeaseError> {
        self.with(|queue, now| queue.nack(now, lease, reason, to))
    }

    /// What the queue holds and did.
    pub fn stats(&self) -> Stats {
        self.shared.lock().queue.stats()
    }

    /// Does anything else with the queue and the present time, while nobody else uses it.
    pub fn with<T>(&self, work: impl FnOnce(&mut Queue<S>, Instant) -> T) -> T {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        state.make_readable();
        state.queue.note_time(now);
        let done = work(&mut state.queue, now);
        self.shared.changed(&mut state, now);
        self.shared.announce_room(&mut state);
        done
    }

    /// Lets everybody who waits for messages look whether it is over.
    pub(crate) fn look_again(&self) {
        self.shared.announce(&mut self.shared.lock());
    }

    /// Whether it was closed and has no message that can be had.
    pub(crate) fn is_spent(&self) -> bool {
        let mut state = self.shared.lock();
        state.is_closed && {
            state.make_readable();
            let now = self.shared.clock.now();
            !state.queue.peek(now, 1).is_ok_and(|messages| !messages.is_empty())
        }
    }

    /// What the clock shows.
    pub(crate) fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Lets [`run`](Self::run) commit what there is and return, and whoever waits for messages go without. What is called
    /// later works as before, but does not wait for messages.
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        self.shared.demand.notify_all();
        self.shared.announce(&mut state);
        self.shared.announce_room(&mut state);
        self.shared.announce_forwarding(&mut state);
    }
}

impl<S: Storage, C> Shared<S, C> {
    fn lock(&self) -> Locked<'_, S> {
        Locked::new(&self.state)
    }

    /// Tells whoever waits that messages may be had.
    fn announce(&self, state: &mut State<S>) {
        if state.waiting > 0 {
            self.arrival.notify_all();
        }
        state.wake_reserving();
    }

    /// Tells whoever forwards that there is more to be forwarded, if there is.
    fn announce_durable(&self, state: &mut State<S>) {
        if state.has_more_durable() {
            self.announce_forwarding(state);
        }
    }

    /// Tells whoever forwards that there may be something to do.
    fn announce_forwarding(&self, state: &mut State<S>) {
        if state.waiting_to_forward > 0 {
            self.forwarding.notify_all();
        }
        state.wake_forwarding();
    }

    /// Tells whoever waits for room that there may be some.
    fn announce_room(&self, state: &mut State<S>) {
        if state.waiting_for_room > 0 {
            self.room.notify_all();
        }
        state.wake_submitting();
    }
}

impl<S: Storage, C: Clock> Shared<S, C> {
    /// Takes messages in. Under [`Durability::EachMessage`] they wait in memory for the write of the commit that makes them
    /// durable, as long as they are few; otherwise they are written.
    fn enter(&self, state: &mut State<S>, messages: &[Message<'_>]) -> Result<Ticket, AppendError> {
        // Delays, times to live and ages run from now on, however long nobody told the time.
        let now = self.clock.now();
        state.queue.note_time(now);
        let first = match self.durability {
            Durability::EachMessage => state.queue.enter_batch(messages)?,
            Durability::Manual => state.queue.append_batch(messages)?,
        };
        let until = state.queue.next_offset();
        state.unwritten += messages.iter().map(|message| message.payload().len() + 1).sum::<usize>();
        if state.unwritten > MAX_UNWRITTEN {
            state.write_entered()?;
        }
        self.changed(state, now);
        Ok(Ticket { first, until })
    }

    fn reserve(&self, state: &mut State<S>, timeout: Duration, max: usize) -> Result<Vec<Leased>, ReserveError> {
        state.make_readable();
        let leased = state.queue.reserve(self.clock.now(), timeout, max)?;
        if !leased.is_empty() {
            self.note_uncommitted(state);
        }
        Ok(leased)
    }

    /// Takes note that the queue was used: something may have to be committed, and there may be messages.
    fn changed(&self, state: &mut State<S>, now: Instant) {
        if state.uncommitted.is_none() {
            state.uncommitted = Some(now);
            self.demand.notify_all();
        }
        self.announce(state);
        self.announce_durable(state);
    }

    fn note_uncommitted(&self, state: &mut State<S>) {
        if state.uncommitted.is_none() {
            state.uncommitted = Some(self.clock.now());
            self.demand.notify_all();
        }
    }

    fn wait_for_arrival<'g>(&'g self, mut state: Locked<'g, S>, at_most: Duration) -> Locked<'g, S> {
        state.waiting += 1;
        state = state.wait_timeout(&self.arrival, at_most);
        state.waiting -= 1;
        state
    }
}

/// Octets of payloads that wait in memory for the write of the next commit.
const MAX_UNWRITTEN: usize = 256 * 1024;

impl<S: Storage, C> Clone for SharedQueue<S, C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: Storage, C> fmt::Debug for SharedQueue<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedQueue").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
