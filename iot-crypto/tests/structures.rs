//! The structures of COSE beside `COSE_Sign1`: published ones are read, ours are written and read, altered ones
//! refused.

#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iot_codec::cbor::Writer;
use iot_core::KeyId;
use iot_crypto::cose::{
    Algorithm, ContentKey, CoseError, CosignError, DecryptError, Encrypt, Encrypt0, EncryptError, Mac0, MacError,
    MacKey, Sign, Sign1, UnwrapError, VerifyError,
};
use iot_crypto::{AgreementSecret, SignatureError, Signer, SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const CONTENT: &[u8] = b"This is the content.";
const NOBODY: VerifyError = VerifyError::Signature(SignatureError);

fn vector(name: &str) -> Vec<u8> {
    let text = include_str!("vectors/cose.txt");
    let digits = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).expect("a vector");
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn key_of<const N: usize>(name: &str) -> [u8; N] {
    vector(name).try_into().unwrap()
}

fn signer() -> SigningKey {
    SigningKey::from_seed(&key_of("ed25519 seed"))
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([4; 32])
}

const NAME: KeyId = KeyId::from_bytes(*b"a key id");

/// Whether anything at all is accepted of each flipped bit and each truncation.
fn every_alteration_is_refused(structure: &[u8], accepts: impl Fn(&[u8]) -> bool) {
    assert!(accepts(structure));
    for bit in 0..structure.len() * 8 {
        let mut altered = structure.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepts(&altered), "bit {bit}");
    }
    for end in 0..structure.len() {
        assert!(!accepts(&structure[..end]), "truncated to {end}");
    }
    assert!(!accepts(&[structure, &[0]].concat()), "trailing octet");
}

#[test]
fn reads_the_signatures_of_the_working_group() {
    let key = signer().verifying_key();
    let mut scratch = [0; 256];
    let octets = vector("eddsa-examples/eddsa-sig-01");
    let signed = Sign1::parse(&octets).unwrap();
    assert_eq!(signed.headers().algorithm, Algorithm::EdDsa);
    assert_eq!(signed.verify(&key, b"", &mut scratch).unwrap(), CONTENT);

    let octets = vector("eddsa-examples/eddsa-01");
    let signed = Sign::parse(&octets).unwrap();
    let signature = signed.signatures().next().unwrap();
    assert_eq!(signature.headers().kid, Some(&b"11"[..]));
    assert_eq!(signature.verify(&key, b"", &mut scratch).unwrap(), CONTENT);
    assert_eq!(signature.verify(&key, b"x", &mut scratch), Err(NOBODY));
}

#[test]
fn reads_the_contents_of_the_working_group() {
    let key = ContentKey::from_bytes(key_of("chacha key"));
    let mut buffer = [0; 128];
    let octets = vector("chacha-poly-examples/chacha-poly-enc-01");
    let sealed = Encrypt0::parse(&octets).unwrap();
    assert_eq!(sealed.open_into(&key, b"", &mut buffer).unwrap(), CONTENT);

    // A key that both ends have: the recipient has no protected header, and its algorithm stands outside.
    let octets = vector("chacha-poly-examples/chacha-poly-01");
    let sealed = Encrypt::parse(&octets).unwrap();
    let recipient = sealed.recipient(b"sec-256").unwrap();
    assert_eq!(recipient.headers().algorithm, Algorithm::Direct);
    assert_eq!(sealed.open_into(&key, b"", &mut buffer).unwrap(), CONTENT);
    let secret = AgreementSecret::from_bytes(&[1; 32]);
    let refused = recipient.unwrap_key(&secret, Algorithm::ChaCha20Poly1305).map(drop);
    assert_eq!(refused, Err(UnwrapError::Algorithm(-6)));
}

