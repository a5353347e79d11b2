//! The hash table: honest nodes, liars among them, and those who leave and join.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use iot_core::Instant;
use iot_crypto::SigningKey;
use iot_dht::{Event, Key, Node, NodeConfig, NodeId, Record, SubnetLimit, TableConfig};
use iot_driver::Driver;
use rand_core::Rng as _;

use crate::attacker::{Liar, Lie};
use crate::cast::{Role, party};
use crate::clock::Clock;

/// Which network all of them belong to.
pub const OVERLAY: u64 = 0x0066_6c65_6574;

/// On how many nodes a record is stored.
pub const REPLICAS: usize = 8;

/// The first nodes stay: their addresses are what others were given.
pub const BOOTSTRAP: usize = 4;

/// How every node of the story behaves: eight replicas on the closest nodes, and time-outs that suit one machine.
pub fn config() -> NodeConfig {
    NodeConfig::default()
        .overlay(OVERLAY)
        .service(iot_dht::Service::Always)
        .replicas(REPLICAS)
        .placement(iot_dht::Placement::Closest)
        .table(TableConfig::default().bucket_size(REPLICAS).subnets(SubnetLimit::Off))
        .request_timeout(Duration::from_millis(150))
        .attempts(2)
        .replication_interval(Duration::from_secs(8))
        .liveness_interval(Duration::from_millis(250))
        .bootstrap_interval(Duration::from_secs(1))
}

/// The sockets of a whole network, taken before anything starts, so that a port in use stops the run early.
#[derive(Default)]
pub struct Sockets(Vec<UdpSocket>);

impl Sockets {
    /// Takes `count` sockets: the ports from `first` on, or any that are free.
    ///
    /// # Errors
    ///
    /// Which port could not be had, and why, in words.
    pub fn bind(first: Option<u16>, count: usize) -> Result<Self, String> {
        if let Some(first) = first.filter(|first| usize::from(*first) + count > 1 << 16) {
            return Err(format!("there are no {count} ports from {first} on"));
        }
        let bind = |index| {
            let port = first.map_or(0, |first| first + index as u16);
            let taken = |error| format!("port {port} on 127.0.0.1 cannot be had: {error}");
            UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).map_err(taken)
        };
        (0..count).map(bind).collect::<Result<_, _>>().map(Self)
    }
}

/// All nodes that the run itself keeps.
pub struct Network {
    honest: Vec<Driver>,
    liars: Vec<Driver>,
    /// How often each kind of lie was told.
    told: BTreeMap<Lie, Arc<AtomicU64>>,
    /// Nodes that have joined so far, those that left included.
    joined: usize,
    seed: u64,
    clock: Clock,
}

/// Where a liar stands and what it does.
pub struct Placement {
    /// What it does.
    pub lie: Lie,
    /// The key next to which it stands; anywhere if there is none.
    pub near: Option<Key>,
    /// What it knows from before.
    pub planted: Vec<Record>,
}

/// How many bits a placed liar's identifier shares with its key: more than any of a few hundred honest nodes does.
const PLACED_BITS: usize = 11;

impl Network {
    /// Starts `nodes` honest nodes and the liars, and has all of them join through the first.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says when it has no further thread.
    pub fn start(seed: u64, clock: Clock, nodes: usize, sockets: Sockets, liars: Vec<Placement>) -> io::Result<Self> {
        let mut network = Self { honest: Vec::new(), liars: Vec::new(), told: BTreeMap::new(), joined: 0, seed, clock };
        let mut sockets = sockets.0.into_iter();
        for socket in sockets.by_ref().take(nodes) {
            network.join(socket)?;
        }
        for (index, (socket, placement)) in sockets.zip(liars).enumerate() {
            network.join_liar(index, socket, placement)?;
        }
        Ok(network)
    }

    fn join(&mut self, socket: UdpSocket) -> io::Result<()> {
        let mut party = party(self.seed, Role::Node, self.joined);
        let node = Node::new(config(), party.signing, Instant::START, &mut party.rng);
        let clock = self.clock;
        let driver = Driver::spawn(socket, node, move || clock.now())?;
        self.introduce(&driver);
        self.honest.push(driver);
        self.joined += 1;
        Ok(())
    }

