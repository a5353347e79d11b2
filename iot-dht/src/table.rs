use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use iot_core::Instant;

use crate::id::Id;
use crate::peer::{Address, Peer};
use crate::rtt::{Patience, Population};
use crate::wire::Cookie;

mod closest;
mod config;
mod entry;
mod snapshot;
#[cfg(test)]
mod tests;

pub use crate::table::closest::Closest;
pub use crate::table::config::{SubnetLimit, TableConfig};
pub use crate::table::entry::Entry;
pub use crate::table::snapshot::{Snapshot, SnapshotError};

/// The nodes that a node knows, in buckets by the number of leading bits that they share with its own identifier.
///
/// Only nodes that have just answered belong into [`insert`](Self::insert). A live entry is never replaced: in a full
/// bucket a newcomer becomes a candidate, and takes a place when an entry has left enough requests unanswered. That
/// prefers nodes with a long life, and a flood of new identifiers changes nothing.
///
/// Entries lie in one vector, ordered by bucket; an empty table has no heap. At most `8 * N` buckets of
/// [`bucket_size`](TableConfig::bucket_size) entries, in practice about log2 of the network's size.
#[derive(Clone, Debug)]
pub struct Table<const N: usize> {
    own: Id<N>,
    config: TableConfig,
    /// Ascending by index; a bucket without entries has no element.
    buckets: Vec<Bucket>,
    entries: Vec<Entry<N>>,
    /// One of each entry, in the same place.
    tags: Vec<Tag>,
    /// In the order in which they were heard from, the most recent last.
    candidates: Vec<Entry<N>>,
    /// Named by somebody or by a snapshot, and not yet asked; the next one last.
    hearsay: Vec<Peer<N>>,
    times: Population,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    /// Leading bits that its entries share with the table's own identifier.
    index: u16,
    start: u16,
    len: u8,
}

/// What of an entry few others share: a search through the entries reads four octets of each, and not eighty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag {
    id: u16,
    subnet: u16,
}

impl Tag {
    fn of<const N: usize>(entry: &Entry<N>) -> Self {
        Self { id: tag_of(&entry.id), subnet: entry.address.subnet().tag() }
    }
}

/// The last two octets: entries of one bucket share the first bits.
fn tag_of<const N: usize>(id: &Id<N>) -> u16 {
    id.as_bytes().iter().rev().take(2).fold(0, |tag, octet| tag << 8 | u16::from(*octet))
}

/// What became of a node that was offered to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Insert<const N: usize> {
    /// It took a free place.
    Added,
    /// It took the place of an entry that no longer answers.
    Replaced(Peer<N>),
    /// It was there, and now counts as just seen.
    Refreshed,
    /// It waits for a place in a bucket of live entries. Ask this one, which was heard from least recently, whether it
    /// still lives, and report with [`Table::insert`] or [`Table::failed`].
    Waiting(Peer<N>),
    /// The identifier is there with another address and may still live there. Ask at that address, as above.
    Elsewhere(Peer<N>),
    /// Too many entries share its subnet.
    SubnetFull,
    /// It is the table's own identifier.
    Own,
}

impl<const N: usize> Table<N> {
    /// An empty table of the node that `own` identifies.
    pub fn new(own: Id<N>, config: TableConfig) -> Self {
        let (buckets, entries, tags) = (Vec::new(), Vec::new(), Vec::new());
        let (candidates, hearsay) = (Vec::new(), Vec::new());
        Self { own, config, buckets, entries, tags, candidates, hearsay, times: Population::default() }
    }

    /// Offers a node that has just answered from this address.
    pub fn insert(&mut self, now: Instant, peer: Peer<N>) -> Insert<N> {
        let new = Entry::new(now, &peer);
        let index = self.own.shared_prefix(&peer.id);
        if index == 8 * N {
            return Insert::Own;
        }
        if let Some(place) = self.place(&peer.id) {
            let failures = self.config.failures;
            let entry = &mut self.entries[place];
            if entry.address == new.address {
                entry.answered(now);
            } else if entry.failures < failures {
                return Insert::Elsewhere(entry.peer());
            } else {
                self.set(place, new);
            }
            return Insert::Refreshed;
        }
        if !self.subnet_admits(index, &new.address) {
            return Insert::SubnetFull;
        }
        let Some(at) = self.bucket(index).filter(|at| self.bucket_is_full(*at)) else {
            self.forget_candidate(&peer.id);
            self.add(index, new);
            return Insert::Added;
        };
        if let Some(place) = self.replaceable(at) {
            self.forget_candidate(&peer.id);
            return Insert::Replaced(self.set(place, new).peer());
        }
        self.wait(new);
        Insert::Waiting(self.stalest_of(at).peer())
    }

