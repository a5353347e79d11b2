//! How records come to those who should have them, without anyone putting them again.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use iot_codec::cbor::List;
use iot_crypto::SigningKey;
use iot_dht::wire::{Body, Held, Holdings, Message, Role};
use iot_dht::{Event, GetMode, Key, Node, NodeConfig, Placement, Record};

use crate::adversaries::answer;
use crate::network::{Network, test_config};

/// A network of regions of at least so many nodes that compares nothing in the time of a test but what is new.
const REGION: u8 = 8;

fn region_config() -> NodeConfig {
    let never = Duration::from_secs(100_000);
    test_config().placement(Placement::Region { nodes: REGION }).comparison_interval(never).replication_interval(never)
}

/// So many records of one owner.
fn records(network: &Network, owner: &SigningKey, count: u8) -> Vec<Record> {
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    (0..count).map(|n| Record::sign(owner, &[n], 1, expires, b"value").unwrap()).collect()
}

fn has(node: &Node, network: &Network, record: &Record) -> bool {
    node.store().get(network.wall(), record.key()).is_some()
}

/// How many requests about what is held where, and for records, come to the nodes from now on.
fn watch(network: &mut Network, all: &[SocketAddr]) -> Rc<Cell<usize>> {
    let count = Rc::new(Cell::new(0));
    for address in all {
        let count = count.clone();
        let spy = move |message: &Message<'_>, _| {
            count.set(count.get() + usize::from(matches!(message.body, Body::Compare(_) | Body::Get(_))));
            None
        };
        network.corrupt(*address, Box::new(spy));
    }
    count
}

#[test]
fn a_newcomer_fetches_what_belongs_to_it_once_and_nothing_else() {
    let (mut network, all) = Network::with_config(71, 64, region_config());
    let owner = network.key();
    let records = records(&network, &owner, 100);
    records.iter().enumerate().for_each(|(n, record)| drop(network.put(all[n % 60], record.clone())));
    let new = network.add(Role::Server);
    network.bootstrap(new, &all[..2]);
    network.run_for(Duration::from_secs(20));
    let id = *network.member(new).node.id();
    let size = network.member(new).node.network_size();
    let bits = (size / u64::from(REGION)).ilog2() as usize;
    let due: Vec<_> = records.iter().filter(|record| id.shared_prefix(record.key()) >= bits).collect();
    assert!((5..60).contains(&due.len()), "{} of all records are in the region of the newcomer", due.len());
    let node = network.nodes().find(|(address, _)| *address == new).unwrap().1;
    assert!(due.iter().all(|record| has(node, &network, record)), "{} of {}", node.store().len(), due.len());
    let fetched = node.stats().fetched as usize;
    assert!(fetched >= due.len() && fetched == node.store().len(), "{fetched} of {}", due.len());
}

#[test]
fn neighbours_that_hold_the_same_ask_once_and_a_version_that_one_missed_is_fetched() {
    let config = region_config().comparison_interval(Duration::from_secs(10));
    let (mut network, all) = Network::with_config(72, 64, config);
    let owner = network.key();
    let records = records(&network, &owner, 60);
    records.iter().enumerate().for_each(|(n, record)| drop(network.put(all[n % 60], record.clone())));
    network.run_for(Duration::from_secs(60));
    let before: u64 = network.nodes().map(|(_, node)| node.stats().fetched).sum();
    let asked = watch(&mut network, &all);
    network.run_for(Duration::from_secs(100));
    let after: u64 = network.nodes().map(|(_, node)| node.stats().fetched).sum();
    assert_eq!(after, before, "all have what belongs to them");
    // Those who draw the borders of their region otherwise than their neighbour must look closer.
    let expected = all.len() * 100 / 10;
    assert!((expected / 2..expected * 4).contains(&asked.get()), "{} questions, not {expected}", asked.get());

    // One of the holders has not heard of the next version.
    let key = *records[0].key();
    let closest = network.truly_closest(&key, 1)[0];
    let deaf = network.nodes().find(|(_, node)| *node.id() == closest).unwrap().0;
    network.corrupt(deaf, Box::new(|message, _| matches!(message.body, Body::Put(_)).then(Vec::new)));
    let fetched = network.member(deaf).node.stats().fetched;
    let expires = network.wall().saturating_add(Duration::from_secs(3600));
    let next = Record::sign(&owner, &[0], 2, expires, b"next").unwrap();
    network.put(all[7], next);
    network.run_for(Duration::from_secs(60));
    let wall = network.wall();
    let node = &network.member(deaf).node;
    assert_eq!(node.store().get(wall, &key).map(Record::sequence), Some(2));
    assert_eq!(node.stats().fetched, fetched + 1);
}

