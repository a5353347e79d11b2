//! Without its feature the experimental suite is not there: its messages are refused like those of any unknown one.

#![cfg(not(feature = "x-wing"))]
#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_core::{Timestamp, Topic};
use iot_crypto::cose::{CoseError, Encrypt0};
use iot_crypto::{AgreementSecret, KeyBundle, OpenError, Opener, RoutingHeader, SigningKey, Strength, Suite, Trackers};

#[test]
fn a_message_of_hpke_9_is_of_an_unknown_algorithm() {
    let message = vector("message");
    let (_, routing_len) = RoutingHeader::parse(&message).unwrap();
    assert_eq!(Encrypt0::parse(&message[routing_len..]), Err(CoseError::Algorithm(56)));
    assert_eq!(refused(message), OpenError::Cose(CoseError::Algorithm(56)));
}

/// To an opener, recipients of unknown algorithms are readers of whom it cannot say who they are.
#[test]
fn a_message_of_hpke_9_ke_is_for_readers_of_another_kind() {
    assert_eq!(refused(vector("several")), OpenError::ForeignRecipient);
}

fn vector(name: &str) -> Vec<u8> {
    let text = include_str!("vectors/x_wing.txt");
    let digits = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn refused(mut message: Vec<u8>) -> OpenError {
    let device = SigningKey::from_seed(&[1; 32]).verifying_key();
    let secrets = [AgreementSecret::from_bytes(&[0x42; 32])];
    let mut opener = Opener::new(&secrets, device, <Trackers>::new(1, 1).unwrap());
    opener.open(Some(Topic::new("plant/7/boiler/12").unwrap()), &mut message, &mut [0; 4096]).map(drop).unwrap_err()
}

#[test]
fn no_row_is_stronger_than_sealed() {
    assert!(Suite::TABLE.iter().all(|row| row.strength <= Strength::Sealed));
    assert!(Suite::TABLE.iter().all(|row| row.reader_algorithm.is_none_or(|it| it.number() < 56)));
}

/// A bundle that names an X-Wing key is one like any other to who does not know X-Wing.
#[test]
fn a_bundle_with_an_x_wing_key_is_read() {
    let (signer, agreement) = (SigningKey::from_seed(&[2; 32]), AgreementSecret::from_bytes(&[3; 32]));
    let plain = KeyBundle::issue(&signer, agreement.public(), 1, Timestamp::from_secs(1_800_000_000)).unwrap();
    // The signed map with one pair more, 8: h'05...', signed anew.
    let body = iot_crypto::cose::Sign1::parse(&plain).unwrap().unverified_payload();
    let mut longer = [body, &[0x08, 0x58, 0x20], &[5; 32]].concat();
    longer[0] += 1;
    let signed = iot_crypto::cose::Sign1::sign(&signer, &longer, b"iot key bundle 1").unwrap();
    let now = Timestamp::from_secs(1_767_225_600);
    let bundle = KeyBundle::verify(&signed, &signer.verifying_key().device_id(), now).unwrap();
    assert_eq!(bundle.agreement_key(), agreement.public());
}
