//! Everything about keys that is read from outside: `COSE_Key`, `COSE_KeySet`, succession, key file, a device's state.
//!
//! - A key that comes out of an object is written to an object from which the same key comes, with the same thumbprint.
//! - A secret never comes out as a public key.
//! - Nothing that the fuzzer makes is a succession of the device that is asked for.
//! - A key file that is read keeps to the bounds of its cost, and is no shorter than what it claims to hold.
//! - The state of a known device has one encoding.

#![no_main]

use std::sync::LazyLock;

use iot_core::DeviceId;
use iot_crypto::{
    CoseKey, CoseKeySet, KeyFile, KeyFileCost, KnownDevice, SigningKey, Succession, UnverifiedSuccession, XWingKey,
    XWingSecret,
};
use libfuzzer_sys::fuzz_target;

static DEVICE: LazyLock<DeviceId> =
    LazyLock::new(|| SigningKey::from_seed(b"this key signed none of the seed").verifying_key().device_id());

fuzz_target!(|input: &[u8]| {
    if let Ok(key) = CoseKey::parse(input) {
        check_key(&key);
    }
    if let Ok(set) = CoseKeySet::parse(input) {
        assert!(set.flatten().inspect(check_key).count() < input.len());
    }
    if let Ok(public) = XWingKey::from_cose_key(input) {
        assert_eq!(XWingKey::from_cose_key(&public.to_cose_key()), Ok(public));
        assert!(XWingSecret::from_secret_cose_key(input).is_err());
    } else if let Ok(secret) = XWingSecret::from_secret_cose_key(input) {
        let again = XWingSecret::from_secret_cose_key(&secret.to_secret_cose_key()).expect("what was written is a key");
        assert_eq!(again.public(), secret.public());
    }
    if let Ok(chain) = UnverifiedSuccession::parse(input) {
        assert!(input.len() <= Succession::MAX_LEN);
        if let Ok(succession) = chain.verify() {
            assert!((1..=Succession::MAX_ROTATIONS).contains(&succession.rotations()));
            assert_eq!(succession.as_bytes(), input);
        }
    }
    assert!(Succession::verify(input, &DEVICE).is_err());
    if let Ok(file) = KeyFile::parse(input) {
        let (cost, most) = (file.cost(), KeyFileCost::MOST);
        assert!(cost.kibibytes() <= most.kibibytes() && cost.passes() <= most.passes() && cost.lanes() <= most.lanes());
        assert_eq!(KeyFileCost::new(cost.kibibytes(), cost.passes(), cost.lanes()), Ok(cost));
        assert!(file.secret_len() + 16 < input.len());
    }
    if let Ok(device) = KnownDevice::decode(input) {
        let mut buffer = [0; KnownDevice::MAX_LEN];
        let len = device.encode(&mut buffer).expect("the buffer takes the longest state");
        assert!(len < input.len() || buffer[..len] == *input, "a state has a second encoding");
        assert_eq!(KnownDevice::decode(&buffer[..len]), Ok(device));
    }
});

fn check_key(key: &CoseKey<'_>) {
    let mut buffer = [0; CoseKey::MAX_LEN];
    if let Ok(public) = key.verifying_key() {
        let len = public.write_cose_key(&mut buffer).expect("the buffer takes the longest key");
        let again = CoseKey::parse(&buffer[..len]).expect("what was written is a key");
        assert_eq!(again.verifying_key(), Ok(public));
        assert_eq!(again.kid(), Some(&public.key_id().as_bytes()[..]));
    }
    if let Ok(public) = key.agreement_key() {
        let len = public.write_cose_key(&mut buffer).expect("the buffer takes the longest key");
        assert_eq!(CoseKey::parse(&buffer[..len]).and_then(|again| again.agreement_key()), Ok(public));
    }
    if let Ok(secret) = key.signing_key() {
        let len = secret.write_secret_cose_key(&mut buffer).expect("the buffer takes the longest key");
        assert!(CoseKey::parse(&buffer[..len]).and_then(|again| again.signing_key()) == Ok(secret));
    }
    if let Ok(secret) = key.p256_signing_key() {
        let len = secret.write_secret_cose_key(&mut buffer).expect("the buffer takes the longest key");
        assert!(CoseKey::parse(&buffer[..len]).and_then(|again| again.p256_signing_key()) == Ok(secret));
    }
    if let Ok(secret) = key.agreement_secret() {
        let len = secret.write_secret_cose_key(&mut buffer).expect("the buffer takes the longest key");
        assert!(CoseKey::parse(&buffer[..len]).and_then(|again| again.agreement_secret()) == Ok(secret));
    }
    assert!(!key.is_secret() || key.verifying_key().is_err() && key.agreement_key().is_err());
}
