//! Messages by what they wait for.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use iot_core::Instant;

use super::order::Ready;
use super::state::{Known, State};

/// Where to find messages by their state: each message that is known is in the sets that its state asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) ready: Box<Ready>,
    /// Ends of leases and of delays.
    pub(super) timers: BTreeSet<(Instant, u64)>,
    pub(super) dead: BTreeSet<u64>,
    pub(super) aside: BTreeSet<u64>,
    pub(super) held: usize,
    pub(super) delayed: usize,
}

impl Index {
    /// Enters a message in its state.
    pub(super) fn enter(&mut self, number: u64, known: &Known) {
        match &known.state {
            State::Blocked => {}
            State::Delayed => {
                self.timers.insert((known.traits.not_before, number));
                self.delayed += 1;
            }
            State::Ready => drop(self.ready[usize::from(known.traits.lane.number())].insert((known.rank, number))),
            State::Held { deadline, .. } => {
                self.timers.insert((*deadline, number));
                self.held += 1;
            }
            State::Dead(_) => drop(self.dead.insert(number)),
            State::Aside(_) => drop(self.aside.insert(number)),
        }
    }

    /// Takes a message out, which is as it was entered.
    pub(super) fn leave(&mut self, number: u64, known: &Known) {
        match &known.state {
            State::Blocked => {}
            State::Delayed => {
                self.timers.remove(&(known.traits.not_before, number));
                self.delayed -= 1;
            }
            State::Ready => drop(self.ready[usize::from(known.traits.lane.number())].remove(&(known.rank, number))),
            State::Held { deadline, .. } => {
                self.timers.remove(&(*deadline, number));
                self.held -= 1;
            }
            State::Dead(_) => drop(self.dead.remove(&number)),
            State::Aside(_) => drop(self.aside.remove(&number)),
        }
    }

    /// Moves a message from the state that it has to another.
    pub(super) fn change(&mut self, number: u64, known: &mut Known, state: State) {
        self.leave(number, known);
        known.state = state;
        self.enter(number, known);
    }
}
