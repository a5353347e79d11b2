//! No secret shows in what is printed: values in `Debug`, errors in `Debug` and `Display`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error;
use std::fmt::Debug;

use iot_crypto::{Agreed, AgreedSecret, AgreementSecret, CoseKey, SigningKey};

/// A secret without a pattern, so that no run of it is in an output by chance.
fn secret() -> [u8; 32] {
    core::array::from_fn(|i| (i as u8).wrapping_mul(157).wrapping_add(0x6b))
}

/// Fails if three octets of the secret in a row are in `text`, in hexadecimal or as numbers.
fn check(text: &str) {
    let text = text.to_lowercase();
    for run in secret().windows(3) {
        let hexadecimal: String = run.iter().map(|octet| format!("{octet:02x}")).collect();
        let decimal = format!("{}, {}, {}", run[0], run[1], run[2]);
        assert!(!text.contains(&hexadecimal) && !text.contains(&decimal), "{text}");
    }
}

fn check_value(value: &impl Debug) {
    check(&format!("{value:?} {value:#?}"));
}

fn check_error(error: &dyn Error) {
    check(&format!("{error:?} {error:#?} {error}"));
    if let Some(source) = error.source() {
        check_error(source);
    }
}

#[test]
fn the_check_finds_what_it_looks_for() {
    assert!(std::panic::catch_unwind(|| check_value(&secret())).is_err());
    let hexadecimal: String = secret().iter().map(|octet| format!("{octet:02X}")).collect();
    assert!(std::panic::catch_unwind(|| check_value(&hexadecimal)).is_err());
}

#[test]
fn keys_show_no_secret() {
    check_value(&SigningKey::from_seed(&secret()));
    check_value(&AgreementSecret::from_bytes(&secret()));
    #[cfg(feature = "es256")]
    check_value(&iot_crypto::P256SigningKey::from_bytes(&secret()).unwrap());
}

#[test]
fn key_objects_and_their_errors_show_no_secret() {
    let mut octets = [0; CoseKey::MAX_LEN];
    let len = SigningKey::from_seed(&secret()).write_secret_cose_key(&mut octets).unwrap();
    check_value(&CoseKey::parse(&octets[..len]).unwrap());
    let mut errors = 0;
    for bit in 0..len * 8 {
        let mut altered = octets;
        altered[bit / 8] ^= 1 << (bit % 8);
        if let Err(error) = CoseKey::parse(&altered[..len]).and_then(|key| key.signing_key()) {
            check_error(&error);
            errors += 1;
        }
    }
    assert!(errors > 100, "{errors} errors were looked at");
}

#[cfg(feature = "keyfile")]
#[test]
fn key_files_and_their_errors_show_no_secret() {
    use iot_crypto::{KeyFile, KeyFileCost};
    use rand_core::SeedableRng as _;
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
    let octets = KeyFile::lock(&secret(), &secret(), &secret(), KeyFileCost::LEAST, &mut rng).unwrap();
    assert!(!octets.windows(4).any(|window| window == &secret()[..4]));
    let file = KeyFile::parse(&octets).unwrap();
    check_value(&file);
    check_error(&file.unlock(&secret()[1..], &secret(), &mut [0; 32]).unwrap_err());
    check_error(&file.unlock(&secret(), &secret(), &mut [0; 31]).unwrap_err());
}

#[test]
fn agreed_secrets_are_not_shown() {
    let key = *AgreementSecret::from_bytes(&[1; 32]).public();
    check_value(&AgreedSecret::from_bytes(secret()));
    check_value(&Agreed::new(key, [2; 32], AgreedSecret::from_bytes(secret())));
}
