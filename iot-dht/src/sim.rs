//! A whole network in one process and in virtual time: for tests of what is built on this crate, and to measure it.
//!
//! Every host runs a real [`Node`] and exchanges real datagrams. Only four things are simulated: the clock, the network
//! between the hosts ([`Link`]), the NATs before them ([`Nat`]), and, where it is asked for, signatures
//! ([`SimulatedSigner`]). Hosts know one address when they join, and nobody fills a table for them.
//!
//! The same seed gives the same network to the octet, on any machine, at any optimization, and however many [`Shard`]s the
//! hosts are divided among; [`Sim::trace`] says so in one number.
//!
//! # Example
//! ```
//! use std::time::Duration;
//! use iot_dht::sim::{self, Sim, SimConfig, study};
//!
//! let mut sim = Sim::new(SimConfig::default().seed(7));
//! // Fifty hosts join through the first, and have found each other a little later.
//! let joined = study::grow(&mut sim, 50);
//! sim.run_until(joined.saturating_add(Duration::from_secs(20)), &mut sim::in_turn);
//! // Ten of them search for a point each, and find what a look at all hosts finds.
//! let found = study::search(&mut sim, 10, &mut sim::in_turn);
//! assert_eq!(found.exact, 10);
//! ```
//!
//! # How to drive it
//!
//! Make hosts with [`Sim::host`], plan what they do with [`Sim::plan`], and run with [`Sim::run_until`], which takes what
//! runs the shards: [`in_turn`], or a function of the caller's that gives each shard to a thread. [`Sim::poll_happening`]
//! tells what came of it. [`study`] has the plans that this crate's own figures come from.
//!
//! # Limits
//!
//! [`Host::MAX`] hosts. A host takes some 40 to 55 kB (`docs/dht.md`). What is told and not fetched piles
//! up: drain [`Sim::poll_happening`] after each run.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_crypto::SigningKey;

use crate::id::{Id, Key, NodeId};
use crate::node::{Node, NodeConfig};
use crate::peer::Peer;
use crate::record::{Record, SignRecordError};
use crate::signatures::Signatures;
use crate::sim::noise::Noise;
use crate::sim::shard::Item;
use crate::wire::Role;

pub mod adversary;
mod census;
mod host;
mod link;
mod nat;
mod noise;
mod queue;
mod shard;
mod signature;
pub mod study;
#[cfg(test)]
mod tests;
mod trace;

pub use crate::sim::census::Census;
pub use crate::sim::host::{Host, Reach};
pub use crate::sim::link::Link;
pub use crate::sim::nat::{Dependence, Nat};
pub use crate::sim::shard::{Action, ActionId, Counts, Happening, Shard, What};
pub use crate::sim::signature::SimulatedSigner;
pub use crate::sim::trace::Trace;

pub(crate) use crate::sim::signature::{is_proof_simulated, is_simulated, prove_as};

/// The wall clock at [`Instant::START`]: 2026-01-01T00:00:00Z.
pub const EPOCH: Timestamp = Timestamp::from_secs(1_767_225_600);

/// What a simulated network is like.
#[derive(Clone, Debug)]
pub struct SimConfig {
    seed: u64,
    shards: usize,
    signing: Signing,
    node: NodeConfig,
    link: Link,
    admission: Option<[u8; 32]>,
}

/// Which signatures the hosts of a network make and believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Ed25519, as outside.
    Real,
    /// [`SimulatedSigner`]'s.
    Simulated,
}

impl SimConfig {
    /// From which everything follows; 1 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Among how many shards the hosts are divided, 1 to 64; 1 by default. What happens does not depend on it.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn shards(mut self, shards: usize) -> Self {
        assert!((1..=64).contains(&shards), "1 to 64 shards, not {shards}");
        self.shards = shards;
        self
    }

    /// Which signatures the hosts make and believe; [`Signing::Simulated`] by default. What else happens does not depend
    /// on it.
    pub fn signing(mut self, signing: Signing) -> Self {
        self.signing = signing;
        self
    }

    /// How the nodes behave; [`NodeConfig::default`] by default.
    pub fn node(mut self, node: NodeConfig) -> Self {
        self.node = node;
        self
    }

    /// What becomes of datagrams under way; [`Link::default`] by default.
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// The key of a private overlay, to which all hosts belong but those that [infiltrate](Action::Infiltrate); none by
    /// default. The trace holds what shows the key in each datagram, and that depends on its signatures.
    pub fn admission(mut self, key: [u8; 32]) -> Self {
        self.admission = Some(key);
        self
    }
}

