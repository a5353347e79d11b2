//! The vectors of `docs/formats/dht.md`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use iot_codec::cbor::List;
use iot_core::Timestamp;
use iot_crypto::{Signature, SigningKey};
use iot_dht::feed::{Publisher, PublisherConfig};
use iot_dht::wire::proof::{self, Signed};
use iot_dht::wire::{
    Ask, Body, Challenge, Compare, Data, Decline, Declined, Empty, Endpoint, FindNode, Get, Held, Holdings, Introduce,
    Introduced, Meet, Message, Nodes, Probed, Put, Refused, Reply, Reserve, Reserved, Role, Tried, Try, Value, Word,
};
use iot_dht::{Admission, AdmissionKey, Id, Key, Peer, Record, Rejection, Snapshot, UnverifiedRecord};

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// What the library writes for each vector that the text describes.
fn written() -> BTreeMap<&'static str, Vec<u8>> {
    let owner = SigningKey::from_seed(&[7; 32]);
    let device = owner.verifying_key().device_id();
    let expires = Timestamp::from_secs(1_767_229_200);
    let record = Record::sign(&owner, b"name", 5, expires, b"the value").unwrap();
    let mut vectors = BTreeMap::from([
        ("node-id", Id::of_node(&owner.verifying_key()).as_bytes().to_vec()),
        ("record-key", Key::of_record(&device, b"name").as_bytes().to_vec()),
        ("record", record.as_bytes().to_vec()),
    ]);

    let (point, token) = (Id::from_bytes([1; 32]), [4; 16]);
    let seen = Endpoint("10.0.0.1:4000".parse().unwrap());
    let peers = [("10.0.0.1:4000", 0), ("[2001:db8::1]:4001", 1)];
    let nodes =
        peers.map(|(address, id)| Peer { id: Id::from_bytes([id; 32]), address: address.parse().unwrap() }).to_vec();
    let held = Held { key: point, sequence: 5 };
    let bodies = [
        ("ping", Body::Ping(Empty {})),
        ("pong", Body::Pong(Empty {})),
        ("find-node", Body::FindNode(FindNode { target: point, key: None })),
        ("nodes", Body::Nodes(Nodes { token, nodes: List(nodes) })),
        ("get", Body::Get(Get { key: point, near: None })),
        ("value", Body::Value(Value { record: record.as_bytes(), nodes: None })),
        ("put", Body::Put(Put { token, record: record.as_bytes(), replaces: Some(4) })),
        ("stored", Body::Stored(Empty {})),
        ("refused", Body::Refused(Refused { reason: Rejection::Changed, record: Some(record.as_bytes()) })),
        ("retry", Body::Retry(Empty {})),
        ("probe", Body::Ask(Ask::Probe(Empty {}))),
        ("reserve", Body::Ask(Ask::Reserve(Reserve { seconds: 120, rtt: Some(40) }))),
        ("introduce", Body::Ask(Ask::Introduce(Introduce { to: point, rtt: Some(40) }))),
        ("probed", Body::Reply(Reply::Probed(Probed { seen }))),
        ("reserved", Body::Reply(Reply::Reserved(Reserved { seconds: 120, seen }))),
        ("introduced", Body::Reply(Reply::Introduced(Introduced { address: seen, pass: [6; 8], after: 40 }))),
        ("declined", Body::Reply(Reply::Declined(Declined { reason: Decline::Nobody }))),
        ("try", Body::Word(Word::Try(Try { address: seen }))),
        ("tried", Body::Word(Word::Tried(Tried { address: seen }))),
        ("meet", Body::Word(Word::Meet(Meet { peer: point, address: seen, after: 40 }))),
        ("punch", Body::Word(Word::Punch(Empty {}))),
        ("punched", Body::Word(Word::Punched(Empty {}))),
        ("data", Body::Word(Word::Data(Data { payload: b"sealed" }))),
        ("carry", Body::Word(Word::Carry(Data { payload: b"sealed" }))),
        ("carried", Body::Word(Word::Carried(Data { payload: b"sealed" }))),
        ("closed", Body::Word(Word::Closed(Empty {}))),
        ("compare", Body::Compare(Compare { point, bits: 5, nonce: [6; 8], digest: [9; 8] })),
        ("holdings", Body::Holdings(Holdings::default())),
        ("holdings-list", Body::Holdings(Holdings { records: Some(List(vec![held])), digests: None })),
        ("holdings-digests", Body::Holdings(Holdings { records: None, digests: Some(&[9; 16]) })),
    ];
    for (name, body) in bodies {
        let (sender, role) = (Id::from_bytes([2; 32]), Role::Server);
        let message = Message::new(3, *b"transact", sender, role, body);
        let datagram = message.encode();
        assert_eq!(Message::decode(&datagram), Ok(message));
        vectors.insert(name, datagram);
    }

    let mut private = vectors["ping"].clone();
    Admission::Key(AdmissionKey::new(&[9; 32])).seal(3, &mut private);
    vectors.insert("ping-private", private);

    let node = SigningKey::from_seed(&[8; 32]);
    let challenger = Peer { id: Id::from_bytes([2; 32]), address: peers[0].0.parse().unwrap() };
    let challenge = Challenge { nonce: *b"transact", asked: Endpoint(peers[1].0.parse().unwrap()) };
    let mut ping = Message::new(3, *b"transact", challenger.id, Role::Server, Body::Ping(Empty {}));
    ping.challenge = Some(challenge);
    let signed = Signed::answer(&node, &ping, &challenge, challenger.address).unwrap();
    let prover = Peer { id: Id::of_node(&node.verifying_key()), address: challenge.asked.0 };
    let mut pong = Message::new(3, *b"transact", prover.id, Role::Server, Body::Pong(Empty {}));
    pong.cookie = Some([5; 8]);
    pong.proof = Some(signed.proof());
    let statement = proof::statement(3, &challenge.nonce, &challenger, &prover);
    node.verifying_key().verify(&statement, &Signature::from_bytes(signed.signature)).unwrap();
    vectors.insert("ping-challenge", ping.encode());
    vectors.insert("proof-statement", statement);
    vectors.insert("pong-proof", pong.encode());
    let shown = Signed { capability: b"capability".to_vec(), ..signed.clone() };
    pong.proof = Some(shown.proof());
    vectors.insert("pong-capability", pong.encode());

    let config = PublisherConfig::default().life(Duration::from_secs(3600)).renewal(Duration::from_secs(60));
    let mut publisher = Publisher::new(b"feed", config);
    publisher.push(b"one").unwrap();
    publisher.push(b"two").unwrap();
    publisher.seal(&owner, Timestamp::from_secs(1_767_225_600), 0).unwrap();
    let values: Vec<_> = publisher.outbox().map(|record| record.value().to_vec()).collect();
    vectors.extend(["segment-value", "head-value"].into_iter().zip(values));
    vectors
}

