//! RFC 9180 appendix A.2: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, `ChaCha20Poly1305`.
//!
//! A message's sender is `hpke` everywhere in this crate; its receiver is [`receive`], which is base mode. Nothing here
//! uses PSK mode, so of that the appendix checks `hpke` alone.

extern crate std;
use std::format;

use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::inout::InOutBuf;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, PskBundle, Serializable as _};
use rand_core::{TryCryptoRng, TryRng};

use super::*;
use crate::vectors::{hex, lines};

type Sender = AeadCtxS<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>;
type Receiver = AeadCtxR<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;

#[test]
fn base_mode_is_as_the_rfc_says() {
    let reader = AgreementSecret::from_bytes(&vector("base skRm"));
    assert_eq!(reader.public().as_bytes(), &vector("base pkRm"));
    let (encapsulated, mut sender) = send("base", &OpModeS::Base);
    let mut receiver = receive(&reader, &encapsulated, &info()).unwrap();
    check_messages("base", &mut sender, &mut receiver);
}

#[test]
fn psk_mode_of_hpke_is_as_the_rfc_says() {
    let (psk, psk_id): ([u8; 32], [u8; 22]) = (vector("psk"), vector("psk_id"));
    let bundle = PskBundle::new(&psk, &psk_id).unwrap();
    let (encapsulated, mut sender) = send("psk", &OpModeS::Psk(bundle));
    let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&vector::<32>("psk skRm")).unwrap();
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&encapsulated).unwrap();
    let mut receiver: Receiver = hpke::setup_receiver(&OpModeR::Psk(bundle), &secret, &encapsulated, &info()).unwrap();
    check_messages("psk", &mut sender, &mut receiver);
}

/// The sender of the appendix, with its encapsulated key: the generator gives the ephemeral key's material.
fn send(mode: &str, of: &OpModeS<'_, X25519HkdfSha256>) -> ([u8; 32], Sender) {
    let reader = PublicKey::from_bytes(&vector::<32>(&format!("{mode} pkRm"))).unwrap();
    let mut rng = Material(vector(&format!("{mode} ikmE")));
    let (encapsulated, sender) = hpke::setup_sender_with_rng(of, &reader, &info(), &mut rng).unwrap();
    let encapsulated = encapsulated.to_bytes().into();
    assert_eq!(encapsulated, vector(&format!("{mode} enc")));
    (encapsulated, sender)
}

/// The sender gives every ciphertext that is printed, and the receiver opens it, up to the 257th; both export the same.
fn check_messages(mode: &str, sender: &mut Sender, receiver: &mut Receiver) {
    let plaintext: [u8; 29] = vector("pt");
    let mut count = 0;
    for sequence in 0..=256 {
        let (mut text, aad) = (plaintext, format!("Count-{sequence}"));
        let tag = sender.seal_inout_detached(InOutBuf::from(&mut text[..]), aad.as_bytes()).unwrap();
        if let Some(digits) = printed(&format!("{mode} ct {sequence}")) {
            let expected: [u8; 45] = hex(digits);
            assert_eq!((&text[..], &tag.to_bytes()[..]), expected.split_at(29), "{mode} {sequence}");
            count += 1;
        }
        // Neither what is altered nor what is authenticated otherwise; and a refusal does not cost a number.
        let (mut altered, mut other) = (text, text);
        altered[sequence % 29] ^= 1;
        assert!(receiver.open_inout_detached(InOutBuf::from(&mut altered[..]), aad.as_bytes(), &tag).is_err());
        assert!(receiver.open_inout_detached(InOutBuf::from(&mut other[..]), b"Count", &tag).is_err());
        receiver.open_inout_detached(InOutBuf::from(&mut text[..]), aad.as_bytes(), &tag).unwrap();
        assert_eq!(text, plaintext);
    }
    assert_eq!(count, 6);
    for (name, context) in [("-", &b""[..]), ("00", &[0]), ("54657374436f6e74657874", b"TestContext")] {
        let expected = vector(&format!("{mode} exported {name}"));
        let (mut sent, mut received) = ([0; 32], [0; 32]);
        sender.export(context, &mut sent).unwrap();
        receiver.export(context, &mut received).unwrap();
        assert_eq!((sent, received), (expected, expected), "{mode} {name}");
    }
}

fn info() -> [u8; 20] {
    vector("info")
}

fn vector<const N: usize>(name: &str) -> [u8; N] {
    let digits = printed(name).unwrap_or_else(|| panic!("a vector {name}"));
    assert_eq!(digits.len(), 2 * N, "{name}");
    hex(digits)
}

fn printed(name: &str) -> Option<&'static str> {
    let mut all = lines(include_str!("../../../tests/vectors/hpke.txt"));
    all.find_map(|(found, digits)| (found == name).then_some(digits))
}

/// Gives the octets from which the sender derives its ephemeral key (RFC 9180 §7.1.3), once.
struct Material([u8; 32]);

impl TryRng for Material {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("the sender fills octets")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("the sender fills octets")
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Self::Error> {
        octets.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Material {}
