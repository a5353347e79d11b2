//! What a COSE structure may look like, and what is refused.

#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_codec::cbor::{DecodeErrorKind, Writer};
use iot_crypto::cose::{Algorithm, CoseError, Encrypt0, Sign1, VerifyError};
use iot_crypto::{SignatureError, SigningKey};

/// A map whose keys and values are given as encoded octets.
fn map(pairs: &[&[u8]]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.map(pairs.len() as u64 / 2).unwrap();
    pairs.iter().for_each(|octets| writer.put(octets).unwrap());
    writer.into_output()
}

fn sign1(protected: &[u8], unprotected: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.array(4).unwrap();
    writer.bytes(protected).unwrap();
    writer.put(unprotected).unwrap();
    writer.bytes(b"payload").unwrap();
    writer.bytes(&[7; 64]).unwrap();
    writer.into_output()
}

const ALG: &[u8] = &[0x01];
const CRIT: &[u8] = &[0x02];
const KID: &[u8] = &[0x04];
const OTHER: &[u8] = &[0x18, 0x63];
const TEXT: &[u8] = &[0x61, b'x'];
const ED25519: &[u8] = &[0x32];
const ONE: &[u8] = &[0x41, 0x01];

fn refused(protected: &[&[u8]], unprotected: &[&[u8]]) -> CoseError {
    Sign1::parse(&sign1(&map(protected), &map(unprotected))).unwrap_err()
}

fn malformed(error: CoseError) -> DecodeErrorKind {
    let CoseError::Malformed(error) = error else { panic!("{error:?}") };
    error.kind()
}

#[test]
fn passes_over_labels_that_it_does_not_know() {
    let structure = sign1(&map(&[ALG, ED25519, OTHER, &[0x81, 0x00], TEXT, ONE]), &map(&[KID, ONE, TEXT, &[0xa0]]));
    let parsed = Sign1::parse(&structure).unwrap();
    assert_eq!(parsed.headers().algorithm, Algorithm::Ed25519);
    assert_eq!(parsed.headers().kid, Some(&[1][..]));
    assert_eq!(parsed.unverified_payload(), b"payload");
}

#[test]
fn a_tag_of_the_kind_may_stand_in_front_and_no_other() {
    let structure = sign1(&map(&[ALG, ED25519]), &map(&[]));
    assert!(Sign1::parse(&[&[0xd2], &structure[..]].concat()).is_ok());
    let other = Sign1::parse(&[&[0xd0], &structure[..]].concat()).unwrap_err();
    assert_eq!(other, CoseError::Tag { expected: 18, found: 16 });
    assert_eq!(Encrypt0::parse(&structure).unwrap_err(), CoseError::Members { expected: 3, found: 4 });
}

#[test]
fn the_algorithm_must_be_protected_and_known() {
    assert_eq!(refused(&[], &[ALG, ED25519]), CoseError::UnprotectedAlgorithm);
    assert_eq!(refused(&[ALG, ED25519], &[ALG, ED25519]), CoseError::UnprotectedAlgorithm);
    assert_eq!(refused(&[KID, ONE], &[]), CoseError::NoAlgorithm);
    assert_eq!(refused(&[ALG, &[0x38, 0x22]], &[]), CoseError::Algorithm(-35));
    #[cfg(not(feature = "es256"))]
    assert_eq!(refused(&[ALG, &[0x26]], &[]), CoseError::Algorithm(-7), "it needs a feature");
    assert_eq!(refused(&[ALG, &[0x18, 0x2a]], &[]), CoseError::Algorithm(42), "it seals and does not sign");
}

#[test]
fn critical_headers_are_refused_wherever_they_stand() {
    assert_eq!(refused(&[ALG, ED25519, CRIT, &[0x81, 0x04]], &[]), CoseError::Critical);
    assert_eq!(refused(&[ALG, ED25519], &[CRIT, &[0x81, 0x04]]), CoseError::Critical);
}

#[test]
fn each_label_stands_once() {
    assert_eq!(refused(&[ALG, ED25519, KID, ONE], &[KID, ONE]), CoseError::DuplicateLabel(4));
    assert_eq!(malformed(refused(&[ALG, ED25519, ALG, ED25519], &[])), DecodeErrorKind::DuplicateKey);
    assert_eq!(malformed(refused(&[ALG, ED25519], &[TEXT, ONE, TEXT, ONE])), DecodeErrorKind::DuplicateKey);
    assert_eq!(malformed(refused(&[KID, ONE, ALG, ED25519], &[])), DecodeErrorKind::UnsortedKeys);
    assert_eq!(malformed(refused(&[ALG, ED25519], &[TEXT, ONE, OTHER, ONE])), DecodeErrorKind::UnsortedKeys);
}

#[test]
fn an_iv_is_whole_or_partial() {
    let (iv, partial_iv) = ([0x05].as_slice(), [0x06].as_slice());
    let structure = sign1(&map(&[ALG, ED25519, iv, ONE]), &map(&[]));
    assert_eq!(Sign1::parse(&structure).unwrap().headers().iv, Some(&[1][..]));
    let structure = sign1(&map(&[ALG, ED25519]), &map(&[partial_iv, ONE]));
    assert_eq!(Sign1::parse(&structure).unwrap().headers().partial_iv, Some(&[1][..]));
    assert_eq!(refused(&[ALG, ED25519, iv, ONE], &[partial_iv, ONE]), CoseError::IvAndPartialIv);
    assert_eq!(refused(&[ALG, ED25519], &[iv, ONE, partial_iv, ONE]), CoseError::IvAndPartialIv);
    assert_eq!(refused(&[ALG, ED25519, iv, ONE], &[iv, ONE]), CoseError::DuplicateLabel(5));
    assert_eq!(refused(&[ALG, ED25519, partial_iv, ONE], &[partial_iv, ONE]), CoseError::DuplicateLabel(6));
    assert!(matches!(refused(&[ALG, ED25519, partial_iv, &[0x01]], &[]), CoseError::Malformed(_)));
}

#[test]
fn what_is_not_deterministic_is_refused() {
    let long_label = [0x18, 0x01];
    assert_eq!(malformed(refused(&[&long_label, ED25519], &[])), DecodeErrorKind::LongArgument);
    let unsorted = [0xa2, 0x04, 0x00, 0x01, 0x00];
    assert_eq!(malformed(refused(&[ALG, ED25519, OTHER, &unsorted], &[])), DecodeErrorKind::UnsortedKeys);
    let mut trailing = map(&[ALG, ED25519]);
    trailing.push(0);
    assert_eq!(malformed(Sign1::parse(&sign1(&trailing, &map(&[]))).unwrap_err()), DecodeErrorKind::TrailingBytes);
}

#[test]
fn a_signature_covers_headers_external_data_and_payload() {
    let key = SigningKey::from_seed(&[5; 32]);
    let structure = Sign1::sign(&key, b"payload", b"external").unwrap();
    let verify = |octets: &[u8], external: &[u8]| {
        let mut scratch = [0; 256];
        let parsed = Sign1::parse(octets).map_err(|_| VerifyError::Signature(SignatureError))?;
        parsed.verify(&key.verifying_key(), external, &mut scratch).map(<[u8]>::to_vec)
    };
    assert_eq!(verify(&structure, b"external").unwrap(), b"payload");
    assert_eq!(verify(&structure, b"externa1"), Err(VerifyError::Signature(SignatureError)));
    for bit in 0..structure.len() * 8 {
        let mut altered = structure.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&altered, b"external").is_err(), "bit {bit}");
    }
}