#[test]
fn reads_the_macs_of_the_working_group_and_the_countersignature_of_rfc_9338() {
    let key = MacKey::from_bytes(key_of("hmac key"));
    let octets = vector("hmac-examples/HMac-enc-01");
    assert_eq!(Mac0::parse(&octets).unwrap().verify(&key, b"").unwrap(), CONTENT);

    let octets = vector("RFC9338/Appendix_A_6_1");
    let authenticated = Mac0::parse(&octets).unwrap();
    assert_eq!(authenticated.verify(&key, b"").unwrap(), CONTENT);
    let countersignatures: Vec<_> = authenticated.countersigned().countersignatures().unwrap().collect();
    assert_eq!(countersignatures.len(), 1);
    assert_eq!(countersignatures[0].headers().kid, Some(&b"11"[..]));
    let mut scratch = [0; 256];
    assert_eq!(countersignatures[0].verify(&signer().verifying_key(), b"", &mut scratch), Ok(()));
    assert_eq!(countersignatures[0].verify(&signer().verifying_key(), b"x", &mut scratch), Err(NOBODY));
}

/// draft-ietf-cose-hpke-23 appendix C.
#[test]
fn opens_what_the_draft_sealed_with_hpke_4() {
    let secret = AgreementSecret::from_bytes(&key_of("HPKE-4 secret"));
    for (external, name) in [
        (&b""[..], "HPKE-4 Encrypt0 with default aad and default info"),
        (b"external-aad", "HPKE-4 Encrypt0 with external aad and default info"),
    ] {
        let octets = vector(name);
        let sealed = Encrypt0::parse(&octets).unwrap();
        let mut buffer = [0; 128];
        assert_eq!(sealed.open_sealed_into(&secret, external, &mut buffer).unwrap(), b"hpke test payload");
        let refused = sealed.open_sealed_into(&secret, b"other", &mut buffer).map(drop);
        assert_eq!(refused, Err(DecryptError::Decryption));
        let key = ContentKey::from_bytes([1; 32]);
        assert_eq!(sealed.open_into(&key, b"", &mut buffer).map(drop), Err(DecryptError::Algorithm(42)));
    }
}

/// Structures of RFC 9052 appendix C whose algorithms are not ours: told apart from malformed ones.
#[test]
fn says_which_published_algorithms_it_does_not_have() {
    let octets = vector("RFC8152/Appendix_C_4_1");
    assert_eq!(Encrypt0::parse(&octets).unwrap_err(), CoseError::Algorithm(10));
    let octets = vector("RFC8152/Appendix_C_6_1");
    assert_eq!(Mac0::parse(&octets).unwrap_err(), CoseError::Algorithm(15));
    // Signatures for others are counted, and passed over.
    let octets = vector("RFC8152/Appendix_C_1_2");
    let signed = Sign::parse(&octets).unwrap();
    assert_eq!(signed.signature_count(), 2);
    assert!(signed.signatures().all(|signature| signature.headers().algorithm != Algorithm::EdDsa));
    assert_eq!(signed.verify(&signer().verifying_key(), b"", &mut [0; 256]), Err(NOBODY));
}

#[test]
fn an_altered_content_is_refused() {
    let key = ContentKey::from_bytes([7; 32]);
    let sealed = Encrypt0::seal(&key, Some(&NAME), &[1; 12], CONTENT, b"external");
    assert_eq!(Encrypt0::parse(&sealed).unwrap().headers().key_id(), Some(NAME));
    let opens = |octets: &[u8], key: &ContentKey, external: &[u8]| {
        let parsed = Encrypt0::parse(octets).ok()?;
        parsed.open_into(key, external, &mut [0; 256]).ok().map(|plaintext| plaintext.to_vec())
    };
    assert_eq!(opens(&sealed, &key, b"external").unwrap(), CONTENT);
    assert_eq!(opens(&sealed, &key, b"externa1"), None);
    assert_eq!(opens(&sealed, &ContentKey::from_bytes([8; 32]), b"external"), None);
    every_alteration_is_refused(&sealed, |octets| opens(octets, &key, b"external").is_some());
}

#[test]
fn a_refused_content_leaves_no_plaintext() {
    let key = ContentKey::from_bytes([7; 32]);
    let mut sealed = Encrypt0::seal(&key, None, &[1; 12], CONTENT, b"");
    *sealed.last_mut().unwrap() ^= 1;
    let mut buffer = [0; 256];
    assert!(Encrypt0::parse(&sealed).unwrap().open_into(&key, b"", &mut buffer).is_err());
    assert!(!buffer.windows(CONTENT.len()).any(|window| window == CONTENT));
}

