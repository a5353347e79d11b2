//! Overlays to which not everybody belongs, and those who do not.

use std::net::SocketAddr;
use std::time::Duration;

use iot_core::Timestamp;
use iot_crypto::cose::Sign1;
use iot_crypto::{SigningKey, VerifyingKey};
use iot_dht::wire::{Body, Empty, FindNode, Get, MAX_CAPABILITY_LEN, Message, Role};
use iot_dht::{Admission, AdmissionKey, Event, Gatekeeper, GetMode, Id, NodeConfig, NodeId, Record, Verification};

use crate::network::{EPOCH, Gate, Network, test_config};

const KEY: [u8; 32] = [7; 32];

fn by_key(key: [u8; 32]) -> Gate {
    Box::new(move |_| Admission::Key(AdmissionKey::new(&key)))
}

fn joined(event: &Event) -> Option<bool> {
    match event {
        Event::Bootstrapped { .. } => Some(true),
        Event::BootstrapFailed { .. } => Some(false),
        _ => None,
    }
}

#[test]
fn members_put_and_get_and_nobody_else_so_much_as_joins() {
    for verification in [Verification::Inline, Verification::HandedOut] {
        let config = test_config().verification(verification);
        let (mut network, all) = Network::with_admission(81, 20, config, by_key(KEY));
        let owner = network.key();
        let expires = network.wall().saturating_add(Duration::from_secs(3600));
        let record = Record::sign(&owner, b"r", 1, expires, &[7; Record::MAX_CONTENT_LEN - 1]).unwrap();
        let done = network.put(all[3], record.clone());
        assert_eq!((done.stored, done.refused), (8, 0), "{done:?}");
        assert_eq!(network.get(all[15], *record.key(), GetMode::Newest).record, Some(record));

        let open: Gate = Box::new(|_| Admission::Open);
        for gate in [open, by_key([8; 32])] {
            network.admission = gate;
            let stranger = network.add(Role::Server);
            network.bootstrap(stranger, &all[..3]);
            assert!(!network.wait(stranger, joined));
            assert_eq!(network.member(stranger).node.stats().datagrams_in, 0, "nobody says a word to it");
        }
        network.admission = by_key(KEY);
        let member = network.add(Role::Server);
        network.bootstrap(member, &all[..3]);
        assert!(network.wait(member, joined));
    }
}

/// Whatever is asked without the key, under the number of the overlay or any other.
#[test]
fn who_lacks_the_key_gets_no_answer() {
    let (mut network, all) = Network::with_admission(82, 8, test_config(), by_key(KEY));
    assert!(network.nodes().all(|(_, node)| node.table().len() == 7), "members know each other");
    let stranger = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let point = Id::from_bytes([3; 32]);
    let bodies = [
        Body::Ping(Empty {}),
        Body::FindNode(FindNode { target: point, key: None }),
        Body::Get(Get { key: point, near: None }),
    ];
    for overlay in [0, 1, u64::MAX] {
        for body in &bodies {
            let message = Message::new(overlay, [5; 8], point, Role::Server, body.clone());
            network.inject(stranger, all[0], message.encode_padded());
        }
    }
    let before = network.member(all[0]).node.stats().other_overlay;
    network.run_for(Duration::from_secs(5));
    assert_eq!(network.member(all[0]).node.stats().other_overlay - before, 9);
    assert_eq!(network.astray.get(&stranger), None);
}

/// A capability of the simplest kind: whoever runs the overlay has signed a node's key, and until when it may be a node.
#[derive(Debug)]
struct Badge {
    authority: VerifyingKey,
    own: Vec<u8>,
}

const PURPOSE: &[u8] = b"a badge of the tests";

fn authority() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

fn issue(by: &SigningKey, to: &VerifyingKey, until: Timestamp) -> Vec<u8> {
    let payload = [to.as_bytes(), &until.as_micros().to_be_bytes()].concat();
    Sign1::sign(by, &payload, PURPOSE).unwrap()
}

impl Gatekeeper for Badge {
    fn own(&self) -> &[u8] {
        &self.own
    }

    fn admits(&self, wall: Timestamp, key: &VerifyingKey, capability: &[u8]) -> bool {
        let mut scratch = [0; 2 * MAX_CAPABILITY_LEN];
        let Ok(signed) = Sign1::parse(capability) else { return false };
        let Ok(payload) = signed.verify(&self.authority, PURPOSE, &mut scratch) else { return false };
        let Some((named, until)) = payload.split_last_chunk() else { return false };
        named == key.as_bytes() && Timestamp::from_micros(u64::from_be_bytes(*until)) > wall
    }
}

