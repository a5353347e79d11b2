extern crate std;
use std::vec::Vec;

use iot_codec::cbor::{DecodeErrorKind, Writer};

use super::*;
use crate::vectors::hex;

/// A map from encoded labels and values, in the order that is given.
fn object(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.map(pairs.len() as u64).unwrap();
    for (label, value) in pairs {
        writer.put(label).unwrap();
        writer.put(value).unwrap();
    }
    writer.into_output()
}

fn part(octets: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.bytes(octets).unwrap();
    writer.into_output()
}

const KTY: &[u8] = &[0x01];
const KID: &[u8] = &[0x02];
const ALG: &[u8] = &[0x03];
const OPS: &[u8] = &[0x04];
const CRV: &[u8] = &[0x20];
const X: &[u8] = &[0x21];
const Y: &[u8] = &[0x22];
const D: &[u8] = &[0x23];
const OKP: (&[u8], &[u8]) = (KTY, &[0x01]);
const ED25519: (&[u8], &[u8]) = (CRV, &[0x06]);
const X25519: (&[u8], &[u8]) = (CRV, &[0x04]);

fn signing() -> SigningKey {
    SigningKey::from_seed(&[0x5a; 32])
}

fn agreement() -> AgreementSecret {
    AgreementSecret::from_bytes(&[0x68; 32])
}

fn signing_x() -> Vec<u8> {
    part(signing().verifying_key().as_bytes())
}

fn kind_of(error: CoseKeyError) -> DecodeErrorKind {
    let CoseKeyError::Malformed(error) = error else { panic!("{error:?}") };
    error.kind()
}

#[test]
fn keys_come_back_as_they_were_written() {
    let mut buffer = [0; CoseKey::MAX_LEN];
    let len = signing().verifying_key().write_cose_key(&mut buffer).unwrap();
    assert_eq!(CoseKey::parse(&buffer[..len]).unwrap().verifying_key(), Ok(signing().verifying_key()));
    assert_eq!(CoseKey::parse(&buffer[..len]).unwrap().signing_key(), Err(CoseKeyError::NoSecret));
    let kid = CoseKey::parse(&buffer[..len]).unwrap().kid().map(<[u8]>::to_vec);
    assert_eq!(kid.as_deref(), Some(&signing().verifying_key().key_id().as_bytes()[..]));

    let len = signing().write_secret_cose_key(&mut buffer).unwrap();
    assert!(CoseKey::parse(&buffer[..len]).unwrap().signing_key() == Ok(signing()));
    assert_eq!(CoseKey::parse(&buffer[..len]).unwrap().verifying_key(), Err(CoseKeyError::Secret));

    let len = agreement().public().write_cose_key(&mut buffer).unwrap();
    assert_eq!(CoseKey::parse(&buffer[..len]).unwrap().agreement_key(), Ok(*agreement().public()));
    assert_eq!(CoseKey::parse(&buffer[..len]).unwrap().agreement_secret(), Err(CoseKeyError::NoSecret));

    let len = agreement().write_secret_cose_key(&mut buffer).unwrap();
    assert!(CoseKey::parse(&buffer[..len]).unwrap().agreement_secret() == Ok(agreement()));
    assert_eq!(CoseKey::parse(&buffer[..len]).unwrap().agreement_key(), Err(CoseKeyError::Secret));
}

