use std::net::SocketAddr;
use std::time::Duration;

use iot_core::Timestamp;
use iot_crypto::SigningKey;
use iot_dht::wire::{Body, Empty, FindNode, Message, Role, Value};
use iot_dht::{Event, GetMode, Id, NodeId, Record, Rejection, Side};

use crate::network::{EPOCH, Lie, Network, REPLICAS};

pub fn answer(question: &Message<'_>, sender: NodeId, body: Body<'_>) -> Vec<u8> {
    Message::new(question.overlay, question.transaction, sender, Role::Server, body).encode()
}

/// Answers every get with these octets, whatever was asked for.
fn serves(octets: Vec<u8>) -> Lie {
    Box::new(move |message, id| {
        let Body::Get(_) = message.body else { return None };
        Some(answer(message, id, Body::Value(Value { record: &octets, nodes: None })))
    })
}

struct Scene {
    network: Network,
    owner: SigningKey,
    /// The record in force, with sequence 2.
    truth: Record,
    /// The same record's predecessor, still alive.
    old: Record,
    reader: SocketAddr,
}

/// A record on its eight nodes, of which the three closest then turn dishonest.
fn scene(seed: u64, lie: impl Fn(&Scene) -> Lie) -> Scene {
    scene_of(seed, 3, lie)
}

fn scene_of(seed: u64, liars: usize, lie: impl Fn(&Scene) -> Lie) -> Scene {
    let (mut network, all) = Network::joined(seed, 100);
    let owner = network.key();
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    let old = Record::sign(&owner, b"head", 1, expires, b"old").unwrap();
    let truth = Record::sign(&owner, b"head", 2, expires, b"truth").unwrap();
    network.put(all[0], truth.clone());
    let closest = network.truly_closest(truth.key(), REPLICAS);
    let address_of =
        |id: &NodeId| network.nodes().find(|(_, node)| node.id() == id).map(|(address, _)| address).unwrap();
    let liars: Vec<_> = closest[..liars].iter().map(address_of).collect();
    let reader = all.iter().copied().find(|address| !closest.iter().any(|id| address_of(id) == *address)).unwrap();
    let mut scene = Scene { network, owner, truth, old, reader };
    for liar in liars {
        let lie = lie(&scene);
        scene.network.corrupt(liar, lie);
    }
    scene
}

/// The truth is found in both modes, and every lie of the three is refused for this reason.
fn truth_wins(scene: &mut Scene, newest: Rejection, matching: Rejection) {
    let (key, reader) = (*scene.truth.key(), scene.reader);
    let done = scene.network.get(reader, key, GetMode::Newest);
    assert_eq!(done.record.as_ref(), Some(&scene.truth));
    assert_eq!(done.rejected + done.superseded, 3);
    let count =
        |scene: &mut Scene, reason| scene.network.member(scene.reader).node.stats().rejected_as_reader.count(reason);
    assert_eq!(count(scene, newest), 3);
    let told = scene.network.member(reader).events.iter().filter(
        |event| matches!(event, Event::Rejected(rejected) if rejected.reason == newest && rejected.side == Side::Reader && rejected.key == Some(key)),
    );
    assert_eq!(told.count(), 3);
    let done = scene.network.get(reader, key, GetMode::Matching(scene.truth.value_hash()));
    assert_eq!(done.record.as_ref(), Some(&scene.truth));
    let rejected = done.rejected as u64;
    let before = if newest == matching { 3 } else { 0 };
    assert_eq!(count(scene, matching), before + rejected);
}

#[test]
fn forged_records_are_refused() {
    let mut scene = scene(21, |scene| {
        let forger = SigningKey::from_seed(&[66; 32]);
        serves(Record::sign(&forger, b"head", 9, scene.truth.expires(), b"forged").unwrap().as_bytes().to_vec())
    });
    truth_wins(&mut scene, Rejection::WrongKey, Rejection::WrongKey);
}

#[test]
fn altered_records_are_refused() {
    let mut scene = scene(22, |scene| {
        let mut octets = scene.truth.as_bytes().to_vec();
        let value = octets.windows(5).position(|window| window == b"truth").unwrap();
        octets[value] ^= 1;
        serves(octets)
    });
    truth_wins(&mut scene, Rejection::Signature, Rejection::Signature);
}

#[test]
fn replayed_records_lose_against_the_newest() {
    let mut scene = scene(23, |scene| serves(scene.old.as_bytes().to_vec()));
    truth_wins(&mut scene, Rejection::Superseded, Rejection::WrongHash);
}

