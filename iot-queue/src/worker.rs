//! Handlers of messages, one message at a time each, under leases that last as long as the work.
//!
//! A [`Worker`] reserves a message, hands it to a handler, and settles it by the handler's [`Verdict`]: acknowledged, handed
//! out again after a wait that grows, or a dead letter. It starts no thread: as many handlers work at once as threads of
//! the caller's are in [`handle_next`](Worker::handle_next), and one more thread, in [`keep`](Worker::keep), prolongs
//! the leases of what they are at.
//!
//! ```
//! use core::time::Duration;
//! use iot_core::Instant;
//! use iot_queue::shared::{SharedQueue, SharedSettings};
//! use iot_queue::worker::{Outcome, Worker, WorkerSettings};
//! use iot_queue::{MemoryStorage, Message, Queue, QueueConfig};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let config = QueueConfig::default().max_payload(1024)?.segment_len(64 << 10)?.segments(4)?;
//! // After its third attempt a message is a dead letter.
//! let queue = Queue::open(MemoryStorage::new(), config.max_attempts(3)?, [7; 8])?;
//! let start = std::time::Instant::now();
//! let clock = move || Instant::from_micros(start.elapsed().as_micros() as u64);
//! let queue = SharedQueue::new(queue, clock, SharedSettings::default());
//! let worker = Worker::new(queue.clone(), WorkerSettings::default().lease(Duration::from_secs(10))?);
//!
//! queue.append(&Message::new(b"17"))?;
//! queue.append(&Message::new(b"seventeen"))?;
//! std::thread::scope(|threads| {
//!     threads.spawn(|| worker.keep());
//!     for _ in 0..2 {
//!         threads.spawn(|| {
//!             // A handler that gives a result: what fails comes again.
//!             let parse = |job: &iot_queue::worker::Job<'_>| {
//!                 String::from_utf8_lossy(&job.message().payload).parse::<u32>().map(drop)
//!             };
//!             while let Some(handled) = worker.handle_next(parse).expect("the storage works") {
//!                 match &handled.outcome {
//!                     Outcome::Done => assert_eq!(handled.message.payload, b"17"),
//!                     _ => assert_eq!(handled.to_string(), "1 failed at attempt 1: invalid digit found in string"),
//!                 }
//!                 // From here on it lasts; threads that commit at once share a sync.
//!                 queue.commit().expect("the storage works");
//!             }
//!         });
//!     }
//! #   while queue.stats().depth > 1 || queue.stats().delayed == 0 { std::thread::yield_now(); }
//!     // When it is time to end: what is being done is finished, and nothing else is begun.
//!     worker.stop();
//! });
//! # Ok(())
//! # }
//! ```
//!
//! A message is handled at least once. An acknowledgement is in memory until the next [commit](SharedQueue::commit): the
//! caller's, one that an append waits for, or that of [`run`](SharedQueue::run) after
//! [`flush_after`](crate::shared::SharedSettings::flush_after). After a kill or a power cut before that the message comes
//! again.
//!
//! # Handlers that panic
//!
//! Their message is settled as one that failed, and the panic goes on to the caller of `handle_next`, who may call it
//! again. Who would rather have a verdict of it than a thread that ends catches it in the handler
//! ([`catch_unwind`]).

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use iot_core::Instant;

use crate::error::{ConfigError, LeaseError, ReserveError};
use crate::lease::{Backoff, LeaseId, Leased, Nacked, Release};
use crate::shared::{Clock, SharedQueue};
use crate::storage::Storage;

/// How a [`Worker`] goes about messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    lease: Duration,
    longest: Duration,
    backoff: Backoff,
}

impl Default for WorkerSettings {
    /// Leases of 30 seconds, prolonged as long as a handler works, and a [`Backoff::default`] after failures.
    fn default() -> Self {
        Self { lease: Duration::from_secs(30), longest: Duration::MAX, backoff: Backoff::default() }
    }
}

impl WorkerSettings {
    /// After how long a message is handed out again when its lease is not prolonged: by default 30 seconds, from 10
    /// milliseconds. It is prolonged each time that a third of it has passed.
    ///
    /// # Errors
    /// When it is shorter.
    pub fn lease(self, lease: Duration) -> Result<Self, ConfigError> {
        let (least, most) = (10, u64::MAX);
        let value = u64::try_from(lease.as_millis()).unwrap_or(most);
        if value < least {
            return Err(ConfigError::OutOfRange { setting: "lease", value, least, most });
        }
        Ok(Self { lease, ..self })
    }

    /// For how long a lease is prolonged, by default without end: a handler that never returns keeps its message as long as
    /// the process runs. Behind this time the message is handed out again when the lease ends, and the
    /// [handler is told](Job::is_ours).
    #[must_use]
    pub const fn longest(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// How long a message that failed waits. How often it is tried is up to
    /// [`max_attempts`](crate::QueueConfig::max_attempts) of the queue: by default without end.
    #[must_use]
    pub const fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }
}

