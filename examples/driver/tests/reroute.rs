//! Two ends on sockets of this machine, of which one says that it is met at two places, the first of them wrongly.
#![cfg(feature = "session")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant as Clock};

use iot_core::{Instant, Timestamp};
use iot_crypto::{AgreementSecret, KeyBundle, SigningKey};
use iot_dht::{Contact, Event, Node, NodeConfig, NodeId, Peer, Service, SubnetLimit, TableConfig};
use iot_driver::{Credentials, Driver, Party, Side, Talk};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const PATIENCE: Duration = Duration::from_secs(120);

fn node(seed: u8) -> (NodeId, Node) {
    let config =
        NodeConfig::default().service(Service::Always).links(4).table(TableConfig::default().subnets(SubnetLimit::Off));
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    let node = Node::new(config, SigningKey::from_seed(&[seed; 32]), Instant::START, &mut rng);
    (*node.id(), node)
}

fn socket() -> (SocketAddr, UdpSocket) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    (socket.local_addr().unwrap(), socket)
}

fn end(seed: u8, of: u8, side: Side, known: SocketAddr, socket: UdpSocket) -> Talk<SigningKey, ChaCha20Rng> {
    let expires = NOW.saturating_add(Duration::from_secs(3600));
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    let agreement = |seed: u8| AgreementSecret::from_bytes(&[seed + 100; 32]);
    let bundle =
        |seed: u8| KeyBundle::issue(&SigningKey::from_seed(&[seed; 32]), agreement(seed).public(), 1, expires).unwrap();
    let peer = SigningKey::from_seed(&[of; 32]).verifying_key().device_id();
    let peer = KeyBundle::verify(&bundle(of), &peer, NOW).unwrap();
    let credentials = Credentials { secret: agreement(seed), bundle: bundle(seed), peer, overlay: b"test" };
    let party = Party::start(socket, node(seed).1, SigningKey::from_seed(&[seed; 32]), vec![known], || NOW).unwrap();
    rng.set_stream(1);
    Talk::new(party, side, credentials, || NOW, rng)
}

/// Who answers at the first place is linked and says nothing, as does a relay that drops what it carries. The caller met
/// the same one again and again, because that is what the contact names first.
#[test]
fn a_caller_whom_nobody_answers_at_the_first_place_tries_the_next() {
    let [(known, first), (wrong, second), (right, third), (_, fourth)] = [(); 4].map(|()| socket());
    let first = Driver::spawn(first, node(1).1, || NOW).unwrap();
    let (impostor, node_of_impostor) = node(2);
    let second = Driver::spawn(second, node_of_impostor, || NOW).unwrap();
    second.call(move |node, now, _| node.bootstrap(now, &[known])).unwrap();
    let mut called = end(3, 4, Side::Called, known, third);
    let mut caller = end(4, 3, Side::Caller, known, fourth);

    let places = [Peer { id: impostor, address: wrong }, Peer { id: node(3).0, address: right }];
    let contact = Contact::sign(&SigningKey::from_seed(&[3; 32]), 1, NOW, Duration::from_secs(3600), &places).unwrap();
    loop {
        let put = contact.clone();
        first.call(move |node, now, wall| node.put(now, wall, put).unwrap()).unwrap();
        let done = first.events().iter().find_map(|event| match event {
            Event::PutDone(done) => Some(done.stored),
            _ => None,
        });
        // Some may not have joined yet.
        if done.unwrap() >= 3 {
            break;
        }
    }
    let began = Clock::now();
    while !(called.is_established() && caller.is_established()) {
        // What fails is tried again.
        let _ = called.poll(Duration::from_millis(5));
        let _ = caller.poll(Duration::from_millis(5));
        assert!(began.elapsed() < PATIENCE, "the two do not meet");
    }
    // They met after all, and the impostor was asked first.
    assert!(second.call(|node, _, _| node.stats().served).unwrap() > 0);
}