#[test]
fn one_honest_holder_among_seven_that_serve_another_version_is_found() {
    let mut rejected = 0;
    for seed in [29, 39, 49] {
        let mut scene = scene_of(seed, 7, |scene| serves(scene.old.as_bytes().to_vec()));
        let (key, hash) = (*scene.truth.key(), scene.truth.value_hash());
        let done = scene.network.get(scene.reader, key, GetMode::Matching(hash));
        assert_eq!(done.record, Some(scene.truth));
        let refused = scene.network.member(scene.reader).node.stats().rejected_as_reader.count(Rejection::WrongHash);
        assert_eq!(refused, done.rejected as u64);
        rejected += refused;
    }
    // The honest one may be the first to answer, but not each time.
    assert!(rejected >= 1);
}

#[test]
fn expired_records_are_refused() {
    let mut scene = scene(24, |scene| {
        let expired = Timestamp::from_secs(EPOCH.as_secs() - 1);
        serves(Record::sign(&scene.owner, b"head", 9, expired, b"stale").unwrap().as_bytes().to_vec())
    });
    truth_wins(&mut scene, Rejection::Expired, Rejection::Expired);
}

/// A liar that answers the search itself with an old record must not end it before the others are heard.
#[test]
fn a_record_in_answer_to_another_question_counts_as_none() {
    let mut scene = scene(28, |scene| {
        let old = scene.old.as_bytes().to_vec();
        Box::new(move |message, id| {
            let (Body::Get(_) | Body::FindNode(_)) = message.body else { return None };
            Some(answer(message, id, Body::Value(Value { record: &old, nodes: None })))
        })
    });
    let done = scene.network.get(scene.reader, *scene.truth.key(), GetMode::Newest);
    assert_eq!((done.record, done.asked, done.answered), (Some(scene.truth), REPLICAS, REPLICAS));
    assert!(scene.network.member(scene.reader).node.stats().mismatched > 0);
}

#[test]
fn nodes_do_not_store_what_they_would_not_believe() {
    let (mut network, all) = Network::joined(25, 30);
    let owner = network.key();
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    let record = Record::sign(&owner, b"r", 1, expires, b"value").unwrap();
    let sender = NodeId::from_bytes([9; 32]);
    let from = SocketAddr::from(([127, 0, 0, 1], 9));
    let put = |token, record: &[u8]| {
        let body = Body::Put(iot_dht::wire::Put { token, record, replaces: None });
        Message::new(0, [1; 8], sender, Role::Client, body).encode()
    };
    let victim = all[4];
    network.inject(from, victim, put([0; 16], record.as_bytes()));
    network.inject(from, victim, put([0; 16], &record.as_bytes()[1..]));
    network.run_for(Duration::from_secs(1));
    let refused = network.member(victim).node.stats().rejected_as_store;
    assert_eq!((refused.count(Rejection::Token), refused.count(Rejection::Malformed)), (1, 1));
    assert!(network.member(victim).node.store().is_empty());
}

#[test]
fn a_flooded_node_still_answers_others() {
    let (mut network, all) = Network::joined(26, 40);
    let owner = network.key();
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    let record = Record::sign(&owner, b"r", 1, expires, b"value").unwrap();
    network.put(all[0], record.clone());
    let victim = *network.truly_closest(record.key(), 1).first().unwrap();
    let victim = network.nodes().find(|(_, node)| *node.id() == victim).unwrap().0;
    let flooder = SocketAddr::from(([127, 0, 0, 1], 9));
    let served = network.member(victim).node.stats().served;
    for n in 0..5000_u64 {
        let body = Body::FindNode(FindNode { target: Id::from_bytes([n as u8; 32]), key: None });
        let question = Message::new(0, n.to_be_bytes(), NodeId::from_bytes([9; 32]), Role::Client, body);
        network.inject(flooder, victim, question.encode());
    }
    let done = network.get(all[20], *record.key(), GetMode::Newest);
    assert_eq!((done.record, done.answered), (Some(record), REPLICAS));
    let stats = network.member(victim).node.stats();
    assert!(stats.rate_limited > 4500 && stats.served - served < 500, "{stats:?}");
}

#[test]
fn answers_nobody_asked_for_teach_nothing() {
    let (mut network, all) = Network::joined(27, 20);
    let from = SocketAddr::from(([127, 0, 0, 1], 9));
    let sender = NodeId::from_bytes([9; 32]);
    let body = Body::Pong(Empty {});
    let pong = Message::new(0, [3; 8], sender, Role::Server, body);
    network.inject(from, all[2], pong.encode());
    network.inject(from, all[2], Message { overlay: 7, ..pong }.encode());
    network.inject(from, all[2], b"noise".to_vec());
    let before = network.member(all[2]).node.stats();
    network.run_for(Duration::from_millis(2));
    let after = network.member(all[2]).node.stats();
    assert_eq!(after.unsolicited - before.unsolicited, 1);
    assert_eq!(after.other_overlay - before.other_overlay, 1);
    assert_eq!(after.malformed - before.malformed, 1);
    assert!(network.member(all[2]).node.table().entry(&sender).is_none());
}
