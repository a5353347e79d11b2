//! The three routing tables behind one trait: filled from the same kind of population, asked in the same way.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use discv5::kbucket::{KBucketsTable, NodeStatus};
use discv5::{ConnectionDirection, ConnectionState};
use iot_core::Instant;
use iot_dht::{Entry, Id, Peer, Table, TableConfig};
use libp2p_identity::PeerId;
use libp2p_kad::store::MemoryStore;
use libp2p_kad::{Behaviour, KBucketKey};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// A routing table, its own identifier drawn, and nodes drawn for it by index.
pub trait RoutingTable: Sized {
    /// What is looked for.
    type Target;
    /// What an answer is made of.
    type Found;

    /// A table without entries.
    fn empty() -> Self;
    /// Offers the node of this index; a full bucket refuses it.
    fn offer(&mut self, index: u64);
    /// The number of entries.
    fn count(&mut self) -> usize;
    /// A target anywhere.
    fn target(&self, index: u64) -> Self::Target;
    /// The table's own identifier.
    fn own(&self) -> Self::Target;
    /// Puts the `count` entries nearest to `target` into `found`, in order.
    fn closest(&mut self, target: &Self::Target, count: usize, found: &mut Vec<Self::Found>);
    /// The distances of what was found.
    fn distances(&self, target: &Self::Target, found: &[Self::Found]) -> Vec<[u8; 32]>;
    /// The distances of all entries, in any order.
    fn all_distances(&mut self, target: &Self::Target) -> Vec<[u8; 32]>;

    /// A table to which nodes were offered until it had `entries`: its far buckets are full, as in a large network.
    fn filled(entries: usize) -> Self {
        let mut table = Self::empty();
        let mut index = 0;
        while table.count() < entries {
            table.offer(index);
            index += 1;
        }
        table
    }

    /// Compares with the order of all distances.
    fn check(&mut self, target: &Self::Target, count: usize) {
        let mut found = Vec::new();
        self.closest(target, count, &mut found);
        let mut all = self.all_distances(target);
        all.sort_unstable();
        all.truncate(count);
        assert_eq!(self.distances(target, &found), all);
    }
}

/// 32 octets by index; `kind` keeps own identifiers, nodes and targets apart.
fn drawn(kind: u64, index: u64) -> [u8; 32] {
    let mut octets = [0; 32];
    ChaCha8Rng::seed_from_u64((kind << 32) | index).fill_bytes(&mut octets);
    octets
}

const OWN: u64 = 1;
const NODE: u64 = 2;
const TARGET: u64 = 3;

/// An address in a subnet of its own, so that limits by subnet do not count.
fn address(index: u64) -> SocketAddr {
    let [.., a, b, c] = index.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(11 + a, b, c, 1), 4_000))
}

/// `iot-dht`, without places for candidates: the peers keep at most one a bucket.
pub struct Ours(Table<32>);

impl RoutingTable for Ours {
    type Target = Id<32>;
    type Found = Entry<32>;

    fn empty() -> Self {
        Self(Table::new(Id::from_bytes(drawn(OWN, 0)), TableConfig::default().replacements(0)))
    }

    fn offer(&mut self, index: u64) {
        let peer = Peer { id: Id::from_bytes(drawn(NODE, index)), address: address(index) };
        let _ = self.0.insert(Instant::default(), peer);
    }

    fn count(&mut self) -> usize {
        self.0.len()
    }

    fn target(&self, index: u64) -> Id<32> {
        Id::from_bytes(drawn(TARGET, index))
    }

    fn own(&self) -> Id<32> {
        *self.0.own()
    }

    fn closest(&mut self, target: &Id<32>, count: usize, found: &mut Vec<Entry<32>>) {
        found.extend(self.0.closest(target).take(count).copied());
    }

    fn distances(&self, target: &Id<32>, found: &[Entry<32>]) -> Vec<[u8; 32]> {
        found.iter().map(|entry| *entry.id().distance(target).as_bytes()).collect()
    }

    fn all_distances(&mut self, target: &Id<32>) -> Vec<[u8; 32]> {
        self.distances(target, self.0.entries())
    }
}

