use std::vec;

use iot_codec::cbor::List;
use iot_crypto::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::id::{Id, Key};
use crate::node::event::{Event, GetMode};
use crate::node::{NodeConfig, Service};
use crate::record::Record;
use crate::rejection::Rejection;
use crate::table::{SubnetLimit, TableConfig};
use crate::wire::{Ask, Empty, Endpoint, MAX_DATAGRAM_LEN, Nodes, Refused, Reply, Reserve, Role, Value};

const NOW: Instant = Instant::START;
const WALL: Timestamp = Timestamp::from_secs(1);

fn at(ip: u8) -> SocketAddr {
    SocketAddr::from(([20, 0, ip, 1], 7))
}

fn own() -> SocketAddr {
    at(1)
}

fn key(octet: u8) -> SigningKey {
    SigningKey::from_seed(&[octet; 32])
}

fn later(millis: u64) -> Instant {
    NOW.saturating_add(Duration::from_millis(millis))
}

/// A node that leaves so many signatures at a time to others.
fn node(verifications: usize) -> Node {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let table = TableConfig::default().subnets(SubnetLimit::Off);
    let config = NodeConfig::default().table(table).service(Service::Always).relays(1);
    let config = config.verification(Verification::HandedOut).verifications(verifications);
    Node::new(config, key(1), NOW, &mut rng)
}

fn record(name: &[u8], sequence: u64) -> Record {
    Record::sign(&key(3), name, sequence, Timestamp::from_secs(1000), b"value").unwrap()
}

/// All that a node sends.
fn sent(node: &mut Node) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut buffer = [0; MAX_DATAGRAM_LEN];
    let transmits = core::iter::from_fn(|| {
        let transmit = node.poll_transmit(&mut buffer)?;
        Some((transmit.to, buffer[..transmit.len].to_vec()))
    });
    transmits.collect()
}

/// The answer of one who knows nobody.
fn nobody() -> Body<'static> {
    Body::Nodes(Nodes { token: [1; 16], nodes: List(vec![]) })
}

/// What one who has a key answers to a question, with a proof if it is asked for one.
fn answer(question: &[u8], octet: u8, body: Body<'_>) -> Vec<u8> {
    let question = Message::decode(question).unwrap();
    let key = key(octet);
    let signed = question.challenge.map(|challenge| Signed::answer(&key, &question, &challenge, own()).unwrap());
    let id = NodeId::of_node(&key.verifying_key());
    let mut answer = Message::new(0, question.transaction, id, Role::Server, body);
    answer.proof = signed.as_ref().map(Signed::proof);
    answer.cookie = Some([octet; 8]);
    answer.encode()
}

/// The only question of a node that has just been told to join through these.
fn asked(node: &mut Node, through: &[SocketAddr]) -> Vec<(SocketAddr, Vec<u8>)> {
    node.bootstrap(NOW, through);
    let asked = sent(node);
    assert_eq!(asked.len(), through.len());
    asked
}

/// A node that knows one other, which has proved who it is, and what it asks that one about a key.
fn acquainted(get: Key) -> (Node, SocketAddr, Vec<u8>) {
    let mut node = node(8);
    let [(to, question)] = &asked(&mut node, &[at(2)])[..] else { unreachable!("one was asked") };
    node.handle_datagram(NOW, WALL, *to, &answer(question, 2, nobody()));
    let job = node.poll_job().unwrap();
    node.handle_verdict(NOW, WALL, job.verify());
    sent(&mut node);
    node.get(NOW, WALL, get, GetMode::Matching([7; 32])).unwrap();
    let is_get =
        |(_, datagram): &(SocketAddr, Vec<u8>)| matches!(Message::decode(datagram).unwrap().body, Body::Get(_));
    let (to, question) = sent(&mut node).into_iter().find(is_get).unwrap();
    (node, to, question)
}

