//! What strangers and liars can make nodes send that help others to be reached.

use std::net::SocketAddr;
use std::time::Duration;

use iot_crypto::SigningKey;
use iot_dht::wire::{Ask, Body, Empty, Endpoint, Introduced, Meet, Message, Probed, Reply, Role, Tried, Try, Word};
use iot_dht::{Contact, Event, NodeId, Reachability, Service};

use crate::network::{Network, test_config};

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A network of twenty servers, and one node that does not know whether it is reached.
fn newcomer(seed: u64) -> (Network, Vec<SocketAddr>, SocketAddr) {
    let (mut network, all) = Network::joined(seed, 20);
    network.config = test_config().service(Service::WhenReachable).relays(1).links(2);
    let new = network.add_as_configured();
    (network, all, new)
}

fn word(sender: NodeId, transaction: [u8; 8], word: Word<'_>) -> Vec<u8> {
    Message::new(0, transaction, sender, Role::Server, Body::Word(word)).encode()
}

#[test]
fn a_newcomer_is_tried_before_it_joins_and_tells_what_it_learned() {
    let (mut network, all, new) = newcomer(61);
    network.bootstrap(new, &all[..1]);
    network.run_for(Duration::from_secs(10));
    let events = &network.member(new).events;
    let told = events.iter().position(|event| matches!(event, Event::Reachability(_))).unwrap();
    let joined = events.iter().position(|event| matches!(event, Event::Bootstrapped { .. })).unwrap();
    assert_eq!(events[told], Event::Reachability(Reachability::Reachable { address: new }));
    assert!(told < joined);
    let id = *network.member(new).node.id();
    let known = network.nodes().filter(|(_, node)| node.table().entry(&id).is_some()).count();
    assert!(known > 5, "{known} know it");
}

/// It is told to try an address by a node that it knows, by one that it does not, and by one that lies about who it is.
#[test]
fn nobody_makes_a_node_send_more_than_it_was_sent_and_only_acquaintances_that() {
    let (mut network, all, _) = newcomer(62);
    let (known, helper) = (all[1], all[0]);
    let id = *network.member(known).node.id();
    assert!(network.member(helper).node.table().entry(&id).is_some());
    let order = |victim: u16| Word::Try(Try { address: Endpoint(at(victim)) });
    network.inject(at(31_000), helper, word(NodeId::from_bytes([9; 32]), [1; 8], order(32_000)));
    network.inject(at(31_000), helper, word(id, [1; 8], order(32_001)));
    network.run_for(Duration::from_secs(1));
    assert_eq!((network.astray.get(&at(32_000)), network.astray.get(&at(32_001))), (None, None));
    let mut sent = 0;
    for n in 0..200u8 {
        let order = word(id, [n; 8], order(32_002));
        sent += order.len();
        network.inject(known, helper, order);
    }
    network.run_for(Duration::from_secs(1));
    let got = network.astray[&at(32_002)];
    assert!(got > 0 && got <= sent * 60 / 200, "{got} octets for {sent}: fifty at once, and ten a second");
    // The address of whoever asks is no target, and neither is one where nobody can be.
    for target in [known, SocketAddr::from(([0, 0, 0, 0], 7)), SocketAddr::from(([224, 0, 0, 1], 7))] {
        let unsolicited = network.member(helper).node.stats().unsolicited;
        network.inject(known, helper, word(id, [1; 8], Word::Try(Try { address: Endpoint(target) })));
        network.run_for(Duration::from_secs(1));
        assert_eq!(network.member(helper).node.stats().unsolicited, unsolicited + 1, "{target}");
    }
}

/// Whoever was asked answers that somebody was told, and then sends itself, or lets an accomplice send whom the node has
/// met: that proves nothing. Nor does what comes under another number.
#[test]
fn a_liar_cannot_make_a_node_believe_that_strangers_reach_it() {
    let (mut network, all, new) = newcomer(63);
    let liar = all[0];
    network.corrupt(
        liar,
        Box::new(move |question, me| {
            let Body::Ask(Ask::Probe(_)) = question.body else { return None };
            let reply = Reply::Probed(Probed { seen: Endpoint(new) });
            Some(Message::new(0, question.transaction, me, Role::Server, Body::Reply(reply)).encode())
        }),
    );
    network.bootstrap(new, &[liar]);
    let id = *network.member(liar).node.id();
    let tried = |number: [u8; 8]| word(id, number, Word::Tried(Tried { address: Endpoint(new) }));
    for n in 0..255 {
        network.inject(liar, new, tried([n; 8]));
        network.inject(at(33_000), new, tried([n; 8]));
        network.run_for(Duration::from_millis(10));
    }
    network.run_for(Duration::from_secs(5));
    assert_eq!(network.member(new).node.reachability(), Reachability::Unreachable { seen: Some(new) });
    assert_eq!(network.member(new).node.role(), Role::Client);
}

#[test]
fn nobody_but_its_relays_calls_a_node_to_a_meeting() {
    let (mut network, all, new) = newcomer(64);
    network.config = network.config.service(Service::Never);
    let device = network.add_as_configured();
    network.bootstrap(device, &all[..1]);
    network.run_for(Duration::from_secs(10));
    let relay = network.member(device).node.relays().next().unwrap().address;
    let meet = |n: u8, port: u16| {
        let meet = Meet { peer: NodeId::from_bytes([n; 32]), address: Endpoint(at(port)), after: 0 };
        word(NodeId::from_bytes([n; 32]), [n; 8], Word::Meet(meet))
    };
    network.inject(at(34_000), device, meet(1, 34_001));
    let other = all.iter().copied().find(|address| *address != relay).unwrap();
    network.inject(other, device, meet(2, 34_001));
    network.run_for(Duration::from_secs(5));
    assert_eq!(network.astray.get(&at(34_001)), None);
    let sent: usize = (3..60).map(|n| meet(n, 34_002).len()).sum();
    for n in 3..60 {
        network.inject(relay, device, meet(n, 34_002));
    }
    network.run_for(Duration::from_secs(5));
    let got = network.astray[&at(34_002)];
    assert!(got > 0 && got <= 3 * sent * 2 / 57, "{got} octets: two links at once, and three times what called them");
    // Without a probe that is under way, a word that claims to answer one changes nothing.
    network.inject(at(34_003), new, word(NodeId::from_bytes([1; 32]), [0; 8], Word::Punch(Empty {})));
    network.run_for(Duration::from_secs(1));
    assert_eq!(network.astray.get(&at(34_003)), None);
}