impl Default for SimConfig {
    fn default() -> Self {
        let (node, link) = (NodeConfig::default(), Link::default());
        Self { seed: 1, shards: 1, signing: Signing::Simulated, node, link, admission: None }
    }
}

/// A simulated network.
pub struct Sim {
    seed: u64,
    signing: Signing,
    now: Instant,
    hosts: u32,
    actions: u32,
    /// How many nodes a search ends with.
    lookup_end: usize,
    shards: Vec<Shard>,
    happenings: VecDeque<Happening>,
}

impl Sim {
    /// A network without hosts.
    pub fn new(config: SimConfig) -> Self {
        let signatures = match config.signing {
            Signing::Real => Signatures::Real,
            Signing::Simulated => Signatures::Simulated,
        };
        let node = config.node.signatures(signatures);
        let shard = |number| {
            let mut shard = Shard::new(number, config.shards, config.seed, config.link.clone(), node, signatures);
            shard.admission = config.admission;
            shard
        };
        Self {
            seed: config.seed,
            signing: config.signing,
            now: Instant::START,
            hosts: 0,
            actions: 0,
            lookup_end: node.lookup_end(),
            shards: (0..config.shards).map(shard).collect(),
            happenings: VecDeque::new(),
        }
    }

    /// A number for one more host, which is not there before it joins.
    ///
    /// # Panics
    /// Beyond [`Host::MAX`].
    pub fn host(&mut self) -> Host {
        assert!(self.hosts < Host::MAX, "no address is left for one more host");
        self.hosts += 1;
        Host(self.hosts - 1)
    }

    /// Plans what a host does at a moment; at once, if that has passed.
    pub fn plan(&mut self, at: Instant, host: Host, action: Action) -> ActionId {
        let id = ActionId(self.actions);
        self.actions += 1;
        let item = Item::action(at.max(self.now), host, id, action);
        let shard = host.0 as usize % self.shards.len();
        self.shards[shard].push(item);
        id
    }

    /// How long a datagram from one host to the other and its answer are under way, by what is the pair's own: each takes
    /// half of it, and a little longer by chance.
    pub fn round_trip(&self, one: Host, other: Host) -> Duration {
        self.shards[0].link.round_trip(self.seed, one, other)
    }

    /// Replaces the network between the hosts. What is under way arrives as planned.
    pub fn set_link(&mut self, link: &Link) {
        self.shards.iter_mut().for_each(|shard| shard.link = link.clone());
    }

    /// Lets time pass. `run` must call [`Shard::run_until`] of each of the shards with the moment that it is given, one
    /// after the other ([`in_turn`]) or each on a thread.
    pub fn run_until(&mut self, end: Instant, run: &mut impl FnMut(&mut [Shard], Instant)) {
        while let Some(first) = self.shards.iter_mut().filter_map(Shard::next).min().filter(|first| *first < end) {
            // Nothing that is sent from then on arrives before that.
            let window = first.saturating_add(Link::LEAST_DELAY).min(end);
            run(&mut self.shards, window);
            self.exchange();
            self.now = window;
        }
        self.now = self.now.max(end);
    }

    /// The next thing that happened. Those of one window of [`Link::LEAST_DELAY`] are in order of hosts, not of time.
    pub fn poll_happening(&mut self) -> Option<Happening> {
        self.happenings.pop_front()
    }

    /// The time in the network.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The time of day in the network.
    pub fn wall(&self) -> Timestamp {
        EPOCH.saturating_add(self.now.saturating_since(Instant::START))
    }