    /// Notes that a node left a request unanswered, and returns the candidate that takes its place, if one does.
    ///
    /// An entry that fails too often and has no successor stays, so that a node whose own link was down does not
    /// forget everyone; [`Entry::failures`] tells.
    pub fn failed(&mut self, id: &Id<N>) -> Option<Peer<N>> {
        self.forget_candidate(id);
        let place = self.place(id)?;
        let entry = &mut self.entries[place];
        entry.left_unanswered();
        if entry.failures < self.config.failures {
            return None;
        }
        let index = self.own.shared_prefix(id);
        let successor = (0..self.candidates.len()).rev().find(|at| {
            let candidate = &self.candidates[*at];
            self.own.shared_prefix(&candidate.id) == index && self.subnet_admits(index, &candidate.address)
        })?;
        let successor = self.candidates.remove(successor);
        self.set(place, successor);
        Some(successor.peer())
    }

    /// Notes how long a node took to answer a request that was sent once (RFC 6298 §3 forbids to measure one that was
    /// sent again).
    pub fn measured(&mut self, id: &Id<N>, rtt: Duration) {
        self.times.measure(rtt);
        if let Some(place) = self.place(id) {
            self.entries[place].rtt.measure(rtt);
        }
    }

    /// Keeps what a node gave for the next requests, if it is known at this address.
    pub(crate) fn keep_cookie(&mut self, peer: &Peer<N>, cookie: Cookie) {
        let entry = match self.place(&peer.id) {
            Some(place) => Some(&mut self.entries[place]),
            None => self.candidates.iter_mut().find(|candidate| candidate.id == peer.id),
        };
        if let Some(entry) = entry.filter(|entry| entry.address == Address::from(peer.address)) {
            entry.cookie = cookie;
        }
    }

    /// How long to wait for an answer of a node: by its own round-trip times, by those of all nodes if it was never
    /// measured, and [`Patience::INITIAL`] if none was.
    pub fn patience(&self, id: &Id<N>) -> Patience {
        let own = self.place(id).and_then(|place| self.entries[place].rtt.patience());
        own.or_else(|| self.times.patience()).unwrap_or(Patience::INITIAL)
    }

    /// Forgets a node, and returns it if it was an entry.
    pub fn remove(&mut self, id: &Id<N>) -> Option<Entry<N>> {
        self.forget_candidate(id);
        let place = self.place(id)?;
        let at = self.bucket(self.own.shared_prefix(id))?;
        self.buckets[at].len -= 1;
        self.buckets[at + 1..].iter_mut().for_each(|bucket| bucket.start -= 1);
        if self.buckets[at].len == 0 {
            self.buckets.remove(at);
        }
        self.tags.remove(place);
        Some(self.entries.remove(place))
    }