/// A message in the hands of a handler.
#[derive(Debug)]
pub struct Job<'j> {
    message: &'j Leased,
    is_lost: &'j AtomicBool,
    is_stopping: &'j AtomicBool,
}

impl Job<'_> {
    /// The message.
    pub const fn message(&self) -> &Leased {
        self.message
    }

    /// Whether nobody else can have the message. When this is `false` the lease could not be prolonged, or
    /// [no longer](WorkerSettings::longest) is: a handler that can stop had better.
    pub fn is_ours(&self) -> bool {
        !self.is_lost.load(Ordering::Acquire)
    }

    /// Whether the worker was told to [stop](Worker::stop): a handler that takes long may give its message back by
    /// [`Verdict::Released`].
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }
}

/// What a handler says of a message.
///
/// A result is one, too: what is `Ok` is done, and an error says why it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is done: acknowledged.
    Done,
    /// It could not be done now: handed out again after a wait, or a dead letter after the last attempt, with this reason.
    Failed(String),
    /// It can never be done: a dead letter at once, with this reason.
    Rejected(String),
    /// It is to be done later, or by somebody else: given back to where this says. That is no failure.
    Released(Release),
}

impl<T, E: fmt::Display> From<Result<T, E>> for Verdict {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(error) => Self::Failed(error.to_string()),
        }
    }
}

/// A message that was handled. As text it is one line: `17 done at attempt 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// The message.
    pub message: Leased,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was acknowledged.
    Done,
    /// It failed, and is handed out again.
    Failed {
        /// Why.
        reason: String,
    },
    /// It is a dead letter.
    Dead {
        /// Why.
        reason: String,
    },
    /// It was given back.
    Released,
    /// It was no longer the handler's: somebody else has it, had it, or will.
    Lost,
}

impl fmt::Display for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Leased { offset, attempts, .. } = self.message;
        match &self.outcome {
            Outcome::Done => write!(f, "{offset} done at attempt {attempts}"),
            Outcome::Failed { reason } => write!(f, "{offset} failed at attempt {attempts}: {reason}"),
            Outcome::Dead { reason } => write!(f, "{offset} given up after attempt {attempts}: {reason}"),
            Outcome::Released => write!(f, "{offset} given back at attempt {attempts}"),
            Outcome::Lost => write!(f, "{offset} lost at attempt {attempts}: its lease had ended"),
        }
    }
}

