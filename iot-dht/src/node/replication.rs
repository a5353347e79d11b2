use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::{Instant, Timestamp};

use crate::id::Key;
use crate::lookup::Lookup;
use crate::node::Node;
use crate::node::config::NodeConfig;
use crate::node::operation::{Kind, Origin, Put};
use crate::node::stocktaking::{Goal, Stocktaking};
use crate::peer::{Address, Peer};
use crate::store::{Part, Source};
use crate::table::Entry;
use crate::wire::Role;

/// With how many neighbours a node compares its records one after the other once it has joined: the first shows what
/// there is, the others what the first did not show. Where records lie on the closest nodes, none holds all of them.
const FIRST_COMPARISONS: u8 = 6;
/// How soon after it has joined, and how soon after each other.
const SETTLING: Duration = Duration::from_secs(2);
/// With how many nodes elsewhere it is compared whether they have what belongs there.
const ELSEWHERE: usize = 3;

/// How a node sees to it that records are where they belong.
///
/// What belongs to this node it fetches from its neighbours: now and then it compares what it holds with what one of them
/// holds, which costs one request as long as that is the same. So a newcomer receives each record once, and nobody sends what
/// another has. What this node holds and belongs elsewhere is compared with the nodes there, region by region, and put
/// again where they lack it. No record lives longer for any of this.
#[derive(Clone, Debug)]
pub(super) struct Replication {
    compare_at: Instant,
    /// How many comparisons with neighbours follow soon.
    settling: u8,
    /// Whose turn it is among the neighbours.
    turn: usize,
    sweep_at: Instant,
    /// Parts that this node holds records of and that are not its own.
    elsewhere: VecDeque<Part>,
    /// Who has been found there.
    found: VecDeque<(Peer<32>, Part)>,
    /// What somebody lacks who should have it.
    pub(super) lacking: BTreeSet<Key>,
    pub(super) stocktaking: Option<Stocktaking>,
}

impl Replication {
    pub(super) fn new(config: &NodeConfig, now: Instant) -> Self {
        Self {
            compare_at: now.saturating_add(config.comparison_interval),
            settling: 0,
            turn: 0,
            sweep_at: now.saturating_add(config.replication_interval),
            elsewhere: VecDeque::new(),
            found: VecDeque::new(),
            lacking: BTreeSet::new(),
            stocktaking: None,
        }
    }
}

impl Node {
    /// The node has neighbours, all of them perhaps new.
    pub(super) fn settle_in(&mut self, now: Instant) {
        self.replication.settling = FIRST_COMPARISONS;
        self.replication.turn = u64::from_be_bytes(self.secrets.transaction()) as usize;
        self.replication.compare_at = now.saturating_add(self.secrets.about(SETTLING));
        let soon = self.secrets.about(self.config.liveness_interval);
        self.replication.sweep_at = self.replication.sweep_at.min(now.saturating_add(soon));
    }

    /// Nothing of what this node holds belongs to it any longer.
    pub(super) fn sweep_at_once(&mut self, now: Instant) {
        self.replication.sweep_at = now;
    }

    /// Begins what is due: a comparison with a neighbour, or a look at what belongs elsewhere.
    pub(super) fn handle_replication(&mut self, now: Instant, wall: Timestamp) {
        if self.replication.sweep_at <= now {
            self.replication.sweep_at = now.saturating_add(self.secrets.about(self.config.replication_interval));
            self.replication.elsewhere = self.parts_elsewhere();
        }
        self.handle_step(now, wall);
    }

    /// Begins a comparison, unless one is under way.
    pub(super) fn start_comparison(&mut self, now: Instant, wall: Timestamp) {
        if self.replication.stocktaking.is_some() {
            return;
        }
        if self.role() == Role::Server && self.replication.compare_at <= now {
            self.replication.settling = self.replication.settling.saturating_sub(1);
            let is_settled = self.replication.settling == 0;
            let interval = if is_settled { self.config.comparison_interval } else { SETTLING };
            self.replication.compare_at = now.saturating_add(self.secrets.about(interval));
            if let Some(neighbour) = self.next_neighbour() {
                return self.take_stock(now, wall, neighbour, Goal::Receive, self.own_part());
            }
        }
        if let Some((peer, part)) = self.replication.found.pop_front() {
            self.take_stock(now, wall, peer, Goal::Give, part);
        }
    }

