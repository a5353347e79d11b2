extern crate std;
use std::vec::Vec;

use super::*;
use crate::{SigningKey, Thumbprint};

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn thumbprint(number: u8) -> Thumbprint {
    key(number).verifying_key().thumbprint()
}

/// The chain in which each of the keys follows the one before, committed to one step ahead.
fn chain(keys: &[u8]) -> Vec<u8> {
    let mut buffer = [0; Succession::BUFFER_LEN];
    let next = key(keys[1]).verifying_key();
    let mut len = Succession::begin_into(&key(keys[0]), &next, &thumbprint(keys[2]), &mut buffer).unwrap();
    for step in keys.windows(3).skip(1) {
        let octets = buffer[..len].to_vec();
        let succession = Succession::verify(&octets, &thumbprint(keys[0]).device_id()).unwrap();
        let next = key(step[1]).verifying_key();
        len = succession.extend_into(&key(step[0]), &next, &thumbprint(step[2]), &mut buffer).unwrap();
    }
    buffer[..len].to_vec()
}

fn verify(octets: &[u8]) -> Result<(usize, VerifyingKey, Thumbprint), SuccessionError> {
    let succession = Succession::verify(octets, &thumbprint(1).device_id())?;
    Ok((succession.rotations(), *succession.current_key(), succession.announced()))
}

/// A chain with the member in the place `index` replaced; the first key is member 0.
fn with_member(octets: &[u8], index: usize, member: &[u8]) -> Vec<u8> {
    let mut cursor = Cursor::new(octets);
    let count = cursor.array().unwrap();
    let mut replaced = std::vec![octets[0]];
    for i in 0..count {
        let item = cursor.raw_item().unwrap();
        replaced.extend_from_slice(if i == index { member } else { item.as_bytes() });
    }
    replaced
}

fn member(octets: &[u8], index: usize) -> Vec<u8> {
    let mut cursor = Cursor::new(octets);
    cursor.array().unwrap();
    (0..index).for_each(|_| cursor.skip().unwrap());
    cursor.raw_item().unwrap().as_bytes().to_vec()
}

#[test]
fn leads_from_the_first_key_to_the_current_one() {
    for rotations in 1..=Succession::MAX_ROTATIONS {
        let keys: Vec<u8> = (1..=rotations as u8 + 2).collect();
        let current = key(rotations as u8 + 1).verifying_key();
        assert_eq!(verify(&chain(&keys)), Ok((rotations, current, thumbprint(rotations as u8 + 2))));
    }
    assert!(chain(&[1, 2, 3, 4, 5, 6]).len() <= Succession::MAX_LEN);
}