/// Why a worker cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// No message could be reserved, and none will be: the queue is read-only.
    #[error("no message could be reserved")]
    Reserve(#[from] ReserveError),
    /// What became of a message could not be written down. It comes again.
    #[error("what became of a message could not be written down")]
    Settle(#[from] LeaseError),
}

/// How often [`keep`](Worker::keep) looks whether the queue was closed while nobody was there to tell it.
const LOOK: Duration = Duration::from_secs(1);

/// Hands the messages of a queue to handlers; see [the module](self).
pub struct Worker<S: Storage, C> {
    queue: SharedQueue<S, C>,
    settings: WorkerSettings,
    is_stopping: AtomicBool,
    hands: Mutex<Hands>,
    /// Tells who keeps leases that there is one more, or that nobody works any longer.
    changed: Condvar,
}

/// What is being done.
#[derive(Default)]
struct Hands {
    kept: BTreeMap<LeaseId, Kept>,
    /// Threads that may have a message, or are about to.
    busy: usize,
}

/// A lease that is prolonged.
struct Kept {
    due: Instant,
    end: Instant,
    is_lost: Arc<AtomicBool>,
}

impl<S: Storage, C: Clock> Worker<S, C> {
    /// A worker on this queue. There may be several, and others may reserve besides.
    pub fn new(queue: SharedQueue<S, C>, settings: WorkerSettings) -> Self {
        let (is_stopping, hands, changed) = (AtomicBool::new(false), Mutex::default(), Condvar::new());
        Self { queue, settings, is_stopping, hands, changed }
    }

    /// Waits for a message, hands it to `handler` and settles it. Gives `None` when the worker was [stopped](Self::stop), or
    /// the queue was [closed](SharedQueue::close) and has no message that can be had, which stops the worker.
    ///
    /// A message that the storage fails to read is no error: it comes when it can be read, and
    /// [`Stats::unread`](crate::Stats::unread) counts it until then.
    ///
    /// # Errors
    /// When the storage of the queue failed, so that it is read-only.
    ///
    /// # Panics
    /// When the handler does, after its message was settled.
    pub fn handle_next<V: Into<Verdict>>(
        &self,
        handler: impl FnOnce(&Job<'_>) -> V,
    ) -> Result<Option<Handled>, WorkerError> {
        let busy = Busy::enter(self);
        let is_over = || self.is_stopping.load(Ordering::Acquire);
        let mut reserved = loop {
            match self.queue.reserve_until(self.settings.lease, 1, Duration::MAX, is_over) {
                // What cannot be read is held aside now, and the queue goes on.
                Err(ReserveError::Storage(_)) => {}
                reserved => break reserved?,
            }
        };
        let Some(message) = reserved.pop() else {
            self.is_stopping.store(true, Ordering::Release);
            return Ok(None);
        };
        let is_lost = Arc::new(AtomicBool::new(false));
        busy.keep(&message, &is_lost);
        let job = Job { message: &message, is_lost: &is_lost, is_stopping: &self.is_stopping };
        let verdict = catch_unwind(AssertUnwindSafe(|| handler(&job).into()));
        busy.let_go(message.lease);
        match verdict {
            Ok(verdict) => {
                let outcome = self.settle(&message, verdict)?;
                Ok(Some(Handled { message, outcome }))
            }
            Err(panic) => {
                // When the storage fails now, the panic is still what the caller has to hear first.
                let _ = self.settle(&message, Verdict::Failed("its handler panicked".into()));
                resume_unwind(panic)
            }
        }
    }

    /// Prolongs the leases of what is being done, on a thread that the caller gives for it, until the worker was
    /// [stopped](Self::stop), or the queue was [closed](SharedQueue::close) and has no message that can be had, and nothing
    /// is being done any more. Without it a message whose handler takes longer than its [lease](WorkerSettings::lease) is
    /// handed out a second time.
    pub fn keep(&self) {
        let mut hands = self.hands();
        while hands.busy > 0 || !self.is_over() {
            let due = self.prolong(&mut hands);
            let wait = due.map_or(LOOK, |due| due.saturating_since(self.queue.now()).min(LOOK));
            hands = self.changed.wait_timeout(hands, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets [`handle_next`](Self::handle_next) hand out nothing more, and [`keep`](Self::keep) return when what is being
    /// done has ended. It does not wait for that.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.queue.look_again();
        drop(self.hands());
        self.changed.notify_all();
    }

    /// Whether nothing more is to be handed out. Once it is over, it stays so.
    fn is_over(&self) -> bool {
        if self.queue.is_spent() {
            self.is_stopping.store(true, Ordering::Release);
        }
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Prolongs what is due, and says what is due next.
    fn prolong(&self, hands: &mut Hands) -> Option<Instant> {
        let now = self.queue.now();
        let prolonged = |lease| self.queue.touch(lease, self.settings.lease).is_ok();
        hands.kept.retain(|&lease, kept| {
            if kept.due <= now {
                kept.due = now.saturating_add(self.settings.lease / 3).min(kept.end);
                if now >= kept.end || !prolonged(lease) {
                    kept.is_lost.store(true, Ordering::Release);
                    return false;
                }
            }
            true
        });
        hands.kept.values().map(|kept| kept.due).min()
    }

    fn settle(&self, message: &Leased, verdict: Verdict) -> Result<Outcome, LeaseError> {
        let Leased { lease, offset, attempts, .. } = *message;
        let settled = match verdict {
            Verdict::Done => self.queue.ack(lease).map(|()| Outcome::Done),
            Verdict::Failed(reason) => {
                let seed = offset.number() ^ u64::from(attempts);
                let again = Release::Backoff { backoff: self.settings.backoff, seed };
                self.queue.nack(lease, &reason, again).map(|nacked| match nacked {
                    Nacked::Released => Outcome::Failed { reason },
                    Nacked::Dead => Outcome::Dead { reason },
                })
            }
            Verdict::Rejected(reason) => {
                self.queue.with(|queue, _| queue.reject(lease, &reason)).map(|()| Outcome::Dead { reason })
            }
            Verdict::Released(to) => self.queue.release(lease, to).map(|()| Outcome::Released),
        };
        match settled {
            Err(LeaseError::Stale { .. }) => Ok(Outcome::Lost),
            settled => settled,
        }
    }

    /// Nothing that runs under this lock leaves it half changed, so a panic there does no harm.
    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Storage, C> fmt::Debug for Worker<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A thread that may have a message, for as long as this is there.
struct Busy<'w, S: Storage, C: Clock>(&'w Worker<S, C>);

impl<'w, S: Storage, C: Clock> Busy<'w, S, C> {
    fn enter(worker: &'w Worker<S, C>) -> Self {
        worker.hands().busy += 1;
        Self(worker)
    }

    fn keep(&self, message: &Leased, is_lost: &Arc<AtomicBool>) {
        let (now, WorkerSettings { lease, longest, .. }) = (self.0.queue.now(), self.0.settings);
        let end = now.saturating_add(longest);
        // The lease runs since the message was reserved, and this thread may have slept since.
        let third = message.deadline.saturating_since(now).saturating_sub(lease - lease / 3);
        let kept = Kept { due: now.saturating_add(third).min(end), end, is_lost: Arc::clone(is_lost) };
        let mut hands = self.0.hands();
        // Whoever waits for others that are kept is awake before this one is due.
        if hands.kept.is_empty() {
            self.0.changed.notify_all();
        }
        hands.kept.insert(message.lease, kept);
    }

    fn let_go(&self, lease: LeaseId) {
        self.0.hands().kept.remove(&lease);
    }
}

impl<S: Storage, C: Clock> Drop for Busy<'_, S, C> {
    fn drop(&mut self) {
        self.0.hands().busy -= 1;
        if self.0.is_stopping.load(Ordering::Acquire) {
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
