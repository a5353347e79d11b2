use alloc::vec::Vec;

use iot_core::Instant;

use crate::id::{Id, Key};
use crate::lookup::{Lookup, LookupConfig, size_from};
use crate::node::Node;
use crate::node::operation::{Kind, Operation};
use crate::peer::Peer;

/// How many nodes end the search in one part of a region.
const PART_CLOSEST: usize = 12;
/// In how many parts a region is searched.
const PARTS: usize = 4;
/// The most requests of a search: a part that is fuller than expected is divided only if it keeps to them.
const BUDGET: usize = 90;
/// What it costs at most to search both halves of a part.
const DIVISION: usize = 2 * (PART_CLOSEST + 2);
/// The most nodes that a record is put to.
pub(super) const MAX_COPIES: usize = 56;
/// By how many bits the nodes of a part may lie closer together than expected before it counts as overfull: so much do
/// twelve neighbours not vary by chance.
const CROWDED: usize = 3;

/// The prefix of a key in which its record is stored, and the parts in which it is searched.
///
/// Nodes that somebody has placed on the key fill the answers to a question for the key. So nobody asks for it. The parts are
/// the half of the region that the key does not lie in, the quarter beside the key's, the eighth beside the key's, and
/// that of the key; each is searched from a point drawn at random, where nobody can have waited. Two who think
/// differently of the size of the network, by a factor of four or less, still search one part alike. A part whose
/// nodes lie much closer together than they should is divided, and both halves are searched from new points; one whose
/// nodes lie much farther apart is searched again, without those who were asked.
#[derive(Clone, Debug)]
pub(super) struct Region {
    key: Key,
    bits: usize,
    /// One for each lookup of the operation, in the same order.
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    point: Id<32>,
    /// How many bits all of its nodes share with the point.
    bits: usize,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is searched for the first time.
    First,
    /// It was searched, and is divided or searched again.
    Done,
    /// It is searched again, without those whom the search with this number asked.
    Again(usize),
}

impl Region {
    pub(super) fn holds(&self, id: &Id<32>) -> bool {
        self.key.shared_prefix(id) >= self.bits
    }

    fn divide(part: Part, mut octets: impl FnMut() -> [u8; 32]) -> [Part; 2] {
        let half = |point| Part { point, bits: part.bits + 1, standing: Standing::First };
        [half(part.point.within(part.bits + 1, octets())), half(part.point.with_shared_prefix(part.bits, octets()))]
    }
}

impl Node {
    /// How many nodes the network has, as far as this one can tell: the middle of what its own neighbourhood and the random
    /// lookups of its upkeep suggest. Where records are put and searched has no influence on it.
    pub fn network_size(&self) -> u64 {
        let estimates = self.upkeep.sizes().chain(self.size_by_neighbours()).collect();
        middle(estimates).unwrap_or(0).max(self.table.len() as u64 + 1)
    }

    /// What the own neighbourhood says about the size of the network.
    fn size_by_neighbours(&self) -> Option<u64> {
        let own = self.id();
        size_from(self.table.closest(own).map(|entry| entry.id().distance(own)))
    }

    /// Whether the neighbourhood, which is known at all times, says something else about the size of the network than the
    /// lookups did in their time.
    pub(super) fn size_has_changed(&self) -> bool {
        let differ = |now: u64, before: u64| now > 2 * before || before > 2 * now;
        let before = middle(self.upkeep.sizes().collect());
        self.size_by_neighbours().zip(before).is_some_and(|(now, before)| differ(now, before))
    }

