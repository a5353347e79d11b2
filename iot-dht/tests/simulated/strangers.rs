//! Those who have not shown who they are, or where.

use std::net::SocketAddr;
use std::time::Duration;

use iot_codec::cbor::List;
use iot_crypto::SigningKey;
use iot_dht::wire::proof::Signed;
use iot_dht::wire::{
    Ask, Body, Challenge, Data, Empty, Endpoint, FindNode, Get, Introduce, Message, Nodes, Put, Reserve, Role, Word,
};
use iot_dht::{GetMode, Id, NodeId, Peer, Record, Rejection, Verification};

use crate::network::{Network, Verifiers, test_config};

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// An identifier next to another: so close that nobody honest is closer.
fn beside(id: NodeId) -> NodeId {
    let mut octets = *id.as_bytes();
    octets[31] ^= 1;
    NodeId::from_bytes(octets)
}

/// The longest record there is, at a node of a network of thirty.
fn holder(seed: u64) -> (Network, Vec<SocketAddr>, SocketAddr, Record) {
    let (mut network, all) = Network::joined(seed, 30);
    let owner = network.key();
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    let record = Record::sign(&owner, b"r", 1, expires, &[7; Record::MAX_CONTENT_LEN - 1]).unwrap();
    network.put(all[0], record.clone());
    let closest = network.truly_closest(record.key(), 1)[0];
    let holder = network.nodes().find(|(_, node)| *node.id() == closest).unwrap().0;
    (network, all, holder, record)
}

/// Whatever is asked, in whichever form: the address that a datagram only claims to come from is sent three times as much
/// at most, by everything that follows from it.
#[test]
fn an_address_that_was_made_up_gets_at_most_three_times_as_much() {
    let (mut network, _, holder, record) = holder(51);
    let point = *record.key();
    let bodies = [
        Body::Ping(Empty {}),
        Body::FindNode(FindNode { target: point, key: None }),
        Body::Get(Get { key: point, near: None }),
        Body::Get(Get { key: point, near: Some(point) }),
        Body::Get(Get { key: Id::from_bytes([3; 32]), near: None }),
        Body::Put(Put { token: [0; 16], record: record.as_bytes(), replaces: None }),
        Body::Put(Put { token: [0; 16], record: b"", replaces: None }),
        Body::Pong(Empty {}),
        Body::Ask(Ask::Probe(Empty {})),
        Body::Ask(Ask::Reserve(Reserve { seconds: 120, rtt: None })),
        Body::Ask(Ask::Introduce(Introduce { to: point, rtt: None })),
        Body::Word(Word::Carry(Data { payload: b"" })),
    ];
    let mut port = 30_000;
    let mut most = 0;
    for (body, role) in bodies.iter().flat_map(|body| [(body, Role::Server), (body, Role::Client)]) {
        for form in 0..8 {
            port += 1;
            let mut message = Message::new(0, [form; 8], NodeId::from_bytes([9; 32]), role, body.clone());
            message.cookie = (form & 1 != 0).then_some([9; 8]);
            message.challenge = (form & 2 != 0).then_some(Challenge { nonce: [1; 8], asked: Endpoint(holder) });
            let padded = form & 4 != 0 && message.encode().len() < 411;
            let datagram = if padded { message.encode_padded() } else { message.encode() };
            let sent = datagram.len();
            network.inject(at(port), holder, datagram);
            network.run_for(Duration::from_secs(5));
            let got = network.astray.get(&at(port)).copied().unwrap_or(0);
            assert!(got <= 3 * sent, "{got} octets for {sent}: {message:?}");
            assert!(got > 0 || matches!(body, Body::Pong(_)), "an honest newcomer is answered: {message:?}");
            most = most.max(got);
        }
    }
    assert!(most > 1000, "the longest answers are given: {most}");
}

