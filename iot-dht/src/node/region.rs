use alloc::vec::Vec;

use iot_core::Instant;

use crate::id::{Id, Key};
use crate::lookup::{Lookup, LookupConfig, size_from};
use crate::node::Node;
use crate::node::operation::{Kind, Operation};

#[cfg(test)]
mod tests;

/// How many nodes end the search in one part of a region.
const PART_CLOSEST: usize = 12;
/// In how many parts a region is searched.
const PARTS: usize = 4;
/// The most requests of a search: a part that is fuller than expected is divided only if it keeps to them.
const BUDGET: usize = 90;
/// The most requests of a search, whatever those say who are asked. What the lookups before have left of it is shared by those
/// that are added; the first takes half of it at most. Where nobody lies, none comes near.
const MOST_REQUESTS: usize = 192;
/// What it costs at most to search both halves of a part.
const DIVISION: usize = 2 * (PART_CLOSEST + 2);
/// How many nodes end the search of a part that is searched again.
const AGAIN_CLOSEST: usize = PART_CLOSEST / 2;
/// What it costs as a rule to search a part again.
const AGAIN: usize = AGAIN_CLOSEST + 3;
/// How often a part is searched again to no effect before nobody is taken to be left out.
const MOST_IN_VAIN: u8 = 2;
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
    /// What was found around the point said of the network's size before it was searched again, and how often that has
    /// brought nobody nearer.
    before: Option<u64>,
    in_vain: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is searched for the first time.
    First,
    /// It was searched, and is divided or searched again.
    Done,
    /// It is searched again from the same point, without those who were asked before.
    Again,
}

impl Region {
    pub(super) fn holds(&self, id: &Id<32>) -> bool {
        self.key.shared_prefix(id) >= self.bits
    }

    /// Has the quarter beside the key's searched first: it lies within the region of whoever thinks the network half as large
    /// or twice, where the half that the key does not lie in may be outside. So what any copy ends is found in it as a rule.
    pub(super) fn begin_alike(&mut self) {
        self.parts.swap(0, 1);
    }

    /// Where the quarter beside the key's is among the parts.
    fn alike(&self) -> usize {
        self.parts.iter().position(|part| part.bits == self.bits + 2).unwrap_or(0)
    }

    fn divide(part: Part, mut octets: impl FnMut() -> [u8; 32]) -> [Part; 2] {
        let half = |point| Part { point, bits: part.bits + 1, standing: Standing::First, before: None, in_vain: 0 };
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
            Part {
                point: key.with_shared_prefix(bits, octets),
                bits: bits + 1,
                standing: Standing::First,
                before: None,
                in_vain: 0,
            }
        };
        let mut parts: Vec<_> = (0..PARTS - 1).map(beside).collect();
        let bits_of_last = bits + PARTS - 1;
        let point = key.within(bits_of_last, self.secrets.octets());
        parts.push(Part { point, bits: bits_of_last, standing: Standing::First, before: None, in_vain: 0 });
        Some(Region { key: *key, bits, parts })
    }

    /// The first lookup of a region's search; [`widen`](Self::widen) adds the others once it has found the way.
    pub(super) fn first_of(&self, region: &Region) -> Lookup<32> {
        let point = region.parts[0].point;
        Lookup::new(*self.id(), point, self.part_config(MOST_REQUESTS / 2), self.closest_hopeful(&point))
    }

    /// Adds lookups to a search whose lookups are all done, if its region is not searched through yet; tells whether
    /// there are any.
    pub(super) fn widen(&mut self, now: Instant, operation: &mut Operation) -> bool {
        let Some(region) = &mut operation.region else { return false };
        if matches!(&operation.kind, Kind::Get(get) if get.is_settled()) {
            return false;
        }
        let asked: usize = operation.lookups.iter().map(|lookup| lookup.summary().asked).sum();
        let (before, mut left) = (operation.lookups.len(), BUDGET.saturating_sub(asked));
        let size = self.network_size();
        // The estimates may be older than the neighbourhood, which attackers can fill.
        let greatest = self.size_by_neighbours().unwrap_or(0).clamp(size, 2 * size);
        let density = Density::of(region, &operation.lookups, size, greatest);
        if before == region.parts.len() {
            let mut searches_again = false;
            // First the one that is the same for those who differ in the size by a factor of two.
            let alike = region.alike();
            for place in (alike..before).chain(0..alike) {
                let (part, lookup, secrets) = (region.parts[place], &operation.lookups[place], &mut self.secrets);
                if part.standing == Standing::First && left >= DIVISION && density.is_crowded(lookup, &part) {
                    region.parts[place].standing = Standing::Done;
                    left -= DIVISION;
                    region.parts.extend(Region::divide(part, || secrets.octets()));
                    continue;
                }
                let found = size_around(&part.point, &operation.lookups);
                let in_vain = if part.before == Some(found) { part.in_vain + 1 } else { 0 };
                let is_open = part.standing != Standing::Done && in_vain < MOST_IN_VAIN;
                if is_open && !searches_again && left >= AGAIN && density.is_sparse(found) {
                    // One after the other: what the first finds leads the next.
                    searches_again = true;
                    left -= AGAIN;
                    region.parts[place].standing = Standing::Done;
                    region.parts.push(Part { standing: Standing::Again, before: Some(found), in_vain, ..part });
                }
            }
        }
        // Whoever led a search astray leads no other.
        let (astray, others): (Vec<&Lookup<32>>, Vec<_>) = operation
            .lookups
            .iter()
            .partition(|lookup| density.is_sparse(size_around(lookup.target(), &operation.lookups)));
        let known: Vec<_> = others.into_iter().flat_map(|lookup| lookup.known(now)).collect();
        let astray: Vec<_> = astray.into_iter().flat_map(Lookup::asked).map(|peer| peer.id).collect();
        // Some are left for each: what is divided or searched again has been searched within the budget.
        let share = MOST_REQUESTS.saturating_sub(asked) / (region.parts.len() - before).max(1);
        for part in &region.parts[before..] {
            let own = self.hopeful(&part.point, |entry| !astray.contains(entry.id()));
            let closest = if part.standing == Standing::Again { AGAIN_CLOSEST } else { PART_CLOSEST };
            let config = self.part_config(share).closest(closest);
            let mut lookup = if own.is_empty() && known.is_empty() && part.standing == Standing::First {
                // Those who may have led astray are better than nobody.
                let anybody = operation.lookups.iter().flat_map(|lookup| lookup.known(now));
                Lookup::new(*self.id(), part.point, config, anybody)
            } else {
                let start = own.into_iter().chain(known.iter().copied());
                Lookup::ignoring(*self.id(), part.point, config, &astray, start)
            };
            lookup.look_at(now);
            operation.lookups.push(lookup);
        }
        operation.lookups.len() > before
    }

    /// A lookup of a part makes no more requests than any, and no more than its share.
    fn part_config(&self, share: usize) -> LookupConfig {
        let lookup = self.config.lookup;
        lookup.closest(PART_CLOSEST).paths(1).network(self.network_size()).requests(lookup.most().min(share.max(1)))
    }
}

