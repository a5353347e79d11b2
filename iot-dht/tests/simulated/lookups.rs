use std::time::Duration;

use iot_dht::wire::Role;
use iot_dht::{Event, GetMode, Key};

use crate::network::{Network, REPLICAS, test_config};

#[test]
fn finds_the_true_closest() {
    let (mut network, all) = Network::joined(1, 200);
    let mut exact = 0;
    for n in 0..50_u8 {
        let owner = network.key();
        let expires = network.wall().saturating_add(Duration::from_secs(3600));
        let record = iot_dht::Record::sign(&owner, &[n], 1, expires, b"value").unwrap();
        let key = *record.key();
        let done = network.put(all[usize::from(n) * 3], record);
        assert_eq!((done.stored, done.refused, done.asked), (REPLICAS, 0, REPLICAS));
        let wall = network.wall();
        let mut holders: Vec<_> = network
            .nodes()
            .filter(|(_, node)| node.store().get(wall, &key).is_some())
            .map(|(_, node)| *node.id())
            .collect();
        holders.sort_by_key(|id| id.distance(&key));
        exact += usize::from(holders == network.truly_closest(&key, REPLICAS));
    }
    assert!(exact >= 49, "{exact} of 50 puts reached exactly the closest nodes");
}

/// A node whose first answers all came from its own half of the identifiers knew nobody in the other half, and asked nobody
/// who could have named one: it ended with 11 of 20.
#[test]
fn joins_through_loss() {
    for seed in [2, 14, 20] {
        let mut network = Network::new(seed);
        network.loss_permille = 200;
        let first = network.add(Role::Server);
        let others: Vec<_> = (0..20).map(|_| network.add(Role::Server)).collect();
        for address in others {
            network.bootstrap(address, &[first]);
            network.wait(address, |event| matches!(event, Event::Bootstrapped { .. }).then_some(()));
        }
        network.run_for(Duration::from_secs(30));
        let ids: Vec<_> = network.nodes().map(|(_, node)| *node.id()).collect();
        for (_, node) in network.nodes() {
            // Each bucket has as many places as a record has replicas.
            let of_bucket = |index| ids.iter().filter(|id| node.id().shared_prefix(id) == index).count();
            let places: usize = (0..256).map(|index| of_bucket(index).min(REPLICAS)).sum();
            let known = node.table().len();
            assert!(known >= 12 && known + 2 >= places, "knows {known} of {places} that it has room for, seed {seed}");
        }
    }
}

#[test]
fn asks_again_until_a_bootstrap_node_is_there() {
    let mut network = Network::new(3);
    let early = network.add(Role::Server);
    network.bootstrap(early, &[([127, 0, 0, 1], 1001).into()]);
    network.wait(early, |event| matches!(event, Event::BootstrapFailed { asked: 1 }).then_some(()));
    let late = network.add(Role::Server);
    assert_eq!(late.port(), 1001);
    network.wait(early, |event| matches!(event, Event::Bootstrapped { nodes: 1 }).then_some(()));
}

/// The last of the bootstrap addresses had failed while the nodes of the snapshot were being asked, and was never asked again.
#[test]
fn asks_again_though_it_has_a_snapshot_of_nodes_that_are_gone() {
    let (mut network, all) = Network::joined(8, 12);
    let snapshot = network.member(all[3]).node.table().snapshot();
    all.iter().for_each(|address| network.remove(*address));
    let early = network.add(Role::Server);
    let next = ([127, 0, 0, 1], early.port() + 1).into();
    let (now, wall) = (network.now, network.wall());
    network.bootstrap(early, &[next]);
    network.member(early).node.restore(now, wall, snapshot);
    network.run_for(Duration::from_secs(10));
    assert_eq!(network.add(Role::Server), next);
    network.wait(early, |event| matches!(event, Event::Bootstrapped { nodes: 1 }).then_some(()));
}

/// A device sleeps for weeks. Of all nodes that it knows none is left, and at the address through which it joined there is
/// another. It asked the dead for hours, one after the other.
#[test]
fn finds_the_network_again_after_all_nodes_that_it_knows_were_replaced() {
    let (mut network, all) = Network::joined(9, 20);
    let hour = Duration::from_secs(3600);
    network.config = network.config.service(Role::Client).liveness_interval(hour).refresh_interval(hour);
    let sleeper = network.add_as_configured();
    network.bootstrap(sleeper, &all[..1]);
    network.run_for(Duration::from_secs(10));
    assert!(network.member(sleeper).node.table().len() > 10);
    network.config = test_config();
    all[1..].iter().for_each(|address| network.remove(*address));
    network.restart(all[0], &[7; 32]);
    let new: Vec<_> = (0..19).map(|_| network.add(Role::Server)).collect();
    new.iter().for_each(|address| network.bootstrap(*address, &all[..1]));
    network.run_for(Duration::from_secs(20));
    let owner = network.key();
    let expires = network.wall().saturating_add(hour);
    let record = iot_dht::Record::sign(&owner, b"r", 1, expires, b"value").unwrap();
    network.put(new[3], record.clone());
    // The first question tells it that nobody is there any more.
    network.get(sleeper, Key::from_bytes([1; 32]), GetMode::Newest);
    network.run_for(Duration::from_secs(30));
    assert_eq!(network.get(sleeper, *record.key(), GetMode::Newest).record, Some(record));
}

#[test]
fn a_client_enters_no_table() {
    let (mut network, all) = Network::joined(4, 30);
    let client = network.add(Role::Client);
    network.bootstrap(client, &all[..2]);
    network.wait(client, |event| matches!(event, Event::Bootstrapped { .. }).then_some(()));
    let done = network.get(client, Key::from_bytes([5; 32]), GetMode::Newest);
    assert_eq!((done.record.is_none(), done.asked, done.answered), (true, REPLICAS, REPLICAS));
    network.run_for(Duration::from_secs(60));
    let id = *network.member(client).node.id();
    assert!(network.nodes().all(|(_, node)| node.table().entry(&id).is_none()));
}

/// The whole machine is a function of its inputs: one seed, one trace, to the octet.
#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = |seed| {
        let (mut network, all) = Network::joined(seed, 40);
        network.loss_permille = 50;
        let owner = network.key();
        let expires = network.wall().saturating_add(Duration::from_secs(3600));
        let record = iot_dht::Record::sign(&owner, b"r", 1, expires, b"value").unwrap();
        let key = *record.key();
        network.put(all[3], record);
        network.get(all[30], key, GetMode::Newest);
        network.run_for(Duration::from_secs(30));
        network.trace()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn late_repeated_and_early_calls_do_no_harm() {
    let run = |calls: usize| {
        let (mut network, all) = Network::joined(6, 20);
        let wall = network.wall();
        let now = network.now;
        let member = network.member(all[5]);
        // Early: nothing is due. Repeated: what was due has been done.
        for _ in 0..calls {
            member.node.handle_timeout(now, wall);
        }
        let deadline = member.node.poll_timeout(now).unwrap();
        assert!(deadline > now);
        (member.node.stats(), member.node.poll_transmit(&mut [0; iot_dht::wire::MAX_DATAGRAM_LEN]).is_none())
    };
    assert_eq!(run(0), run(50));
}