    /// The hosts that are there, in order.
    pub fn hosts(&self) -> Vec<Host> {
        let mut hosts: Vec<_> = self.nodes().map(|(host, _)| host).collect();
        hosts.sort_unstable();
        hosts
    }

    /// The node of a host, if it is there.
    pub fn node(&self, host: Host) -> Option<&Node> {
        self.shards[host.0 as usize % self.shards.len()].member(host).map(|member| &member.node)
    }

    /// The hosts that are there and no attacker's, in order.
    pub fn honest_hosts(&self) -> Vec<Host> {
        let mut hosts: Vec<_> = self.shards.iter().flat_map(Shard::honest).collect();
        hosts.sort_unstable();
        hosts
    }

    /// All nodes that are there, in no particular order.
    pub fn nodes(&self) -> impl Iterator<Item = (Host, &Node)> + '_ {
        self.shards.iter().flat_map(Shard::members)
    }

    /// The servers that are there now: what a search is measured by.
    pub fn census(&self) -> Census {
        let servers = self.nodes().filter(|(_, node)| node.role() == Role::Server);
        Census::new(servers.map(|(host, node)| Peer { id: *node.id(), address: host.address() }).collect())
    }

    /// A point that follows from the seed and a number.
    pub fn point(&self, number: u64) -> Key {
        Id::from_bytes(Noise::new(noise::hash(self.seed, &[1, number])).octets())
    }

    /// A key that follows from the seed and a number, for a device that signs records.
    pub fn key(&self, number: u64) -> SigningKey {
        SigningKey::from_seed(&Noise::new(noise::hash(self.seed, &[2, number])).octets())
    }

    /// Who a host is or will be once it has joined, unless it infiltrates: what an attacker may find out beforehand.
    pub fn identity(&self, host: Host) -> NodeId {
        let key = SigningKey::from_seed(&shard::noise_of(self.seed, host).octets());
        NodeId::of_node(&key.verifying_key())
    }

    /// A record that the hosts of this network believe.
    ///
    /// # Errors
    ///
    /// Those of [`Record::sign`].
    pub fn sign(
        &self,
        key: &SigningKey,
        name: &[u8],
        sequence: u64,
        expires: Timestamp,
        value: &[u8],
    ) -> Result<Record, SignRecordError> {
        match self.signing {
            Signing::Real => Record::sign(key, name, sequence, expires, value),
            Signing::Simulated => Record::sign(&SimulatedSigner::new(key), name, sequence, expires, value),
        }
    }

    /// All that happened between the hosts, as one number.
    pub fn trace(&self) -> Trace {
        self.shards.iter().fold(Trace::default(), |trace, shard| trace.merge(shard.trace))
    }

    /// What became of the datagrams.
    pub fn counts(&self) -> Counts {
        self.shards.iter().fold(Counts::default(), |sum, shard| Counts {
            sent: sum.sent + shard.counts.sent,
            octets: sum.octets + shard.counts.octets,
            lost: sum.lost + shard.counts.lost,
            filtered: sum.filtered + shard.counts.filtered,
            astray: sum.astray + shard.counts.astray,
        })
    }

    /// A number from 0 up to `below`, which follows from the seed and what it is for.
    fn draw(&self, what: &[u64], below: usize) -> usize {
        (noise::hash(noise::hash(self.seed, &[3]), what) % below as u64) as usize
    }

    /// Hands over what the shards have for each other. Each puts what it gets into its queue by itself, on its thread.
    fn exchange(&mut self) {
        for from in 0..self.shards.len() {
            for to in 0..self.shards.len() {
                let parcel = core::mem::take(&mut self.shards[from].out[to]);
                self.shards[from].out[to] = core::mem::replace(&mut self.shards[to].arrived[from], parcel);
            }
        }
        let mut window: Vec<_> = self.shards.iter_mut().flat_map(|shard| shard.happenings.drain(..)).collect();
        // Of one host they are in order already.
        window.sort_by_key(|happening| happening.host);
        self.happenings.extend(window);
    }
}

/// Runs shards one after the other.
pub fn in_turn(shards: &mut [Shard], end: Instant) {
    shards.iter_mut().for_each(|shard| shard.run_until(end));
}
