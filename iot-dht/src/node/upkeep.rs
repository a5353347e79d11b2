use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::{Instant, Timestamp};

use crate::id::Id;
use crate::lookup::{Lookup, LookupConfig};
use crate::node::Node;
use crate::node::config::NodeConfig;
use crate::node::event::Event;
use crate::node::operation::{Kind, Origin};
use crate::node::request::{Purpose, Recipient, Standing};
use crate::peer::{Address, Peer};
use crate::table::{Entry, Insert};
use crate::wire::{Body, Cookie, Empty, FindNode, Role};

/// The most strangers and doubtful entries that are asked at once whether they live.
pub(super) const MAX_PINGS: usize = 16;
/// The most bootstrap addresses that are kept.
const MAX_ADDRESSES: usize = 32;
/// The most buckets that one refresh goes through.
const MAX_REFRESHES: usize = 32;
/// How many of the closest nodes a lookup of the upkeep asks; those that they name are only asked whether they live,
/// which costs a tenth.
const UPKEEP_CLOSEST: usize = 6;
/// The same of a lookup that only fills a bucket, whose end is as good as any other place there.
const FILLING_CLOSEST: usize = 3;
/// How many nodes a lookup of the upkeep remembers: the closest, and those to ask whether they live.
const UPKEEP_CANDIDATES: usize = 48;
/// To how many entries one refresh fills a bucket far away; the rest comes with the traffic.
const FILL: usize = 10;
/// How many buckets next to the neighbourhood are filled to the last place, because some of the nodes closest to a point
/// of the neighbourhood lie there.
const NEAR: usize = 2;
/// How many estimates of the network's size are kept.
const MAX_SIZES: usize = 5;
/// How many lookups measure it anew when it has changed.
const MEASUREMENTS: usize = 3;
/// How often expired records are looked for.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
/// The most records that one call removes.
const MAX_EXPIRED: usize = 64;

/// What a node does of its own accord, and when.
#[derive(Clone, Debug)]
pub(super) struct Upkeep {
    addresses: Vec<SocketAddr>,
    /// Bootstrap addresses that have neither answered nor failed.
    waiting: usize,
    joined: Joined,
    /// The bootstrap node that answered first, which the table may have no room for.
    entrance: Option<Peer<32>>,
    bootstrap_at: Option<Instant>,
    liveness_at: Instant,
    refresh_at: Instant,
    expiry_at: Instant,
    refreshes: VecDeque<Id<32>>,
    /// What the last random lookups say about the size of the network.
    sizes: VecDeque<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joined {
    No,
    /// Nodes of a snapshot are asked; the first that answers will do.
    Restoring,
    UnderWay,
    Yes,
}

impl Upkeep {
    pub(super) fn new(config: &NodeConfig, now: Instant) -> Self {
        Self {
            addresses: Vec::new(),
            waiting: 0,
            joined: Joined::No,
            entrance: None,
            bootstrap_at: None,
            liveness_at: now.saturating_add(config.liveness_interval),
            refresh_at: now.saturating_add(config.refresh_interval),
            expiry_at: now.saturating_add(EXPIRY_INTERVAL),
            refreshes: VecDeque::new(),
            sizes: VecDeque::new(),
        }
    }

    pub(super) fn set_addresses(&mut self, addresses: &[SocketAddr]) {
        self.addresses = addresses.iter().map(|address| Address::from(*address).into()).take(MAX_ADDRESSES).collect();
    }

    pub(super) fn expect_hearsay(&mut self) {
        if self.joined == Joined::No {
            self.joined = Joined::Restoring;
        }
    }

    #[cfg(test)]
    pub(super) fn set_sizes(&mut self, sizes: impl IntoIterator<Item = u64>) {
        self.sizes = sizes.into_iter().collect();
    }

    pub(super) fn sizes(&self) -> impl Iterator<Item = u64> + '_ {
        self.sizes.iter().copied()
    }
}