    fn join_liar(&mut self, index: usize, socket: UdpSocket, placement: Placement) -> io::Result<()> {
        let mut party = party(self.seed, Role::Attacker, index);
        let mut key = Arc::new(SigningKey::generate(&mut party.rng));
        if let Some(near) = placement.near {
            while NodeId::of_node(&key.verifying_key()).shared_prefix(&near) < PLACED_BITS {
                key = Arc::new(SigningKey::generate(&mut party.rng));
            }
        }
        let node = Node::new(config(), key.clone(), Instant::START, &mut party.rng);
        let clock = self.clock;
        let told = self.told.entry(placement.lie).or_default().clone();
        let filter = Liar::new(placement.lie, told, key, &placement.planted).into_filter(OVERLAY);
        let driver = Driver::spawn_filtered(socket, node, move || clock.now(), filter)?;
        self.introduce(&driver);
        self.liars.push(driver);
        Ok(())
    }

    fn introduce(&self, newcomer: &Driver) {
        let addresses = self.bootstrap_addresses();
        newcomer.call(move |node, now, _| node.bootstrap(now, &addresses));
    }

    /// Where newcomers ask first.
    pub fn bootstrap_addresses(&self) -> Vec<SocketAddr> {
        self.honest.iter().take(BOOTSTRAP).map(Driver::address).collect()
    }

    /// How many nodes have found their neighbours.
    pub fn bootstrapped(&self) -> usize {
        let knows_others = |driver: &&Driver| driver.call(|node, _, _| node.table().len()).unwrap_or(0) >= REPLICAS;
        self.honest.iter().chain(&self.liars).filter(knows_others).count()
    }

    /// A quarter of the honest nodes, chosen by chance, is gone from one moment to the next, and as many others join.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn replace_a_quarter(&mut self) -> io::Result<usize> {
        let mut rng = party(self.seed, Role::Auditor, 1).rng;
        let count = self.honest.len() / 4;
        for _ in 0..count {
            let leaving = BOOTSTRAP + rng.next_u32() as usize % (self.honest.len() - BOOTSTRAP);
            drop(self.honest.swap_remove(leaving).stop());
        }
        for _ in 0..count {
            self.join(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?)?;
        }
        Ok(count)
    }

    /// All nodes.
    pub fn len(&self) -> usize {
        self.honest.len() + self.liars.len()
    }

    /// The honest node that is flooded.
    pub fn victim(&self) -> SocketAddr {
        self.honest[BOOTSTRAP - 1].address()
    }

    /// On how many honest nodes each record is stored.
    pub fn copies(&self) -> BTreeMap<Key, usize> {
        let mut copies = BTreeMap::new();
        for driver in &self.honest {
            let keys = driver.call(|node, _, _| node.store().records().map(|record| *record.key()).collect::<Vec<_>>());
            for key in keys.unwrap_or_default() {
                *copies.entry(key).or_default() += 1;
            }
        }
        copies
    }

    /// How often each kind of lie was told, to anybody.
    pub fn lies(&self) -> BTreeMap<Lie, u64> {
        self.told.iter().map(|(lie, told)| (*lie, told.load(Ordering::Relaxed))).collect()
    }

    /// Octets of datagrams that all nodes sent and received, and requests that they refused because of their rate.
    pub fn traffic(&self) -> (u64, u64) {
        let of = |driver: &Driver| {
            driver.call(|node, _, _| node.stats()).map_or((0, 0), |it| (it.octets_out, it.rate_limited))
        };
        self.honest.iter().chain(&self.liars).map(of).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    }

    /// Throws away what nodes report to nobody in particular.
    pub fn drain_events(&self) {
        for driver in self.honest.iter().chain(&self.liars) {
            let _: Vec<Event> = driver.events().try_iter().collect();
        }
    }
}
