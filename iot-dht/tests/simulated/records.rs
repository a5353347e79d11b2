use std::collections::BTreeMap;
use std::time::Duration;

use iot_crypto::SigningKey;
use iot_dht::wire::{Body, Empty, Role, Value};
use iot_dht::{Busy, Event, Fork, GetMode, Key, Node, Record, Rejection, Shelf, Stored};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::adversaries::answer;
use crate::network::{Network, REPLICAS, test_config};

fn record(network: &mut Network, sequence: u64, value: &[u8], owner: &SigningKey) -> Record {
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

/// Thirty other seeds had 8.1 to 9.3 holders of a record on average, 8.71 with a standard deviation of 0.30. With this seed it
/// is 7.25 where newcomers fetch what belongs to them and nobody looks again, and of eight copies six are left where nobody
/// does anything. The bound is three deviations below the first of them.
///
/// A newcomer is among the eight closest to a key with a probability of a sixteenth: that more than sixteen of the 32 are,
/// so that they all receive a record, happens once in 10^11 times.
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
    let mut all_holders = 0;
    for record in &records {
        assert_eq!(network.get(newcomer, *record.key(), GetMode::Newest).record.as_ref(), Some(record));
        let holders = network.holders(record.key());
        assert!(holders <= REPLICAS + 16, "{holders} holders");
        all_holders += holders;
    }
    assert!(4 * all_holders >= 31 * records.len(), "{all_holders} holders of {} records", records.len());
    // Whoever has a record looks every 25 s at the latest, 20 and a quarter, whether those have it to whom it belongs. The last
    // newcomers came 35 s ago, and nothing is lost.
    let wall = network.wall();
    let closest_have_it = records.iter().filter(|record| {
        let closest = network.truly_closest(record.key(), 3);
        let has =
            |id| network.nodes().any(|(_, node)| node.id() == id && node.store().get(wall, record.key()).is_some());
        closest.iter().all(has)
    });
    assert_eq!(closest_have_it.count(), records.len());
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

/// Two writers who both read sequence 1: the second learns what the first wrote.
#[test]
fn a_record_is_replaced_only_where_it_is_the_one_that_was_read() {
    let (mut network, all) = Network::joined(61, 40);
    let owner = network.key();
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    let version = |sequence, value: &[u8]| Record::sign(&owner, b"r", sequence, expires, value).unwrap();
    assert_eq!(network.put_replacing(all[0], version(1, b"one"), 0).stored, REPLICAS, "none is there");
    let done = network.put_replacing(all[1], version(2, b"two"), 1);
    assert_eq!((done.stored, done.refused, done.newer, done.fork), (REPLICAS, 0, None, None));
    let late = network.put_replacing(all[2], version(3, b"three"), 1);
    assert_eq!((late.stored, late.refused, late.reason), (0, REPLICAS, Some(Rejection::Changed)));
    assert_eq!((late.newer, late.fork), (None, None), "what is there is no newer than what was put");
    let old = network.put(all[3], version(1, b"one"));
    assert_eq!((old.reason, old.newer.as_deref()), (Some(Rejection::Superseded), Some(&version(2, b"two"))));
    let again = network.put_replacing(all[1], version(2, b"two"), 1);
    assert_eq!(again.stored, REPLICAS, "what is stored already is no other");
}

/// The answer to a put once had at most three times its octets, although the token had shown the sender's address: where a
/// long record stood in the place of a short one, it was *retry*, which answers no put, and the writer heard of nobody.
#[test]
fn a_short_record_is_refused_with_the_longest_in_its_place() {
    let (mut network, all) = Network::joined(63, 20);
    let owner = network.key();
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    let version = |sequence, value: &[u8]| Record::sign(&owner, b"r", sequence, expires, value).unwrap();
    let longest = version(5, &[7; Record::MAX_CONTENT_LEN - 1]);
    assert_eq!(network.put(all[0], longest.clone()).stored, REPLICAS);
    let older = network.put(all[1], version(4, b""));
    assert_eq!((older.refused, older.reason), (REPLICAS, Some(Rejection::Superseded)));
    assert_eq!(older.newer.as_deref(), Some(&longest));
    let other = network.put(all[2], version(5, b""));
    assert_eq!((other.refused, other.reason), (REPLICAS, Some(Rejection::Conflict)));
    assert_eq!(other.fork.as_deref(), Some(&Fork { believed: version(5, b""), other: longest }));
    let late = network.put_replacing(all[3], version(6, b""), 4);
    assert_eq!((late.refused, late.reason), (REPLICAS, Some(Rejection::Changed)));
}

#[test]
fn a_sequence_that_was_signed_twice_comes_back_as_a_fork() {
    let (mut network, all) = Network::joined(62, 40);
    let owner = network.key();
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    let sign = |value: &[u8]| Record::sign(&owner, b"r", 5, expires, value).unwrap();
    let (one, other) = (sign(b"one"), sign(b"other"));
    network.put(all[0], one.clone());
    let done = network.put(all[1], other.clone());
    assert_eq!((done.stored, done.reason), (0, Some(Rejection::Conflict)));
    assert_eq!(done.fork.as_deref(), Some(&Fork { believed: other.clone(), other: one.clone() }));

    // One of the holders has the other.
    let closest = network.truly_closest(one.key(), 1)[0];
    let holder = network.nodes().find(|(_, node)| *node.id() == closest).unwrap().0;
    let octets = other.as_bytes().to_vec();
    network.corrupt(
        holder,
        Box::new(move |question, me| {
            let Body::Get(_) = question.body else { return None };
            Some(answer(question, me, Body::Value(Value { record: &octets, nodes: None })))
        }),
    );
    let reader = all.iter().copied().find(|address| *address != holder).unwrap();
    let got = network.get(reader, *one.key(), GetMode::Newest);
    let fork = got.fork.unwrap();
    assert!(
        fork.believed != fork.other && [&fork.believed, &fork.other].into_iter().all(|it| [&one, &other].contains(&it))
    );
    assert_eq!(got.record.as_ref(), Some(&fork.believed));
}

#[derive(Default)]
struct Folder(BTreeMap<Key, Vec<u8>>);

impl Shelf for Folder {
    type Error = std::convert::Infallible;

    fn keep(&mut self, key: &Key, octets: &[u8]) -> Result<(), Self::Error> {
        self.0.insert(*key, octets.to_vec());
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> Result<(), Self::Error> {
        self.0.remove(key);
        Ok(())
    }
}

#[test]
fn a_node_that_starts_again_holds_its_records_and_believes_no_others() {
    let (mut network, all) = Network::joined(63, 20);
    let owner = network.key();
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    for n in 0..30_u8 {
        network.put(all[0], Record::sign(&owner, &[n], 1, expires, b"value").unwrap());
    }
    let (mut folder, now, wall) = (Folder::default(), network.now, network.wall());
    let before = &mut network.member(all[3]).node;
    assert_eq!(before.write_to(&mut folder), Ok(before.store().len()));
    assert!(folder.0.len() > 5, "{}", folder.0.len());
    assert_eq!(before.write_to(&mut folder), Ok(0), "nothing has changed");
    let records: Vec<_> = before.store().records().cloned().collect();

    let again = || Node::new(test_config(), SigningKey::from_seed(&[9; 32]), now, &mut ChaCha20Rng::seed_from_u64(1));
    let mut node = again();
    for octets in folder.0.values() {
        assert_eq!(node.restore_record(wall, octets), Ok(Stored::New));
        let mut damaged = octets.clone();
        damaged[octets.len() / 2] ^= 1;
        assert!(again().restore_record(wall, &damaged).is_err());
        let late = wall.saturating_add(Duration::from_secs(4000));
        assert_eq!(again().restore_record(late, octets), Err(Rejection::Expired));
    }
    assert!(node.store().records().eq(&records));
    // What was read is not written again, and what has expired leaves the folder.
    assert_eq!(node.write_to(&mut folder), Ok(0));
    let late = wall.saturating_add(Duration::from_secs(4000));
    node.handle_timeout(now.saturating_add(Duration::from_secs(4000)), late);
    assert!(node.store().is_empty());
    assert_eq!(node.write_to(&mut folder), Ok(records.len()));
    assert!(folder.0.is_empty());
}