/// RFC 8032 §7.1, test 2, as an object of RFC 9053 §7.2 with every member that it names.
#[test]
fn reads_an_object_of_another_writer() {
    let seed = part(&hex::<32>("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
    let x = part(&hex::<32>("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"));
    let text: (&[u8], &[u8]) = (&[0x61, b'x'], &[0xf6]);
    let iv: (&[u8], &[u8]) = (&[0x05], &[0x41, 0x00]);
    let octets = object(&[
        OKP,
        (KID, b"\x42me"),
        (ALG, &[0x27]),
        (OPS, &[0x82, 0x01, 0x61, b'x']),
        iv,
        ED25519,
        (X, &x),
        (D, &seed),
        text,
    ]);
    let key = CoseKey::parse(&octets).unwrap();
    assert_eq!((key.kid(), key.algorithm(), key.is_secret()), (Some(&b"me"[..]), Some(-8), true));
    assert_eq!(part(key.signing_key().unwrap().verifying_key().as_bytes()), x);
}

#[test]
fn the_public_part_of_a_secret_may_be_left_out_but_not_be_anothers() {
    let d = part(&[0x5a; 32]);
    assert!(CoseKey::parse(&object(&[OKP, ED25519, (D, &d)])).unwrap().signing_key() == Ok(signing()));
    let other = part(SigningKey::from_seed(&[1; 32]).verifying_key().as_bytes());
    let octets = object(&[OKP, ED25519, (X, &other), (D, &d)]);
    assert_eq!(CoseKey::parse(&octets).unwrap().signing_key(), Err(CoseKeyError::Mismatch));
    let octets = object(&[OKP, X25519, (X, &part(&[9; 32])), (D, &d)]);
    assert_eq!(CoseKey::parse(&octets).unwrap().agreement_secret(), Err(CoseKeyError::Mismatch));
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let octets = object(&[OKP, X25519, (X, &part(agreement().public().as_bytes()))]);
    let key = CoseKey::parse(&octets).unwrap();
    assert_eq!(key.verifying_key(), Err(CoseKeyError::OtherKind { found: KeyKind::X25519 }));
    assert_eq!(key.signing_key(), Err(CoseKeyError::OtherKind { found: KeyKind::X25519 }));
    let octets = object(&[OKP, ED25519, (X, &signing_x())]);
    let key = CoseKey::parse(&octets).unwrap();
    assert_eq!(key.agreement_key(), Err(CoseKeyError::OtherKind { found: KeyKind::Ed25519 }));
    assert_eq!(key.agreement_secret(), Err(CoseKeyError::OtherKind { found: KeyKind::Ed25519 }));
    let octets = object(&[OKP, (CRV, &[0x07]), (X, &signing_x())]);
    assert_eq!(CoseKey::parse(&octets).unwrap_err(), CoseKeyError::Unsupported { key_type: 1, curve: 7 });
    let octets = object(&[(KTY, &[0x02]), ED25519, (X, &signing_x())]);
    assert_eq!(CoseKey::parse(&octets).unwrap_err(), CoseKeyError::Unsupported { key_type: 2, curve: 6 });
}

#[test]
fn parts_must_be_there_have_their_length_and_belong_to_the_kind() {
    let refused = |pairs: &[(&[u8], &[u8])]| CoseKey::parse(&object(pairs)).unwrap_err();
    let x = signing_x();
    assert_eq!(refused(&[ED25519, (X, &x)]), CoseKeyError::Missing { label: 1 });
    assert_eq!(refused(&[OKP, (X, &x)]), CoseKeyError::Missing { label: -1 });
    assert_eq!(refused(&[OKP, ED25519]), CoseKeyError::Missing { label: -2 });
    assert_eq!(refused(&[OKP, ED25519, (X, &x), (Y, &x)]), CoseKeyError::Unexpected { label: -3 });
    assert_eq!(refused(&[OKP, ED25519, (X, &part(&[1; 31]))]), CoseKeyError::Length { label: -2, len: 31 });
    assert_eq!(refused(&[OKP, ED25519, (D, &part(&[1; 33]))]), CoseKeyError::Length { label: -4, len: 33 });
    let ec2: (&[u8], &[u8]) = (KTY, &[0x02]);
    let p256: (&[u8], &[u8]) = (CRV, &[0x01]);
    assert_eq!(refused(&[ec2, p256, (X, &x)]), CoseKeyError::Missing { label: -3 });
    assert_eq!(refused(&[ec2, p256, (Y, &x)]), CoseKeyError::Missing { label: -2 });
}

#[test]
fn the_algorithm_must_allow_the_use() {
    let x = signing_x();
    for (algorithm, is_allowed) in [(&[0x32], true), (&[0x27], true), (&[0x26], false), (&[0x01], false)] {
        let octets = object(&[OKP, (ALG, algorithm), ED25519, (X, &x)]);
        assert_eq!(CoseKey::parse(&octets).unwrap().verifying_key().is_ok(), is_allowed, "{algorithm:x?}");
    }
    let octets = object(&[OKP, (ALG, &[0x26]), ED25519, (X, &x)]);
    assert_eq!(CoseKey::parse(&octets).unwrap().verifying_key(), Err(CoseKeyError::Algorithm(-7)));
    let octets = object(&[OKP, (ALG, &[0x32]), X25519, (X, &part(agreement().public().as_bytes()))]);
    assert_eq!(CoseKey::parse(&octets).unwrap().agreement_key(), Err(CoseKeyError::Algorithm(-19)));
}

#[test]
fn the_operations_must_allow_the_use() {
    let (x, d) = (signing_x(), part(&[0x5a; 32]));
    let verify =
        |ops: &[u8]| CoseKey::parse(&object(&[OKP, (OPS, ops), ED25519, (X, &x)])).unwrap().verifying_key().map(drop);
    assert_eq!(verify(&[0x81, 0x02]), Ok(()));
    assert_eq!(verify(&[0x82, 0x01, 0x02]), Ok(()));
    assert_eq!(verify(&[0x81, 0x01]), Err(CoseKeyError::Operation(Operation::Verify)));
    assert_eq!(verify(&[0x80]), Err(CoseKeyError::Operation(Operation::Verify)));
    assert_eq!(verify(&[0x82, 0x19, 0x01, 0x00, 0x20]), Err(CoseKeyError::Operation(Operation::Verify)));
    let sign =
        |ops: &[u8]| CoseKey::parse(&object(&[OKP, (OPS, ops), ED25519, (D, &d)])).unwrap().signing_key().map(drop);
    assert_eq!(sign(&[0x81, 0x01]), Ok(()));
    assert_eq!(sign(&[0x81, 0x02]), Err(CoseKeyError::Operation(Operation::Sign)));
    let agreed = part(agreement().public().as_bytes());
    let seal = |ops: &[u8]| {
        CoseKey::parse(&object(&[OKP, (OPS, ops), X25519, (X, &agreed)])).unwrap().agreement_key().map(drop)
    };
    assert_eq!((seal(&[0x80]), seal(&[0x81, 0x08])), (Ok(()), Ok(())));
    assert_eq!(seal(&[0x81, 0x01]), Err(CoseKeyError::Operation(Operation::Derive)));
    let open =
        |ops: &[u8]| CoseKey::parse(&object(&[OKP, (OPS, ops), X25519, (D, &d)])).unwrap().agreement_secret().map(drop);
    assert_eq!((open(&[0x81, 0x07]), open(&[0x81, 0x08])), (Ok(()), Ok(())));
    assert_eq!(open(&[0x80]), Err(CoseKeyError::Operation(Operation::Derive)));
}

#[test]
fn what_is_not_deterministic_is_refused() {
    let x = signing_x();
    let kind = |octets: &[u8]| kind_of(CoseKey::parse(octets).unwrap_err());
    assert_eq!(kind(&object(&[ED25519, OKP, (X, &x)])), DecodeErrorKind::UnsortedKeys);
    assert_eq!(kind(&object(&[OKP, OKP, ED25519, (X, &x)])), DecodeErrorKind::DuplicateKey);
    assert_eq!(kind(&object(&[(&[0x18, 0x01], &[0x01]), ED25519, (X, &x)])), DecodeErrorKind::LongArgument);
    assert!(matches!(kind(&object(&[(&[0x41, 0x01], &[0x01])])), DecodeErrorKind::UnexpectedType { .. }));
    let mut trailing = object(&[OKP, ED25519, (X, &x)]);
    trailing.push(0);
    assert_eq!(kind(&trailing), DecodeErrorKind::TrailingBytes);
}

#[test]
fn a_point_that_proves_nothing_is_refused() {
    let octets = object(&[OKP, ED25519, (X, &part(&[0; 32]))]);
    assert_eq!(CoseKey::parse(&octets).unwrap().verifying_key(), Err(CoseKeyError::Key(KeyError::SmallOrder)));
    let octets = object(&[OKP, X25519, (X, &part(&[0; 32]))]);
    assert_eq!(CoseKey::parse(&octets).unwrap().agreement_key(), Err(CoseKeyError::Key(KeyError::SmallOrder)));
}

/// What is changed is refused, but for the `kid` and its label, which are no part of the key.
#[test]
fn every_truncation_and_every_flipped_bit_shows() {
    let mut octets = [0; CoseKey::MAX_LEN];
    let len = signing().write_secret_cose_key(&mut octets).unwrap();
    for end in 0..len {
        assert!(CoseKey::parse(&octets[..end]).is_err(), "truncated to {end}");
        assert!(signing().write_secret_cose_key(&mut [0; CoseKey::MAX_LEN][..end]).is_err());
    }
    let kid = 3..13;
    for bit in 0..len * 8 {
        octets[bit / 8] ^= 1 << (bit % 8);
        match CoseKey::parse(&octets[..len]).and_then(|key| key.signing_key()) {
            Ok(key) => assert!(kid.contains(&(bit / 8)) && key == signing(), "bit {bit}"),
            Err(_) => assert!(!(5..13).contains(&(bit / 8)), "bit {bit}"),
        }
        octets[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_set_gives_what_can_be_used_and_names_what_cannot() {
    let mut octets = std::vec![0x83];
    let mut buffer = [0; CoseKey::MAX_LEN];
    let len = signing().verifying_key().write_cose_key(&mut buffer).unwrap();
    octets.extend_from_slice(&buffer[..len]);
    octets.extend_from_slice(&[0xa1, 0x01, 0x04]);
    let len = agreement().public().write_cose_key(&mut buffer).unwrap();
    octets.extend_from_slice(&buffer[..len]);
    let mut set = CoseKeySet::parse(&octets).unwrap();
    assert_eq!(set.next().unwrap().unwrap().verifying_key(), Ok(signing().verifying_key()));
    assert_eq!(set.next().unwrap().unwrap_err(), CoseKeyError::Missing { label: -1 });
    assert_eq!(set.next().unwrap().unwrap().agreement_key(), Ok(*agreement().public()));
    assert!(set.next().is_none());
    for end in 0..octets.len() {
        assert!(CoseKeySet::parse(&octets[..end]).is_err(), "truncated to {end}");
    }
}

#[cfg(not(feature = "es256"))]
#[test]
fn a_key_on_p256_needs_a_feature() {
    let octets = object(&[(KTY, &[0x02]), (CRV, &[0x01]), (X, &part(&[1; 32])), (Y, &part(&[1; 32]))]);
    let refused = CoseKey::parse(&octets).unwrap().verifying_key();
    assert_eq!(refused, Err(CoseKeyError::Key(KeyError::Unsupported { algorithm: -9 })));
}

#[cfg(feature = "es256")]
mod p256 {
    use super::*;
    use crate::P256SigningKey;

    /// RFC 9052 §C.7.1, the key of meriadoc.brandybuck@buckland.example without its `kid`, and §C.7.2, its secret.
    const MERIADOC_X: &str = "65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d";
    const MERIADOC_Y: &str = "1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c";
    const MERIADOC_D: &str = "aff907c99f9ad3aae6c4cdf21122bce2bd68b5283e6907154ad911840fa208cf";

    fn meriadoc(y: &[u8], d: Option<&[u8]>) -> Vec<u8> {
        let x = part(&hex::<32>(MERIADOC_X));
        let mut pairs: Vec<(&[u8], &[u8])> = std::vec![(KTY, &[0x02]), (CRV, &[0x01]), (X, &x), (Y, y)];
        pairs.extend(d.map(|d| (D, d)));
        object(&pairs)
    }

    #[test]
    fn reads_the_keys_of_the_rfc() {
        let (y, d) = (part(&hex::<32>(MERIADOC_Y)), part(&hex::<32>(MERIADOC_D)));
        let public = CoseKey::parse(&meriadoc(&y, None)).unwrap().verifying_key().unwrap();
        let secret = CoseKey::parse(&meriadoc(&y, Some(&d))).unwrap().p256_signing_key().unwrap();
        assert_eq!(secret.verifying_key(), public);
        // The sign of y, which is even, in place of y (RFC 9053 §7.1.1).
        assert_eq!(CoseKey::parse(&meriadoc(&[0xf4], None)).unwrap().verifying_key(), Ok(public));
        assert_ne!(CoseKey::parse(&meriadoc(&[0xf5], None)).unwrap().verifying_key(), Ok(public));
        let refused = CoseKey::parse(&meriadoc(&[0xf5], Some(&d))).unwrap().p256_signing_key();
        assert_eq!(refused, Err(CoseKeyError::Mismatch));
    }

    #[test]
    fn keys_come_back_as_they_were_written() {
        let key = P256SigningKey::from_bytes(&[3; 32]).unwrap();
        let mut buffer = [0; CoseKey::MAX_LEN];
        let len = key.verifying_key().write_cose_key(&mut buffer).unwrap();
        assert_eq!(CoseKey::parse(&buffer[..len]).unwrap().verifying_key(), Ok(key.verifying_key()));
        let len = key.write_secret_cose_key(&mut buffer).unwrap();
        assert!(CoseKey::parse(&buffer[..len]).unwrap().p256_signing_key() == Ok(key));
        let refused = CoseKey::parse(&buffer[..len]).unwrap().signing_key();
        assert_eq!(refused, Err(CoseKeyError::OtherKind { found: KeyKind::P256 }));
    }

    #[test]
    fn a_point_off_the_curve_is_refused() {
        let refused = CoseKey::parse(&meriadoc(&part(&[1; 32]), None)).unwrap().verifying_key();
        assert_eq!(refused, Err(CoseKeyError::Key(KeyError::NotAPoint)));
    }
}
