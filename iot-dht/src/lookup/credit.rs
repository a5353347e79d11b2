use core::iter;

use iot_core::Instant;

use crate::lookup::{Candidate, Lookup, State};

/// Stands for who is taken at its word: whoever answers when so many have answered already.
pub(super) const TRUSTED: u8 = 128;

/// What became of those whom each node was the first or the second to name: who names nodes that do not exist is believed no
/// further.
///
/// Of those whom a node names, and no more than one other, one is asked until the first has answered. Once more than
/// twice as many are silent as have answered, the rest counts for nothing. Silence begins where the search no longer counts
/// on a node, and is forgiven when it answers after all. How often a node names another makes no difference.
///
/// Where the size of the network is unknown, everybody is believed: a search for the very closest would miss some of them
/// where many are gone whom nobody has missed yet.
#[derive(Clone, Debug)]
pub(super) struct Credit {
    of: Option<[Tally; TRUSTED as usize]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    answered: u8,
    under_way: u8,
    silent: u8,
}

impl Credit {
    pub(super) fn of<const N: usize>(lookup: &Lookup<N>, now: Instant) -> Self {
        if lookup.config.network.is_none() || is_off() {
            return Self { of: None };
        }
        let mut tallies = [Tally::default(); TRUSTED as usize];
        for candidate in &lookup.candidates {
            let [first, second] = candidate.named_by;
            for by in iter::once(first).chain(Some(second).filter(|_| second != first)) {
                let Some(tally) = tallies.get_mut(usize::from(by)) else { continue };
                // No more than are remembered, so none of them overflows.
                match candidate.state {
                    State::Heard => {}
                    State::Answered => tally.answered += 1,
                    State::Asked { hedge, .. } if now < hedge => tally.under_way += 1,
                    State::Asked { .. } | State::Failed => tally.silent += 1,
                }
            }
        }
        Self { of: Some(tallies) }
    }

    /// Whether it has not answered, and nobody named it but such as have named hardly anybody who answers.
    pub(super) fn doubts<const N: usize>(&self, candidate: &Candidate<N>) -> bool {
        candidate.state != State::Answered && self.all(candidate, |of| of.silent > of.answered.saturating_mul(2))
    }

    /// Whether it may be asked now: it is not doubted, and need not wait for what becomes of others whom the same named.
    pub(super) fn trusts<const N: usize>(&self, candidate: &Candidate<N>) -> bool {
        !self.doubts(candidate) && !self.all(candidate, |of| of.answered == 0 && of.under_way > 0)
    }

    /// Whether it holds for all who named a candidate; not if they are more than are remembered, or the search began with it.
    fn all<const N: usize>(&self, candidate: &Candidate<N>, holds: impl Fn(&Tally) -> bool) -> bool {
        let Some(tallies) = &self.of else { return false };
        let of = |by: u8| tallies.get(usize::from(by)).is_some_and(&holds);
        let are_remembered = !candidate.given && usize::from(candidate.named) <= candidate.named_by.len();
        are_remembered && candidate.named_by.into_iter().all(of)
    }
}

impl<const N: usize> Lookup<N> {
    /// Makes room where it is filled by those whom nobody named but such as have named hardly anybody who answers.
    pub(super) fn forget_doubted(&mut self) {
        if self.candidates.len() == self.config.candidates {
            let credit = Credit::of(self, self.looked_at.unwrap_or(Instant::START));
            self.candidates.retain(|candidate| candidate.state != State::Heard || !credit.doubts(candidate));
        }
    }

    /// Forgets the farthest: of those that were not asked, so that nobody makes it forget who has answered by naming others.
    pub(super) fn forget_one(&mut self) {
        let were_many_asked = 4 * self.asked > 3 * self.config.candidates;
        let may_go = |candidate: &Candidate<N>| were_many_asked || candidate.state == State::Heard;
        if let Some(farthest) = self.candidates.iter().rposition(may_go) {
            self.candidates.remove(farthest);
        }
    }
}

fn is_off() -> bool {
    #[cfg(iot_fault)]
    return crate::fault::is_off(crate::fault::Defence::Credit);
    #[cfg(not(iot_fault))]
    false
}
