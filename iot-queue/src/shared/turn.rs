//! Where threads wait for a commit: those that one commit serves wait together, apart from the queue's lock. Whoever ends
//! it wakes them by one call, and none of them needs the lock to learn that it is done.

use super::state::NOT_POISONED;
use super::sync::{Condvar, Mutex};

/// What the threads of a turn are told; what comes later here holds against what is said late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Nothing,
    /// One of them has to see for itself, and begins the next commit if nobody else has.
    OneLooks,
    /// Each of them has to.
    AllLook,
    /// What they wait for is durable.
    Durable,
}

/// What a thread learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "who is to look sees to it that the others of its turn do not wait for ever"]
pub(super) enum Word {
    /// What it waits for is durable.
    Durable,
    /// It has to see for itself.
    Look,
}

/// Threads that wait for the same commit.
pub(super) struct Turn {
    told: Mutex<Told>,
    call: Condvar,
}

impl Turn {
    pub(super) fn new() -> Self {
        Self { told: Mutex::new(Told::Nothing), call: Condvar::new() }
    }

    /// Waits until there is something to learn.
    pub(super) fn wait(&self) -> Word {
        let mut told = self.told.lock().expect(NOT_POISONED);
        loop {
            match *told {
                Told::Nothing => told = self.call.wait(told).expect(NOT_POISONED),
                Told::OneLooks => {
                    *told = Told::Nothing;
                    return Word::Look;
                }
                Told::AllLook => return Word::Look,
                Told::Durable => return Word::Durable,
            }
        }
    }

    pub(super) fn tell(&self, what: Told) {
        // Others may have committed between the decision to say this and now.
        let mut told = self.told.lock().expect(NOT_POISONED);
        *told = what.max(*told);
        drop(told);
        if what == Told::OneLooks {
            self.call.notify_one();
        } else {
            self.call.notify_all();
        }
    }
}

#[cfg(all(test, not(iot_loom)))]
mod tests {
    use super::*;

    /// Somebody else had committed for a turn before its call to look reached it, which took back that all was durable:
    /// one thread looked, and the others waited for ever.
    #[test]
    fn what_is_said_late_takes_nothing_back() {
        for last in [Told::Durable, Told::AllLook] {
            let turn = Turn::new();
            turn.tell(last);
            turn.tell(Told::OneLooks);
            let expected = if last == Told::Durable { Word::Durable } else { Word::Look };
            assert_eq!([turn.wait(), turn.wait()], [expected; 2]);
        }
    }
}
