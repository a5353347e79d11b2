extern crate std;

use hpke::aead::ChaCha20Poly1305;
use hpke::inout::InOutBuf;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeS, Serializable as _};
use rand_core::SeedableRng as _;

use super::*;
use crate::vectors::hex;

/// RFC 7748 §5.2, the first iteration of the last vector: the scalar 9 times the base point.
#[test]
fn derives_the_public_key_as_the_rfc_does() {
    let secret = hex("0900000000000000000000000000000000000000000000000000000000000000");
    let public = hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    assert_eq!(AgreementSecret::from_bytes(&secret).public().as_bytes(), &public);
}

/// RFC 7748 §5.2, the two single vectors. Neither scalar is clamped, and the second point has its highest bit set.
#[test]
fn computes_the_function_as_the_rfc_does() {
    for (scalar, point, expected) in [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ] {
        let agreed = AgreementSecret::from_bytes(&hex(scalar)).agree(&hex(point)).unwrap();
        assert_eq!(agreed.0, hex::<32>(expected));
    }
}

/// RFC 7748 §5.2, the vector of 1,000 iterations.
#[test]
fn a_thousand_iterations_end_where_those_of_the_rfc_do() {
    let (mut scalar, mut point) = ([0; 32], [0; 32]);
    (scalar[0], point[0]) = (9, 9);
    for _ in 0..1000 {
        let agreed = AgreementSecret::from_bytes(&scalar).agree(&point).unwrap().0;
        (point, scalar) = (scalar, agreed);
    }
    assert_eq!(scalar, hex::<32>("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"));
}

/// RFC 7748 §6.1.
#[test]
fn agrees_as_the_rfc_does() {
    let alice = AgreementSecret::from_bytes(&hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
    let alice_public = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    let bob = AgreementSecret::from_bytes(&hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
    let bob_public = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    let shared = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!((alice.public().as_bytes(), bob.public().as_bytes()), (&alice_public, &bob_public));
    assert_eq!(alice.agree(&bob_public).unwrap().0, shared);
    assert_eq!(bob.agree(&alice_public).unwrap().0, shared);
}

#[test]
fn refuses_points_of_small_order() {
    let mut one = [0; 32];
    one[0] = 1;
    assert_eq!(AgreementKey::from_bytes(&[0; 32]), Err(KeyError::SmallOrder));
    assert_eq!(AgreementKey::from_bytes(&one), Err(KeyError::SmallOrder));
    let secret = AgreementSecret::from_bytes(&[7; 32]);
    assert_eq!(receive(&secret, &one, &[]).err(), Some(ReceiveError::SmallOrder));
}

/// What `hpke` seals is opened as `hpke` opens it, for keys of every kind.
#[test]
fn opens_what_hpke_seals() {
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([4; 32]);
    for _ in 0..32 {
        let secret = AgreementSecret::generate(&mut rng);
        let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(secret.public().as_bytes()).unwrap();
        let (encapsulated, mut sender) = hpke::setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            b"info",
            &mut rng,
        )
        .unwrap();
        let mut text = *b"text";
        let tag = sender.seal_inout_detached(InOutBuf::from(&mut text[..]), b"aad").unwrap();
        let mut receiver = receive(&secret, &encapsulated.to_bytes().into(), b"info").unwrap();
        receiver.open_inout_detached(InOutBuf::from(&mut text[..]), b"aad", &tag).unwrap();
        assert_eq!(&text, b"text");
    }
}

#[test]
fn an_answer_serves_the_question_that_was_asked() {
    let (secret, other) = (AgreementSecret::from_bytes(&[3; 32]), AgreementSecret::from_bytes(&[5; 32]));
    let peer = *other.public().as_bytes();
    let answer = Agreed::new(*secret.public(), peer, secret.agree(&peer).unwrap());
    assert!(receive(&answer, &peer, &[]).is_ok());
    let another = receive(&answer, AgreementSecret::from_bytes(&[6; 32]).public().as_bytes(), &[]);
    assert_eq!(another.err(), Some(ReceiveError::Refused(AgreementError)));
    assert_eq!(Agreement::thumbprint(&answer), secret.thumbprint());
    assert!(!std::format!("{answer:?}").contains(&std::format!("{:?}", &secret.agree(&peer).unwrap().0[..4])));
}

#[test]
fn secrets_are_equal_when_their_octets_are() {
    let mut other = [7; 32];
    other[9] ^= 1;
    assert!(AgreementSecret::from_bytes(&[7; 32]) == AgreementSecret::from_bytes(&[7; 32]));
    assert!(AgreementSecret::from_bytes(&[7; 32]) != AgreementSecret::from_bytes(&other));
}