/// An attacker at an address of its own, who is named to the victim under an identifier of its choice.
#[test]
fn nobody_enters_a_table_under_an_identifier_without_its_key() {
    for forgery in 0..3 {
        let (mut network, all) = Network::joined(52 + forgery, 20);
        let victim = all[5];
        let own = *network.member(victim).node.id();
        let chosen = beside(own);
        let thief = network.add(Role::Server);
        let key = SigningKey::from_seed(&[5; 32]);
        network.corrupt(
            thief,
            Box::new(move |question, _| {
                if question.body.is_answer() {
                    return None;
                }
                let body = match question.body {
                    Body::Ping(_) => Body::Pong(Empty {}),
                    _ => Body::Nodes(Nodes { token: [0; 16], nodes: List(Vec::new()) }),
                };
                let mut answer = Message::new(0, question.transaction, chosen, Role::Server, body);
                let signed =
                    question.challenge.map(|challenge| Signed::answer(&key, question, &challenge, victim).unwrap());
                // Without a proof, with that of another key, and with one whose octets claim to be the right ones.
                let mut signed = signed.filter(|_| forgery > 0);
                if let (2, Some(signed)) = (forgery, &mut signed) {
                    signed.key = chosen.as_bytes().to_vec();
                }
                answer.proof = signed.as_ref().map(Signed::proof);
                answer.cookie = Some([1; 8]);
                Some(answer.encode())
            }),
        );
        for liar in &all[6..] {
            network.corrupt(
                *liar,
                Box::new(move |question, me| {
                    let Body::FindNode(_) = question.body else { return None };
                    let nodes = List(vec![Peer { id: chosen, address: thief }]);
                    let nodes = Body::Nodes(Nodes { token: [0; 16], nodes });
                    Some(Message::new(0, question.transaction, me, Role::Server, nodes).encode())
                }),
            );
        }
        network.run_for(Duration::from_secs(60));
        let node = &network.member(victim).node;
        assert!(node.stats().unproven > 0, "the attack takes place");
        assert!(node.table().entry(&chosen).is_none(), "forgery {forgery}");
    }
}

#[test]
fn whoever_asks_introduces_itself_and_nobody_else_can() {
    let mut network = Network::new(56);
    let (asked, asker) = (network.add(Role::Server), network.add(Role::Server));
    network.bootstrap(asker, &[asked]);
    network.run_for(Duration::from_millis(400));
    let id = *network.member(asker).node.id();
    assert!(network.member(asked).node.table().entry(&id).is_some());
    assert_eq!(network.member(asked).node.stats().requests, 0, "it did not have to ask");

    // Who made the nonce up is not believed, although it holds the key.
    let key = SigningKey::from_seed(&[5; 32]);
    let stranger = Id::of_node(&key.verifying_key());
    let challenge = Challenge { nonce: [1; 8], asked: Endpoint(at(40_000)) };
    let mut question =
        Message::new(0, challenge.nonce, *network.member(asked).node.id(), Role::Server, Body::Ping(Empty {}));
    question.challenge = Some(challenge);
    let signed = Signed::answer(&key, &question, &challenge, asked).unwrap();
    let mut pong = Message::new(0, challenge.nonce, stranger, Role::Server, Body::Pong(Empty {}));
    pong.proof = Some(signed.proof());
    let before = network.member(asked).node.stats().unsolicited;
    network.inject(at(40_000), asked, pong.encode());
    network.run_for(Duration::from_millis(100));
    assert_eq!(network.member(asked).node.stats().unsolicited, before + 1);
    assert!(network.member(asked).node.table().entry(&stranger).is_none());
}

/// The cookies that others hold are worth nothing any more, and they are told so.
#[test]
fn a_node_that_starts_again_is_asked_again() {
    let (mut network, all, _, record) = holder(57);
    let seed = [77; 32];
    let again = all[7];
    network.restart(again, &seed);
    network.bootstrap(again, &all[..1]);
    network.run_for(Duration::from_secs(30));
    let (id, before) = (*network.member(again).node.id(), retries(&network));
    let know = |network: &Network| network.nodes().filter(|(_, node)| node.table().entry(&id).is_some()).count();
    let known = know(&network);
    assert!(known > 3, "{known} know it");
    network.restart(again, &seed);
    network.bootstrap(again, &all[..1]);
    for place in [3, 12, 20] {
        assert_eq!(network.get(all[place], *record.key(), GetMode::Newest).record.as_ref(), Some(&record));
    }
    network.run_for(Duration::from_secs(30));
    assert!(retries(&network) > before && know(&network) + 2 >= known);
}

fn retries(network: &Network) -> u64 {
    network.nodes().map(|(_, node)| node.stats().retries).sum()
}

