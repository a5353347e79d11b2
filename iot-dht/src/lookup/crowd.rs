use crate::lookup::{Candidate, Lookup, State};

/// How many nodes may share any prefix, beside twice as many as are to be expected there: with as few as one, more share it
/// once in a hundred thousand prefixes.
const CROWD: u64 = 4;

impl<const N: usize> Lookup<N> {
    /// Whether as many of those around a node were asked as may be within some prefix.
    pub(super) fn is_surplus(&self, candidate: &Candidate<N>) -> bool {
        let Some(network) = self.config.network else { return false };
        let place = self.candidates.partition_point(|other| other.distance < candidate.distance);
        // Whoever shares a prefix with it stands next to it.
        let asked = |other: &&Candidate<N>| matches!(other.state, State::Asked { .. } | State::Answered);
        let (near, far) = self.candidates.split_at(place);
        let (mut near, mut far) = (near.iter().rev().filter(asked).peekable(), far.iter().filter(asked).peekable());
        let shared = |other: &&Candidate<N>| candidate.distance.shared_prefix(&other.distance);
        let mut count = 0;
        loop {
            let (of_near, of_far) = (near.peek().map(shared), far.peek().map(shared));
            let Some(bits) = of_near.max(of_far) else { return false };
            let of_next = if of_near == Some(bits) { near.next() } else { far.next() };
            count += u64::from(of_next.is_some());
            let expected = network.saturating_mul(2).checked_shr(bits as u32).unwrap_or(0);
            if count >= CROWD + expected {
                return true;
            }
        }
    }
}