#[test]
fn so_many_signatures_wait_as_configured_and_what_answers_beyond_them_is_asked_for_again() {
    let mut node = node(2);
    let asked = asked(&mut node, &[at(2), at(3), at(4)]);
    for (octet, (to, question)) in (2..).zip(&asked) {
        node.handle_datagram(NOW, WALL, *to, &answer(question, octet, nobody()));
    }
    assert_eq!(node.stats().verifications_dropped, 1);
    let jobs: Vec<_> = core::iter::from_fn(|| node.poll_job()).collect();
    assert_eq!(jobs.len(), 2);
    for job in &jobs {
        node.handle_verdict(NOW, WALL, job.verify());
    }
    assert_eq!(node.table().len(), 2);
    sent(&mut node);
    // The third is not forgotten: its time-out comes.
    let mut due = NOW;
    while !sent(&mut node).contains(&asked[2]) {
        due = node.requests.next_deadline().expect("a question waits");
        node.handle_timeout(due, WALL);
    }
    node.handle_datagram(due, WALL, at(4), &answer(&asked[2].1, 4, nobody()));
    let job = node.poll_job().unwrap();
    node.handle_verdict(due, WALL, job.verify());
    assert_eq!(node.table().len(), 3);
}

#[test]
fn nobody_is_given_signatures_to_verify_for_which_nobody_waits_any_more() {
    let mut node = node(8);
    let [(to, question)] = &asked(&mut node, &[at(2)])[..] else { unreachable!("one was asked") };
    node.handle_datagram(NOW, WALL, *to, &answer(question, 2, nobody()));
    let due = NOW.saturating_add(LONGEST);
    assert_eq!(node.jobs.next_deadline(), Some(due));
    node.handle_timeout(due, WALL);
    assert_eq!((node.jobs.next_deadline(), node.stats().verifications_dropped), (None, 1), "at the deadline itself");
    assert!(node.poll_job().is_none());
}

/// A signature costs more than all else that a datagram does.
#[test]
fn what_was_proved_is_not_verified_again_and_neither_is_what_nobody_asked_for() {
    let wanted = record(b"wanted", 1);
    let value = |record| Body::Value(Value { record, nodes: None });
    let (mut node, to, question) = acquainted(*wanted.key());
    // It proves itself without being asked for it.
    let mut message = Message::decode(&question).unwrap();
    message.challenge = Some(Challenge { nonce: message.transaction, asked: Endpoint(to) });
    node.handle_datagram(NOW, WALL, to, &answer(&message.encode(), 2, value(wanted.as_bytes())));
    let job = node.poll_job().unwrap();
    assert!(job.proof.is_none() && job.record.is_some(), "{job:?}");

    let (mut node, to, question) = acquainted(*wanted.key());
    node.handle_datagram(NOW, WALL, to, &answer(&question, 2, value(record(b"another", 1).as_bytes())));
    assert!(node.poll_job().is_none());
    let rejected = core::iter::from_fn(|| node.poll_event()).any(|event| matches!(event, Event::Rejected(_)));
    assert!(rejected, "it is refused all the same");
}

#[test]
fn the_record_of_a_refusal_counts_once_it_is_verified() {
    let (older, newer) = (record(b"r", 1), record(b"r", 2));
    let mut forged = newer.as_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    for (octets, counts) in [(newer.as_bytes(), true), (&forged[..], false)] {
        let (mut node, _, _) = acquainted(Id::from_bytes([9; 32]));
        let operation = node.put(NOW, WALL, older.clone()).unwrap();
        let mut now = NOW;
        let done = loop {
            for (to, question) in sent(&mut node) {
                let body = match Message::decode(&question).unwrap().body {
                    Body::Put(_) => Body::Refused(Refused { reason: Rejection::Superseded, record: Some(octets) }),
                    Body::FindNode(_) => nobody(),
                    _ => continue,
                };
                node.handle_datagram(now, WALL, to, &answer(&question, 2, body));
            }
            while let Some(job) = node.poll_job() {
                node.handle_verdict(now, WALL, job.verify());
            }
            let done = core::iter::from_fn(|| node.poll_event()).find_map(|event| match event {
                Event::PutDone(done) if done.operation == operation => Some(done),
                _ => None,
            });
            if let Some(done) = done {
                break done;
            }
            now = node.poll_timeout(now).unwrap();
            node.handle_timeout(now, WALL);
        };
        assert_eq!((done.refused, done.newer.as_deref() == Some(&newer)), (1, counts));
    }
}

/// A proof is of one who answers a question or a challenge; with a put comes a token.
#[test]
fn a_put_makes_nobody_verify_a_proof() {
    let mut node = node(8);
    let record = record(b"r", 1);
    let sender = NodeId::of_node(&key(2).verifying_key());
    let token = node.secrets.token(NOW, at(2), &sender, record.key());
    let body = Body::Put(crate::wire::Put { token, record: record.as_bytes(), replaces: None });
    let mut put = Message::new(0, [1; 8], sender, Role::Server, body);
    let proof = Proof { key: &[7; 32], signature: [7; 64], seen: Endpoint(own()), capability: None };
    put.proof = Some(proof);
    node.handle_datagram(NOW, WALL, at(2), &put.encode());
    let job = node.poll_job().unwrap();
    assert!(job.proof.is_none(), "{job:?}");
    node.handle_verdict(NOW, WALL, job.verify());
    assert_eq!(node.store().len(), 1);
}

