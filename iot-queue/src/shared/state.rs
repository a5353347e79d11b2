use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};
use core::task::Waker;
use core::time::Duration;

use iot_core::Instant;

use crate::error::{AppendError, CommitError};
use crate::offset::Offset;
use crate::queue::Queue;
use crate::storage::Storage;

use super::sync::{Arc, Condvar, Mutex, MutexGuard};
use super::turn::{Told, Turn};

/// What the lock guards.
pub(super) struct State<S> {
    pub(super) queue: Queue<S>,
    /// Whether somebody syncs, or lingers before.
    pub(super) is_syncing: bool,
    /// Threads that the commit serves that is under way, and the place before which it makes everything durable.
    served: (Arc<Turn>, Offset),
    /// Threads that the commit after it will serve, and whether there are any.
    next: (Arc<Turn>, bool),
    /// Octets of messages that were taken in and not written.
    pub(super) unwritten: usize,
    /// When the first of what no commit covers came.
    pub(super) uncommitted: Option<Instant>,
    /// Threads that wait for messages.
    pub(super) waiting: usize,
    /// Threads that wait for room.
    pub(super) waiting_for_room: usize,
    pub(super) is_closed: bool,
    /// Tasks that wait for a commit.
    pub(super) committing: BTreeMap<u64, Committing>,
    /// Tasks that wait for messages.
    pub(super) reserving: BTreeMap<u64, Waker>,
    /// Tasks that wait for room.
    pub(super) submitting: BTreeMap<u64, Waker>,
    /// Tasks that wait for what a mirror has to do, and when that is due if nothing else happens.
    pub(super) forwarding: BTreeMap<u64, (Waker, Option<Instant>)>,
    /// Threads that wait for that.
    pub(super) waiting_to_forward: usize,
    /// What those were told to be durable.
    told_durable: Offset,
    /// How often they were told of something else.
    pub(super) nudges: u64,
    next_task: u64,
    /// Who is to be woken once the lock is free.
    awake: Awake,
}

/// Who is to be woken. Waking a task may drop another, and that takes the lock.
#[derive(Default)]
struct Awake {
    turns: Vec<(Arc<Turn>, Told)>,
    tasks: Vec<Waker>,
}

impl Awake {
    fn is_empty(&self) -> bool {
        self.turns.is_empty() && self.tasks.is_empty()
    }

    fn wake(self) {
        self.turns.into_iter().for_each(|(turn, told)| turn.tell(told));
        self.tasks.into_iter().for_each(Waker::wake);
    }
}

/// A task that waits for a commit.
pub(super) struct Committing {
    pub(super) until: Offset,
    pub(super) waker: Waker,
    /// How the commit failed that was to serve it.
    pub(super) failure: Option<CommitError>,
}

impl<S: Storage> State<S> {
    pub(super) fn new(queue: Queue<S>) -> Self {
        let told_durable = queue.durable();
        Self {
            queue,
            is_syncing: false,
            served: (Arc::new(Turn::new()), told_durable),
            next: (Arc::new(Turn::new()), false),
            unwritten: 0,
            uncommitted: None,
            waiting: 0,
            waiting_for_room: 0,
            is_closed: false,
            committing: BTreeMap::new(),
            reserving: BTreeMap::new(),
            submitting: BTreeMap::new(),
            forwarding: BTreeMap::new(),
            waiting_to_forward: 0,
            told_durable,
            nudges: 0,
            next_task: 0,
            awake: Awake::default(),
        }
    }

    /// Whether a task waits for a commit that is still to come.
    pub(super) fn wants_commit(&self) -> bool {
        self.committing.values().any(|task| task.failure.is_none() && task.until > self.queue.durable())
    }

    /// Whether more is durable than when this was asked last.
    pub(super) fn has_more_durable(&mut self) -> bool {
        let durable = self.queue.durable();
        core::mem::replace(&mut self.told_durable, durable) < durable
    }

    /// Writes what was taken in. Until then it cannot be read.
    pub(super) fn write_entered(&mut self) -> Result<(), AppendError> {
        if core::mem::take(&mut self.unwritten) == 0 {
            return Ok(());
        }
        self.queue.write()
    }

    /// As [`write_entered`](Self::write_entered), for who is about to read. When that fails for good the queue is
    /// read-only, and says so to whoever uses it next.
    pub(super) fn make_readable(&mut self) {
        let _ = self.write_entered();
    }
}

impl<S> State<S> {
    /// A name for a task that waits.
    pub(super) fn name_task(&mut self) -> u64 {
        self.next_task += 1;
        self.next_task
    }

    pub(super) fn wake_reserving(&mut self) {
        self.awake.tasks.extend(core::mem::take(&mut self.reserving).into_values());
    }

    pub(super) fn wake_submitting(&mut self) {
        self.awake.tasks.extend(core::mem::take(&mut self.submitting).into_values());
    }

