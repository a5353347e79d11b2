use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;

use crate::id::{Distance, Id};
use crate::peer::Peer;

#[cfg(test)]
mod tests;

/// How wide and how long a [`Lookup`] searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupConfig {
    closest: usize,
    parallelism: usize,
    patience: Duration,
    requests: usize,
}

impl LookupConfig {
    /// How many of the closest nodes must answer, 1 to 32; 20 by default.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn closest(mut self, nodes: usize) -> Self {
        assert!((1..=32).contains(&nodes), "a lookup ends with 1 to 32 nodes, not {nodes}");
        self.closest = nodes;
        self
    }

    /// How many requests are under way at once, 1 to 16; 3 by default.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn parallelism(mut self, requests: usize) -> Self {
        assert!((1..=16).contains(&requests), "1 to 16 requests at once, not {requests}");
        self.parallelism = requests;
        self
    }

    /// After how long an unanswered request no longer holds up the next one; 500 ms by default.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How many requests a lookup makes at most, 1 to 1,024; 96 by default. A lookup that reaches it ends with what it
    /// has.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn requests(mut self, requests: usize) -> Self {
        assert!((1..=1024).contains(&requests), "a lookup makes 1 to 1024 requests, not {requests}");
        self.requests = requests;
        self
    }
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self { closest: 20, parallelism: 3, patience: Duration::from_millis(500), requests: 96 }
    }
}

/// A search for the nodes closest to a target: asks the closest that it has heard of, learns closer ones from their
/// answers, and is done when the closest have all answered.
///
/// It sends nothing itself: ask the nodes that [`next`](Self::next) names, and report every answer and every failure.
/// It remembers at most [`CANDIDATES`](Self::CANDIDATES) nodes; beyond that the farthest is forgotten.
#[derive(Clone, Debug)]
pub struct Lookup<const N: usize> {
    own: Id<N>,
    target: Id<N>,
    config: LookupConfig,
    /// Ascending by distance.
    candidates: Vec<Candidate<N>>,
    summary: Summary,
    stopped: Stopped,
}

#[derive(Clone, Copy, Debug)]
struct Candidate<const N: usize> {
    distance: Distance<N>,
    peer: Peer<N>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Heard,
    Asked(Instant),
    Answered,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    No,
    Early,
}

/// How many nodes a [`Lookup`] asked, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Nodes that were asked.
    pub asked: usize,
    /// Nodes that answered.
    pub answered: usize,
    /// Nodes that did not answer in time, or answered with what was refused.
    pub failed: usize,
}

impl<const N: usize> Lookup<N> {
    /// The most nodes that a lookup remembers.
    pub const CANDIDATES: usize = 128;

    /// Starts a search of the node `own` for `target` from the nodes that it knows.
    pub fn new(own: Id<N>, target: Id<N>, config: LookupConfig, start: impl IntoIterator<Item = Peer<N>>) -> Self {
        let mut lookup =
            Self { own, target, config, candidates: Vec::new(), summary: Summary::default(), stopped: Stopped::No };
        start.into_iter().for_each(|peer| lookup.hear_of(peer));
        lookup
    }

    /// Ends the search early: nobody is asked any more, and what is under way no longer counts.
    pub fn stop(&mut self) {
        self.stopped = Stopped::Early;
    }

    /// Takes in the answer of `from`: the nodes that it knows near the target. An answer that was not asked for, or
    /// that comes after its failure was reported, changes nothing.
    pub fn handle_response(&mut self, from: &Id<N>, nodes: impl IntoIterator<Item = Peer<N>>) {
        if self.settle(from, State::Answered) {
            self.summary.answered += 1;
            nodes.into_iter().for_each(|peer| self.hear_of(peer));
        }
    }

    /// Notes that `from` did not answer in time, or that its answer was refused.
    pub fn handle_failure(&mut self, from: &Id<N>) {
        if self.settle(from, State::Failed) {
            self.summary.failed += 1;
        }
    }

    /// The next node to ask, if one should be asked now. Call until it returns nothing.
    pub fn next(&mut self, now: Instant) -> Option<Peer<N>> {
        if self.is_done() || self.summary.asked >= self.config.requests {
            return None;
        }
        let slow = |asked: Instant| now.saturating_since(asked) >= self.config.patience;
        let waiting = self.candidates.iter().filter(|candidate| match candidate.state {
            State::Asked(since) => !slow(since),
            _ => false,
        });
        if waiting.count() >= self.config.parallelism {
            return None;
        }
        // A slow node counts neither as a request under way nor as one of the closest, until it answers.
        let hopeful = self.candidates.iter_mut().filter(|candidate| match candidate.state {
            State::Asked(since) => now.saturating_since(since) < self.config.patience,
            State::Failed => false,
            State::Heard | State::Answered => true,
        });
        let next = hopeful.take(self.config.closest).find(|candidate| candidate.state == State::Heard)?;
        next.state = State::Asked(now);
        self.summary.asked += 1;
        Some(next.peer)
    }

    /// When [`next`](Self::next) may name another node though nothing was reported: a request becomes slow then.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if self.is_done() {
            return None;
        }
        let slow = self.candidates.iter().filter_map(|candidate| match candidate.state {
            State::Asked(since) => Some(since.saturating_add(self.config.patience)),
            _ => None,
        });
        slow.filter(|at| *at > now).min()
    }

    /// Whether the search is over: the closest have answered, or nobody is left to ask.
    pub fn is_done(&self) -> bool {
        if self.stopped == Stopped::Early {
            return true;
        }
        let spent = self.summary.asked >= self.config.requests;
        let mut hopeful = self.candidates.iter().filter(|candidate| candidate.state != State::Failed);
        let open = |candidate: &Candidate<N>| match candidate.state {
            State::Heard => !spent,
            State::Asked(_) => true,
            State::Answered | State::Failed => false,
        };
        !hopeful.by_ref().take(self.config.closest).any(open)
    }

    /// The closest nodes that answered, in ascending distance, at most as many as [`LookupConfig::closest`] says.
    pub fn closest(&self) -> impl Iterator<Item = Peer<N>> + '_ {
        let answered = self.candidates.iter().filter(|candidate| candidate.state == State::Answered);
        answered.map(|candidate| candidate.peer).take(self.config.closest)
    }

    /// How many were asked, answered and failed so far.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// What is searched for.
    pub fn target(&self) -> &Id<N> {
        &self.target
    }

    fn settle(&mut self, from: &Id<N>, state: State) -> bool {
        let distance = from.distance(&self.target);
        let Ok(place) = self.candidates.binary_search_by_key(&distance, |candidate| candidate.distance) else {
            return false;
        };
        let asked = matches!(self.candidates[place].state, State::Asked(_));
        if asked {
            self.candidates[place].state = state;
        }
        asked
    }

    fn hear_of(&mut self, peer: Peer<N>) {
        if peer.id == self.own {
            return;
        }
        let distance = peer.id.distance(&self.target);
        if let Err(place) = self.candidates.binary_search_by_key(&distance, |candidate| candidate.distance) {
            if self.candidates.len() == Self::CANDIDATES {
                if place == Self::CANDIDATES {
                    return;
                }
                self.candidates.pop();
            }
            self.candidates.insert(place, Candidate { distance, peer, state: State::Heard });
        }
    }
}
