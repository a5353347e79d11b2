//! Datagrams of the DHT: what decodes encodes to the same bytes, or to fewer when unknown keys were skipped. Those of
//! subscriptions are answered by at most one, which is no longer.

#![no_main]

use iot_core::{Instant, Timestamp};
use iot_dht::subscription::{Leases, LeasesConfig, Subscription, SubscriptionConfig, is_subscription};
use iot_dht::wire::{MAX_DATAGRAM_LEN, Message};
use iot_dht::{Key, NodeId, Peer};
use libfuzzer_sys::fuzz_target;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// A stranger sends this to a node that gives leases, and to a reader that asked for one.
fn send(input: &[u8]) {
    let (now, mut buffer) = (Instant::START, [0; MAX_DATAGRAM_LEN]);
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let from = ([10, 0, 0, 1], 4000).into();
    let mut leases = Leases::new(LeasesConfig::default(), &mut rng);
    leases.handle_datagram(now, from, input);
    if let Some(transmit) = leases.poll_transmit(&mut buffer) {
        assert!(transmit.to == from && transmit.len <= input.len(), "{} octets for {}", transmit.len, input.len());
    }
    assert!(leases.poll_transmit(&mut buffer).is_none() && leases.is_empty());
    let key = Key::from_bytes([1; 32]);
    let mut subscription = Subscription::new(key, None, SubscriptionConfig::default(), &mut rng);
    subscription.handle_found(now, &[Peer { id: NodeId::from_bytes([1; 32]), address: from }]);
    subscription.handle_datagram(now, Timestamp::from_secs(0), from, input);
    assert!(subscription.poll_change().is_none());
}

fuzz_target!(|input: &[u8]| {
    if is_subscription(input) {
        send(input);
    }
    let Ok(message) = Message::decode(input) else { return };
    assert!(input.len() <= MAX_DATAGRAM_LEN, "longer than a datagram may be");
    let encoded = message.encode();
    assert!(encoded.len() < input.len() || encoded == input, "{message:?} has a second encoding");
    assert_eq!(Message::decode(&encoded).as_ref(), Ok(&message));
});