/// `libp2p-kad`, which shows its table through its behaviour. Its cheapest answer is taken: keys without addresses.
pub struct Libp2p {
    own: PeerId,
    behaviour: Behaviour<MemoryStore>,
}

impl Libp2p {
    /// Buckets times entries a bucket.
    pub const PLACES: u64 = 256 * 20;
}

/// A peer identifier is the identity multihash of 32 octets; its place is the hash of that.
fn peer_id(kind: u64, index: u64) -> PeerId {
    let mut multihash = [0; 34];
    multihash[1] = 32;
    multihash[2..].copy_from_slice(&drawn(kind, index));
    PeerId::from_bytes(&multihash).expect("an identity multihash of 32 octets is a peer identifier")
}

impl RoutingTable for Libp2p {
    type Target = KBucketKey<PeerId>;
    type Found = KBucketKey<PeerId>;

    fn empty() -> Self {
        let own = peer_id(OWN, 0);
        Self { own, behaviour: Behaviour::new(own, MemoryStore::new(own)) }
    }

    fn offer(&mut self, index: u64) {
        let address = address(index);
        let address = format!("/ip4/{}/udp/{}", address.ip(), address.port()).parse().expect("it is an address");
        self.behaviour.add_address(&peer_id(NODE, index), address);
    }

    fn count(&mut self) -> usize {
        self.behaviour.kbuckets().map(|bucket| bucket.num_entries()).sum()
    }

    fn target(&self, index: u64) -> Self::Target {
        peer_id(TARGET, index).into()
    }

    fn own(&self) -> Self::Target {
        self.own.into()
    }

    fn closest(&mut self, target: &Self::Target, count: usize, found: &mut Vec<Self::Found>) {
        found.extend(self.behaviour.get_closest_local_peers(target).take(count));
    }

    fn distances(&self, target: &Self::Target, found: &[Self::Found]) -> Vec<[u8; 32]> {
        found.iter().map(|key| key.distance(target).0.to_big_endian()).collect()
    }

    fn all_distances(&mut self, target: &Self::Target) -> Vec<[u8; 32]> {
        let mut keys = Vec::new();
        for bucket in self.behaviour.kbuckets() {
            keys.extend(bucket.iter().map(|entry| *entry.node.key));
        }
        self.distances(target, &keys)
    }
}

/// `discv5`, whose buckets hold 16.
pub struct Discv5 {
    own: [u8; 32],
    table: KBucketsTable<[u8; 32], SocketAddr>,
}

impl Discv5 {
    /// Buckets times entries a bucket.
    pub const PLACES: u64 = 256 * 16;
}

/// An identifier is its own place.
fn place(id: [u8; 32]) -> discv5::Key<[u8; 32]> {
    discv5::Key::new_raw(id, id)
}

impl RoutingTable for Discv5 {
    type Target = discv5::Key<[u8; 32]>;
    type Found = discv5::Key<[u8; 32]>;

    fn empty() -> Self {
        let own = drawn(OWN, 0);
        Self { own, table: KBucketsTable::new(place(own), Duration::from_secs(60), 16, None, None) }
    }

    fn offer(&mut self, index: u64) {
        let status = NodeStatus { direction: ConnectionDirection::Outgoing, state: ConnectionState::Connected };
        let _ = self.table.insert_or_update(&place(drawn(NODE, index)), address(index), status);
    }

    fn count(&mut self) -> usize {
        self.table.iter_ref().count()
    }

    fn target(&self, index: u64) -> Self::Target {
        place(drawn(TARGET, index))
    }

    fn own(&self) -> Self::Target {
        place(self.own)
    }

    fn closest(&mut self, target: &Self::Target, count: usize, found: &mut Vec<Self::Found>) {
        found.extend(self.table.closest_keys(target).take(count));
    }

    fn distances(&self, target: &Self::Target, found: &[Self::Found]) -> Vec<[u8; 32]> {
        let target = target.preimage();
        let distance = |key: &Self::Found| std::array::from_fn(|octet| key.preimage()[octet] ^ target[octet]);
        found.iter().map(distance).collect()
    }

    fn all_distances(&mut self, target: &Self::Target) -> Vec<[u8; 32]> {
        let keys: Vec<_> = self.table.iter_ref().map(|entry| entry.node.key.clone()).collect();
        self.distances(target, &keys)
    }
}
