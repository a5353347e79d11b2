//! Records of the DHT: those that parse say the same after another reading, and none is verified that was not signed.
//!
//! The input is a record, changes to one good record, or a value: a byte that tells which (0 for changes, 2 for a
//! value), then the octets. A value is put under each of the names that mean something, and read as what the name says.

#![no_main]

use std::sync::LazyLock;

use ciborium::Value;
use iot_core::{Instant, Timestamp};
use iot_crypto::{Signature, Signer, SignerError, SigningKey, VerifyingKey};
use iot_dht::feed::{Cursor, Fetched, OwnerOnly, Reader, ReaderConfig};
use iot_dht::{Contact, Mail, Receipt, Record, RosterReader, UnverifiedRecord};
use iot_fuzz::neighbour::RECORD;
use libfuzzer_sys::fuzz_target;

/// An owner of whose signatures nobody asks whether they hold: readers are given what was verified before, and to sign ten
/// records of each value would be most of the work.
struct Owner(VerifyingKey);

static OWNER: LazyLock<Owner> = LazyLock::new(|| Owner(SigningKey::from_seed(&[3; 32]).verifying_key()));

impl Signer for Owner {
    fn verifying_key(&self) -> VerifyingKey {
        self.0
    }

    fn sign(&self, _: &[u8]) -> Result<Signature, SignerError> {
        Ok(Signature::from_bytes([0; 64]))
    }
}

/// Whatever an owner signs, its readers stand it.
fn read(value: &[u8]) {
    let (now, wall) = (Instant::START, Timestamp::from_secs(0));
    let sign = |name: &[u8]| Record::sign(&*OWNER, name, 1, Timestamp::from_secs(1_000), value).ok();
    let Some(contact) = sign(Contact::NAME) else { return };
    let _ = Contact::read(&contact, wall);
    let Some(named) = sign(b"name") else { return };
    let _ = (Mail::read(&named, b"name", 7), Receipt::read(&named, b"name"));
    let device = *named.owner();
    let mut roster = RosterReader::new(device, b"name", 0);
    let _ = roster.handle_fetched(named.key(), Some(named.clone()));
    let mut reader = Reader::new(device, b"feed", Cursor::default(), ReaderConfig::default());
    for _ in 0..8 {
        let Some(fetch) = reader.poll_fetch(now, wall) else { break };
        reader.handle_fetched(now, wall, fetch.id, Fetched { record: sign(&fetch.name), asked: 1, answered: 1 });
        let items = std::iter::from_fn(|| reader.poll_item(&OwnerOnly)).count();
        assert!(items <= 4096, "{items} items of one record");
    }
}

/// Whether there is nothing beside what the signature covers: no tag, and no unprotected header.
fn is_bare(octets: &[u8]) -> bool {
    let parts = ciborium::from_reader(octets).map(|item: Value| item.into_array());
    parts.is_ok_and(|parts| parts.is_ok_and(|parts| parts[1] == Value::Map(Vec::new())))
}

fuzz_target!(|input: &[u8]| {
    let Some((&form, input)) = input.split_first() else { return };
    if form == 2 {
        return read(input);
    }
    let mut octets = input.to_vec();
    if form == 0 {
        octets = RECORD.as_bytes().to_vec();
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
    assert!(is_bare(&octets), "verified with something that nobody signed");
    assert_eq!((record.key(), record.owner(), record.sequence()), (&key, &owner, sequence));
    if record.owner() == RECORD.owner() {
        assert_eq!(record.as_bytes(), RECORD.as_bytes(), "verified what its owner did not sign");
    }
});
