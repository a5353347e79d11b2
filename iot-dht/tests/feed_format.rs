//! The vectors of feeds and of what is built like them, in `docs/formats/dht.md`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use iot_core::{DeviceId, Incarnation, Instant, StreamId, Timestamp, Topic};
use iot_crypto::SigningKey;
use iot_dht::feed::{Numbers, Publisher, PublisherConfig};
use iot_dht::subscription::{Leases, LeasesConfig, Subscription, SubscriptionConfig};
use iot_dht::wire::MAX_DATAGRAM_LEN;
use iot_dht::{Contact, Id, Mail, Mailbox, NameKey, Peer, Publication, Receipt, Record, Roster, Store, StoreConfig};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const HOUR: Duration = Duration::from_secs(3600);

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// What the library writes for each vector that the text describes.
fn written() -> BTreeMap<&'static str, Vec<u8>> {
    let owner = SigningKey::from_seed(&[7; 32]);
    let other = DeviceId::from_bytes([5; 32]);
    let expires = NOW.saturating_add(HOUR);
    let mut vectors = BTreeMap::new();

    let mut publisher = Publisher::new(b"feed", PublisherConfig::default().life(HOUR).renewal(Duration::from_secs(60)));
    publisher.push(b"one").unwrap();
    publisher.flush(&owner, NOW, 0).unwrap();
    let values: Vec<_> = publisher.outbox().map(|record| record.value().to_vec()).collect();
    vectors.extend(["open-segment", "open-head"].into_iter().zip(values));
    let (stream, incarnation) = (StreamId::new(1), Incarnation::from_bytes([2; 8]));
    publisher.push_dropped(Numbers { source: other, stream, incarnation, start: 7, end: 9 }).unwrap();
    publisher.seal(&owner, NOW, 0).unwrap();
    vectors.insert("closed-segment", publisher.outbox().next().unwrap().value().to_vec());

    let peers = [("10.0.0.1:4000", 0), ("[2001:db8::1]:4001", 1)]
        .map(|(address, id)| Peer { id: Id::from_bytes([id; 32]), address: address.parse().unwrap() });
    let contact = Contact::sign(&owner, 1, NOW, HOUR, &peers).unwrap();
    vectors.insert("contact", contact.value().to_vec());

    let name = Roster::name(&Topic::new("plant/7").unwrap());
    let publications = [Publication::new(other, b"a"), Publication::new(DeviceId::from_bytes([6; 32]), b"b")];
    let roster = Roster::sign(&owner, &name, 1, expires, &publications).unwrap();
    vectors.insert("roster-name", name.to_vec());
    vectors.insert("roster", roster[0].value().to_vec());

    let mut mailbox = Mailbox::new(&Mailbox::name(&other));
    for number in 0..4 {
        assert_eq!(mailbox.post(b"gone"), Ok(number));
    }
    mailbox.confirm(4);
    assert_eq!(mailbox.post(b"one"), Ok(4));
    let mail = mailbox.sign(&owner, expires).unwrap();
    assert_eq!(Mail::read(&mail, &Mailbox::name(&other), 4).unwrap().messages().count(), 1);
    vectors.insert("mail", mail.value().to_vec());
    vectors.insert("receipt", Receipt::sign(&owner, &Receipt::name(&other), 5, expires).unwrap().value().to_vec());
    vectors.insert("hidden-name", NameKey::new(&[9; 32]).hide(b"feed").to_vec());
    vectors
}

/// The datagrams of a subscriber and a node, from the first question to the last answer.
fn exchanged() -> BTreeMap<&'static str, Vec<u8>> {
    let owner = SigningKey::from_seed(&[7; 32]);
    let record = Record::sign(&owner, b"name", 5, NOW.saturating_add(HOUR), b"the value").unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let mut store = Store::new(Id::from_bytes([1; 32]), StoreConfig::default());
    let mut leases = Leases::new(LeasesConfig::default(), &mut rng);
    let mut subscription = Subscription::new(*record.key(), None, SubscriptionConfig::default(), &mut rng);
    store.put(NOW, record).unwrap();

    let now = Instant::START;
    let (node, reader) = ("10.0.0.1:4000".parse().unwrap(), "10.0.0.2:4000".parse().unwrap());
    subscription.handle_found(now, &[Peer { id: Id::from_bytes([1; 32]), address: node }]);
    let mut vectors = BTreeMap::new();
    let mut buffer = [0; MAX_DATAGRAM_LEN];
    for names in [["subscribe", "challenge"], ["subscribe-again", "granted"], ["seen", "changed"]] {
        if names[1] == "changed" {
            leases.handle_timeout(now, NOW, &store);
            let transmit = leases.poll_transmit(&mut buffer).unwrap();
            vectors.insert(names[1], buffer[..transmit.len].to_vec());
            subscription.handle_datagram(now, NOW, node, &vectors[names[1]]);
        }
        let transmit = subscription.poll_transmit(&mut buffer).unwrap();
        vectors.insert(names[0], buffer[..transmit.len].to_vec());
        leases.handle_datagram(now, reader, &vectors[names[0]]);
        if let Some(transmit) = leases.poll_transmit(&mut buffer) {
            vectors.insert(names[1], buffer[..transmit.len].to_vec());
            subscription.handle_datagram(now, NOW, node, &vectors[names[1]]);
        }
    }
    assert_eq!(subscription.poll_change().unwrap().sequence(), 5);
    assert_eq!((leases.len(), vectors.len()), (1, 6));
    vectors
}

#[test]
fn the_published_vectors_are_what_the_library_writes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats/dht.md");
    let text = std::fs::read_to_string(path).unwrap();
    let block = text.split("```feed-vectors\n").nth(1).unwrap().split("```").next().unwrap();
    let written = written().into_iter().chain(exchanged());
    let written: Vec<_> = written.map(|(name, octets)| format!("{name}: {}", hex(&octets))).collect();
    assert_eq!(block.lines().collect::<Vec<_>>(), written);
}
