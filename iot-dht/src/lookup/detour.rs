//! Other ways, where a search seems to have ended among nodes that name only each other.

use iot_core::Instant;

use crate::lookup::{Candidate, Lookup, State, size_from};
use crate::peer::Peer;

/// The [origin](Candidate::origin) of all whom another search has heard of.
const FOLLOWED: u8 = u8::MAX;

/// How many nodes a search asks at most for another way than that which it found.
pub(super) const DETOURS: usize = 8;

impl<const N: usize> Lookup<N> {
    /// Begins with these, too: another search of the same node has heard of them. Whoever may have led that one astray led
    /// to all of them.
    pub(crate) fn follow(&mut self, known: impl IntoIterator<Item = Peer<N>>) {
        for peer in known {
            if self.place(&peer.id).is_none() {
                self.hear_of(peer, 0, FOLLOWED, 1);
            }
        }
    }

    /// Whether the closest that have answered lie farther apart than is to be expected: those who led here may have named
    /// only some of the nodes that are there. Half of all searches among honest nodes find it so, too, which costs them a few
    /// requests.
    pub(crate) fn is_sparse(&self) -> bool {
        let Some(network) = self.config.network else { return false };
        let found = size_from(self.closest_answered().map(|candidate| candidate.distance));
        found.is_some_and(|found| found < network)
    }

    /// Who else may know the way, where the search seems to have ended among nodes that name only each other: the nearest to
    /// whom none of those led who led to the result.
    pub(super) fn detour(&self) -> Option<usize> {
        if self.detours >= DETOURS || !self.is_sparse() {
            return None;
        }
        let mut led = [false; 256];
        self.closest_answered().for_each(|candidate| led[usize::from(candidate.origin)] = true);
        let heard = |candidate: &Candidate<N>| candidate.state == State::Heard && !self.is_surplus(candidate);
        self.candidates.iter().position(|candidate| !led[usize::from(candidate.origin)] && heard(candidate))
    }

    /// Whether somebody who was asked for another way may still answer.
    pub(super) fn is_on_detour(&self, now: Instant) -> bool {
        let is_asked = |candidate: &Candidate<N>| match candidate.state {
            State::Asked { timeout, .. } => now < timeout,
            State::Heard | State::Answered | State::Failed => false,
        };
        self.detours > 0 && self.is_sparse() && self.candidates.iter().any(is_asked)
    }
}
