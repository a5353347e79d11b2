//! Devices that rotate their signing keys, and thieves who rotate first.

#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_core::{DeviceId, Timestamp};
use iot_crypto::{
    AgreementSecret, BundleDraft, BundleError, Commitment, CoseKey, FollowError, KeyBundle, KnownDevice,
    RestoreKnownDeviceError, SignatureError, SigningKey, Succession, Thumbprint,
};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const EXPIRES: Timestamp = Timestamp::from_secs(1_800_000_000);

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn thumbprint(number: u8) -> Thumbprint {
    key(number).verifying_key().thumbprint()
}

fn device() -> DeviceId {
    thumbprint(1).device_id()
}

/// The chain through these keys, the last of which is committed to and not yet in use.
fn chain(keys: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; Succession::BUFFER_LEN];
    let next = key(keys[1]).verifying_key();
    let mut len = Succession::begin_into(&key(keys[0]), &next, &thumbprint(keys[2]), &mut buffer).unwrap();
    for step in keys.windows(3).skip(1) {
        let octets = buffer[..len].to_vec();
        let succession = Succession::verify(&octets, &thumbprint(keys[0]).device_id()).unwrap();
        let next = key(step[1]).verifying_key();
        len = succession.extend_into(&key(step[0]), &next, &thumbprint(step[2]), &mut buffer).unwrap();
    }
    buffer.truncate(len);
    buffer
}

fn draft(sequence: u64) -> Vec<u8> {
    bundle(1, 2, sequence)
}

/// A bundle signed by one key that commits to another.
fn bundle(signer: u8, next: u8, sequence: u64) -> Vec<u8> {
    let agreement = AgreementSecret::from_bytes(&[0x44; 32]);
    let draft = BundleDraft::new(agreement.public(), sequence, EXPIRES).committing_to(&thumbprint(next));
    draft.issue(&key(signer)).unwrap()
}

fn without_commitment(signer: u8, sequence: u64) -> Vec<u8> {
    let agreement = AgreementSecret::from_bytes(&[0x44; 32]);
    KeyBundle::issue(&key(signer), agreement.public(), sequence, EXPIRES).unwrap()
}

fn first(octets: &[u8]) -> KeyBundle {
    KeyBundle::verify(octets, &device(), NOW).unwrap()
}

fn rotated(octets: &[u8], chain: &[u8]) -> Result<KeyBundle, BundleError> {
    KeyBundle::verify_with(octets, &Succession::verify(chain, &device()).unwrap(), NOW)
}

fn known() -> KnownDevice {
    KnownDevice::meet(&first(&draft(1)))
}

fn follow(known: &mut KnownDevice, chain: &[u8]) -> Result<(), FollowError> {
    known.follow(&Succession::verify(chain, &device()).unwrap())
}

#[test]
fn a_verifier_follows_every_rotation_and_keeps_the_identity() {
    let mut known = known();
    for rotations in 1..=4_u8 {
        let keys: Vec<u8> = (1..=rotations + 2).collect();
        follow(&mut known, &chain(&keys)).unwrap();
        assert_eq!(known.commitment(), Commitment::Announced(thumbprint(rotations + 2)));
        let bundle = rotated(&bundle(rotations + 1, rotations + 2, 1), &chain(&keys)).unwrap();
        known.accept(&bundle).unwrap();
        assert_eq!(known.commitment(), Commitment::Confirmed(thumbprint(rotations + 2)));
        assert_eq!((known.device(), known.rotations()), (device(), usize::from(rotations)));
        assert_eq!(known.key(), &key(rotations + 1).verifying_key());
        assert_eq!((bundle.device(), bundle.rotations()), (device(), usize::from(rotations)));
    }
}

#[test]
fn a_verifier_that_slept_follows_several_rotations_at_once() {
    let mut known = known();
    follow(&mut known, &chain(&[1, 2, 3, 4, 5])).unwrap();
    assert_eq!((known.key(), known.rotations()), (&key(4).verifying_key(), 3));
    let stranger = KnownDevice::meet(&rotated(&bundle(4, 5, 1), &chain(&[1, 2, 3, 4, 5])).unwrap());
    assert_eq!((stranger.key(), stranger.device()), (known.key(), device()));
}

/// The thief has the first key, and nobody has rotated yet.
#[test]
fn a_thief_of_the_first_key_cannot_rotate_for_who_saw_its_commitment() {
    let thief = chain(&[1, 66, 67]);
    let mut informed = known();
    assert_eq!(follow(&mut informed, &thief), Err(FollowError::Fork { rotations: 1 }));
    let other = first(&bundle(1, 66, 2));
    assert_eq!(informed.accept(&other), Err(FollowError::OtherCommitment));
    assert_eq!(informed, known(), "what is refused changes nothing");
    // The device's own rotation is followed as if nothing had happened.
    assert_eq!(follow(&mut informed, &chain(&[1, 2, 3])), Ok(()));
    // Who never saw the commitment cannot tell the two apart. The documentation says so.
    let mut uninformed = KnownDevice::meet(&first(&without_commitment(1, 1)));
    assert_eq!(uninformed.commitment(), Commitment::Unknown);
    assert_eq!(follow(&mut uninformed, &thief), Ok(()));
}

