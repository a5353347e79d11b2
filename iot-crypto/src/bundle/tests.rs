use super::*;
use crate::{AgreementSecret, SigningKey};

const EXPIRES: Timestamp = Timestamp::from_secs(1_800_000_000);
const BEFORE: Timestamp = Timestamp::from_micros(1_799_999_999_999_999);

fn signer() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn issue(buffer: &mut [u8]) -> usize {
    let secret = AgreementSecret::from_bytes(&[2; 32]);
    KeyBundle::issue_into(&signer(), secret.public(), 7, EXPIRES, buffer).unwrap()
}

#[test]
fn gives_back_what_was_issued() {
    let mut buffer = [0; KeyBundle::BUFFER_LEN];
    let len = issue(&mut buffer);
    let device = signer().verifying_key().device_id();
    let bundle = KeyBundle::verify(&buffer[..len], &device, BEFORE).unwrap();
    assert_eq!(bundle.device(), device);
    assert_eq!(bundle.agreement_key(), AgreementSecret::from_bytes(&[2; 32]).public());
    assert_eq!((bundle.sequence(), bundle.expires()), (7, EXPIRES));
}

#[test]
fn the_longest_bundle_fits_its_bounds() {
    let mut buffer = [0; KeyBundle::BUFFER_LEN];
    let secret = AgreementSecret::from_bytes(&[2; 32]);
    let last = Timestamp::from_micros(u64::MAX);
    let draft = BundleDraft::new(secret.public(), u64::MAX, last).committing_to(&secret.thumbprint());
    let len = draft.issue_into(&signer(), &mut buffer).unwrap();
    assert!(len <= KeyBundle::MAX_LEN, "{len}");
    assert!(KeyBundle::verify(&buffer[..len], &signer().verifying_key().device_id(), BEFORE).is_ok());
}

#[test]
fn refuses_an_expired_bundle() {
    let mut buffer = [0; KeyBundle::BUFFER_LEN];
    let len = issue(&mut buffer);
    let refused = KeyBundle::verify(&buffer[..len], &signer().verifying_key().device_id(), EXPIRES);
    assert_eq!(refused, Err(BundleError::Expired { expires: EXPIRES }));
}

#[test]
fn refuses_the_bundle_of_another_device() {
    let mut buffer = [0; KeyBundle::BUFFER_LEN];
    let len = issue(&mut buffer);
    let refused = KeyBundle::verify(&buffer[..len], &DeviceId::from_bytes([0; 32]), BEFORE);
    assert_eq!(refused, Err(BundleError::OtherDevice { found: signer().verifying_key().device_id() }));
}

#[test]
fn refuses_every_truncation_and_every_flipped_bit() {
    let mut buffer = [0; KeyBundle::BUFFER_LEN];
    let len = issue(&mut buffer);
    let device = signer().verifying_key().device_id();
    for end in 0..len {
        assert!(KeyBundle::verify(&buffer[..end], &device, BEFORE).is_err(), "truncated to {end}");
    }
    for bit in 0..len * 8 {
        buffer[bit / 8] ^= 1 << (bit % 8);
        assert!(KeyBundle::verify(&buffer[..len], &device, BEFORE).is_err(), "bit {bit}");
        buffer[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(KeyBundle::verify(&[0; 257], &device, BEFORE), Err(BundleError::TooLong { len: 257 }));
}
