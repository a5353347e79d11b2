//! Devices behind NATs of each kind, in a network that they know by one address: what they learn of themselves, and how they
//! meet.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use iot_crypto::SigningKey;
use iot_dht::sim::adversary::{Adversary, Conduct};
use iot_dht::sim::{self, Action, Happening, Host, Nat, Reach, Signing, Sim, SimConfig, What, study};
use iot_dht::wire::{Body, Message, Role, Word};
use iot_dht::{
    Contact, Event, GetMode, LinkId, NodeConfig, NodeId, Opening, Parting, Path, Peer, Reachability, Record,
    RelayConfig, Service, UnverifiedRecord,
};

const KINDS: [(&str, Reach); 5] = [
    ("open", Reach::Open),
    ("full cone", Reach::Behind(Nat::OPEN_CONE)),
    ("address cone", Reach::Behind(Nat::ADDRESS_CONE)),
    ("port cone", Reach::Behind(Nat::PORT_CONE)),
    ("symmetric", Reach::Behind(Nat::SYMMETRIC)),
];

/// How a device with the first NAT meets one with the second, where the asker is on the left: `d`irectly or `r`elayed.
const MEETINGS: [&str; 5] = ["ddddd", "ddddd", "ddddd", "ddddr", "dddrr"];

/// A network of servers, and what happened to the devices in it.
struct World {
    sim: Sim,
    events: BTreeMap<Host, Vec<Event>>,
}

fn device() -> NodeConfig {
    NodeConfig::default().relays(2).links(4)
}

impl World {
    fn new(seed: u64, servers: u32, node: NodeConfig) -> Self {
        let mut sim = Sim::new(SimConfig::default().seed(seed).signing(Signing::Real).node(node));
        let joined = study::grow(&mut sim, servers);
        sim.run_until(joined.saturating_add(Duration::from_secs(20)), &mut sim::in_turn);
        let mut world = Self { sim, events: BTreeMap::new() };
        world.run(Duration::ZERO);
        world
    }

    fn enter(&mut self, reach: Reach, node: NodeConfig) -> Host {
        let host = self.sim.host();
        let through = self.sim.hosts()[0];
        self.sim.plan(self.sim.now(), host, Action::Enter { node: Box::new(node), reach, through });
        host
    }

    fn act(&mut self, host: Host, action: Action) {
        self.sim.plan(self.sim.now(), host, action);
    }

    fn run(&mut self, time: Duration) {
        self.sim.run_until(self.sim.now().saturating_add(time), &mut sim::in_turn);
        while let Some(Happening { host, what, .. }) = self.sim.poll_happening() {
            if let What::Told(event) = what {
                self.events.entry(host).or_default().push(event);
            }
        }
    }

    fn told<T>(&self, host: Host, wanted: impl FnMut(&Event) -> Option<T>) -> Option<T> {
        self.events.get(&host).into_iter().flatten().rev().find_map(wanted)
    }

    fn reachability(&self, host: Host) -> Reachability {
        self.sim.node(host).unwrap().reachability()
    }

    /// Puts the contact of a device of this key, as what its node has learned of itself says.
    fn publish(&mut self, host: Host, key: &SigningKey) {
        let node = self.sim.node(host).unwrap();
        let (wall, life) = (self.sim.wall(), Duration::from_secs(3600));
        let contact = match node.reachability() {
            Reachability::Reachable { address } => {
                Contact::sign(key, 1, wall, life, &[Peer { id: *node.id(), address }])
            }
            _ => {
                let relays: Vec<_> = node.relays().collect();
                Contact::sign_relayed(key, 1, wall, life, &[], node.id(), &relays)
            }
        };
        self.act(host, Action::Put(contact.unwrap()));
    }

    fn link(&self, host: Host, opening: Opening) -> Option<(LinkId, Path)> {
        let mut links = self.sim.node(host).unwrap().links();
        links.find(|linked| linked.opening == opening).map(|linked| (linked.link, linked.path))
    }

    fn arrived(&self, host: Host) -> Vec<&[u8]> {
        let payload = |event: &'_ Event| matches!(event, Event::Datagram { .. });
        let events = self.events.get(&host).into_iter().flatten().filter(|event| payload(event));
        events
            .map(|event| match event {
                Event::Datagram { payload, .. } => &payload[..],
                _ => unreachable!("only these are left"),
            })
            .collect()
    }
}

