use alloc::vec::Vec;

use crate::id::{Key, NodeId};
use crate::peer::Peer;

/// All servers of a network at one moment.
#[derive(Clone, Debug)]
pub struct Census {
    /// Ascending by identifier, so that those that share leading bits lie together.
    servers: Vec<Peer<32>>,
}

impl Census {
    pub(super) fn new(mut servers: Vec<Peer<32>>) -> Self {
        servers.sort_unstable_by_key(|peer| peer.id);
        Self { servers }
    }

    /// The servers that are truly closest to a point, in ascending distance.
    pub fn closest(&self, target: &Key, count: usize) -> Vec<Peer<32>> {
        // All that share one more leading bit with the point are closer than all that do not.
        let mut nearest = &self.servers[..];
        for shared in 1..=8 * NodeId::LEN {
            let first = nearest.partition_point(|peer| peer.id < *target && peer.id.shared_prefix(target) < shared);
            let len = nearest[first..].partition_point(|peer| peer.id.shared_prefix(target) >= shared);
            if len < count {
                break;
            }
            nearest = &nearest[first..first + len];
        }
        let mut nearest = nearest.to_vec();
        nearest.sort_unstable_by_key(|peer| peer.id.distance(target));
        nearest.truncate(count);
        nearest
    }

    /// How many servers there are.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use crate::id::Id;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_look_at_all_finds(ids in proptest::collection::vec(any::<[u8; 2]>(), 1..200), target: [u8; 2]) {
            let id = |two: [u8; 2]| {
                let mut octets = [0; 32];
                octets[..2].copy_from_slice(&two);
                Id::from_bytes(octets)
            };
            let mut all: Vec<_> = ids.into_iter().map(|two| Peer { id: id(two), address: ([10, 0, 0, 1], 7).into() }).collect();
            let (census, target) = (Census::new(all.clone()), id(target));
            all.sort_by_key(|peer| peer.id.distance(&target));
            all.truncate(20);
            let found: Vec<_> = census.closest(&target, 20).iter().map(|peer| peer.id).collect();
            prop_assert_eq!(found, all.iter().map(|peer| peer.id).collect::<Vec<_>>());
        }
    }
}