#[test]
fn a_content_without_a_whole_nonce_is_refused() {
    let key = ContentKey::from_bytes([7; 32]);
    for (label, iv) in [(5, &[1; 11][..]), (5, &[1; 13]), (6, &[1; 12])] {
        let mut writer = Writer::new(Vec::new());
        writer.array(3).unwrap();
        writer.bytes(&[0xa1, 0x01, 0x18, 0x18]).unwrap();
        writer.map(1).unwrap();
        writer.int(label).unwrap();
        writer.bytes(iv).unwrap();
        writer.bytes(&[0; 40]).unwrap();
        let octets = writer.into_output();
        let refused = Encrypt0::parse(&octets).unwrap().open_into(&key, b"", &mut [0; 128]).map(drop);
        assert_eq!(refused, Err(DecryptError::NoIv));
    }
}

#[test]
fn an_altered_mac_is_refused() {
    let key = MacKey::from_bytes([7; 32]);
    let authenticated = Mac0::authenticate(&key, &NAME, CONTENT, b"external");
    let verifies =
        |octets: &[u8], key: &MacKey, external: &[u8]| Mac0::parse(octets).map(|it| it.verify(key, external).is_ok());
    assert_eq!(verifies(&authenticated, &key, b"external"), Ok(true));
    assert_eq!(verifies(&authenticated, &key, b"externa1"), Ok(false));
    assert_eq!(verifies(&authenticated, &MacKey::from_bytes([8; 32]), b"external"), Ok(false));
    every_alteration_is_refused(&authenticated, |octets| verifies(octets, &key, b"external") == Ok(true));
    // RFC 9053 §3.1: a tag of 64 bits is another algorithm.
    let short = &[&authenticated[..authenticated.len() - 34], &[0x48], &authenticated[authenticated.len() - 32..][..8]]
        .concat();
    assert_eq!(Mac0::parse(short).unwrap_err(), CoseError::Length { len: 8 });
    let error: MacError = Mac0::parse(&authenticated).unwrap().verify(&key, b"").unwrap_err();
    assert_eq!(error.to_string(), "the authentication tag is not valid");
}

#[test]
fn each_of_several_signatures_is_verified_by_its_key() {
    let (a, b, c) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]), SigningKey::from_seed(&[3; 32]));
    let signed = Sign::sign(&[&a, &b], CONTENT, b"external").unwrap();
    let verifies = |octets: &[u8], key: &SigningKey, external: &[u8]| {
        let parsed = Sign::parse(octets).map_err(|_| NOBODY)?;
        parsed.verify(&key.verifying_key(), external, &mut [0; 256]).map(<[u8]>::to_vec)
    };
    for key in [&a, &b] {
        assert_eq!(verifies(&signed, key, b"external").unwrap(), CONTENT);
        assert_eq!(verifies(&signed, key, b"externa1"), Err(NOBODY));
    }
    assert_eq!(verifies(&signed, &c, b"external"), Err(NOBODY));
    assert_eq!(Sign::parse(&signed).unwrap().signature_count(), 2);
    // One signature does not cover the other, so a caller who needs both asks for both.
    every_alteration_is_refused(&signed, |octets| {
        verifies(octets, &a, b"external").is_ok() && verifies(octets, &b, b"external").is_ok()
    });
    assert_eq!(Sign::sign(&[], CONTENT, b""), Err(CosignError::Signers { count: 0 }));
    let many: Vec<&dyn Signer> = vec![&a; 17];
    assert_eq!(Sign::sign(&many, CONTENT, b""), Err(CosignError::Signers { count: 17 }));
    assert!(Sign::parse(&Sign::sign(&many[..16], CONTENT, b"").unwrap()).is_ok());
}