/// Each node shows what is issued to its key; all believe the true authority.
fn by_badge(issued: impl Fn(&VerifyingKey) -> Vec<u8> + 'static) -> Gate {
    let authority = authority().verifying_key();
    Box::new(move |own| Admission::Capability(Box::new(Badge { authority, own: issued(own) })))
}

fn badge_for_a_day(key: &VerifyingKey) -> Vec<u8> {
    issue(&authority(), key, EPOCH.saturating_add(Duration::from_secs(86_400)))
}

#[test]
fn only_who_shows_a_capability_of_its_own_is_a_node_to_others() {
    for verification in [Verification::Inline, Verification::HandedOut] {
        let config: NodeConfig = test_config().verification(verification);
        let (mut network, all) = Network::with_admission(83, 12, config, by_badge(badge_for_a_day));
        assert!(network.nodes().all(|(_, node)| node.table().len() == 11), "members know each other");

        let member = network.member(all[2]).key.verifying_key();
        let gates = [
            by_badge(|_| Vec::new()),
            by_badge(|key| issue(&SigningKey::from_seed(&[8; 32]), key, Timestamp::from_secs(u32::MAX.into()))),
            by_badge(move |_| badge_for_a_day(&member)),
            by_badge(|key| issue(&authority(), key, EPOCH)),
            by_badge(|key| [badge_for_a_day(key), vec![0; MAX_CAPABILITY_LEN]].concat()),
        ];
        let outsiders: Vec<SocketAddr> = gates
            .into_iter()
            .map(|gate| {
                network.admission = gate;
                let outsider = network.add(Role::Server);
                network.bootstrap(outsider, &all[..3]);
                assert!(network.wait(outsider, joined), "it may ask, as a client does");
                outsider
            })
            .collect();
        network.run_for(Duration::from_secs(60));
        let ids: Vec<NodeId> = outsiders.iter().map(|outsider| *network.member(*outsider).node.id()).collect();
        for member in &all {
            let table = network.member(*member).node.table();
            assert!(ids.iter().all(|id| table.entry(id).is_none()) && table.len() == 11);
        }
        assert!(network.nodes().map(|(_, node)| node.stats().not_admitted).sum::<u64>() >= 5);

        // Who is no node to others takes nobody's place, however close to a record it is.
        let owner = network.key();
        let expires = network.wall().saturating_add(Duration::from_secs(3600));
        for name in 0..20 {
            let record = Record::sign(&owner, &[name], 1, expires, b"value").unwrap();
            assert_eq!(network.put(all[3], record.clone()).stored, 8);
            let wall = network.wall();
            let mut members: Vec<_> = network.nodes().filter(|(address, _)| all.contains(address)).collect();
            members.sort_by_key(|(_, node)| node.id().distance(record.key()));
            assert!(members[..8].iter().all(|(_, node)| node.store().get(wall, record.key()).is_some()));
            assert_eq!(network.get(outsiders[0], *record.key(), GetMode::Newest).record, Some(record));
        }

        network.admission = by_badge(badge_for_a_day);
        let newcomer = network.add(Role::Server);
        network.bootstrap(newcomer, &all[..3]);
        assert!(network.wait(newcomer, joined));
        network.run_for(Duration::from_secs(20));
        let id = *network.member(newcomer).node.id();
        assert!(all.iter().all(|member| network.member(*member).node.table().entry(&id).is_some()));
    }
}

/// What is open to members is closed to those who show nothing: nobody introduces others to them, and whoever knows nobody
/// but them has not joined.
#[test]
fn who_is_not_admitted_has_no_lease_and_is_nobodys_way_in() {
    let (mut network, all) = Network::with_admission(84, 12, test_config(), by_badge(badge_for_a_day));
    let leases = |network: &Network| network.nodes().map(|(_, node)| node.relayed().0).sum::<usize>();
    network.config = test_config().relays(1);
    for (gate, is_member) in [(by_badge(|_| Vec::new()), false), (by_badge(badge_for_a_day), true)] {
        network.admission = gate;
        let device = network.add(Role::Client);
        network.bootstrap(device, &all[..3]);
        network.run_for(Duration::from_secs(60));
        let relays = network.member(device).node.relays().count();
        assert_eq!((relays, leases(&network)), (usize::from(is_member), usize::from(is_member)));
    }

    network.config = test_config();
    network.admission = by_badge(|_| Vec::new());
    let outsider = network.add(Role::Server);
    network.bootstrap(outsider, &all[..3]);
    assert!(network.wait(outsider, joined));
    network.admission = by_badge(badge_for_a_day);
    for (through, expected) in [(outsider, false), (all[1], true)] {
        let newcomer = network.add(Role::Server);
        network.bootstrap(newcomer, &[through]);
        assert_eq!(network.wait(newcomer, joined), expected);
    }
}