#[test]
fn a_fork_after_a_rotation_is_refused() {
    let mut known = known();
    follow(&mut known, &chain(&[1, 2, 3])).unwrap();
    assert_eq!(follow(&mut known, &chain(&[1, 66, 67])), Err(FollowError::Fork { rotations: 1 }));
    assert_eq!(follow(&mut known, &chain(&[1, 66, 67, 68])), Err(FollowError::Fork { rotations: 1 }));
    assert_eq!(known.key(), &key(2).verifying_key());
}

/// The thief has the retired first key, knows the second by now, and signs another commitment for it.
#[test]
fn a_thief_of_a_retired_key_cannot_change_what_the_next_key_confirmed() {
    let poison = chain(&[1, 2, 66]);
    let mut early = known();
    follow(&mut early, &chain(&[1, 2, 3])).unwrap();
    early.accept(&rotated(&bundle(2, 3, 1), &chain(&[1, 2, 3])).unwrap()).unwrap();
    assert_eq!(follow(&mut early, &poison), Err(FollowError::OtherCommitment));

    // Who met the poison first refuses the device's bundle beside it, and the true chain heals.
    let mut poisoned = known();
    follow(&mut poisoned, &poison).unwrap();
    assert_eq!(rotated(&bundle(2, 3, 1), &poison), Err(BundleError::OtherCommitment));
    let good = rotated(&bundle(2, 3, 1), &chain(&[1, 2, 3])).unwrap();
    assert_eq!(poisoned.accept(&good), Err(FollowError::OtherCommitment));
    follow(&mut poisoned, &chain(&[1, 2, 3])).unwrap();
    poisoned.accept(&good).unwrap();
    assert_eq!(poisoned, early);

    // So does a longer chain, even without a bundle between.
    let mut poisoned = known();
    follow(&mut poisoned, &poison).unwrap();
    follow(&mut poisoned, &chain(&[1, 2, 3, 4])).unwrap();
    assert_eq!(poisoned.key(), &key(3).verifying_key());
}

#[test]
fn old_copies_teach_nothing() {
    let mut known = known();
    follow(&mut known, &chain(&[1, 2, 3, 4])).unwrap();
    known.accept(&rotated(&bundle(3, 4, 7), &chain(&[1, 2, 3, 4])).unwrap()).unwrap();
    let before = known;
    assert_eq!(follow(&mut known, &chain(&[1, 2, 3])), Err(FollowError::Behind { found: 1, known: 2 }));
    assert_eq!(known.accept(&first(&draft(100))), Err(FollowError::Behind { found: 0, known: 2 }));
    let older = rotated(&bundle(3, 4, 6), &chain(&[1, 2, 3, 4])).unwrap();
    assert_eq!(known.accept(&older), Err(FollowError::OlderBundle { found: 6, known: 7 }));
    assert_eq!(known, before);
}

/// The thief of the first key numbers a bundle as high as it goes. The next key counts anew.
#[test]
fn a_thief_cannot_use_up_the_numbers_of_bundles() {
    let mut known = known();
    known.accept(&first(&draft(u64::MAX))).unwrap();
    follow(&mut known, &chain(&[1, 2, 3])).unwrap();
    assert_eq!(known.accept(&rotated(&bundle(2, 3, 1), &chain(&[1, 2, 3])).unwrap()), Ok(()));
}

#[test]
fn a_bundle_of_a_later_key_waits_for_the_succession() {
    let later = rotated(&bundle(2, 3, 1), &chain(&[1, 2, 3])).unwrap();
    assert_eq!(known().accept(&later), Err(FollowError::Ahead { found: 1, known: 0 }));
    let other = KeyBundle::verify(&bundle(9, 2, 1), &thumbprint(9).device_id(), NOW).unwrap();
    assert_eq!(known().accept(&other), Err(FollowError::OtherDevice { found: thumbprint(9).device_id() }));
    let of_another = chain(&[9, 2, 3]);
    let of_another = Succession::verify(&of_another, &thumbprint(9).device_id()).unwrap();
    assert_eq!(known().follow(&of_another), Err(FollowError::OtherDevice { found: thumbprint(9).device_id() }));
}

#[test]
fn a_bundle_without_a_commitment_takes_none_away() {
    let mut known = known();
    known.accept(&first(&without_commitment(1, 2))).unwrap();
    assert_eq!(known.commitment(), Commitment::Confirmed(thumbprint(2)));
}

#[test]
fn a_bundle_must_be_signed_by_the_current_key() {
    assert_eq!(rotated(&draft(1), &chain(&[1, 2, 3])), Err(BundleError::NotCurrent));
    let refused = KeyBundle::verify(&bundle(2, 3, 1), &device(), NOW);
    assert_eq!(refused, Err(BundleError::OtherDevice { found: thumbprint(2).device_id() }));
    let octets = bundle(2, 3, 1);
    for bit in 0..octets.len() * 8 {
        let mut altered = octets.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(rotated(&altered, &chain(&[1, 2, 3])).is_err(), "bit {bit}");
    }
    let mut altered = octets;
    *altered.last_mut().unwrap() ^= 1;
    assert_eq!(rotated(&altered, &chain(&[1, 2, 3])), Err(BundleError::Signature(SignatureError)));
}