#[test]
fn a_signature_of_one_structure_is_none_of_another() {
    // Sign1, Sign and a countersignature sign different octets, so none passes for another.
    let key = SigningKey::from_seed(&[1; 32]);
    let one = Sign1::sign(&key, CONTENT, b"").unwrap();
    let signature = &one[one.len() - 64..];
    let several = Sign::sign(&[&key], CONTENT, b"").unwrap();
    let mut forged = several.clone();
    let end = forged.len();
    forged[end - 64..].copy_from_slice(signature);
    let verifying = key.verifying_key();
    assert!(Sign::parse(&several).unwrap().verify(&verifying, b"", &mut [0; 256]).is_ok());
    assert_eq!(Sign::parse(&forged).unwrap().verify(&verifying, b"", &mut [0; 256]), Err(NOBODY));
}

#[test]
fn a_content_for_several_readers_opens_with_each_of_their_secrets() {
    let secrets: Vec<_> = (1..=3).map(|seed| AgreementSecret::from_bytes(&[seed; 32])).collect();
    let readers: Vec<_> = secrets.iter().map(|secret| *secret.public()).collect();
    let sealed = Encrypt::seal(&readers, CONTENT, b"external", &mut rng()).unwrap();
    let opens = |octets: &[u8], secret: &AgreementSecret, external: &[u8]| {
        let parsed = Encrypt::parse(octets).ok()?;
        let recipient = parsed.recipient(secret.thumbprint().as_bytes())?;
        let key = recipient.unwrap_key(secret, parsed.headers().algorithm).ok()?;
        parsed.open_into(&key, external, &mut [0; 512]).ok().map(|plaintext| plaintext.to_vec())
    };
    for secret in &secrets {
        assert_eq!(opens(&sealed, secret, b"external").unwrap(), CONTENT);
        assert_eq!(opens(&sealed, secret, b"externa1"), None);
    }
    assert_eq!(opens(&sealed, &AgreementSecret::from_bytes(&[4; 32]), b"external"), None);
    every_alteration_is_refused(&sealed, |octets| {
        secrets.iter().all(|secret| opens(octets, secret, b"external").is_some())
    });
}

#[test]
fn there_are_as_many_recipients_as_stated_and_no_more() {
    let reader = *AgreementSecret::from_bytes(&[1; 32]).public();
    assert_eq!(Encrypt::seal(&[], CONTENT, b"", &mut rng()), Err(EncryptError::Readers { count: 0 }));
    assert_eq!(Encrypt::seal(&[reader; 65], CONTENT, b"", &mut rng()), Err(EncryptError::Readers { count: 65 }));
    let sealed = Encrypt::seal(&[reader; 64], CONTENT, b"", &mut rng()).unwrap();
    assert_eq!(Encrypt::parse(&sealed).unwrap().recipients().count(), 64);
    // The head of an array of 64, 0x98 0x40, and then of 65 and of none.
    let head = sealed.windows(2).position(|window| window == [0x98, 0x40]).unwrap();
    let mut more = sealed.clone();
    more[head + 1] = 65;
    assert_eq!(Encrypt::parse(&more).unwrap_err(), CoseError::TooMany { found: 65, max: 64 });
    let none = [&sealed[..head], &[0x80]].concat();
    assert_eq!(Encrypt::parse(&none).unwrap_err(), CoseError::Empty);
}

