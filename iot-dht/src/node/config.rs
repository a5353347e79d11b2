use core::time::Duration;

use crate::lookup::LookupConfig;
use crate::node::relay::RelayConfig;
use crate::node::verification::Verification;
use crate::signatures::Signatures;
use crate::store::StoreConfig;
use crate::table::TableConfig;
use crate::wire::Role;

/// Where records are put, and where they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On the [`replicas`](NodeConfig::replicas) nodes closest to the key, as Kademlia does: about half the requests, and
    /// nothing against whoever surrounds a key with nodes.
    Closest,
    /// On all nodes of the key's region: the prefix that is expected to hold so many nodes, or up to twice as many, 8 to 64.
    /// A network of fewer than two regions stores on the closest.
    Region {
        /// How many nodes the region is expected to hold at least.
        nodes: u8,
    },
}

/// When a node stores for others and answers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Never: it only asks, and enters no table.
    Never,
    /// As long as others reach it who were not asked to: it finds out before it joins, and then now and then
    /// ([`Event::Reachability`](crate::Event::Reachability)).
    WhenReachable,
    /// Always: whoever runs it knows that it is reached. A network begins with a few of these; between two nodes alone,
    /// nothing can be found out.
    Always,
}

impl From<Role> for Service {
    fn from(role: Role) -> Self {
        match role {
            Role::Client => Self::Never,
            Role::Server => Self::Always,
        }
    }
}

/// How a [`Node`](crate::Node) behaves, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    pub(super) overlay: u64,
    pub(super) service: Service,
    pub(super) relays: usize,
    pub(super) relay: RelayConfig,
    pub(super) links: usize,
    pub(super) probe_interval: Duration,
    pub(super) replicas: usize,
    pub(super) placement: Placement,
    pub(super) table: TableConfig,
    pub(super) store: StoreConfig,
    pub(super) lookup: LookupConfig,
    pub(super) request_timeout: Duration,
    pub(super) attempts: u8,
    pub(super) operations: usize,
    pub(super) requests: usize,
    pub(super) transmits: usize,
    pub(super) events: usize,
    pub(super) rate: u32,
    pub(super) burst: u32,
    pub(super) rate_slots: usize,
    pub(super) maintenance: usize,
    pub(super) comparison_interval: Duration,
    pub(super) replication_interval: Duration,
    pub(super) liveness_interval: Duration,
    pub(super) refresh_interval: Duration,
    pub(super) bootstrap_interval: Duration,
    pub(super) verification: Verification,
    pub(super) verifications: usize,
    pub(super) proofs: u32,
    pub(super) signatures: Signatures,
}

