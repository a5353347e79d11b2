//! A key that signs two bundles with one number.

#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_core::Timestamp;
use iot_crypto::{AgreementSecret, BundleDraft, FollowError, KeyBundle, KnownDevice, SigningKey, Succession};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const LATER: Timestamp = Timestamp::from_secs(1_800_000_000);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// By the device's first key; to agree with the key that follows from a number.
fn bundle(agreement: u8, sequence: u64, expires: Timestamp) -> KeyBundle {
    let agreement = AgreementSecret::from_bytes(&[agreement; 32]);
    let octets = KeyBundle::issue(&key(1), agreement.public(), sequence, expires).unwrap();
    KeyBundle::verify(&octets, &key(1).verifying_key().device_id(), NOW).unwrap()
}

#[test]
fn another_bundle_of_the_same_number_is_refused_and_changes_nothing() {
    let mut known = KnownDevice::meet(&bundle(10, 7, LATER));
    let before = known;
    let refused = Err(FollowError::Equivocation { sequence: 7 });
    assert_eq!(known.accept(&bundle(11, 7, LATER)), refused, "another key to seal to");
    let shorter = Timestamp::from_secs(LATER.as_secs() - 1);
    assert_eq!(known.accept(&bundle(10, 7, shorter)), refused, "another expiry");
    assert_eq!(known, before);
    known.accept(&bundle(11, 8, LATER)).unwrap();
    assert_eq!(known.accept(&bundle(10, 8, LATER)), Err(FollowError::Equivocation { sequence: 8 }));
    let older = FollowError::OlderBundle { found: 7, known: 8 };
    assert_eq!(known.accept(&bundle(10, 7, LATER)), Err(older));
}

#[test]
fn the_same_bundle_may_come_again() {
    let mut known = KnownDevice::meet(&bundle(10, 7, LATER));
    known.accept(&bundle(10, 7, LATER)).unwrap();
    known.accept(&bundle(10, 8, LATER)).unwrap();
    known.accept(&bundle(10, 8, LATER)).unwrap();
}

#[test]
fn what_a_bundle_commits_to_is_part_of_what_it_says() {
    let agreement = AgreementSecret::from_bytes(&[10; 32]);
    let next = key(2).verifying_key().thumbprint();
    let octets = BundleDraft::new(agreement.public(), 7, LATER).committing_to(&next).issue(&key(1)).unwrap();
    let committing = KeyBundle::verify(&octets, &key(1).verifying_key().device_id(), NOW).unwrap();
    let mut known = KnownDevice::meet(&bundle(10, 7, LATER));
    assert_eq!(known.accept(&committing), Err(FollowError::Equivocation { sequence: 7 }));
}

#[test]
fn it_is_noticed_after_a_restart() {
    let known = KnownDevice::meet(&bundle(10, 7, LATER));
    let mut stored = [0; KnownDevice::MAX_LEN];
    let len = known.encode(&mut stored).unwrap();
    let mut restored = KnownDevice::decode(&stored[..len]).unwrap();
    assert_eq!(restored, known);
    assert_eq!(restored.accept(&bundle(11, 7, LATER)), Err(FollowError::Equivocation { sequence: 7 }));
}

/// The next key numbers its bundles anew, so its first one is compared with none.
#[test]
fn a_rotation_begins_anew() {
    let (first, second) = (key(1), key(2));
    let later = key(3).verifying_key().thumbprint();
    let mut chain = [0; Succession::BUFFER_LEN];
    let len = Succession::begin_into(&first, &second.verifying_key(), &later, &mut chain).unwrap();
    let succession = Succession::verify(&chain[..len], &first.verifying_key().device_id()).unwrap();
    let mut known = KnownDevice::meet(&bundle(10, 0, LATER));
    known.follow(&succession).unwrap();
    let issue = |agreement: u8| {
        let agreement = AgreementSecret::from_bytes(&[agreement; 32]);
        let octets = KeyBundle::issue(&second, agreement.public(), 0, LATER).unwrap();
        KeyBundle::verify_with(&octets, &succession, NOW).unwrap()
    };
    known.accept(&issue(11)).unwrap();
    assert_eq!(known.accept(&issue(12)), Err(FollowError::Equivocation { sequence: 0 }));
}