impl Node {
    /// Asks every bootstrap address for the nodes closest to this one.
    pub(super) fn ask_bootstrap(&mut self, now: Instant) {
        let target = *self.id();
        self.upkeep.bootstrap_at = None;
        // Nodes of a snapshot that answer meanwhile will do, too.
        if self.upkeep.joined != Joined::Restoring {
            self.upkeep.joined = Joined::No;
        }
        for address in self.upkeep.addresses.clone() {
            self.upkeep.waiting += 1;
            let recipient = Recipient { address, id: None, standing: Standing::Stranger, cookie: None };
            self.request(now, recipient, Purpose::Bootstrap, Body::FindNode(FindNode { target, key: None }));
        }
    }

    /// This node has answered at a bootstrap address, or nobody has.
    pub(super) fn settle_bootstrap(&mut self, now: Instant, wall: Timestamp, answered: Option<Peer<32>>) {
        self.upkeep.waiting = self.upkeep.waiting.saturating_sub(1);
        let is_outside = matches!(self.upkeep.joined, Joined::No | Joined::Restoring);
        if answered.is_some() && is_outside {
            (self.upkeep.joined, self.upkeep.entrance) = (Joined::UnderWay, answered);
            if !self.try_before_join(now) {
                let target = *self.id();
                self.start(now, wall, target, Kind::Join);
            }
        } else if self.upkeep.waiting == 0 && is_outside {
            self.bootstrap_failed(now);
        }
    }

    /// Whom a node asks that joins: those whom it knows, who may all be gone, and whoever has just answered.
    pub(super) fn entrances(&self) -> Vec<Peer<32>> {
        self.closest_hopeful(self.id()).into_iter().chain(self.upkeep.entrance).collect()
    }

    /// A lookup has asked, and nobody has answered. Whom this node knows may all have been replaced, as after weeks
    /// without a network; the bootstrap addresses are asked again.
    pub(super) fn doubt_table(&mut self, now: Instant) {
        if self.upkeep.joined == Joined::Yes && !self.upkeep.addresses.is_empty() {
            self.ask_bootstrap(now);
        }
    }

    /// Somebody was asked whether it lives. Of a snapshot the first that does is enough to join.
    pub(super) fn settle_liveness(&mut self, now: Instant, wall: Timestamp) {
        if self.upkeep.joined == Joined::Restoring && !self.table.is_empty() {
            self.upkeep.joined = Joined::UnderWay;
            if !self.try_before_join(now) {
                let target = *self.id();
                self.start(now, wall, target, Kind::Join);
            }
        }
    }

    /// Whom a lookup of the upkeep heard of and did not ask: the neighbours, if it was of the own identifier, or others
    /// of the bucket that it was to fill.
    pub(super) fn note_hearsay(&mut self, lookup: &Lookup<32>) {
        let own = *self.id();
        if *lookup.target() == own {
            lookup.heard().take(self.config.replicas).for_each(|peer| self.table.hear_of(peer));
            return;
        }
        let bucket = own.shared_prefix(lookup.target());
        // A bucket of the neighbourhood has too few nodes to tell, and a lookup that only fills one asks too few.
        if let Some(size) = lookup.estimated_size().filter(|_| bucket < self.neighbourhood().min(MAX_SIZES)) {
            self.upkeep.sizes.truncate(MAX_SIZES - 1);
            self.upkeep.sizes.push_front(size);
        }
        let entries = self.table.buckets().find(|(index, _)| *index == bucket).map_or(0, |(_, entries)| entries);
        let wanted = self.fill_of(bucket, self.neighbourhood()).saturating_sub(entries);
        let fitting = lookup.heard().filter(|peer| own.shared_prefix(&peer.id) == bucket);
        fitting.take(wanted).for_each(|peer| self.table.hear_of(peer));
    }