#[test]
fn a_device_learns_whether_it_is_reached_and_serves_only_if_it_is() {
    let mut world = World::new(1, 30, NodeConfig::default());
    let hosts = KINDS.map(|(_, reach)| world.enter(reach, device()));
    let plain = world.enter(Reach::Open, device().service(Service::Never).relays(0));
    world.run(Duration::from_secs(60));
    for (host, (kind, _)) in hosts.into_iter().zip(KINDS) {
        let node = world.sim.node(host).unwrap();
        let told = world.told(host, |event| match event {
            Event::Reachability(reachability) => Some(*reachability),
            _ => None,
        });
        assert_eq!(told, Some(node.reachability()), "{kind}");
        let is_reached = matches!(kind, "open" | "full cone");
        if is_reached {
            assert_eq!(node.reachability(), Reachability::Reachable { address: host.address() }, "{kind}");
            assert_eq!(node.observed_address(), Some(host.address()), "{kind}");
            assert_eq!((node.role(), node.relays().count()), (Role::Server, 0), "{kind}");
        } else {
            assert!(matches!(node.reachability(), Reachability::Unreachable { seen: Some(_) }), "{kind}");
            assert_eq!((node.role(), node.relays().count()), (Role::Client, 2), "{kind}");
        }
        let named = world.sim.nodes().filter(|(_, other)| other.table().entry(node.id()).is_some()).count();
        assert_eq!(named > 10, is_reached, "{kind} is in {named} tables");
        assert!(is_reached || named == 0, "{kind} is in {named} tables");
    }
    assert_eq!(world.reachability(plain), Reachability::Unknown);
    // A record is stored by those who are reached alone.
    let key = world.sim.key(7);
    let expires = world.sim.wall().saturating_add(Duration::from_secs(3600));
    let record = world.sim.sign(&key, b"r", 1, expires, b"value").unwrap();
    world.act(hosts[3], Action::Put(record));
    world.run(Duration::from_secs(20));
    let stores = |host: &Host| world.sim.node(*host).unwrap().stats().records;
    assert!(hosts[..2].iter().map(stores).sum::<usize>() > 0 && hosts[2..].iter().map(stores).sum::<usize>() == 0);
}

/// A pair for each two kinds: directly where that is possible, relayed where it is not, and both hear each other.
#[test]
fn two_devices_behind_nats_of_any_kind_find_each_other_and_meet() {
    let mut world = World::new(2, 30, NodeConfig::default());
    let pairs: Vec<_> = (0..25)
        .map(|pair| {
            let ends = [pair / 5, pair % 5].map(|kind: usize| world.enter(KINDS[kind].1, device()));
            (pair, ends, world.sim.key(pair as u64))
        })
        .collect();
    world.run(Duration::from_secs(60));
    pairs.iter().for_each(|(_, ends, key)| world.publish(ends[1], key));
    world.run(Duration::from_secs(20));
    for (_, ends, key) in &pairs {
        let key = Contact::key(&key.verifying_key().device_id());
        world.act(ends[0], Action::Get(key, GetMode::Newest));
    }
    world.run(Duration::from_secs(20));
    for (_, ends, _) in &pairs {
        let found = |event: &Event| match event {
            Event::GetDone(done) => done.record.clone(),
            _ => None,
        };
        let record = world.told(ends[0], found).unwrap();
        let contact = Contact::read(&record, world.sim.wall()).unwrap();
        world.act(ends[0], Action::Meet(Box::new(contact)));
    }
    world.run(Duration::from_secs(10));
    let mut found = vec![String::new(); 5];
    for (pair, ends, _) in &pairs {
        let (names, both) = ([KINDS[pair / 5].0, KINDS[pair % 5].0], [Opening::Asked, Opening::Introduced]);
        let [near, far] = [0, 1].map(|end| world.link(ends[end], both[end]).unwrap_or_else(|| panic!("{names:?}")));
        let word = |path: Path| if matches!(path, Path::Direct(_)) { 'd' } else { 'r' };
        assert_eq!(word(near.1), word(far.1), "{names:?}");
        found[pair / 5].push(word(near.1));
        world.act(ends[0], Action::Send(near.0, b"question".as_slice().into()));
        world.act(ends[1], Action::Send(far.0, b"answer".as_slice().into()));
    }
    assert_eq!(found, MEETINGS);
    // Both paths outlast the pauses of those who use them.
    for said in 1..=2 {
        world.run(Duration::from_secs(150));
        for (pair, ends, _) in &pairs {
            assert_eq!(world.arrived(ends[0]), vec![b"answer"; said], "pair {pair}");
            assert_eq!(world.arrived(ends[1]), vec![b"question"; said], "pair {pair}");
            for (end, opening, payload) in [(0, Opening::Asked, "question"), (1, Opening::Introduced, "answer")] {
                let (link, _) = world.link(ends[end], opening).unwrap();
                world.act(ends[end], Action::Send(link, payload.as_bytes().into()));
            }
        }
    }
}