    /// Begins to put what somebody lacks, or to search who should have what this node holds; tells whether there was anything
    /// to begin.
    pub(super) fn start_replication(&mut self, now: Instant, wall: Timestamp) -> bool {
        if let Some(key) = self.replication.lacking.pop_first() {
            if let Some(record) = self.store.get(wall, &key).cloned() {
                self.start(now, wall, key, Kind::Put(Put::new(record, Origin::Upkeep)));
            }
            return true;
        }
        if self.replication.found.is_empty() {
            if let Some(part) = self.replication.elsewhere.pop_front() {
                let target = part.point.within(part.bits.into(), self.secrets.octets());
                self.start(now, wall, target, Kind::Sweep(part));
                return true;
            }
        }
        false
    }

    /// Takes those that a search has found in a part.
    pub(super) fn finish_sweep(&mut self, part: Part, lookup: &Lookup<32>) {
        let there = |peer: &Peer<32>| part.holds(&peer.id);
        let mut peers: Vec<_> = lookup.closest().filter(there).take(ELSEWHERE).collect();
        if peers.is_empty() {
            peers.extend(lookup.closest().take(ELSEWHERE));
        }
        self.replication.found.extend(peers.into_iter().map(|peer| (peer, part)));
    }

    pub(super) fn next_replication(&self) -> Option<Instant> {
        let is_server = self.role() == Role::Server && !self.table.is_empty();
        let compare = is_server.then_some(self.replication.compare_at);
        let sweep = (!self.store.is_empty()).then_some(self.replication.sweep_at);
        match &self.replication.stocktaking {
            Some(taking) => Some(taking.step_at()).into_iter().chain(sweep).min(),
            None => compare.into_iter().chain(sweep).min(),
        }
    }

    /// Whether a record belongs to this node, as far as it can tell.
    pub(crate) fn is_responsible(&self, key: &Key) -> bool {
        let own = self.id();
        if let Some(bits) = self.region_bits() {
            return self.role() == Role::Server && own.shared_prefix(key) >= bits;
        }
        let closer = self.table.closest(key).filter(|entry| entry.failures() == 0).take(self.config.replicas);
        self.role() == Role::Server
            && closer.filter(|entry| entry.id().distance(key) < own.distance(key)).count() < self.config.replicas
    }

    /// Whose quota a record uses up that came from this address.
    pub(super) fn source_of(&self, from: SocketAddr) -> Source {
        self.config.table.limits_subnets().then(|| Address::from(from).subnet())
    }

    /// The part of the key space in which what belongs to this node lies: its region, or, where records lie on the closest
    /// nodes, a part in which its neighbourhood is a quarter or less.
    pub(crate) fn own_part(&self) -> Part {
        let bits = self.region_bits().unwrap_or_else(|| self.neighbourhood().saturating_sub(2));
        Part { point: *self.id(), bits: bits.min(u8::MAX.into()) as u8 }
    }

    /// Each in turn of those who should hold what this node holds, from one drawn at random on.
    fn next_neighbour(&mut self) -> Option<Peer<32>> {
        let (own, part) = (*self.id(), self.own_part());
        let alive = self.table.closest(&own).filter(|entry| entry.failures() == 0);
        let neighbours: Vec<_> = match self.region_bits() {
            Some(_) => alive.take_while(|entry| part.holds(entry.id())).map(Entry::peer).collect(),
            None => alive.take(self.config.replicas).map(Entry::peer).collect(),
        };
        let place = self.replication.turn % neighbours.len().max(1);
        self.replication.turn = self.replication.turn.wrapping_add(1);
        neighbours.get(place).copied()
    }

    /// The parts that hold all records which do not belong to this node.
    fn parts_elsewhere(&self) -> VecDeque<Part> {
        let bits = self.region_bits().unwrap_or_else(|| {
            let neighbourhoods = self.network_size() / self.config.replicas as u64;
            neighbourhoods.checked_ilog2().map_or(0, |bits| bits as usize + 2)
        });
        let bits = bits.min(u8::MAX.into()) as u8;
        let mut parts: VecDeque<Part> = VecDeque::new();
        for record in self.store.records() {
            let key = record.key();
            if !parts.back().is_some_and(|part| part.holds(key)) && !self.is_responsible(key) {
                parts.push_back(Part { point: *key, bits });
            }
        }
        parts
    }
}