#[test]
fn a_detached_content_is_handed_in() {
    let key = SigningKey::from_seed(&[1; 32]);
    let attached = Sign1::sign(&key, CONTENT, b"").unwrap();
    assert_eq!(Sign1::parse_detached(&attached, CONTENT).unwrap_err(), CoseError::Attached);
    let payload = attached.len() - 66 - 1 - CONTENT.len();
    let detached = [&attached[..payload], &[0xf6], &attached[attached.len() - 66..]].concat();
    assert_eq!(Sign1::parse(&detached).unwrap_err(), CoseError::Detached);
    let parsed = Sign1::parse_detached(&detached, CONTENT).unwrap();
    assert_eq!(parsed.verify(&key.verifying_key(), b"", &mut [0; 256]).unwrap(), CONTENT);
    let other = Sign1::parse_detached(&detached, b"This is the discontent.").unwrap();
    assert_eq!(other.verify(&key.verifying_key(), b"", &mut [0; 256]), Err(NOBODY));

    let key = MacKey::from_bytes([7; 32]);
    let attached = Mac0::authenticate(&key, &NAME, CONTENT, b"");
    let payload = attached.len() - 34 - 1 - CONTENT.len();
    let detached = [&attached[..payload], &[0xf6], &attached[attached.len() - 34..]].concat();
    assert_eq!(Mac0::parse(&detached).unwrap_err(), CoseError::Detached);
    assert_eq!(Mac0::parse_detached(&detached, CONTENT).unwrap().verify(&key, b"").unwrap(), CONTENT);

    let key = ContentKey::from_bytes([7; 32]);
    let attached = Encrypt0::seal(&key, None, &[1; 12], CONTENT, b"");
    let ciphertext = Encrypt0::parse(&attached).unwrap().ciphertext();
    let detached = [&attached[..attached.len() - ciphertext.len() - 2], &[0xf6]].concat();
    assert_eq!(Encrypt0::parse(&detached).unwrap_err(), CoseError::Detached);
    let parsed = Encrypt0::parse_detached(&detached, ciphertext).unwrap();
    assert_eq!(parsed.open_into(&key, b"", &mut [0; 256]).unwrap(), CONTENT);
}

#[test]
fn a_countersignature_covers_the_structure_and_is_added_without_touching_it() {
    let (author, witness, other) =
        (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]), SigningKey::from_seed(&[3; 32]));
    let signed = Sign1::sign(&author, CONTENT, b"").unwrap();
    let parsed = Sign1::parse(&signed).unwrap();
    let target = parsed.countersigned();
    let mut buffer = vec![0; target.countersign_len(signed.len(), 5)];
    let len = target.countersign_into(&signed, &witness, b"event", &mut buffer).unwrap();
    let full = buffer[..len].to_vec();
    let len = target.countersign_abbreviated_into(&signed, &witness, b"event", &mut buffer).unwrap();
    let abbreviated = buffer[..len].to_vec();
    assert_eq!(abbreviated.len(), signed.len() + 67);

    let verifies_full = |octets: &[u8], key: &SigningKey| {
        let parsed = Sign1::parse(octets).ok()?;
        parsed.verify(&author.verifying_key(), b"", &mut [0; 256]).ok()?;
        let countersignature = parsed.countersigned().countersignatures().ok()?.next()?;
        countersignature.verify(&key.verifying_key(), b"event", &mut [0; 512]).ok()
    };
    let verifies_abbreviated = |octets: &[u8], key: &SigningKey| {
        let parsed = Sign1::parse(octets).ok()?;
        parsed.verify(&author.verifying_key(), b"", &mut [0; 256]).ok()?;
        parsed.countersigned().verify_abbreviated(&key.verifying_key(), b"event", &mut [0; 512]).ok()
    };
    assert_eq!(verifies_full(&full, &other), None);
    assert_eq!(verifies_abbreviated(&abbreviated, &other), None);
    assert_eq!(verifies_abbreviated(&full, &witness), None);
    every_alteration_is_refused(&full, |octets| verifies_full(octets, &witness).is_some());
    every_alteration_is_refused(&abbreviated, |octets| verifies_abbreviated(octets, &witness).is_some());
    // Without it, nothing else has changed.
    assert_eq!(Sign1::parse(&full).unwrap().verify(&author.verifying_key(), b"", &mut [0; 256]).unwrap(), CONTENT);
    let again = Sign1::parse(&full).unwrap().countersigned().countersign_into(&full, &other, b"", &mut [0; 1024]);
    assert_eq!(again, Err(CosignError::Structure));
}

