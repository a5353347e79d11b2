//! With the check of commitments switched off, a thief rotates first: the tests of successions would notice.

#![cfg(iot_fault)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_core::Timestamp;
use iot_crypto::fault::{Check, switch_off};
use iot_crypto::{AgreementSecret, BundleDraft, KeyBundle, KnownDevice, SigningKey, Succession};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

#[test]
fn a_thief_rotates_first_when_nobody_checks_the_commitment() {
    let [first, next, thief, last] = [1, 2, 66, 67].map(|seed| SigningKey::from_seed(&[seed; 32]));
    let device = first.verifying_key().device_id();
    let agreement = AgreementSecret::from_bytes(&[3; 32]);
    let draft = BundleDraft::new(agreement.public(), 1, Timestamp::from_secs(1_800_000_000));
    let mut octets = [0; KeyBundle::BUFFER_LEN];
    let draft = draft.committing_to(&next.verifying_key().thumbprint());
    let len = draft.issue_into(&first, &mut octets).unwrap();
    let mut known = KnownDevice::meet(&KeyBundle::verify(&octets[..len], &device, NOW).unwrap());

    let mut octets = [0; Succession::BUFFER_LEN];
    let commitment = last.verifying_key().thumbprint();
    let len = Succession::begin_into(&first, &thief.verifying_key(), &commitment, &mut octets).unwrap();
    let stolen = Succession::verify(&octets[..len], &device).unwrap();
    assert!(known.follow(&stolen).is_err());
    switch_off(Check::Commitment);
    assert!(known.follow(&stolen).is_ok());
    assert_eq!(known.key(), &thief.verifying_key());
}
