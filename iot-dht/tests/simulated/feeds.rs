use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use iot_crypto::SigningKey;
use iot_dht::feed::{
    Cursor, FetchId, Fetched, Gap, Item, Keeper, OwnerOnly, Publisher, PublisherConfig, PushError, Reader, ReaderConfig,
};
use iot_dht::wire::Role;
use iot_dht::{Event, Key, NodeConfig, OperationId, Record, SubnetLimit, TableConfig};

use crate::network::Network;

const FEED: &[u8] = b"gateway";

fn publisher_config() -> PublisherConfig {
    PublisherConfig::default().life(Duration::from_secs(3600)).renewal(Duration::from_secs(60))
}

fn reader_config() -> ReaderConfig {
    ReaderConfig::default().poll_interval(Duration::from_secs(2)).retry_delay(Duration::from_millis(500))
}

fn message(n: u32) -> Vec<u8> {
    let mut message = vec![n as u8; 200];
    message[..4].copy_from_slice(&n.to_be_bytes());
    message
}

/// Puts the whole outbox, and confirms what enough nodes store.
fn publish(network: &mut Network, at: SocketAddr, publisher: &mut Publisher) {
    let records: Vec<Record> = publisher.outbox().cloned().collect();
    for record in records {
        let done = network.put(at, record.clone());
        assert!(done.stored >= 4, "{done:?}");
        publisher.confirm(record.key(), record.sequence());
    }
}

fn push_and_seal(publisher: &mut Publisher, owner: &SigningKey, network: &Network, numbers: std::ops::Range<u32>) {
    for n in numbers {
        if publisher.push(&message(n)).is_err() {
            publisher.seal(owner, network.wall(), n.into()).unwrap();
            publisher.push(&message(n)).unwrap();
        }
    }
}

/// Lets the reader read until it has caught up, at most two virtual minutes.
fn read(network: &mut Network, at: SocketAddr, reader: &mut Reader) -> Vec<Item> {
    read_and_keep(network, at, reader, &mut Keeper::new(Duration::from_secs(1), 1))
}

/// The same, and hands the keeper everything that was fetched.
fn read_and_keep(network: &mut Network, at: SocketAddr, reader: &mut Reader, keeper: &mut Keeper) -> Vec<Item> {
    let limit = network.now.saturating_add(Duration::from_secs(120));
    let mut fetches: BTreeMap<OperationId, FetchId> = BTreeMap::new();
    let mut items = Vec::new();
    while network.now < limit {
        while let Some(fetch) = reader.poll_fetch(network.now, network.wall()) {
            fetches.insert(network.start_get(at, fetch.key, fetch.mode), fetch.id);
        }
        network.run_for(Duration::from_millis(50));
        for event in std::mem::take(&mut network.member(at).events) {
            if let Event::GetDone(done) = event {
                let id = fetches.remove(&done.operation).unwrap();
                if let Some(record) = &done.record {
                    keeper.keep(network.now, network.wall(), record.clone());
                }
                reader.handle_fetched(network.now, network.wall(), id, Fetched::from(done));
            }
        }
        items.extend(std::iter::from_fn(|| reader.poll_item(&OwnerOnly)));
        if reader.caught_up() == Some(true) && fetches.is_empty() {
            return items;
        }
    }
    panic!("not caught up: {:?}", reader.stats());
}

fn numbers(items: &[Item]) -> Vec<u32> {
    let number = |octets: &[u8]| u32::from_be_bytes(octets[..4].try_into().unwrap());
    items
        .iter()
        .filter_map(|item| if let Item::Message { octets, .. } = item { Some(number(octets)) } else { None })
        .collect()
}