/// The NAT of the asker forgets it between two keepalives, so that it speaks from another port each time.
#[test]
fn a_direct_path_follows_an_end_whose_nat_has_forgotten_it() {
    let mut world = World::new(4, 12, NodeConfig::default());
    let forgetful = Nat { lifetime: Duration::from_secs(10), ..Nat::PORT_CONE };
    let ends = [Reach::Behind(forgetful), Reach::Behind(Nat::OPEN_CONE)].map(|reach| world.enter(reach, device()));
    world.run(Duration::from_secs(60));
    let (key, node) = (world.sim.key(1), world.sim.node(ends[1]).unwrap());
    let there = [Peer { id: *node.id(), address: ends[1].address() }];
    let record = Contact::sign(&key, 1, world.sim.wall(), Duration::from_secs(600), &there).unwrap();
    let contact = Contact::read(&record, world.sim.wall()).unwrap();
    world.act(ends[0], Action::Meet(Box::new(contact)));
    world.run(Duration::from_secs(5));
    let (link, _) = world.link(ends[0], Opening::Asked).unwrap();
    let (_, first) = world.link(ends[1], Opening::Introduced).unwrap();
    for said in 0..4 {
        // What comes from a new port is a datagram that is lost, and the reason to look there.
        for wait in [15, 2] {
            world.run(Duration::from_secs(wait));
            world.act(ends[0], Action::Send(link, b"question".as_slice().into()));
            world.run(Duration::from_secs(1));
        }
        let (back, path) = world.link(ends[1], Opening::Introduced).unwrap();
        assert!(matches!(path, Path::Direct(_)) && path != first, "{path:?}");
        world.act(ends[1], Action::Send(back, b"answer".as_slice().into()));
        world.run(Duration::from_secs(1));
        assert!(world.arrived(ends[1]).len() > said && world.arrived(ends[0]).len() > said, "round {said}");
    }
}

/// A node starts again behind a NAT that still lets in those to whom it had sent before. It does not know them, and took
/// them for strangers for ten minutes, although nobody else came through.
#[test]
fn a_node_that_starts_again_does_not_believe_for_long_what_its_nat_still_lets_in() {
    let mut world = World::new(5, 30, NodeConfig::default());
    let hosts = [Reach::Behind(Nat::ADDRESS_CONE), Reach::Open].map(|reach| world.enter(reach, device()));
    world.run(Duration::from_secs(60));
    assert!(matches!(world.reachability(hosts[0]), Reachability::Unreachable { .. }));
    let through = world.sim.hosts()[0];
    hosts.iter().for_each(|host| world.act(*host, Action::Restart { node: Box::new(device()), through }));
    world.run(Duration::from_secs(60));
    assert!(matches!(world.reachability(hosts[0]), Reachability::Reachable { .. }), "the NAT still lets them in");
    world.run(Duration::from_secs(340));
    assert!(matches!(world.reachability(hosts[0]), Reachability::Unreachable { .. }));
    assert_eq!(world.sim.node(hosts[0]).unwrap().relays().count(), 2);
    assert_eq!(world.reachability(hosts[1]), Reachability::Reachable { address: hosts[1].address() });
}

#[test]
fn a_relay_carries_no_more_than_its_limits_and_says_so() {
    let limits = RelayConfig::default().octets(20_000).of_lease(1);
    let mut world = World::new(3, 12, NodeConfig::default().relay(limits));
    let ends = [0, 1, 2].map(|_| world.enter(KINDS[4].1, device().relays(1)));
    world.run(Duration::from_secs(60));
    let key = world.sim.key(1);
    world.publish(ends[1], &key);
    let node = world.sim.node(ends[1]).unwrap();
    let (wall, life) = (world.sim.wall(), Duration::from_secs(600));
    let record = Contact::sign_relayed(&key, 1, wall, life, &[], node.id(), &node.relays().collect::<Vec<_>>());
    let contact = Contact::read(&record.unwrap(), wall).unwrap();
    world.act(ends[0], Action::Meet(Box::new(contact.clone())));
    world.run(Duration::from_secs(5));
    // A second asker finds the place taken.
    world.act(ends[2], Action::Meet(Box::new(contact)));
    world.run(Duration::from_secs(5));
    let parted = |event: &Event| match event {
        Event::Parted { reason, .. } => Some(*reason),
        _ => None,
    };
    assert_eq!(world.told(ends[2], parted), Some(Parting::Unmet));
    let (link, path) = world.link(ends[0], Opening::Asked).unwrap();
    assert!(matches!(path, Path::Relayed(_)));
    for _ in 0..30 {
        world.act(ends[0], Action::Send(link, vec![7; 1000].into()));
        world.run(Duration::from_secs(1));
    }
    let arrived = world.arrived(ends[1]).len();
    assert!((15..20).contains(&arrived), "{arrived} datagrams of 1,000 octets within 20,000");
    assert_eq!(world.told(ends[0], parted), Some(Parting::Closed));
    // What nobody keeps is forgotten, and a new meeting is another.
    let relayed: usize = world.sim.nodes().map(|(_, node)| node.relayed().1).sum();
    assert_eq!(relayed, 1);
}

