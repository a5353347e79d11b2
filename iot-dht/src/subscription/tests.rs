use std::boxed::Box;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use std::vec::Vec;

use iot_core::{Instant, Timestamp};
use iot_crypto::SigningKey;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::wire::{Body, Message, Seen, Subscribe};
use super::*;
use crate::id::{Id, Key};
use crate::peer::Peer;
use crate::record::Record;
use crate::store::{Store, StoreConfig};
use crate::wire::MAX_DATAGRAM_LEN;

const WALL: Timestamp = Timestamp::from_secs(1_767_225_600);

fn owner() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

fn key() -> Key {
    Key::of_record(&owner().verifying_key().device_id(), b"head")
}

fn record(sequence: u64) -> Record {
    let expires = WALL.saturating_add(Duration::from_secs(7 * 86_400));
    Record::sign(&owner(), b"head", sequence, expires, &sequence.to_be_bytes()).unwrap()
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 4000))
}

/// Whether a datagram from the first to the second address is lost.
type Loss = Box<dyn FnMut(SocketAddr, SocketAddr, &[u8]) -> bool>;

/// Three nodes with stores, and a subscriber, on a network that takes 20 ms and loses what it is told to lose.
struct World {
    now: Instant,
    nodes: BTreeMap<SocketAddr, (Leases, Store)>,
    subscriber: Subscription,
    flights: Vec<(Instant, SocketAddr, SocketAddr, Vec<u8>)>,
    lost: Loss,
    changes: Vec<u64>,
}

impl World {
    fn new(config: SubscriptionConfig) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let node = |last| {
            let store = Store::new(Id::from_bytes([last; 32]), StoreConfig::default());
            (address(last), (Leases::new(LeasesConfig::default(), &mut ChaCha20Rng::seed_from_u64(last.into())), store))
        };
        Self {
            now: Instant::START,
            nodes: (1..=3).map(node).collect(),
            subscriber: Subscription::new(key(), None, config, &mut rng),
            flights: Vec::new(),
            lost: Box::new(|_, _, _| false),
            changes: Vec::new(),
        }
    }

    fn wall(&self) -> Timestamp {
        WALL.saturating_add(self.now.saturating_since(Instant::START))
    }

    fn put(&mut self, node: u8, sequence: u64) {
        let wall = self.wall();
        let (_, store) = self.nodes.get_mut(&address(node)).unwrap();
        store.put(wall, record(sequence)).unwrap();
    }

    fn run_for(&mut self, duration: Duration) {
        let (end, own) = (self.now.saturating_add(duration), address(100));
        while self.now < end {
            self.now = self.now.saturating_add(Duration::from_millis(10));
            let (now, wall) = (self.now, self.wall());
            if self.subscriber.poll_search(now).is_some() {
                let peer = |address: &SocketAddr| Peer { id: Id::from_bytes([0; 32]), address: *address };
                let found: Vec<_> = self.nodes.keys().map(peer).collect();
                self.subscriber.handle_found(now, &found);
            }
            let (due, later) = std::mem::take(&mut self.flights).into_iter().partition(|(at, ..)| *at <= now);
            self.flights = later;
            for (_, from, to, datagram) in due {
                match self.nodes.get_mut(&to) {
                    Some((leases, _)) => leases.handle_datagram(now, from, &datagram),
                    None => self.subscriber.handle_datagram(now, wall, from, &datagram),
                }
            }
            self.subscriber.handle_timeout(now);
            let mut buffer = [0; MAX_DATAGRAM_LEN];
            let mut sent = Vec::new();
            while let Some(transmit) = self.subscriber.poll_transmit(&mut buffer) {
                sent.push((own, transmit.to, buffer[..transmit.len].to_vec()));
            }
            for (at, (leases, store)) in &mut self.nodes {
                leases.handle_timeout(now, wall, store);
                while let Some(transmit) = leases.poll_transmit(&mut buffer) {
                    sent.push((*at, transmit.to, buffer[..transmit.len].to_vec()));
                }
            }
            let arrives = now.saturating_add(Duration::from_millis(20));
            for (from, to, datagram) in sent {
                assert!(is_subscription(&datagram));
                if !(self.lost)(from, to, &datagram) {
                    self.flights.push((arrives, from, to, datagram));
                }
            }
            self.changes.extend(std::iter::from_fn(|| self.subscriber.poll_change()).map(|record| record.sequence()));
        }
    }

    fn leases(&self) -> usize {
        self.nodes.values().map(|(leases, _)| leases.len()).sum()
    }
}