/// A relay that a device has a lease of calls it to meet fifty at once, and each again and again.
#[test]
fn a_device_is_called_to_a_few_meetings_a_second_and_to_each_once() {
    let (mut network, all, _) = newcomer(66);
    network.config = network.config.service(Service::Never).links(400);
    let device = network.add_as_configured();
    network.bootstrap(device, &all[..1]);
    network.run_for(Duration::from_secs(10));
    let relay = network.member(device).node.relays().next().unwrap().address;
    let there = |n: u8| SocketAddr::from(([127, 0, 1, n], 34_100));
    let meet = |n: u8| {
        let meet = Meet { peer: NodeId::from_bytes([n; 32]), address: Endpoint(there(n)), after: 0 };
        word(NodeId::from_bytes([n; 32]), [n; 8], Word::Meet(meet))
    };
    for n in 0..50 {
        (0..3).for_each(|_| network.inject(relay, device, meet(n)));
    }
    network.run_for(Duration::from_secs(5));
    let called: Vec<_> = (0..50).filter_map(|n| network.astray.get(&there(n))).collect();
    // Those came within a few milliseconds.
    assert_eq!(called.len(), 8);
    let punches = called[0] / word(NodeId::from_bytes([0; 32]), [0; 8], Word::Punch(Empty {})).len();
    assert!((1..=5).contains(&punches) && called.iter().all(|octets| *octets == called[0]), "{called:?}");
    (50..60).for_each(|n| network.inject(relay, device, meet(n)));
    network.run_for(Duration::from_secs(5));
    let called = (50..60).filter(|n| network.astray.contains_key(&there(*n))).count();
    assert!((1..=8).contains(&called), "{called}: two a second, and no more than eight at once");
}

/// A relay names an address where nobody can be, to the one who asks for a meeting and to the one who is met.
#[test]
fn nobody_punches_where_nobody_can_be() {
    let nowhere = [SocketAddr::from(([0, 0, 0, 0], 7)), SocketAddr::from(([224, 0, 0, 1], 7))];
    let (mut network, all, _) = newcomer(67);
    network.config = network.config.service(Service::Never).links(8);
    let device = network.add_as_configured();
    network.bootstrap(device, &all[..1]);
    network.run_for(Duration::from_secs(10));
    let relay = network.member(device).node.relays().next().unwrap();
    for (n, address) in nowhere.into_iter().enumerate() {
        let meet = Meet { peer: NodeId::from_bytes([n as u8; 32]), address: Endpoint(address), after: 0 };
        network.inject(relay.address, device, word(relay.id, [n as u8; 8], Word::Meet(meet)));
    }
    for address in nowhere {
        let lie = move |question: &Message<'_>, me| {
            let Body::Ask(Ask::Introduce(_)) = question.body else { return None };
            let reply = Reply::Introduced(Introduced { address: Endpoint(address), pass: [7; 8], after: 0 });
            Some(Message::new(0, question.transaction, me, Role::Server, Body::Reply(reply)).encode())
        };
        network.corrupt(relay.address, Box::new(lie));
        let (now, wall, life) = (network.now, network.wall(), Duration::from_secs(60));
        let there = NodeId::from_bytes([9; 32]);
        let record = Contact::sign_relayed(&SigningKey::from_seed(&[5; 32]), 1, wall, life, &[], &there, &[relay]);
        let contact = Contact::read(&record.unwrap(), wall).unwrap();
        let link = network.member(device).node.meet(now, &contact).unwrap();
        network.run_for(Duration::from_secs(5));
        // The answer was taken in: what the two say goes over the relay.
        let linked = |event: &Event| matches!(event, Event::Linked(linked) if linked.link == link);
        assert!(network.member(device).events.iter().any(linked));
    }
    assert!(nowhere.iter().all(|address| !network.astray.contains_key(address)));
}

/// The device's address changes: what it believes is found out anew, at the new address.
#[test]
fn a_node_that_moves_is_tried_again() {
    let (mut network, all, new) = newcomer(65);
    network.config = network.config.probe_interval(Duration::from_secs(20));
    let device = network.add_as_configured();
    network.bootstrap(new, &all[..1]);
    network.bootstrap(device, &all[..1]);
    network.run_for(Duration::from_secs(5));
    assert_eq!(network.member(device).node.reachability(), Reachability::Reachable { address: device });
    let moved = network.relocate(device);
    network.run_for(Duration::from_secs(60));
    let newcomers: Vec<_> = (0..6).map(|_| network.add_as_configured()).collect();
    newcomers.iter().for_each(|address| network.bootstrap(*address, &all[..1]));
    network.run_for(Duration::from_secs(700));
    let told: Vec<_> =
        network.member(moved).events.iter().filter(|event| matches!(event, Event::Reachability(_))).collect();
    assert!(told.contains(&&Event::Reachability(Reachability::Reachable { address: moved })), "{told:?}");
}