#[test]
fn only_the_current_key_and_the_committed_successor_extend_it() {
    let octets = chain(&[1, 2, 3]);
    let succession = Succession::verify(&octets, &thumbprint(1).device_id()).unwrap();
    let mut buffer = [0; Succession::BUFFER_LEN];
    let mut extend = |signer: u8, successor: u8| {
        succession.extend_into(&key(signer), &key(successor).verifying_key(), &thumbprint(9), &mut buffer)
    };
    assert_eq!(extend(1, 3), Err(ExtendError::NotCurrent));
    assert_eq!(extend(2, 4), Err(ExtendError::NotCommitted));
    assert!(extend(2, 3).is_ok());
    let short = succession.extend_into(&key(2), &key(3).verifying_key(), &thumbprint(9), &mut [0; 300]);
    assert!(matches!(short, Err(ExtendError::Buffer(_))));
    let octets = chain(&[1, 2, 3, 4, 5, 6]);
    let full = Succession::verify(&octets, &thumbprint(1).device_id()).unwrap();
    assert_eq!(full.extend_into(&key(5), &key(6).verifying_key(), &thumbprint(7), &mut buffer), Err(ExtendError::Full));
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    let mut octets = chain(&[1, 2, 3, 4]);
    for end in 0..octets.len() {
        assert!(verify(&octets[..end]).is_err(), "truncated to {end}");
    }
    for bit in 0..octets.len() * 8 {
        octets[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&octets).is_err(), "bit {bit}");
        octets[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(verify(&[&octets[..], &[0]].concat()).is_err());
    assert_eq!(verify(&[0x85; 700]), Err(SuccessionError::TooLong { len: 700 }));
}

#[test]
fn a_chain_has_one_to_four_links() {
    let first = member(&chain(&[1, 2, 3]), 0);
    assert_eq!(verify(&[&[0x81], &first[..]].concat()), Err(SuccessionError::Links { count: 0 }));
    let octets = chain(&[1, 2, 3, 4, 5, 6]);
    let link = member(&octets, 4);
    let mut longer = [&octets[..], &link].concat();
    longer[0] += 1;
    assert_eq!(verify(&longer), Err(SuccessionError::TooLong { len: longer.len() }));
    assert_eq!(verify(&[0x86, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00]), Err(SuccessionError::Links { count: 5 }));
}

#[test]
fn a_link_of_another_place_or_device_is_refused() {
    let octets = chain(&[1, 2, 3, 4]);
    let swapped = with_member(&with_member(&octets, 1, &member(&octets, 2)), 2, &member(&octets, 1));
    assert!(verify(&swapped).is_err());
    // The same keys, as another device would name them: its first key is 9.
    let mut other = chain(&[9, 2, 3, 4]);
    other = with_member(&other, 0, &member(&octets, 0));
    assert!(matches!(verify(&other), Err(SuccessionError::Signature { index: 1, .. })));
    let of_another = chain(&[9, 2, 3]);
    assert_eq!(verify(&of_another), Err(SuccessionError::OtherDevice { found: thumbprint(9).device_id() }));
}

/// A thief of the second key signs a link to a key of their own. The first key had committed to another.
#[test]
fn a_thief_of_the_current_key_cannot_extend_the_chain() {
    let stolen_from = chain(&[1, 2, 3]);
    let thief = chain(&[1, 2, 66, 67]);
    let forged = with_member(&thief, 1, &member(&stolen_from, 1));
    assert_eq!(verify(&forged), Err(SuccessionError::NotCommitted { index: 2 }));
}

#[test]
fn a_retired_key_does_not_come_back() {
    let mut buffer = [0; Succession::BUFFER_LEN];
    let len = Succession::begin_into(&key(1), &key(1).verifying_key(), &thumbprint(2), &mut buffer).unwrap();
    assert_eq!(verify(&buffer[..len]), Err(SuccessionError::Retired { index: 1 }));
    let octets = chain(&[1, 2, 1]);
    let succession = Succession::verify(&octets, &thumbprint(1).device_id()).unwrap();
    let len = succession.extend_into(&key(2), &key(1).verifying_key(), &thumbprint(3), &mut buffer).unwrap();
    assert_eq!(verify(&buffer[..len]), Err(SuccessionError::Retired { index: 2 }));
}

#[test]
fn what_no_signature_covers_is_refused() {
    let octets = chain(&[1, 2, 3]);
    let link = member(&octets, 1);
    let tagged = [&[0xd2], &link[..]].concat();
    assert_eq!(verify(&with_member(&octets, 1, &tagged)), Err(SuccessionError::Unsigned));
    // The unprotected header stands behind the array's head and the protected header of 14 octets.
    let mut labelled = link.clone();
    labelled.splice(15..16, [0xa1, 0x18, 0x63, 0x00]);
    assert_eq!(verify(&with_member(&octets, 1, &labelled)), Err(SuccessionError::Unsigned));
}

#[test]
fn an_unverified_chain_says_whose_it_claims_to_be() {
    let mut octets = chain(&[1, 2, 3]);
    let last = octets.len() - 1;
    octets[last] ^= 1;
    let chain = UnverifiedSuccession::parse(&octets).unwrap();
    assert_eq!((chain.device(), chain.current_key()), (thumbprint(1).device_id(), &key(2).verifying_key()));
    assert!(matches!(chain.verify(), Err(SuccessionError::Signature { index: 1, .. })));
}
