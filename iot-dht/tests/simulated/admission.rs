//! A private overlay, and those who do not belong to it.

use std::net::SocketAddr;
use std::time::Duration;

use iot_dht::wire::{Body, Empty, FindNode, Get, Message, Role};
use iot_dht::{Event, GetMode, Id, Record, Verification};

use crate::network::{Network, test_config};

const KEY: [u8; 32] = [7; 32];

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
        let (mut network, all) = Network::with_admission(81, 20, test_config().verification(verification), KEY);
        let owner = network.key();
        let expires = network.wall().saturating_add(Duration::from_secs(3600));
        let record = Record::sign(&owner, b"r", 1, expires, &[7; Record::MAX_CONTENT_LEN - 1]).unwrap();
        let done = network.put(all[3], record.clone());
        assert_eq!((done.stored, done.refused), (8, 0), "{done:?}");
        assert_eq!(network.get(all[15], *record.key(), GetMode::Newest).record, Some(record));

        for key in [None, Some([8; 32])] {
            network.admission_key = key;
            let stranger = network.add(Role::Server);
            network.bootstrap(stranger, &all[..3]);
            assert!(!network.wait(stranger, joined));
            assert_eq!(network.member(stranger).node.stats().datagrams_in, 0, "nobody says a word to it");
        }
        network.admission_key = Some(KEY);
        let member = network.add(Role::Server);
        network.bootstrap(member, &all[..3]);
        assert!(network.wait(member, joined));
    }
}

/// Whatever is asked without the key, under the number of the overlay or any other.
#[test]
fn who_lacks_the_key_gets_no_answer() {
    let (mut network, all) = Network::with_admission(82, 8, test_config(), KEY);
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