#[test]
fn signatures_can_be_verified_elsewhere() {
    let (mut network, all) = Network::with_config(58, 30, test_config().verification(Verification::HandedOut));
    let owner = network.key();
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    let record = Record::sign(&owner, b"r", 1, expires, b"value").unwrap();
    assert_eq!(network.put(all[0], record.clone()).stored, 8);
    assert_eq!(network.get(all[9], *record.key(), GetMode::Newest).record.as_ref(), Some(&record));
    // A record that its owner did not sign is refused there, too.
    let mut forged = record.as_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let closest = network.truly_closest(record.key(), 1)[0];
    let holder = network.nodes().find(|(_, node)| *node.id() == closest).unwrap().0;
    network.corrupt(
        holder,
        Box::new(move |question, me| {
            let Body::Get(_) = question.body else { return None };
            let value = Body::Value(iot_dht::wire::Value { record: &forged, nodes: None });
            Some(Message::new(0, question.transaction, me, Role::Server, value).encode())
        }),
    );
    let reader = all.iter().copied().find(|address| *address != holder).unwrap();
    let done = network.get(reader, *record.key(), GetMode::Newest);
    assert_eq!(done.record, Some(record));
    assert!(network.nodes().any(|(_, node)| node.stats().rejected_as_reader.count(Rejection::Signature) > 0));
}

#[test]
fn signatures_that_nobody_verifies_are_given_up() {
    let config = test_config().verification(Verification::HandedOut).verifications(4);
    let mut network = Network::new(59);
    network.config = config;
    network.verifiers = Verifiers::Gone;
    let first = network.add(Role::Server);
    let others: Vec<_> = (0..9).map(|_| network.add(Role::Server)).collect();
    others.iter().for_each(|address| network.bootstrap(*address, &[first]));
    network.run_for(Duration::from_secs(60));
    for (_, node) in network.nodes() {
        assert!(node.table().is_empty());
    }
    let stats = network.member(others[0]).node.stats();
    assert!(stats.verifications_dropped > 1, "{stats:?}");
    // They come back, and the node goes on.
    network.verifiers = Verifiers::AtWork;
    network.run_for(Duration::from_secs(60));
    assert!(network.nodes().all(|(_, node)| node.table().len() == 9));
}

/// Two nodes, of which the second waits for a verdict on what the first has proved.
fn waiting(seed: u64) -> (Network, SocketAddr, NodeId) {
    let mut network = Network::new(seed);
    network.config = test_config().verification(Verification::HandedOut);
    network.verifiers = Verifiers::Gone;
    let (first, second) = (network.add(Role::Server), network.add(Role::Server));
    network.bootstrap(second, &[first]);
    network.run_for(Duration::from_millis(200));
    let id = *network.member(first).node.id();
    (network, second, id)
}

#[test]
fn a_verdict_counts_for_its_own_datagram_once_and_in_time() {
    let (mut network, second, first) = waiting(60);
    let job = network.member(second).node.poll_job().unwrap();
    assert!(network.member(second).node.table().is_empty(), "nothing counts before the verdict");
    assert!(network.member(second).node.poll_job().is_none());
    let (now, wall) = (network.now, network.wall());
    let node = &mut network.member(second).node;
    node.handle_verdict(now, wall, job.verify());
    assert!(node.table().entry(&first).is_some());
    let (stats, seen) = (node.stats(), node.table().entry(&first).unwrap().seen());
    let later = now.saturating_add(Duration::from_secs(1));
    node.handle_verdict(later, wall, job.verify());
    assert_eq!(node.stats(), stats, "a second time");
    assert_eq!(node.table().entry(&first).unwrap().seen(), seen);

    let (mut network, second, _) = waiting(60);
    let job = network.member(second).node.poll_job().unwrap();
    network.run_for(Duration::from_millis(9_500));
    assert_eq!(network.member(second).node.stats().verifications_dropped, 0);
    network.run_for(Duration::from_secs(1));
    let (now, wall) = (network.now, network.wall());
    let node = &mut network.member(second).node;
    assert_eq!(node.stats().verifications_dropped, 1, "ten seconds are over");
    node.handle_verdict(now, wall, job.verify());
    assert!(node.table().is_empty(), "it comes too late");
}