    /// How many leading bits the closest nodes share with the own identifier, as many of them as hold one record. Those
    /// that were only named count: after the first search most neighbours have not been asked yet, and without them the
    /// neighbourhood would seem to begin at the bootstrap node.
    pub(super) fn neighbourhood(&self) -> usize {
        let own = self.id();
        let entries = self.table.closest(own).take(self.config.replicas).map(|entry| *entry.id());
        let named = self.table.named().map(|peer| peer.id).filter(|id| self.table.entry(id).is_none());
        let mut shared: Vec<_> = entries.chain(named).map(|id| own.shared_prefix(&id)).collect();
        shared.sort_unstable_by_key(|bits| Reverse(*bits));
        shared.truncate(self.config.replicas);
        shared.last().copied().unwrap_or(0)
    }

    fn fill_of(&self, bucket: usize, neighbourhood: usize) -> usize {
        if bucket + NEAR >= neighbourhood { self.config.replicas } else { FILL.min(self.config.replicas) }
    }

    /// The lookup of the own identifier is over.
    pub(super) fn finish_join(&mut self, now: Instant, answered: usize) {
        if answered == 0 {
            self.upkeep.joined = Joined::No;
            self.bootstrap_failed(now);
            return;
        }
        self.upkeep.joined = Joined::Yes;
        self.notify(Event::Bootstrapped { nodes: self.table.len() });
        self.queue_refreshes();
        self.settle_in(now);
    }

    /// Offers a node that has just answered, and has proved who it is, to the table.
    pub(super) fn learn(&mut self, now: Instant, peer: Peer<32>, cookie: Option<Cookie>) {
        let inserted = self.table.insert(now, peer);
        cookie.into_iter().for_each(|cookie| self.table.keep_cookie(&peer, cookie));
        match inserted {
            Insert::Waiting(doubtful) | Insert::Elsewhere(doubtful) => {
                let quiet = self.table.entry(&doubtful.id).map(|entry| now.saturating_since(entry.seen()));
                if quiet.is_some_and(|quiet| quiet >= self.config.liveness_interval)
                    && !self.requests.asks(&doubtful.id)
                {
                    self.ping(now, doubtful);
                }
            }
            Insert::Added | Insert::Replaced(_) | Insert::Refreshed | Insert::SubnetFull | Insert::Own => {}
        }
    }

    pub(super) fn ping(&mut self, now: Instant, peer: Peer<32>) {
        if self.requests.count(Purpose::Liveness) < MAX_PINGS {
            let recipient = self.recipient(now, &peer, &[]);
            self.request(now, recipient, Purpose::Liveness, Body::Ping(Empty {}));
        }
    }

    /// Does everything of its own accord that is due.
    pub(super) fn handle_upkeep(&mut self, now: Instant, wall: Timestamp) {
        let joined = self.upkeep.joined == Joined::Yes;
        if self.upkeep.expiry_at <= now {
            self.upkeep.expiry_at = now.saturating_add(EXPIRY_INTERVAL);
            for _ in 0..MAX_EXPIRED {
                if self.store.expire(wall).is_none() {
                    break;
                }
            }
        }
        if self.upkeep.liveness_at <= now {
            self.upkeep.liveness_at = now.saturating_add(self.config.liveness_interval);
            if joined && self.size_has_changed() {
                self.measure_size();
            }
            let stalest = self.table.stalest().map(Entry::peer);
            stalest.filter(|peer| !self.requests.asks(&peer.id)).into_iter().for_each(|peer| self.ping(now, peer));
            let failures = self.config.table.failures_to_replace();
            let alone = self.table.entries().iter().all(|entry| entry.failures() >= failures);
            if joined && alone && !self.upkeep.addresses.is_empty() {
                self.upkeep.joined = Joined::No;
                self.upkeep.bootstrap_at.get_or_insert(now.saturating_add(self.config.bootstrap_interval));
            }
        }
        if self.upkeep.refresh_at <= now {
            self.upkeep.refresh_at = now.saturating_add(self.secrets.about(self.config.refresh_interval));
            self.queue_refreshes();
        }
        if self.upkeep.bootstrap_at.is_some_and(|at| at <= now) {
            self.ask_bootstrap(now);
        }
        self.handle_replication(now, wall);
        self.start_upkeep(now, wall);
    }

