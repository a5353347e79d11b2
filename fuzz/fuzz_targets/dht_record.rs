//! Records of the DHT: those that parse say the same after another reading, and none is verified that was not signed.
//!
//! The input is a record, or changes to one good record: a byte that tells which (0 for changes), then the octets.

#![no_main]

use std::sync::LazyLock;

use iot_core::Timestamp;
use iot_crypto::SigningKey;
use iot_dht::{Record, UnverifiedRecord};
use libfuzzer_sys::fuzz_target;

static SIGNED: LazyLock<Record> = LazyLock::new(|| {
    let owner = SigningKey::from_seed(&[3; 32]);
    Record::sign(&owner, b"feed/head", 7, Timestamp::from_secs(1_000), b"what the owner says").expect("within limits")
});

fuzz_target!(|input: &[u8]| {
    let Some((&form, input)) = input.split_first() else { return };
    let mut octets = input.to_vec();
    if form == 0 {
        octets = SIGNED.as_bytes().to_vec();
        for change in input.chunks_exact(3) {
            let offset = usize::from(u16::from_le_bytes([change[0], change[1]])) % octets.len();
            octets[offset] ^= change[2];
        }
    }
    let Ok(unverified) = UnverifiedRecord::parse(&octets) else { return };
    assert!(octets.len() <= Record::MAX_LEN);
    let (key, owner, sequence) = (*unverified.key(), *unverified.owner(), unverified.sequence());
    let Ok(record) = unverified.verify(Timestamp::from_secs(0)) else { return };
    assert_eq!(record.as_bytes(), octets);
    assert_eq!((record.key(), record.owner(), record.sequence()), (&key, &owner, sequence));
    if record.owner() == SIGNED.owner() {
        assert_eq!(record.as_bytes(), SIGNED.as_bytes(), "verified what its owner did not sign");
    }
});
