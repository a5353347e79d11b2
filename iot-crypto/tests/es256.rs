//! Signatures of keys on P-256, as secure elements make them.

#![cfg(all(feature = "alloc", feature = "es256"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_crypto::cose::{Algorithm, Sign1, VerifyError};
use iot_crypto::{CoseKey, P256SigningKey, Signature, SignatureError, Signer, SignerError, SigningKey, VerifyingKey};

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn verify(octets: &[u8], key: &VerifyingKey, external: &[u8]) -> Result<Vec<u8>, VerifyError> {
    Sign1::parse(octets).unwrap().verify(key, external, &mut [0; 512]).map(<[u8]>::to_vec)
}

/// The other of the two signatures that the equation allows, as a secure element gives it every other time.
fn with_high_s(signature: Signature) -> Signature {
    /// The order of the group (SEC 2 §2.4.2).
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let mut result = *signature.as_bytes();
    let mut borrow = 0;
    for (i, n) in octets(ORDER).into_iter().enumerate().rev() {
        let difference = i16::from(n) - i16::from(result[32 + i]) - borrow;
        result[32 + i] = difference.rem_euclid(256) as u8;
        borrow = i16::from(difference < 0);
    }
    Signature::from_bytes(result)
}

struct SecureElement(P256SigningKey);

impl Signer for SecureElement {
    fn verifying_key(&self) -> VerifyingKey {
        self.0.verifying_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        Ok(with_high_s(self.0.sign(message)))
    }
}

/// RFC 9052 §C.2.1, and its key from §C.7.1.
const SINGLE_SIGNATURE: &str = "\
    d28443a10126a10442313154546869732069732074686520636f6e74656e742e58408eb33e4ca31d1c465ab05aac34cc6b23d58fef5c08\
    3106c4d25a91aef0b0117e2af9a291aa32e14ab834dc56ed2a223444547e01f11d3b0916e5a4c345cacb36";
const KEY_11: &str = "\
    a501022001215820bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff22582020138bf82dc1b6d562be0fa5\
    4ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e23582057c92077664146e876760c9520d054aa93c3afb04e306705db6090308507b4d3";

#[test]
fn verifies_the_example_of_the_rfc() {
    let secret = octets(KEY_11);
    let key = CoseKey::parse(&secret).unwrap().p256_signing_key().unwrap().verifying_key();
    let example = octets(SINGLE_SIGNATURE);
    assert_eq!(Sign1::parse(&example).unwrap().headers().algorithm, Algorithm::Es256);
    assert_eq!(verify(&example, &key, b"").unwrap(), b"This is the content.");
    assert_eq!(verify(&example, &key, b"\x01"), Err(VerifyError::Signature(SignatureError)));
}

#[test]
fn what_a_secure_element_signs_has_one_form() {
    let element = SecureElement(P256SigningKey::from_bytes(&[5; 32]).unwrap());
    let public = element.verifying_key();
    let mut signed = Sign1::sign(&element, b"payload", b"external").unwrap();
    assert_eq!(Sign1::parse(&signed).unwrap().headers().algorithm, Algorithm::Esp256);
    assert_eq!(verify(&signed, &public, b"external").unwrap(), b"payload");
    // Replaced by the other valid signature, the structure is refused.
    let place = signed.len() - Signature::LEN;
    let low = Signature::from_bytes(signed[place..].try_into().unwrap());
    signed[place..].copy_from_slice(with_high_s(low).as_bytes());
    assert_eq!(verify(&signed, &public, b"external"), Err(VerifyError::Signature(SignatureError)));
    assert_eq!(with_high_s(low).with_low_s(), Some(low));
}

#[test]
fn every_flipped_bit_is_refused() {
    let key = P256SigningKey::from_bytes(&[6; 32]).unwrap();
    let signed = Sign1::sign(&key, b"payload", b"external").unwrap();
    for bit in 0..signed.len() * 8 {
        let mut altered = signed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let opened = Sign1::parse(&altered)
            .ok()
            .map(|parsed| parsed.verify(&key.verifying_key(), b"external", &mut [0; 512]).map(<[u8]>::to_vec));
        assert!(!matches!(opened, Some(Ok(_))), "bit {bit}");
    }
}

/// A header that names another algorithm than the key's is refused, whatever the signature.
#[test]
fn the_algorithm_must_be_the_keys() {
    let (p256, ed25519) = (P256SigningKey::from_bytes(&[7; 32]).unwrap(), SigningKey::from_seed(&[7; 32]));
    let signed = Sign1::sign(&p256, b"payload", b"").unwrap();
    assert_eq!(verify(&signed, &ed25519.verifying_key(), b""), Err(VerifyError::Signature(SignatureError)));
    let signed = Sign1::sign(&ed25519, b"payload", b"").unwrap();
    assert_eq!(verify(&signed, &p256.verifying_key(), b""), Err(VerifyError::Signature(SignatureError)));
}