    /// How many bits the keys of a region share, if the network is large enough to have any.
    pub(super) fn region_bits(&self) -> Option<usize> {
        let nodes = self.config.region_nodes()?;
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Defence::Region) {
            return None;
        }
        // A network of one or two regions is searched as a whole.
        (self.network_size() / nodes).checked_ilog2().filter(|bits| *bits > 0).map(|bits| bits as usize)
    }

    /// The region of a key, if the network is large enough to have any.
    pub(super) fn region_of(&mut self, key: &Key) -> Option<Region> {
        let bits = self.region_bits()?;
        let beside = |depth| {
            let (bits, octets) = (bits + depth, self.secrets.octets());
            Part { point: key.with_shared_prefix(bits, octets), bits: bits + 1, standing: Standing::First }
        };
        let mut parts: Vec<_> = (0..PARTS - 1).map(beside).collect();
        let bits_of_last = bits + PARTS - 1;
        let point = key.within(bits_of_last, self.secrets.octets());
        parts.push(Part { point, bits: bits_of_last, standing: Standing::First });
        Some(Region { key: *key, bits, parts })
    }

    /// The first lookup of a region's search; [`widen`](Self::widen) adds the others once it has found the way.
    pub(super) fn first_of(&self, region: &Region) -> Lookup<32> {
        let point = region.parts[0].point;
        Lookup::new(*self.id(), point, self.part_config(), self.closest_hopeful(&point))
    }

    /// Adds lookups to a search whose lookups are all done, if its region is not searched through yet; tells whether
    /// there are any.
    pub(super) fn widen(&mut self, now: Instant, operation: &mut Operation) -> bool {
        let Some(region) = &mut operation.region else { return false };
        if matches!(&operation.kind, Kind::Get(get) if get.is_settled()) {
            return false;
        }
        let asked: usize = operation.lookups.iter().map(|lookup| lookup.summary().asked).sum();
        let mut left = BUDGET.saturating_sub(asked);
        if operation.lookups.len() == region.parts.len() {
            let size = self.network_size();
            for place in 0..region.parts.len() {
                let (part, lookup, secrets) = (region.parts[place], &operation.lookups[place], &mut self.secrets);
                if part.standing != Standing::First {
                    continue;
                }
                if left >= DIVISION && is_crowded(lookup, &part, size) {
                    region.parts[place].standing = Standing::Done;
                    left -= DIVISION;
                    region.parts.extend(Region::divide(part, || secrets.octets()));
                } else if left >= DIVISION / 2 && is_sparse(lookup, size) {
                    region.parts[place].standing = Standing::Done;
                    left -= DIVISION / 2;
                    let point = part.point.within(part.bits, secrets.octets());
                    region.parts.push(Part { point, standing: Standing::Again(place), ..part });
                }
            }
        }
        let before = operation.lookups.len();
        let trusted = operation.lookups.iter().filter(|lookup| !lookup.is_sparse());
        let known: Vec<Peer<32>> = trusted.flat_map(Lookup::known).collect();
        for part in &region.parts[before..] {
            let start = match part.standing {
                Standing::First | Standing::Done => self.closest_hopeful(&part.point),
                Standing::Again(place) => {
                    let asked: Vec<_> = operation.lookups[place].asked().collect();
                    self.hopeful(&part.point, |entry| asked.iter().all(|peer| peer.id != *entry.id()))
                }
            };
            let mut lookup = Lookup::new(*self.id(), part.point, self.part_config(), start);
            if !matches!(part.standing, Standing::Again(_)) {
                lookup.follow(known.iter().copied());
            }
            lookup.look_at(now);
            operation.lookups.push(lookup);
        }
        operation.lookups.len() > before
    }

    fn part_config(&self) -> LookupConfig {
        self.config.lookup.closest(PART_CLOSEST).paths(1).network(self.network_size())
    }
}

/// Whether the nodes that were found lie much farther apart than they would by chance: those who led the search name only
/// some of the nodes that are there.
fn is_sparse(lookup: &Lookup<32>, size: u64) -> bool {
    let found = size_from(lookup.closest().map(|peer| peer.id.distance(lookup.target())));
    found.is_none_or(|found| found < size - size / 3)
}

fn middle(mut estimates: Vec<u64>) -> Option<u64> {
    estimates.sort_unstable();
    estimates.get(estimates.len() / 2).copied()
}

/// Whether the nodes that were found lie much closer together than they would by chance.
fn is_crowded(lookup: &Lookup<32>, part: &Part, size: u64) -> bool {
    let found = lookup.closest().count();
    let Some(farthest) = lookup.closest().last().filter(|_| found == PART_CLOSEST) else { return false };
    let shared = part.point.shared_prefix(&farthest.id);
    // In a prefix of this many bits as many nodes are expected as were found.
    let expected = (size / PART_CLOSEST as u64).checked_ilog2().unwrap_or(0) as usize;
    shared >= expected + CROWDED
}