    /// All entries in ascending distance from `target`, sorted as they are taken, without allocation.
    pub fn closest(&self, target: &Id<N>) -> Closest<'_, N> {
        Closest::new(self, target)
    }

    /// Whether a node that is not an entry would find a place, if it proved to live.
    pub(crate) fn has_room(&self, peer: &Peer<N>) -> bool {
        let index = self.own.shared_prefix(&peer.id);
        let bucket_admits = |at| !self.bucket_is_full(at) || self.replaceable(at).is_some();
        index < 8 * N
            && self.place(&peer.id).is_none()
            && self.bucket(index).is_none_or(bucket_admits)
            && self.subnet_admits(index, &peer.address.into())
    }

    /// What is known of a node that has proved itself, whether it is an entry or waits to be one.
    pub(crate) fn known(&self, id: &Id<N>) -> Option<&Entry<N>> {
        self.entry(id).or_else(|| self.candidates.iter().find(|candidate| candidate.id == *id))
    }

    /// The entry of a node.
    pub fn entry(&self, id: &Id<N>) -> Option<&Entry<N>> {
        self.place(id).map(|place| &self.entries[place])
    }

    /// The entry that was heard from least recently.
    pub fn stalest(&self) -> Option<&Entry<N>> {
        self.entries.iter().min_by_key(|entry| entry.seen)
    }

    /// All entries, ordered by bucket.
    pub fn entries(&self) -> &[Entry<N>] {
        &self.entries
    }

    /// The buckets that have entries: leading bits shared with the own identifier, and the number of entries.
    pub fn buckets(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.buckets.iter().map(|bucket| (usize::from(bucket.index), usize::from(bucket.len)))
    }

    /// See [`Node::glance`](crate::Node): of what a search through the entries begins with.
    #[cfg(feature = "sim")]
    pub(crate) fn glance(&self) -> u64 {
        let tags = self.tags.iter().step_by(16).map(|tag| u64::from(tag.id));
        let buckets = self.buckets.iter().step_by(8).map(|bucket| u64::from(bucket.start));
        tags.chain(buckets).sum()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The identifier that the buckets are measured from.
    pub fn own(&self) -> &Id<N> {
        &self.own
    }

    /// The settings.
    pub fn config(&self) -> &TableConfig {
        &self.config
    }

    /// Octets that the table holds, its heap included.
    pub fn allocated(&self) -> usize {
        size_of::<Self>()
            + self.buckets.capacity() * size_of::<Bucket>()
            + (self.entries.capacity() + self.candidates.capacity()) * size_of::<Entry<N>>()
            + self.tags.capacity() * size_of::<Tag>()
            + self.hearsay.capacity() * size_of::<Peer<N>>()
    }

    fn bucket(&self, index: usize) -> Option<usize> {
        self.buckets.binary_search_by_key(&index, |bucket| usize::from(bucket.index)).ok()
    }

    fn bucket_is_full(&self, at: usize) -> bool {
        usize::from(self.buckets[at].len) >= self.config.bucket_size
    }

    fn members(&self, at: usize) -> core::ops::Range<usize> {
        let bucket = &self.buckets[at];
        usize::from(bucket.start)..usize::from(bucket.start) + usize::from(bucket.len)
    }

    fn place(&self, id: &Id<N>) -> Option<usize> {
        let at = self.bucket(self.own.shared_prefix(id))?;
        let (members, tag) = (self.members(at), tag_of(id));
        let of_tag = members.clone().zip(&self.tags[members]).filter(|(_, other)| other.id == tag);
        of_tag.map(|(place, _)| place).find(|place| self.entries[*place].id == *id)
    }

    fn set(&mut self, place: usize, entry: Entry<N>) -> Entry<N> {
        self.tags[place] = Tag::of(&entry);
        core::mem::replace(&mut self.entries[place], entry)
    }

    fn stalest_of(&self, at: usize) -> &Entry<N> {
        let members = &self.entries[self.members(at)];
        members.iter().min_by_key(|entry| entry.seen).expect("a bucket of the list has an entry")
    }

    fn replaceable(&self, at: usize) -> Option<usize> {
        let rank = |place: &usize| {
            let entry = &self.entries[*place];
            (entry.failures, entry.lost_of_eight(), Reverse(entry.seen))
        };
        let failed = self.members(at).max_by_key(rank)?;
        (self.entries[failed].failures >= self.config.failures).then_some(failed)
    }

    fn add(&mut self, index: usize, entry: Entry<N>) {
        let at = match self.buckets.binary_search_by_key(&index, |bucket| usize::from(bucket.index)) {
            Ok(at) => at,
            Err(at) => {
                let start = self.buckets.get(at).map_or(self.entries.len(), |next| usize::from(next.start));
                self.buckets.insert(at, Bucket { index: index as u16, start: start as u16, len: 0 });
                at
            }
        };
        let place = self.members(at).end;
        // Doubling would leave half of a large table unused.
        if self.entries.len() == self.entries.capacity() {
            let room = self.config.bucket_size.div_ceil(2);
            self.entries.reserve_exact(room);
            self.tags.reserve_exact(room);
        }
        self.tags.insert(place, Tag::of(&entry));
        self.entries.insert(place, entry);
        self.buckets[at].len += 1;
        self.buckets[at + 1..].iter_mut().for_each(|bucket| bucket.start += 1);
    }

    fn wait(&mut self, entry: Entry<N>) {
        self.forget_candidate(&entry.id);
        if self.config.replacements == 0 {
            return;
        }
        if self.candidates.len() == self.config.replacements {
            self.candidates.remove(0);
        }
        self.candidates.push(entry);
    }

    fn forget_candidate(&mut self, id: &Id<N>) {
        self.candidates.retain(|candidate| candidate.id != *id);
    }

    fn subnet_admits(&self, index: usize, address: &Address) -> bool {
        let SubnetLimit::Entries { bucket, table } = self.config.subnets else { return true };
        let tag = address.subnet().tag();
        let count = |places: core::ops::Range<usize>| {
            let of_tag = self.tags[places.clone()].iter().zip(places).filter(|(other, _)| other.subnet == tag);
            of_tag.filter(|(_, place)| self.entries[*place].address.is_beside(address)).count()
        };
        let in_bucket = self.bucket(index).map_or(0, |at| count(self.members(at)));
        in_bucket < bucket && count(0..self.entries.len()) < table
    }
}