    pub(super) fn wake_forwarding(&mut self) {
        self.awake.tasks.extend(core::mem::take(&mut self.forwarding).into_values().map(|(waker, _)| waker));
    }

    /// When the first of the tasks that wait for a mirror is to be woken.
    pub(super) fn forwarding_due(&self) -> Option<Instant> {
        self.forwarding.values().filter_map(|(_, due)| *due).min()
    }

    /// Wakes the tasks whose messages are durable now, or which learn that they are not.
    pub(super) fn wake_committing(&mut self, durable: Offset, failure: Option<CommitError>) {
        for task in self.committing.values_mut().filter(|task| task.until <= durable || failure.is_some()) {
            task.failure = failure;
            self.awake.tasks.push(task.waker.clone());
        }
    }

    /// The turn of a thread that waits until everything before `until` is durable, while somebody syncs.
    pub(super) fn turn_until(&mut self, until: Offset) -> Arc<Turn> {
        if until <= self.served.1 {
            return Arc::clone(&self.served.0);
        }
        self.next.1 = true;
        Arc::clone(&self.next.0)
    }

    /// Begins a commit that serves all who wait, and makes everything before `until` durable.
    pub(super) fn begin_turn(&mut self, until: Offset) {
        let (turn, _) = core::mem::replace(&mut self.next, (Arc::new(Turn::new()), false));
        self.served = (turn, until);
    }

    /// Wakes the threads that were served, and one of those that come next: it begins the commit for all of these.
    pub(super) fn end_turn(&mut self) {
        self.awake.turns.push((Arc::clone(&self.served.0), Told::Durable));
        if self.next.1 {
            self.awake.turns.push((Arc::clone(&self.next.0), Told::OneLooks));
        }
    }

    /// Lets all threads see for themselves.
    pub(super) fn give_way(&mut self) {
        self.awake.turns.push((Arc::clone(&self.served.0), Told::AllLook));
        self.wake_next();
    }

    /// Lets the threads that come next see for themselves.
    pub(super) fn wake_next(&mut self) {
        if self.next.1 {
            let (turn, _) = core::mem::replace(&mut self.next, (Arc::new(Turn::new()), false));
            self.awake.turns.push((turn, Told::AllLook));
        }
    }

    /// Calls nobody to begin the next commit.
    #[cfg(iot_fault)]
    pub(super) fn lose_wakeups(&mut self) {
        self.awake.turns.retain(|(_, told)| *told == Told::Durable);
    }
}

pub(super) const NOT_POISONED: &str = "no storage and no clock of the caller's panics";

/// The state, for as long as nobody else has it. When it is given back, threads and tasks are woken.
pub(super) struct Locked<'g, S> {
    /// Gone only while it waits.
    guard: Option<MutexGuard<'g, State<S>>>,
    mutex: &'g Mutex<State<S>>,
}

impl<'g, S> Locked<'g, S> {
    pub(super) fn new(mutex: &'g Mutex<State<S>>) -> Self {
        Self { guard: Some(mutex.lock().expect(NOT_POISONED)), mutex }
    }

    /// As [`new`](Self::new), where nobody panicked with the lock.
    pub(super) fn unless_poisoned(mutex: &'g Mutex<State<S>>) -> Option<Self> {
        mutex.lock().ok().map(|guard| Self { guard: Some(guard), mutex })
    }

    /// Gives the state to others until `condition` is told, or earlier.
    pub(super) fn wait(mut self, condition: &Condvar) -> Self {
        if let Some(guard) = self.give_back_or_keep() {
            self.guard = Some(condition.wait(guard).expect(NOT_POISONED));
        }
        self
    }

    /// Gives the state to others until `condition` is told, or so long at most.
    pub(super) fn wait_timeout(mut self, condition: &Condvar, at_most: Duration) -> Self {
        if let Some(guard) = self.give_back_or_keep() {
            self.guard = Some(condition.wait_timeout(guard, at_most).expect(NOT_POISONED).0);
        }
        self
    }

    /// The guard, to wait with. When somebody is to be woken that happens now, and nothing is waited for.
    fn give_back_or_keep(&mut self) -> Option<MutexGuard<'g, State<S>>> {
        let mut guard = self.guard.take()?;
        let awake = core::mem::take(&mut guard.awake);
        if awake.is_empty() {
            return Some(guard);
        }
        drop(guard);
        awake.wake();
        self.guard = Some(self.mutex.lock().expect(NOT_POISONED));
        None
    }
}

impl<S> Deref for Locked<'_, S> {
    type Target = State<S>;

    fn deref(&self) -> &State<S> {
        self.guard.as_ref().expect("it is gone only while it waits")
    }
}

impl<S> DerefMut for Locked<'_, S> {
    fn deref_mut(&mut self) -> &mut State<S> {
        self.guard.as_mut().expect("it is gone only while it waits")
    }
}

impl<S> Drop for Locked<'_, S> {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            let awake = core::mem::take(&mut guard.awake);
            drop(guard);
            awake.wake();
        }
    }
}