fn published() -> BTreeMap<String, String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats/dht.md");
    let text = std::fs::read_to_string(path).unwrap();
    let block = text.split("```vectors\n").nth(1).unwrap().split("```").next().unwrap();
    block.lines().map(|line| line.split_once(": ").unwrap()).map(|(name, hex)| (name.into(), hex.into())).collect()
}

#[test]
fn the_published_vectors_are_what_the_library_writes() {
    let written: BTreeMap<_, _> =
        written().into_iter().map(|(name, octets)| (name.to_string(), hex(&octets))).collect();
    assert_eq!(published(), written);
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_published_snapshot_is_read_and_written_again() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats/dht.md");
    let text = std::fs::read_to_string(path).unwrap();
    let octets = unhex(text.split("```snapshot\n").nth(1).unwrap().lines().next().unwrap());
    let snapshot = Snapshot::<32>::parse(&octets).unwrap();
    let addresses: Vec<_> = snapshot.peers().iter().map(|peer| peer.address.to_string()).collect();
    assert_eq!(addresses, ["10.0.0.1:4000", "[2001:db8::1]:4001"]);
    assert_eq!(snapshot.to_vec(), octets);
}

#[test]
fn the_published_record_verifies() {
    let octets = unhex(&published()["record"]);
    let record = UnverifiedRecord::parse(&octets).unwrap().verify(Timestamp::from_secs(1_767_225_600)).unwrap();
    assert_eq!((record.name(), record.value(), record.sequence()), (&b"name"[..], &b"the value"[..], 5));
}