#[test]
fn what_is_known_is_stored_and_restored() {
    let mut states = vec![known(), KnownDevice::meet(&first(&without_commitment(1, u64::MAX)))];
    let mut announced = known();
    follow(&mut announced, &chain(&[1, 2, 3, 4, 5, 6])).unwrap();
    states.push(announced);
    for state in states {
        let mut buffer = [0; KnownDevice::MAX_LEN];
        let len = state.encode(&mut buffer).unwrap();
        assert_eq!(KnownDevice::decode(&buffer[..len]), Ok(state));
        for end in 0..len {
            assert!(KnownDevice::decode(&buffer[..end]).is_err(), "truncated to {end}");
            assert!(state.encode(&mut [0; KnownDevice::MAX_LEN][..end]).is_err());
        }
    }
    let mut buffer = [0; KnownDevice::MAX_LEN];
    let len = known().encode(&mut buffer).unwrap();
    // The device's octets begin behind the heads of the map, the key and the string.
    buffer[4] ^= 1;
    assert_eq!(KnownDevice::decode(&buffer[..len]), Err(RestoreKnownDeviceError::Contradiction));
}

/// Of `tests/vectors/succession.txt`, which python wrote from `docs/formats/keys.md`.
fn field(name: &str) -> Vec<u8> {
    let text = include_str!("vectors/succession.txt");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
    (0..line.len()).step_by(2).map(|i| u8::from_str_radix(&line[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn the_vector_is_read_and_written_to_the_octet() {
    assert_eq!(field("device"), device().as_bytes());
    for rotations in 1..=4_u8 {
        let keys: Vec<u8> = (1..=rotations + 2).collect();
        let octets = field(&format!("succession {rotations}"));
        assert_eq!(chain(&keys), octets);
        let succession = Succession::verify(&octets, &device()).unwrap();
        assert_eq!(succession.current_key(), &key(rotations + 1).verifying_key());
    }
    let agreement: [u8; 32] = field("agreement key").try_into().unwrap();
    let agreement = iot_crypto::AgreementKey::from_bytes(&agreement).unwrap();
    let draft = |next: u8| BundleDraft::new(&agreement, 1, EXPIRES).committing_to(&thumbprint(next));
    assert_eq!(draft(2).issue(&key(1)).unwrap(), field("first bundle"));
    assert_eq!(draft(6).issue(&key(5)).unwrap(), field("last bundle"));
    assert!(rotated(&field("last bundle"), &field("succession 4")).is_ok());
    assert_eq!(first(&field("first bundle")).commitment(), Some(thumbprint(2)));
}

#[cfg(feature = "es256")]
#[test]
fn a_key_on_p256_takes_its_turn() {
    let p256 = iot_crypto::P256SigningKey::from_bytes(&[7; 32]).unwrap();
    let mut buffer = vec![0; Succession::BUFFER_LEN];
    let len = Succession::begin_into(&key(1), &p256.verifying_key(), &thumbprint(3), &mut buffer).unwrap();
    let octets = buffer[..len].to_vec();
    let succession = Succession::verify(&octets, &device()).unwrap();
    let len = succession.extend_into(&p256, &key(3).verifying_key(), &thumbprint(4), &mut buffer).unwrap();
    let octets = buffer[..len].to_vec();
    let succession = Succession::verify(&octets, &device()).unwrap();
    assert_eq!((succession.rotations(), *succession.current_key()), (2, key(3).verifying_key()));
    let draft = BundleDraft::new(AgreementSecret::from_bytes(&[1; 32]).public(), 1, EXPIRES).issue(&p256).unwrap();
    let bundle = KeyBundle::verify(&draft, &p256.verifying_key().device_id(), NOW).unwrap();
    assert_eq!(bundle.verifying_key(), &p256.verifying_key());
}

#[test]
fn key_objects_are_written_to_the_octet() {
    let (signing, agreement) = (key(7), AgreementSecret::from_bytes(&[7; 32]));
    let mut buffer = [0; CoseKey::MAX_LEN];
    assert_eq!(signing.verifying_key().to_cose_key(), field("Ed25519 key"));
    let len = signing.write_secret_cose_key(&mut buffer).unwrap();
    assert_eq!(buffer[..len], field("Ed25519 secret key"));
    assert_eq!(agreement.public().to_cose_key(), field("X25519 key"));
    let len = agreement.write_secret_cose_key(&mut buffer).unwrap();
    assert_eq!(buffer[..len], field("X25519 secret key"));
    #[cfg(feature = "es256")]
    {
        let signing = iot_crypto::P256SigningKey::from_bytes(&[7; 32]).unwrap();
        assert_eq!(iot_crypto::Signer::verifying_key(&signing).to_cose_key(), field("P-256 key"));
        let len = signing.write_secret_cose_key(&mut buffer).unwrap();
        assert_eq!(buffer[..len], field("P-256 secret key"));
    }
}