/// How long a verdict takes says nothing about the way to whom it is about.
#[test]
fn the_time_of_an_answer_ends_when_it_comes_and_not_with_its_verdict() {
    let mut node = node(8);
    let [(to, question)] = &asked(&mut node, &[at(2)])[..] else { unreachable!("one was asked") };
    node.handle_datagram(later(40), WALL, *to, &answer(question, 2, nobody()));
    let job = node.poll_job().unwrap();
    node.handle_verdict(later(5000), WALL, job.verify());
    let entry = node.table().entry(&NodeId::of_node(&key(2).verifying_key())).unwrap();
    let rtt = entry.rtt().unwrap();
    assert!(rtt <= Duration::from_millis(41), "{rtt:?}, rounded");
}

/// What a stranger does whom the node has challenged, with its own signature or with one octet of it changed; tells whether
/// the node took it to be proved.
fn introduces_itself(is_forged: bool, body: &Body<'_>) -> (Node, Vec<(SocketAddr, Vec<u8>)>) {
    let mut node = node(8);
    let sender = NodeId::of_node(&key(2).verifying_key());
    let nonce = node.secrets.nonce(NOW, at(2), &sender);
    let mut asker = Message::new(0, nonce, *node.id(), Role::Server, Body::Ping(Empty {}));
    asker.challenge = Some(Challenge { nonce, asked: Endpoint(at(2)) });
    let datagram = answer(&asker.encode(), 2, body.clone());
    let mut message = Message::decode(&datagram).unwrap();
    message.cookie = Some(node.secrets.cookie(NOW, at(2), &sender));
    if let Some(proof) = message.proof.as_mut().filter(|_| is_forged) {
        proof.signature[63] ^= 1;
    }
    node.handle_datagram(NOW, WALL, at(2), &message.encode());
    let job = node.poll_job().unwrap();
    node.handle_verdict(NOW, WALL, job.verify());
    let said = sent(&mut node);
    (node, said)
}

#[test]
fn whoever_answers_a_challenge_with_a_signature_that_does_not_hold_is_neither_known_nor_given_a_lease() {
    let reserve = Body::Ask(Ask::Reserve(Reserve { seconds: 120, rtt: None }));
    for is_forged in [false, true] {
        let (node, _) = introduces_itself(is_forged, &Body::Pong(Empty {}));
        assert_eq!((node.table().len(), node.stats().unproven), (usize::from(!is_forged), u64::from(is_forged)));
        let (node, said) = introduces_itself(is_forged, &reserve);
        let is_lease =
            |datagram: &[u8]| matches!(Message::decode(datagram).unwrap().body, Body::Reply(Reply::Reserved(_)));
        assert_eq!(said.iter().any(|(_, datagram)| is_lease(datagram)), !is_forged);
        assert_eq!(node.stats().unproven, u64::from(is_forged));
    }
}

/// Most see the node at one address: who has seen it at another has passed its challenge on to somebody else.
#[test]
fn a_proof_that_names_another_address_than_most_have_seen_is_none() {
    for (seen, counts) in [(own(), true), (at(99), false)] {
        let mut node = node(8);
        for witness in 100..112 {
            node.sightings.agree(at(witness), own());
        }
        let [(to, question)] = &asked(&mut node, &[at(2)])[..] else { unreachable!("one was asked") };
        let question = Message::decode(question).unwrap();
        let key = key(2);
        let signed = Signed::answer(&key, &question, &question.challenge.unwrap(), seen).unwrap();
        let id = NodeId::of_node(&key.verifying_key());
        let mut answer = Message::new(0, question.transaction, id, Role::Server, nobody());
        answer.proof = Some(signed.proof());
        node.handle_datagram(NOW, WALL, *to, &answer.encode());
        let job = node.poll_job().unwrap();
        node.handle_verdict(NOW, WALL, job.verify());
        assert_eq!((node.table().len(), node.stats().unproven), (usize::from(counts), u64::from(!counts)));
        assert_eq!(node.observed_address(), Some(seen), "what it says is known all the same");
    }
}