/// How many nodes the network has, judging by those that were found around a point.
fn size_around(point: &Id<32>, lookups: &[Lookup<32>]) -> u64 {
    let found = searches_of(point, lookups).flat_map(Lookup::closest);
    let mut distances: Vec<_> = found.map(|peer| peer.id.distance(point)).collect();
    distances.sort_unstable();
    size_from(distances.into_iter()).unwrap_or(0)
}

/// How close together nodes should lie.
#[derive(Clone, Copy, Debug)]
struct Density {
    /// How many nodes the network has, as the node itself thinks.
    size: u64,
    /// How many it may have at the most.
    greatest: u64,
    /// What the densest part says, of those that are not overfull.
    elsewhere: u64,
}

impl Density {
    fn of(region: &Region, lookups: &[Lookup<32>], size: u64, greatest: u64) -> Self {
        let density = Self { size, greatest, elsewhere: 0 };
        let parts = region.parts.iter().zip(lookups).filter(|(part, lookup)| !density.is_crowded(lookup, part));
        let elsewhere = parts.map(|(part, _)| size_around(&part.point, lookups)).max().unwrap_or(0);
        Self { elsewhere: elsewhere.min(2 * greatest), ..density }
    }

    /// Whether nodes that say so of the network's size lie much farther apart than they would by chance: those who led
    /// the search name only some of those that are there.
    fn is_sparse(&self, found: u64) -> bool {
        found < self.greatest - self.greatest / 5 || found < self.elsewhere / 2
    }

    /// Whether the nodes that were found lie much closer together than they would by chance.
    fn is_crowded(&self, lookup: &Lookup<32>, part: &Part) -> bool {
        let found = lookup.closest().count();
        let Some(farthest) = lookup.closest().last().filter(|_| found == PART_CLOSEST) else { return false };
        let shared = part.point.shared_prefix(&farthest.id);
        // In a prefix of this many bits as many nodes are expected as were found.
        let expected = (self.size / PART_CLOSEST as u64).checked_ilog2().unwrap_or(0) as usize;
        shared >= expected + CROWDED
    }
}

fn searches_of<'l>(point: &'l Id<32>, lookups: &'l [Lookup<32>]) -> impl Iterator<Item = &'l Lookup<32>> {
    lookups.iter().filter(move |lookup| lookup.target() == point)
}

fn middle(mut estimates: Vec<u64>) -> Option<u64> {
    estimates.sort_unstable();
    estimates.get(estimates.len() / 2).copied()
}
