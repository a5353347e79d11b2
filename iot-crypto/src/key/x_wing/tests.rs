extern crate std;
use std::collections::BTreeMap;
use std::format;
use std::vec::Vec;

use super::*;
use crate::vectors::{hex, lines};
use crate::{CoseKeyError, SigningKey};

fn vectors() -> BTreeMap<&'static str, &'static str> {
    lines(include_str!("../../../tests/vectors/x_wing.txt")).collect()
}

/// The first vector of the draft, through the functions of `hpke` that messages use.
#[test]
fn derives_and_decapsulates_as_the_draft_does() {
    let vectors = vectors();
    let secret = XWingSecret::from_bytes(&hex(vectors["seed"]));
    assert_eq!(secret.public().as_bytes(), &hex(vectors["public key"]));
    let encapsulated: [u8; XWingKey::ENCAPSULATED_LEN] = hex(vectors["encapsulated key"]);
    let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(&encapsulated).unwrap();
    let shared = XWing::decap(&secret.to_hpke(), None, &encapsulated).unwrap();
    assert_eq!(shared.0[..], hex::<32>(vectors["shared secret"]));
}

/// The thumbprint was computed by another program, from RFC 9679 and RFC 9964.
#[test]
fn thumbprint_covers_type_algorithm_and_key() {
    let vectors = vectors();
    let secret = XWingSecret::from_bytes(&hex(vectors["reader seed"]));
    assert_eq!(secret.public().thumbprint().as_bytes(), &hex(vectors["reader thumbprint"]));
    assert_eq!(secret.public().key_id().as_bytes(), &secret.public().thumbprint().as_bytes()[..8]);
}

#[test]
fn public_keys_come_back_and_others_are_refused() {
    let secret = XWingSecret::from_bytes(&[7; 32]);
    let octets = *secret.public().as_bytes();
    assert_eq!(XWingKey::from_bytes(&octets).as_ref(), Ok(secret.public()));
    assert_eq!(XWingKey::from_bytes(&octets[1..]), Err(KeyError::Length { len: 1_215 }));
    assert_eq!(XWingKey::from_bytes(&[]), Err(KeyError::Length { len: 0 }));
    // Twelve bits that are no coefficient modulo 3329.
    let mut unreduced = octets;
    unreduced[..2].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(XWingKey::from_bytes(&unreduced), Err(KeyError::NotAPoint));
}

#[test]
fn key_objects_come_back() {
    let secret = XWingSecret::from_bytes(&[7; 32]);
    let (public, whole) = (secret.public().to_cose_key(), secret.to_secret_cose_key());
    assert_eq!(XWingKey::from_cose_key(&public).as_ref(), Ok(secret.public()));
    assert!(XWingSecret::from_secret_cose_key(&whole) == Ok(secret));
    assert_eq!(XWingKey::from_cose_key(&whole), Err(CoseKeyError::Secret));
    assert_eq!(XWingSecret::from_secret_cose_key(&public).err(), Some(CoseKeyError::NoSecret));
}

#[test]
fn key_objects_of_another_type_or_use_are_refused() {
    let object = XWingSecret::from_bytes(&[7; 32]).public().to_cose_key();
    let changed = |from: &[u8], to: &[u8]| -> Option<CoseKeyError> {
        let at = object.windows(from.len()).position(|window| window == from).unwrap();
        let changed: Vec<u8> = [&object[..at], to, &object[at + from.len()..]].concat();
        XWingKey::from_cose_key(&changed).err()
    };
    assert_eq!(changed(&[0x03, 0x18, 56], &[0x03, 0x18, 57]), Some(CoseKeyError::Algorithm(57)));
    assert_eq!(
        changed(&[0xa4, 0x01, 0x07], &[0xa4, 0x01, 0x02]),
        Some(CoseKeyError::KeyType { expected: 7, found: 2 })
    );
    assert_eq!(
        changed(&[0xa4, 0x01, 0x07], &[0xa4, 0x05, 0x07]).map(|it| format!("{it}")),
        Some("the key object is malformed".into())
    );
    let signing = SigningKey::from_seed(&[1; 32]).verifying_key().to_cose_key();
    assert_eq!(XWingKey::from_cose_key(&signing), Err(CoseKeyError::KeyType { expected: 7, found: 1 }));
    let mut other = XWingSecret::from_bytes(&[7; 32]).to_secret_cose_key();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(XWingSecret::from_secret_cose_key(&other).err(), Some(CoseKeyError::Mismatch));
}

#[test]
fn debug_shows_no_secret() {
    let secret = XWingSecret::from_bytes(&[0xab; 32]);
    let shown = format!("{secret:?}");
    assert_eq!(shown, format!("XWingSecret {{ key_id: {:?}, .. }}", secret.public().key_id()));
    assert!(secret != XWingSecret::from_bytes(&[0xac; 32]));
}