#[test]
fn a_reader_follows_a_publisher_that_crashes_and_resumes_where_it_was() {
    let (mut network, all) = Network::joined(31, 64);
    network.loss_permille = 20;
    let owner = network.key();
    let (gateway, server) = (all[3], network.add(Role::Client));
    network.bootstrap(server, &all[5..7]);
    let mut publisher = Publisher::new(FEED, publisher_config());
    push_and_seal(&mut publisher, &owner, &network, 0..100);
    publisher.seal(&owner, network.wall(), 100).unwrap();
    publish(&mut network, gateway, &mut publisher);

    let mut reader = Reader::new(owner.verifying_key().device_id(), FEED, Cursor::default(), reader_config());
    let items = read(&mut network, server, &mut reader);
    assert_eq!(numbers(&items), (0..100).collect::<Vec<_>>());
    assert_eq!(items.len(), 100, "no gaps");

    // Killed after the state was stored and before anything was put: the restored outbox holds the same octets.
    push_and_seal(&mut publisher, &owner, &network, 100..150);
    publisher.seal(&owner, network.wall(), 150).unwrap();
    let state = publisher.state();
    let sealed: Vec<Record> = publisher.outbox().cloned().collect();
    drop(publisher);
    let mut publisher = Publisher::restore(&state, publisher_config()).unwrap();
    assert_eq!(publisher.outbox().cloned().collect::<Vec<_>>(), sealed);
    assert_eq!(publisher.mark(), 150);
    publish(&mut network, gateway, &mut publisher);
    push_and_seal(&mut publisher, &owner, &network, 150..152);
    publisher.seal(&owner, network.wall(), 152).unwrap();
    publish(&mut network, gateway, &mut publisher);

    // Another reader takes over at the cursor.
    let mut reader = Reader::new(owner.verifying_key().device_id(), FEED, reader.cursor(), reader_config());
    let items = read(&mut network, server, &mut reader);
    assert_eq!(numbers(&items), (100..152).collect::<Vec<_>>());
    assert_eq!(items.len(), 52, "no gaps");
    let stats = network.nodes().map(|(_, node)| node.stats().rejected_as_reader.total()).sum::<u64>();
    assert_eq!(stats, 0, "nobody lied");
}