#[test]
fn contents_macs_and_signatures_are_countersigned_too() {
    let witness = SigningKey::from_seed(&[2; 32]);
    let reader = *AgreementSecret::from_bytes(&[1; 32]).public();
    let author = SigningKey::from_seed(&[1; 32]);
    let key = ContentKey::from_bytes([7; 32]);
    let encrypt0 = Encrypt0::seal(&key, None, &[1; 12], CONTENT, b"");
    let encrypt = Encrypt::seal(&[reader], CONTENT, b"", &mut rng()).unwrap();
    let mac0 = Mac0::authenticate(&MacKey::from_bytes([7; 32]), &NAME, CONTENT, b"");
    let sign = Sign::sign(&[&author], CONTENT, b"").unwrap();
    let mut buffer = [0; 1024];
    let mut check = |structure: &[u8], target: for<'b> fn(&'b [u8]) -> iot_crypto::cose::Countersigned<'b>| {
        let len = target(structure).countersign_into(structure, &witness, b"", &mut buffer).unwrap();
        let countersigned = target(&buffer[..len]);
        let found = countersigned.countersignatures().unwrap().next().unwrap();
        assert_eq!(found.verify(&witness.verifying_key(), b"", &mut [0; 512]), Ok(()));
        assert_eq!(found.headers().key_id(), Some(witness.verifying_key().key_id()));
        assert_eq!(target(structure).countersignatures().unwrap().count(), 0);
    };
    check(&encrypt0, |octets| Encrypt0::parse(octets).unwrap().countersigned());
    check(&encrypt, |octets| Encrypt::parse(octets).unwrap().countersigned());
    check(&mac0, |octets| Mac0::parse(octets).unwrap().countersigned());
    check(&sign, |octets| Sign::parse(octets).unwrap().countersigned());
}

/// What stood in both headers of a `COSE_Sign`'s body, or of a recipient for others, was read all the same, because
/// only those who asked for an algorithm looked.
#[test]
fn a_label_stands_in_one_header_of_every_layer() {
    let author = SigningKey::from_seed(&[1; 32]);
    let signed = Sign::sign(&[&author], CONTENT, b"").unwrap();
    assert!(signed.starts_with(&[0x84, 0x40, 0xa0]), "both headers of the body are empty");
    let with_body = |label: u8, other: u8| {
        let headers = [0x84, 0x44, 0xa1, label, 0x41, 0x01, 0xa1, other, 0x41, 0x01];
        Sign::parse(&[&headers, &signed[3..]].concat()).map(drop)
    };
    assert_eq!(with_body(4, 5), Ok(()));
    assert_eq!(with_body(4, 4), Err(CoseError::DuplicateLabel(4)));
    assert_eq!(with_body(5, 6), Err(CoseError::IvAndPartialIv));

    let reader = *AgreementSecret::from_bytes(&[1; 32]).public();
    let encrypted = Encrypt::seal(&[reader], CONTENT, b"", &mut rng()).unwrap();
    let (head, recipient) = encrypted.split_at(encrypted.len() - 128);
    assert_eq!(head.last(), Some(&0x81));
    let with_recipient = |unprotected: &[u8]| {
        // {1: -3, 4: h'01'}, the key wrap of AES.
        let other = [&[0x83, 0x46, 0xa2, 0x01, 0x22, 0x04, 0x41, 0x01], unprotected, &[0x41, 0x00]].concat();
        let octets = [&head[..head.len() - 1], &[0x82], recipient, &other].concat();
        Encrypt::parse(&octets).map(|encrypted| encrypted.recipients().count())
    };
    assert_eq!(with_recipient(&[0xa0]), Ok(1));
    assert_eq!(with_recipient(&[0xa1, 0x04, 0x41, 0x01]), Err(CoseError::DuplicateLabel(4)));
}

/// A countersignature used to go beside another value of its label in the protected header, which no reader accepts.
#[test]
fn a_structure_with_the_label_inside_is_not_countersigned() {
    // {1: 24, 12: h''}
    let headers = [0x83, 0x46, 0xa2, 0x01, 0x18, 0x18, 0x0c, 0x40, 0xa0];
    let octets = [&headers[..], &[0x50], &[0; 16]].concat();
    let target = Encrypt0::parse(&octets).unwrap().countersigned();
    let witness = SigningKey::from_seed(&[2; 32]);
    let mut buffer = [0; 512];
    let refused = target.countersign_abbreviated_into(&octets, &witness, b"", &mut buffer);
    assert_eq!(refused, Err(CosignError::Structure));
    let len = target.countersign_into(&octets, &witness, b"", &mut buffer).unwrap();
    assert!(Encrypt0::parse(&buffer[..len]).is_ok());
}
