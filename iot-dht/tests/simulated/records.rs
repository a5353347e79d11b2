use std::time::Duration;

use iot_dht::wire::{Body, Empty, Role, Value};
use iot_dht::{Busy, Event, GetMode, Record, Rejection};

use crate::adversaries::answer;
use crate::network::{Network, REPLICAS, test_config};

fn record(network: &mut Network, sequence: u64, value: &[u8], owner: &iot_crypto::SigningKey) -> Record {
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    Record::sign(owner, b"name", sequence, expires, value).unwrap()
}

#[test]
fn what_is_put_is_got_by_everyone() {
    let (mut network, all) = Network::joined(11, 120);
    network.loss_permille = 50;
    let owner = network.key();
    let record = record(&mut network, 1, b"value", &owner);
    let client = network.add(Role::Client);
    network.bootstrap(client, &all[7..9]);
    network.wait(client, |event| matches!(event, Event::Bootstrapped { .. }).then_some(()));
    assert!(network.put(client, record.clone()).stored >= REPLICAS - 1);
    for reader in all.iter().step_by(13).chain([&client]) {
        let newest = network.get(*reader, *record.key(), GetMode::Newest);
        assert_eq!(newest.record.as_ref(), Some(&record));
        let matching = network.get(*reader, *record.key(), GetMode::Matching(record.value_hash()));
        assert_eq!(matching.record.as_ref(), Some(&record));
    }
    assert!(network.holders(record.key()) <= 2 * REPLICAS, "a record stays on a small part of the nodes");
}

#[test]
fn only_a_higher_sequence_replaces() {
    let (mut network, all) = Network::joined(12, 40);
    let owner = network.key();
    let (first, second, fork) = (
        record(&mut network, 1, b"first", &owner),
        record(&mut network, 2, b"second", &owner),
        record(&mut network, 2, b"fork", &owner),
    );
    assert_eq!(network.put(all[1], second.clone()).stored, REPLICAS);
    let older = network.put(all[2], first);
    assert_eq!((older.refused, older.reason), (REPLICAS, Some(Rejection::Superseded)));
    let forked = network.put(all[3], fork);
    assert_eq!((forked.refused, forked.reason), (REPLICAS, Some(Rejection::Conflict)));
    let again = network.put(all[4], second.clone());
    assert_eq!(again.stored, REPLICAS);
    assert_eq!(network.get(all[9], *second.key(), GetMode::Newest).record, Some(second));
}

#[test]
fn the_newest_copy_wins_and_older_ones_are_counted() {
    let (mut network, all) = Network::joined(13, 60);
    let owner = network.key();
    let (old, new) = (record(&mut network, 1, b"old", &owner), record(&mut network, 2, b"new", &owner));
    network.put(all[1], old.clone());
    // Half of the holders were away when the newer record came.
    let wall = network.wall();
    let holders: Vec<_> =
        network.nodes().filter(|(_, node)| node.store().get(wall, old.key()).is_some()).map(|(at, _)| at).collect();
    for address in &holders[..REPLICAS / 2] {
        let stale = old.clone();
        network.corrupt(
            *address,
            Box::new(move |message, id| {
                let body = match message.body {
                    Body::Get(_) => Body::Value(Value { record: stale.as_bytes(), nodes: None }),
                    Body::Put(_) => Body::Stored(Empty {}),
                    _ => return None,
                };
                Some(answer(message, id, body))
            }),
        );
    }
    network.put(all[1], new.clone());
    let reader = all[30];
    let done = network.get(reader, *new.key(), GetMode::Newest);
    assert_eq!(done.record, Some(new));
    assert!(done.superseded >= 1);
}