    /// Starts lookups of the upkeep as far as their budget allows.
    pub(super) fn start_upkeep(&mut self, now: Instant, wall: Timestamp) {
        while self.requests.count(Purpose::Liveness) < MAX_PINGS {
            let Some(peer) = self.table.next_hearsay() else { break };
            if !self.requests.asks(&peer.id) {
                self.ping(now, peer);
            }
        }
        self.start_comparison(now, wall);
        while self.maintenance_allows() {
            if self.start_replication(now, wall) {
                continue;
            }
            if let Some(target) = self.upkeep.refreshes.pop_front() {
                self.start(now, wall, target, Kind::Refresh);
            } else {
                return;
            }
        }
    }

    /// It answers others from now on, or no longer. The neighbours hear of the one as they are asked; what was stored goes
    /// to those who still answer.
    pub(super) fn change_role(&mut self, now: Instant) {
        match self.role() {
            Role::Server if self.upkeep.joined == Joined::Yes => {
                self.queue_refreshes();
                self.settle_in(now);
            }
            Role::Server => {}
            Role::Client => self.sweep_at_once(now),
        }
    }

    pub(super) fn next_upkeep(&self) -> Option<Instant> {
        let expiry = (!self.store.is_empty()).then_some(self.upkeep.expiry_at);
        let always = [self.upkeep.liveness_at, self.upkeep.refresh_at];
        always.into_iter().chain(self.next_replication()).chain(expiry).chain(self.upkeep.bootstrap_at).min()
    }

    fn maintenance_allows(&self) -> bool {
        let under_way = self.operations.values().filter(|operation| operation.origin() == Origin::Upkeep).count();
        under_way < self.config.maintenance && self.requests.len() < self.config.requests / 2
    }

    fn bootstrap_failed(&mut self, now: Instant) {
        self.upkeep.bootstrap_at = Some(now.saturating_add(self.config.bootstrap_interval));
        self.notify(Event::BootstrapFailed { asked: self.upkeep.addresses.len() });
    }

    /// Plans a lookup in each bucket that has room, from the farthest to the one in which the neighbourhood begins, of
    /// which it holds a part, and then one of the own identifier, which finds all that is nearer.
    fn queue_refreshes(&mut self) {
        let own = *self.id();
        let neighbourhood = self.neighbourhood();
        let mut entries = [0; MAX_REFRESHES];
        self.table.buckets().filter(|(index, _)| *index < MAX_REFRESHES).for_each(|(index, len)| entries[index] = len);
        self.upkeep.refreshes.clear();
        for (index, entries) in entries.into_iter().enumerate().take(neighbourhood + 1) {
            if entries < self.fill_of(index, neighbourhood) {
                let target = own.with_shared_prefix(index, self.secrets.octets());
                self.upkeep.refreshes.push_back(target);
            }
        }
        self.upkeep.refreshes.push_back(own);
    }

    /// Plans random lookups that tell how large the network is now; what they say outvotes what earlier ones said. Until
    /// then the earlier ones stand: the neighbourhood alone would let those decide who have placed nodes in it.
    fn measure_size(&mut self) {
        let own = *self.id();
        for bucket in 0..self.neighbourhood().min(MEASUREMENTS) {
            let target = own.with_shared_prefix(bucket, self.secrets.octets());
            self.upkeep.refreshes.push_back(target);
        }
    }
}

/// A lookup that is only to find the way, and names.
pub(super) fn narrow(config: LookupConfig) -> LookupConfig {
    ending(config, UPKEEP_CLOSEST)
}

/// A lookup that is only to find some nodes of a bucket. The first buckets also tell how large the network is.
pub(super) fn filling(config: LookupConfig, bucket: usize) -> LookupConfig {
    ending(config, if bucket < MAX_SIZES { UPKEEP_CLOSEST } else { FILLING_CLOSEST })
}

fn ending(config: LookupConfig, closest: usize) -> LookupConfig {
    let closest = config.end().min(closest);
    config.closest(closest).paths(1).candidates(UPKEEP_CANDIDATES)
}
