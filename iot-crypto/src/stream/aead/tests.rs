extern crate std;
use std::vec::Vec;

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
    assert_eq!(text[..16], hex::<16>("d31a8d34648e60db7b86afbc53ef7ec2"));
    assert_eq!(text[98..], hex::<16>("def08e4b7a9de576d26586cec64b6116"));
    assert_eq!(A::open(&key, &nonce, &associated, &mut text, &tag), Ok(()));
    assert_eq!(text, plaintext);
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
fn rust_crypto_seals_as_the_rfc_does_and_refuses_changes() {
    seals_as_the_rfc_does::<RustCrypto>();
    refuses_any_flipped_bit::<RustCrypto>();
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