#[test]
fn a_missing_segment_is_reported_and_reading_goes_on() {
    let (mut network, all) = Network::joined(32, 40);
    let owner = network.key();
    let mut publisher = Publisher::new(FEED, publisher_config());
    for n in 0..40 {
        publisher.push(&message(n)).unwrap();
        publisher.seal(&owner, network.wall(), 0).unwrap();
        let withheld = publisher.segment_name(7);
        let records: Vec<Record> = publisher.outbox().cloned().collect();
        for record in records {
            publisher.confirm(record.key(), record.sequence());
            // The head is put once, at the end.
            if record.name() != withheld && (n == 39 || !record.name().ends_with(b"/head")) {
                network.put(all[1], record);
            }
        }
    }
    let mut reader = Reader::new(owner.verifying_key().device_id(), FEED, Cursor::default(), reader_config());
    let items = read(&mut network, all[30], &mut reader);
    let expected: Vec<_> = (0..40).filter(|n| *n != 7).collect();
    assert_eq!(numbers(&items), expected);
    match &items[7] {
        Item::Gap(Gap::Unavailable { segment: 7, asked, answered }) => assert!(asked >= answered && *answered >= 8),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_overdue_head_and_expired_segments_are_reported() {
    let (mut network, all) = Network::joined(33, 30);
    let owner = network.key();
    let config = PublisherConfig::default().life(Duration::from_secs(100)).renewal(Duration::from_secs(10));
    let mut publisher = Publisher::new(FEED, config);
    for n in 0..4 {
        publisher.push(&message(n)).unwrap();
        publisher.seal(&owner, network.wall(), 0).unwrap();
    }
    publish(&mut network, all[1], &mut publisher);
    network.run_for(Duration::from_secs(90));
    let reader_config = reader_config().grace(Duration::from_secs(5));
    let mut reader = Reader::new(owner.verifying_key().device_id(), FEED, Cursor::default(), reader_config);
    let items = read(&mut network, all[20], &mut reader);
    assert!(matches!(items[0], Item::Gap(Gap::HeadOverdue { .. })), "{items:?}");
    assert_eq!(numbers(&items), [0, 1, 2, 3]);

    network.run_for(Duration::from_secs(20));
    publisher.push(&message(4)).unwrap();
    publisher.seal(&owner, network.wall(), 0).unwrap();
    publish(&mut network, all[1], &mut publisher);
    let mut late = Reader::new(owner.verifying_key().device_id(), FEED, Cursor::default(), reader_config);
    let items = read(&mut network, all[20], &mut late);
    assert_eq!(items[0], Item::Gap(Gap::Expired { from: 0, to: 4 }));
    assert_eq!(numbers(&items), [4]);
}

const HOUR: Duration = Duration::from_secs(3600);

/// Nodes that have little to do of their own, so that a week passes quickly.
fn quiet() -> NodeConfig {
    NodeConfig::default()
        .replicas(8)
        .table(TableConfig::default().bucket_size(8).subnets(SubnetLimit::Off))
        .liveness_interval(HOUR * 6)
        .refresh_interval(HOUR * 80)
        .replication_interval(HOUR * 60)
}

/// The target: 168 hourly messages of 240 octets of one device cost a reader who was away for a week at most 700
/// requests. `iot dht sim --scenario offline` measures the same in a larger network.
#[test]
fn a_reader_offline_for_a_week_catches_up_with_few_requests() {
    let (mut network, all) = Network::with_config(34, 24, quiet());
    let owner = network.key();
    let device = network.add(Role::Client);
    network.bootstrap(device, &all[1..3]);
    network.run_for(Duration::from_secs(10));
    let config = PublisherConfig::default().life(HOUR * 24 * 8).renewal(HOUR * 2);
    let mut publisher = Publisher::new(FEED, config);
    for n in 0..168 {
        let mut message = vec![n as u8; 240];
        message[..4].copy_from_slice(&u32::to_be_bytes(n));
        if publisher.push(&message) == Err(PushError::SegmentFull) {
            publisher.seal(&owner, network.wall(), n.into()).unwrap();
            publisher.push(&message).unwrap();
        }
        publisher.flush(&owner, network.wall(), n.into()).unwrap();
        publish(&mut network, device, &mut publisher);
        network.run_for(HOUR);
    }

    let server = network.add(Role::Client);
    network.bootstrap(server, &all[5..7]);
    network.run_for(Duration::from_secs(10));
    let joined = network.member(server).node.stats().requests;
    let config = reader_config().poll_interval(Duration::from_secs(60));
    let mut reader = Reader::new(owner.verifying_key().device_id(), FEED, Cursor::default(), config);
    let items = read(&mut network, server, &mut reader);
    assert_eq!(numbers(&items), (0..168).collect::<Vec<_>>());
    assert_eq!(items.len(), 168, "no gaps");
    let requests = network.member(server).node.stats().requests - joined;
    println!("{requests} requests, {} fetches", reader.stats().fetches);
    assert!(requests <= 700, "{requests} requests");
}

/// The device published once and went to sleep. Then every node restarts with an empty store; what a server puts again
/// from what it has read is all that is left.
#[test]
fn a_server_keeps_the_feed_of_a_sleeping_device_alive() {
    for keeps in [false, true] {
        let (mut network, all) = Network::joined(35, 30);
        let owner = network.key();
        let mut publisher = Publisher::new(FEED, publisher_config());
        push_and_seal(&mut publisher, &owner, &network, 0..20);
        publisher.seal(&owner, network.wall(), 20).unwrap();
        publish(&mut network, all[1], &mut publisher);
        let server = network.add(Role::Client);
        network.bootstrap(server, &all[5..7]);

        let mut keeper = Keeper::new(Duration::from_secs(30), 100);
        let mut reader = Reader::new(owner.verifying_key().device_id(), FEED, Cursor::default(), reader_config());
        let items = read_and_keep(&mut network, server, &mut reader, &mut keeper);
        assert_eq!(numbers(&items), (0..20).collect::<Vec<_>>());
        assert!(keeper.len() >= 6, "the head and the segments: {}", keeper.len());

        all.iter().for_each(|address| network.remove(*address));
        let restarted: Vec<_> = all.iter().map(|_| network.add(Role::Server)).collect();
        restarted.iter().chain([&server]).for_each(|address| network.bootstrap(*address, &restarted[..1]));
        network.run_for(Duration::from_secs(40));
        while let Some(record) = keeper.poll_put(network.now, network.wall()).cloned().filter(|_| keeps) {
            assert!(network.put(server, record).stored > 0);
        }
        let late = network.add(Role::Client);
        network.bootstrap(late, &restarted[..2]);
        let mut reader = Reader::new(owner.verifying_key().device_id(), FEED, Cursor::default(), reader_config());
        if keeps {
            assert_eq!(numbers(&read(&mut network, late, &mut reader)), (0..20).collect::<Vec<_>>());
        } else {
            let head = Key::of_record(&owner.verifying_key().device_id(), b"gateway/head");
            assert_eq!(network.holders(&head), 0, "without the server nothing is left");
        }
    }
}