/// Who is closest changes from key to key where records lie on the closest nodes.
#[test]
fn a_newcomer_receives_what_it_is_now_closest_to() {
    let (mut network, all) =
        Network::with_config(17, 40, test_config().replication_interval(Duration::from_secs(3000)));
    let owner = network.key();
    let records = records(&network, &owner, 40);
    records.iter().for_each(|record| drop(network.put(all[3], record.clone())));
    let new = network.add(Role::Server);
    network.bootstrap(new, &all[..2]);
    network.run_for(Duration::from_secs(20));
    let id = *network.member(new).node.id();
    let due: Vec<_> = records.iter().filter(|record| network.truly_closest(record.key(), 4).contains(&id)).collect();
    assert!(due.len() >= 2, "the seed gives the newcomer something to receive");
    let node = network.nodes().find(|(address, _)| *address == new).unwrap().1;
    assert!(due.iter().all(|record| has(node, &network, record)), "{} of {}", node.store().len(), due.len());
}

/// A server that keeps the records of a device which sleeps: at first nobody has them, later everybody who should.
#[test]
fn who_keeps_records_puts_what_the_network_lacks_and_sees_with_few_requests_that_it_lacks_nothing() {
    let (mut network, all) = Network::with_config(73, 64, region_config());
    network.config = network.config.replication_interval(Duration::from_secs(60));
    let [keeper, idle] = [(); 2].map(|()| {
        let client = network.add(Role::Client);
        network.bootstrap(client, &all[..2]);
        network.wait(client, |event| matches!(event, Event::Bootstrapped { .. }).then_some(()));
        client
    });
    let owner = network.key();
    let records = records(&network, &owner, 40);
    let wall = network.wall();
    for record in &records {
        network.member(keeper).node.keep(wall, record.clone()).unwrap();
    }
    network.run_for(Duration::from_secs(100));
    for record in &records {
        // Some regions have fewer nodes than others; the keeper holds it, too.
        assert!(network.holders(record.key()) > 4, "{}", network.holders(record.key()));
    }
    assert_eq!(network.get(all[9], *records[0].key(), GetMode::Newest).record.as_ref(), Some(&records[0]));

    let requests = |network: &mut Network| {
        let [keeper, idle] = [keeper, idle].map(|client| network.member(client).node.stats().requests);
        keeper as f64 - idle as f64
    };
    let before = requests(&mut network);
    network.run_for(Duration::from_secs(600));
    let each = (requests(&mut network) - before) / 10.0 / records.len() as f64;
    // A put takes about forty, whatever the others of its region take.
    assert!((0.1..6.0).contains(&each), "{each} requests a record and interval");

    // One region loses a record; only its keeper has it.
    let lost = &records[5];
    let holders: Vec<_> =
        network.nodes().filter(|(_, node)| has(node, &network, lost)).map(|(address, _)| address).collect();
    for address in holders.into_iter().filter(|address| *address != keeper) {
        network.remove(address);
    }
    assert_eq!(network.holders(lost.key()), 1);
    network.run_for(Duration::from_secs(180));
    assert!(network.holders(lost.key()) > 4, "{}", network.holders(lost.key()));
}

/// Neighbours that name records which nobody has, or parts of parts without end.
#[test]
fn who_lies_about_what_it_holds_costs_little() {
    let requests_of_a_newcomer = |lie: fn(&[u8; 32]) -> Holdings<'static>| {
        let (mut network, all) = Network::with_config(74, 64, region_config());
        for address in &all {
            let lie = move |question: &Message<'_>, me| {
                let Body::Compare(compare) = question.body else { return None };
                Some(answer(question, me, Body::Holdings(lie(compare.point.as_bytes()))))
            };
            network.corrupt(*address, Box::new(lie));
        }
        let new = network.add(Role::Server);
        network.bootstrap(new, &all[..2]);
        network.run_for(Duration::from_secs(150));
        let stats = network.member(new).node.stats();
        assert_eq!((stats.fetched, stats.records), (0, 0));
        stats.requests
    };
    let honest = requests_of_a_newcomer(|_| Holdings::default());
    let invented = requests_of_a_newcomer(|point| {
        let held = |n: u8| {
            let mut octets = [n; 32];
            octets[..8].copy_from_slice(&point[..8]);
            Held { key: Key::from_bytes(octets), sequence: u64::MAX }
        };
        Holdings { records: Some(List((0..24).map(held).collect())), digests: None }
    });
    let endless = requests_of_a_newcomer(|_| Holdings { records: None, digests: Some(&[9; 1024]) });
    // Six comparisons, of which each ends with the answers to one step, or with the last part that one node is asked about.
    assert!((honest + 6..honest + 200).contains(&invented), "{invented} requests, not {honest}");
    assert!((honest + 6000..honest + 6400).contains(&endless), "{endless} requests, not {honest}");
}