macro_rules! durations {
    ($($(#[$meta:meta])* $name:ident),*) => {$(
        $(#[$meta])*
        ///
        /// # Panics
        /// When the duration is zero.
        pub fn $name(mut self, duration: Duration) -> Self {
            assert!(!duration.is_zero(), concat!(stringify!($name), " of zero"));
            self.$name = duration;
            self
        }
    )*};
}

macro_rules! counts {
    ($($(#[$meta:meta])* $name:ident: $type:ty = $least:literal),*) => {$(
        $(#[$meta])*
        ///
        /// # Panics
        /// When the number is smaller than the least.
        pub fn $name(mut self, count: $type) -> Self {
            assert!(count >= $least, concat!("at least ", stringify!($least), " ", stringify!($name)));
            self.$name = count;
            self
        }
    )*};
}

impl NodeConfig {
    /// Which network the node belongs to; it ignores the messages of all others. 0 by default.
    pub fn overlay(mut self, overlay: u64) -> Self {
        self.overlay = overlay;
        self
    }

    /// When the node stores and answers; [`Service::WhenReachable`] by default.
    pub fn service(mut self, service: impl Into<Service>) -> Self {
        self.service = service.into();
        self
    }

    /// Of how many relays a node that others do not reach keeps a lease, so that they can meet it: 0 to 4, 0 by default.
    /// Each costs a datagram every 25 seconds.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn relays(mut self, relays: usize) -> Self {
        assert!(relays <= crate::Contact::MAX_RELAYS, "0 to 4 relays, not {relays}");
        self.relays = relays;
        self
    }

    /// What a node does for others that nobody reaches, as long as it answers.
    pub fn relay(mut self, relay: RelayConfig) -> Self {
        self.relay = relay;
        self
    }

    /// How many links the node has at once, those included that others ask for; none by default. At the bound
    /// [`Node::meet`](crate::Node::meet) fails, and others are told that they cannot meet it. Those who ask from one IP
    /// address get half of them at most.
    pub fn links(mut self, links: usize) -> Self {
        self.links = links;
        self
    }

    /// On how many nodes a record is put and how many are asked for it: the `k` of Kademlia, 1 to 20; 20 by default.
    /// Sets the size of a bucket and the end of a lookup with it.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn replicas(mut self, nodes: usize) -> Self {
        assert!((1..=crate::wire::MAX_NODES).contains(&nodes), "1 to 20 replicas, not {nodes}");
        self.replicas = nodes;
        self.table = self.table.bucket_size(nodes);
        self.lookup = self.lookup.closest(nodes);
        self
    }

    /// Where records are put, and where they are asked for; [`Placement::Region`] of 32 nodes by default. All nodes of a
    /// network should agree on it.
    ///
    /// # Panics
    /// When a region has fewer than 8 or more than 64 nodes.
    pub fn placement(mut self, placement: Placement) -> Self {
        if let Placement::Region { nodes } = placement {
            assert!((8..=64).contains(&nodes), "a region of 8 to 64 nodes, not {nodes}");
        }
        self.placement = placement;
        self
    }

    pub(super) fn region_nodes(&self) -> Option<u64> {
        match self.placement {
            Placement::Closest => None,
            Placement::Region { nodes } => Some(nodes.into()),
        }
    }

    /// The routing table. Set after [`replicas`](Self::replicas), which sets the size of its buckets.
    pub fn table(mut self, table: TableConfig) -> Self {
        self.table = table;
        self
    }

    /// The record store.
    pub fn store(mut self, store: StoreConfig) -> Self {
        self.store = store;
        self
    }

    /// Lookups. Set before [`replicas`](Self::replicas), which sets with how many nodes they end.
    pub fn lookup(mut self, lookup: LookupConfig) -> Self {
        self.lookup = lookup;
        self
    }

    /// Who verifies signatures; [`Verification::Inline`] by default.
    pub fn verification(mut self, verification: Verification) -> Self {
        self.verification = verification;
        self
    }

    #[cfg(feature = "sim")]
    pub(crate) fn signatures(mut self, signatures: Signatures) -> Self {
        self.signatures = signatures;
        self
    }

    #[cfg(feature = "sim")]
    pub(crate) fn lookup_end(&self) -> usize {
        self.lookup.end()
    }

    durations! {
        /// How long an answer may take at most before the request is sent again, or given up after the last attempt; 1 s
        /// by default. What was measured of the node that is asked, or of all nodes, makes it shorter
        /// ([`Patience`](crate::Patience)); each further attempt takes twice as long as the one before.
        request_timeout,
        /// About how often the node compares its records with those of a neighbour, and fetches what it lacks; 10 min by
        /// default. Spread by a quarter either way. It costs one short request as long as both have the same.
        comparison_interval,
        /// About how often the node sees whether records that it holds and that belong to others are with those, and puts
        /// again what is not; 1 hour by default. Spread by a quarter either way.
        replication_interval,
        /// How often the entry of the table that was heard from least recently is asked whether it lives; 30 s by
        /// default.
        liveness_interval,
        /// How often each bucket is refreshed by a lookup; 15 min by default.
        refresh_interval,
        /// About how often a node with [`Service::WhenReachable`] finds out anew whether it is reached; 10 min by
        /// default. Spread by a quarter either way.
        probe_interval,
        /// How long after a failed bootstrap, or after every entry failed, the bootstrap addresses are asked again; 5 s
        /// by default.
        bootstrap_interval
    }

    counts! {
        /// How often a request is sent before it is given up; 3 by default, at least 1.
        attempts: u8 = 1,
        /// How many operations of the user are under way at once, those whose result was not yet fetched included; 64
        /// by default, at least 1. Beyond it, commands are refused.
        operations: usize = 1,
        /// How many requests of lookups are under way at once; 256 by default, at least 16. At the bound lookups wait.
        /// Each operation may have one request to each replica beside these.
        requests: usize = 16,
        /// How many datagrams wait to be sent; 1,024 by default, at least 16. At the bound a datagram is dropped and
        /// counted; a request among them is sent again when its time-out comes.
        transmits: usize = 16,
        /// How many events that are no results of operations wait to be fetched; 1,024 by default, at least 1. At the
        /// bound one is dropped and counted. Results are never dropped.
        events: usize = 1,
        /// How many requests a second are served of one address; 100 by default, at least 1. What exceeds it is
        /// dropped and counted.
        rate: u32 = 1,
        /// How many requests of one address are served at once after a pause; 200 by default, at least 1.
        burst: u32 = 1,
        /// Over how many counters the addresses are spread by a secret hash; 1,024 by default, at least 1. A
        /// counter takes memory while its address sends. Addresses that meet in one counter share its rate.
        rate_slots: usize = 1,
        /// How many datagrams wait for a verdict on their signatures; 256 by default, at least 1. At the bound one is
        /// dropped and counted. Nothing waits under [`Verification::Inline`].
        verifications: usize = 1,
        /// How many proofs a second the node signs for addresses that have not shown that they receive anything; 1,000 by
        /// default, at least 1. What exceeds it gets a cookie alone, and a proof when it comes with that.
        proofs: u32 = 1,
        /// How many lookups of the node's own upkeep are under way at once; 4 by default, at least 1.
        maintenance: usize = 1
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            overlay: 0,
            service: Service::WhenReachable,
            relays: 0,
            relay: RelayConfig::default(),
            links: 0,
            probe_interval: Duration::from_secs(600),
            replicas: 20,
            placement: Placement::Region { nodes: 32 },
            table: TableConfig::default(),
            store: StoreConfig::default(),
            lookup: LookupConfig::default(),
            request_timeout: Duration::from_secs(1),
            attempts: 3,
            operations: 64,
            requests: 256,
            transmits: 1024,
            events: 1024,
            rate: 100,
            burst: 200,
            rate_slots: 1024,
            maintenance: 4,
            comparison_interval: Duration::from_secs(600),
            replication_interval: Duration::from_secs(3600),
            liveness_interval: Duration::from_secs(30),
            refresh_interval: Duration::from_secs(900),
            bootstrap_interval: Duration::from_secs(5),
            verification: Verification::Inline,
            verifications: 256,
            proofs: 1000,
            signatures: Signatures::default(),
        }
    }
}