#[test]
fn survives_the_replacement_of_a_quarter_of_the_nodes() {
    let (mut network, mut all) = Network::joined(14, 128);
    let owners: Vec<_> = (0..20).map(|_| network.key()).collect();
    let records: Vec<_> = owners.iter().map(|owner| record(&mut network, 1, b"value", owner)).collect();
    for (n, record) in records.iter().enumerate() {
        network.put(all[n], record.clone());
    }
    for _ in 0..8 {
        for gone in all.drain(20..24).collect::<Vec<_>>() {
            network.remove(gone);
        }
        for _ in 0..4 {
            let new = network.add(Role::Server);
            network.bootstrap(new, &all[..2]);
            all.push(new);
        }
        network.run_for(Duration::from_secs(5));
    }
    network.run_for(Duration::from_secs(30));
    let newcomer = *all.last().unwrap();
    for record in &records {
        assert_eq!(network.get(newcomer, *record.key(), GetMode::Newest).record.as_ref(), Some(record));
        let holders = network.holders(record.key());
        assert!((REPLICAS - 1..=32).contains(&holders), "{holders} holders");
    }
    // New neighbours have received what they are now closest to.
    let wall = network.wall();
    let closest_have_it = records.iter().filter(|record| {
        let closest = network.truly_closest(record.key(), 3);
        let has =
            |id| network.nodes().any(|(_, node)| node.id() == id && node.store().get(wall, record.key()).is_some());
        closest.iter().all(has)
    });
    assert!(closest_have_it.count() >= 19);
}

#[test]
fn many_operations_at_once_all_end_and_one_more_is_refused() {
    let mut network = Network::new(16);
    let first = network.add(Role::Server);
    let others: Vec<_> = (0..60).map(|_| network.add(Role::Server)).collect();
    others.iter().for_each(|address| network.bootstrap(*address, &[first]));
    network.run_for(Duration::from_secs(10));
    // So few requests at once that most of the operations must wait for each other.
    network.config = network.config.requests(16).operations(40);
    network.loss_permille = 50;
    let busy = network.add(Role::Client);
    network.bootstrap(busy, &[first]);
    network.run_for(Duration::from_secs(5));
    let owner = network.key();
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    let record = |n: u8| Record::sign(&owner, &[n], 1, expires, b"value").unwrap();
    assert!((0..40).all(|n| network.start_put(busy, record(n)).is_ok()));
    assert_eq!(network.start_put(busy, record(40)), Err(Busy { limit: 40 }));
    network.run_for(Duration::from_secs(60));
    let done = network.member(busy).events.iter().filter_map(|event| match event {
        Event::PutDone(done) => Some(done.stored),
        _ => None,
    });
    let stored: Vec<_> = done.collect();
    assert_eq!(stored.len(), 40);
    assert!(stored.iter().all(|stored| *stored >= REPLICAS - 1), "{stored:?}");
    assert!(network.start_put(busy, record(40)).is_ok());
}

/// Long before anything is replicated in its turn, whoever is closest passes records on to new neighbours.
#[test]
fn a_new_neighbour_receives_what_it_is_now_closest_to() {
    let (mut network, all) =
        Network::with_config(17, 40, test_config().replication_interval(Duration::from_secs(3000)));
    let owner = network.key();
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    let records: Vec<_> = (0..40).map(|n| Record::sign(&owner, &[n], 1, expires, b"value").unwrap()).collect();
    records.iter().for_each(|record| assert_eq!(network.put(all[3], record.clone()).stored, REPLICAS));
    let new = network.add(Role::Server);
    network.bootstrap(new, &all[..2]);
    network.run_for(Duration::from_secs(20));
    let id = *network.member(new).node.id();
    let due: Vec<_> = records.iter().filter(|record| network.truly_closest(record.key(), 4).contains(&id)).collect();
    assert!(due.len() >= 2, "the seed gives the newcomer something to receive");
    let wall = network.wall();
    let store = network.member(new).node.store();
    assert!(due.iter().all(|record| store.get(wall, record.key()).is_some()), "{} of {}", store.len(), due.len());
}

#[test]
fn nothing_outlives_its_expiry() {
    let (mut network, all) = Network::joined(15, 40);
    let owner = network.key();
    let expires = network.wall().saturating_add(Duration::from_secs(50));
    let record = Record::sign(&owner, b"short", 1, expires, b"value").unwrap();
    network.put(all[0], record.clone());
    network.run_for(Duration::from_secs(40));
    assert!(network.get(all[20], *record.key(), GetMode::Newest).record.is_some());
    network.run_for(Duration::from_secs(11));
    assert!(network.get(all[20], *record.key(), GetMode::Newest).record.is_none());
    network.run_for(Duration::from_secs(5));
    assert!(network.nodes().all(|(_, node)| node.store().is_empty()), "no replication extends it");
}