/// What a relay does to what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meddler {
    AltersAll,
    CarriesNothing,
}

impl Adversary for Meddler {
    fn answer<'a>(&'a self, _me: &NodeId, request: &Message<'_>) -> Conduct<'a> {
        match request.body {
            Body::Word(Word::Carry(_)) if *self == Self::CarriesNothing => Conduct::Silent,
            _ => Conduct::Honest,
        }
    }

    fn alter(&self, datagram: &mut [u8]) {
        let Ok(Message { body: Body::Word(Word::Carried(data)), .. }) = Message::decode(datagram) else { return };
        let payload = data.payload.to_vec();
        let place = datagram.windows(payload.len().max(1)).rposition(|window| window == payload);
        let place = place.filter(|_| *self == Self::AltersAll);
        place.into_iter().for_each(|at| datagram[at..at + payload.len()].iter_mut().for_each(|octet| *octet ^= 0x55));
    }
}

/// A link vouches for nothing, so both ends sign what they say. What the first relay makes of it is not accepted, and the
/// end that has asked gives the path up for the next.
#[test]
fn two_whose_relay_alters_or_drops_what_it_carries_meet_over_another() {
    for meddler in [Meddler::AltersAll, Meddler::CarriesNothing] {
        let mut world = World::new(6, 12, NodeConfig::default());
        let ends = [0, 1].map(|_| world.enter(Reach::Behind(Nat::SYMMETRIC), device()));
        world.run(Duration::from_secs(60));
        let (key, node) = (world.sim.key(1), world.sim.node(ends[1]).unwrap());
        let relays: Vec<_> = node.relays().collect();
        let (wall, life) = (world.sim.wall(), Duration::from_secs(600));
        let record = Contact::sign_relayed(&key, 1, wall, life, &[], node.id(), &relays).unwrap();
        let contact = Contact::read(&record, wall).unwrap();
        world.act(Host::at(relays[0].address).unwrap(), Action::Turn(Arc::new(meddler)));
        world.act(ends[0], Action::Meet(Box::new(contact)));
        world.run(Duration::from_secs(5));

        let talk = |world: &mut World, relay: Peer<32>| {
            let there = Path::Relayed(relay.address);
            let links = [(ends[0], Opening::Asked), (ends[1], Opening::Introduced)].map(|(host, opening)| {
                let mut links = world.sim.node(host).unwrap().links();
                links.find(|linked| linked.opening == opening && linked.path == there).unwrap().link
            });
            let expires = world.sim.wall().saturating_add(Duration::from_secs(60));
            for (end, link) in links.into_iter().enumerate() {
                let said = Record::sign(&key, b"word", 1, expires, &[end as u8; 100]).unwrap();
                world.act(ends[end], Action::Send(link, said.as_bytes().into()));
            }
            world.run(Duration::from_secs(3));
            links
        };
        let accepted = |world: &World, host| {
            let arrived = world.arrived(host);
            let records = arrived.iter().filter_map(|octets| UnverifiedRecord::parse(octets).ok());
            let values = records.filter_map(|record| Some(record.verify(world.sim.wall()).ok()?.value()[0]));
            (arrived.len(), values.collect::<Vec<_>>())
        };
        let [link, introduced] = talk(&mut world, relays[0]);
        let spoilt = usize::from(meddler == Meddler::AltersAll);
        assert_eq!(ends.map(|host| accepted(&world, host)), [(spoilt, vec![]), (spoilt, vec![])], "{meddler:?}");

        // Only who has asked knows another way.
        world.act(ends[1], Action::Reroute(introduced));
        world.act(ends[0], Action::Reroute(link));
        world.run(Duration::from_secs(5));
        let mut left = world.sim.node(ends[1]).unwrap().links();
        assert!(left.any(|linked| linked.link == introduced), "{meddler:?}");
        drop(left);
        let [rerouted, _] = talk(&mut world, relays[1]);
        assert_ne!(rerouted, link);
        let heard = ends.map(|host| accepted(&world, host));
        assert_eq!(heard, [(spoilt + 1, vec![1]), (spoilt + 1, vec![0])], "{meddler:?}");

        // There were two relays.
        world.act(ends[0], Action::Reroute(rerouted));
        world.run(Duration::from_secs(1));
        let parted = |event: &Event| match event {
            Event::Parted { link, reason } => Some((*link != rerouted, *reason)),
            _ => None,
        };
        assert_eq!(world.told(ends[0], parted), Some((true, Parting::Unmet)), "{meddler:?}");
        assert_eq!(world.link(ends[0], Opening::Asked), None);
    }
}