fn config() -> SubscriptionConfig {
    SubscriptionConfig::default().lease(Duration::from_secs(60))
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn each_change_is_told_once_whoever_tells_it_first() {
    let mut world = World::new(config());
    world.put(1, 5);
    world.run_for(SECOND);
    assert_eq!((world.subscriber.leases(world.now), world.leases()), (3, 3));
    assert_eq!(world.changes, [5], "what was there before");
    for sequence in 6..9 {
        (1..=3).for_each(|node| world.put(node, sequence));
        world.run_for(SECOND);
    }
    assert_eq!(world.changes, [5, 6, 7, 8]);
    let pushed: u64 = world.nodes.values().map(|(leases, _)| leases.stats().pushed).sum();
    assert_eq!(pushed, 1 + 3 * 3, "each node once a change");
    world.run_for(SECOND * 600);
    assert_eq!(world.subscriber.leases(world.now), 3, "renewed for ten minutes, over cookies that are good for five");
    world.put(2, 9);
    world.run_for(SECOND);
    assert_eq!(world.changes.last(), Some(&9));
}

#[test]
fn one_node_that_tells_the_truth_is_enough_and_one_that_lies_is_left() {
    let mut world = World::new(config());
    world.run_for(SECOND);
    // The second keeps the change to itself, the third never had it; what the first says is lost twice.
    let mut losses = 2;
    world.lost = Box::new(move |from, _, datagram| {
        let is_change = matches!(Message::decode(datagram).unwrap().body, Body::Changed(_));
        let lost = is_change && (from == address(2) || losses > 0);
        losses -= i32::from(lost && from == address(1));
        lost
    });
    world.put(1, 5);
    world.put(2, 5);
    world.run_for(SECOND * 8);
    assert_eq!(world.changes, [5]);

    // A record of another name, where the right one was asked for.
    let other = Record::sign(&owner(), b"other", 6, WALL.saturating_add(SECOND * 900), b"x").unwrap();
    let holder = world.nodes[&address(3)].0.lease_of(address(100)).unwrap();
    let body = Body::Changed(super::wire::Changed { record: other.as_bytes() });
    let lie = Message { lease: holder, body }.encode();
    world.subscriber.handle_datagram(world.now, world.wall(), address(3), &lie);
    assert_eq!((world.subscriber.stats().refused, world.subscriber.leases(world.now)), (1, 2));
    // From elsewhere, or without the lease, nothing is even read.
    let ignored = world.subscriber.stats().ignored;
    world.subscriber.handle_datagram(world.now, world.wall(), address(9), &lie);
    world.subscriber.handle_datagram(world.now, world.wall(), address(1), &lie);
    assert_eq!(world.subscriber.stats().ignored, ignored + 2);
}

#[test]
fn a_subscriber_that_is_gone_is_pushed_to_a_few_times_and_forgotten() {
    let mut world = World::new(config().lease(SECOND * 3600));
    world.run_for(SECOND);
    world.lost = Box::new(|_, _, _| true);
    (1..=3).for_each(|node| world.put(node, 1));
    world.run_for(SECOND * 30);
    assert_eq!(world.leases(), 0);
    for (leases, _) in world.nodes.values() {
        assert_eq!((leases.stats().pushed, leases.stats().unanswered), (3, 1));
        assert_eq!(leases.poll_timeout(), None);
    }
}

#[test]
fn a_lease_ends_when_its_time_is_over() {
    let mut world = World::new(config());
    world.run_for(SECOND);
    world.lost = Box::new(|from, _, _| from == address(100));
    world.run_for(SECOND * 59);
    assert_eq!(world.leases(), 3);
    world.run_for(SECOND * 3);
    assert_eq!((world.leases(), world.subscriber.leases(world.now)), (0, 0));
}

#[test]
fn without_a_cookie_an_address_gets_less_than_it_sent_and_no_lease() {
    let mut leases = Leases::new(LeasesConfig::default(), &mut ChaCha20Rng::seed_from_u64(1));
    let ask = |cookie| {
        let subscribe = Subscribe { key: key(), seconds: 60, known: None, cookie };
        Message { lease: [1; 8], body: Body::Subscribe(subscribe) }.encode()
    };
    let mut answer = |datagram: &[u8], now, from| {
        leases.handle_datagram(now, from, datagram);
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        let transmit = leases.poll_transmit(&mut buffer).unwrap();
        assert!(
            transmit.to == from && transmit.len <= datagram.len(),
            "{} octets for {}",
            transmit.len,
            datagram.len()
        );
        let answer = Message::decode(&buffer[..transmit.len]).unwrap();
        (matches!(answer.body, Body::Challenge(_)), leases.len())
    };
    let start = Instant::START;
    assert_eq!(answer(&ask(None), start, address(1)), (true, 0));
    assert_eq!(answer(&ask(Some([7; 16])), start, address(1)), (true, 0), "a guess");
    let cookie = leases.cookie_for(start, address(1), &key());
    let mut answer = |now, from| {
        leases.handle_datagram(now, from, &ask(Some(cookie)));
        leases.len()
    };
    assert_eq!(answer(start, address(2)), 0, "the cookie of another address");
    assert_eq!(answer(start.saturating_add(SECOND * 601), address(1)), 0, "an old one");
    assert_eq!(answer(start.saturating_add(SECOND * 599), address(1)), 1);
}

#[test]
fn at_each_bound_a_subscriber_is_refused() {
    let config = LeasesConfig::default().leases(6).key(4).subnet(3);
    let mut leases = Leases::new(config, &mut ChaCha20Rng::seed_from_u64(1));
    let mut ask = |from: [u8; 4], name: u8, lease: u8| {
        let (from, key) = (SocketAddr::from((from, 4000)), Key::from_bytes([name; 32]));
        let cookie = Some(leases.cookie_for(Instant::START, from, &key));
        let body = Body::Subscribe(Subscribe { key, seconds: 60, known: None, cookie });
        leases.handle_datagram(Instant::START, from, &Message { lease: [lease; 8], body }.encode());
        leases.len()
    };
    assert_eq!([1, 2, 3, 4].map(|n| ask([10, 0, 0, n], 1, n)), [1, 2, 3, 3], "three of a subnet");
    assert_eq!(ask([10, 0, 0, 1], 1, 1), 3, "a lease that is there is prolonged");
    assert_eq!([1, 2].map(|n| ask([10, 0, n, 1], 1, n)), [4, 4], "four of a record");
    assert_eq!([3, 4, 5].map(|n| ask([10, 0, n, 1], n, n)), [5, 6, 6], "six in all");
    assert_eq!(leases.stats().refused, 3);
}

#[test]
fn who_finds_nobody_searches_again_soon() {
    let mut subscriber = Subscription::new(key(), None, config(), &mut ChaCha20Rng::seed_from_u64(2));
    assert_eq!(subscriber.poll_search(Instant::START), Some(key()));
    assert_eq!(subscriber.poll_search(Instant::START), None);
    // The node has not joined yet.
    subscriber.handle_found(Instant::START, &[]);
    let soon = subscriber.poll_timeout();
    assert_eq!(soon, Instant::START.saturating_add(SECOND * 4));
    assert_eq!(subscriber.poll_search(soon), Some(key()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Whatever comes, in whatever order: no panic, no lease without a cookie, no more answers than questions.
    #[test]
    fn strangers_get_nothing(datagrams in proptest::collection::vec(datagram(), 1..40)) {
        let mut leases = Leases::new(LeasesConfig::default(), &mut ChaCha20Rng::seed_from_u64(1));
        let mut subscriber = Subscription::new(key(), None, config(), &mut ChaCha20Rng::seed_from_u64(2));
        subscriber.handle_found(Instant::START, &[Peer { id: Id::from_bytes([0; 32]), address: address(1) }]);
        let mut sent = 0;
        let (mut buffer, count) = ([0; MAX_DATAGRAM_LEN], datagrams.len());
        for datagram in datagrams {
            leases.handle_datagram(Instant::START, address(1), &datagram);
            subscriber.handle_datagram(Instant::START, WALL, address(1), &datagram);
            while leases.poll_transmit(&mut buffer).is_some() { sent += 1; }
        }
        prop_assert!(leases.is_empty() && sent <= count);
        prop_assert_eq!(subscriber.leases(Instant::START), 0);
        prop_assert!(subscriber.poll_change().is_none());
    }
}

fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let subscribe = (any::<[u8; 8]>(), any::<u32>(), any::<Option<u64>>(), any::<Option<[u8; 16]>>()).prop_map(
        |(lease, seconds, known, cookie)| {
            Message { lease, body: Body::Subscribe(Subscribe { key: key(), seconds, known, cookie }) }.encode()
        },
    );
    let seen = (any::<[u8; 8]>(), any::<u64>())
        .prop_map(|(lease, sequence)| Message { lease, body: Body::Seen(Seen { sequence }) }.encode());
    let bent = (subscribe.clone(), any::<usize>(), any::<u8>()).prop_map(|(mut datagram, place, change)| {
        let place = place % datagram.len();
        datagram[place] ^= change;
        datagram
    });
    prop_oneof![subscribe, seen, bent, proptest::collection::vec(any::<u8>(), 0..64)]
}
