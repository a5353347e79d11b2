use std::vec::Vec;

use iot_crypto::SigningKey;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn owner() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn in_an_hour() -> Timestamp {
    NOW.saturating_add(Duration::from_secs(3600))
}

fn record() -> Record {
    Record::sign(&owner(), b"name", 5, in_an_hour(), b"the value").unwrap()
}

fn verify(octets: &[u8]) -> Result<Record, RecordError> {
    UnverifiedRecord::parse(octets)?.verify(NOW)
}

#[test]
fn a_record_survives_the_wire() {
    let record = record();
    let received = verify(record.as_bytes()).unwrap();
    assert_eq!(received, record);
    assert_eq!((received.name(), received.value(), received.sequence()), (&b"name"[..], &b"the value"[..], 5));
    assert_eq!(received.expires(), in_an_hour());
    assert_eq!(*received.owner(), owner().verifying_key().device_id());
    assert_eq!(*received.key(), Key::of_record(received.owner(), b"name"));
}

#[test]
fn every_truncation_and_trailing_octet_is_refused() {
    let octets = record().as_bytes().to_vec();
    for len in 0..octets.len() {
        assert!(UnverifiedRecord::parse(&octets[..len]).is_err(), "{len} octets");
    }
    let longer: Vec<u8> = octets.iter().copied().chain([0]).collect();
    assert!(UnverifiedRecord::parse(&longer).is_err());
}

#[test]
fn every_flipped_bit_is_refused() {
    let record = record();
    let mut octets = record.as_bytes().to_vec();
    for bit in 0..octets.len() * 8 {
        octets[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&octets).is_err(), "bit {bit}");
        octets[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn another_key_cannot_speak_for_the_owner() {
    let forged = Record::sign(&SigningKey::from_seed(&[8; 32]), b"name", 9, in_an_hour(), b"forged").unwrap();
    let key = *record().key();
    let result = UnverifiedRecord::parse(forged.as_bytes()).unwrap().verify_for(&key, NOW);
    assert_eq!(result, Err(RecordError::WrongKey));
    let other_name = Record::sign(&owner(), b"eman", 9, in_an_hour(), b"value").unwrap();
    let result = UnverifiedRecord::parse(other_name.as_bytes()).unwrap().verify_for(&key, NOW);
    assert_eq!(result, Err(RecordError::WrongKey));
}

#[test]
fn a_signature_for_another_purpose_is_refused() {
    let record = record();
    let payload = Sign1::parse(record.as_bytes()).unwrap().unverified_payload().to_vec();
    let elsewhere = Sign1::sign(&owner(), &payload, b"another purpose").unwrap();
    assert_eq!(verify(&elsewhere), Err(RecordError::Signature));
}

#[test]
fn what_the_signature_does_not_cover_is_refused() {
    let octets = record().as_bytes().to_vec();
    let tagged: Vec<u8> = [0xd2].into_iter().chain(octets.iter().copied()).collect();
    assert!(UnverifiedRecord::parse(&tagged).is_err());
    // The empty unprotected header follows the array's head and the protected header.
    let place = 2 + usize::from(octets[1] & 0x1f);
    assert_eq!(octets[place], 0xa0);
    let mut labelled = octets;
    labelled.splice(place..=place, [0xa1, 0x18, 0x63, 0x00]);
    assert_eq!(UnverifiedRecord::parse(&labelled).unwrap_err(), RecordError::Unsigned);
}

#[test]
fn an_expiry_counts_to_the_microsecond_and_to_thirty_days() {
    let expiring = |micros: u64| {
        let expires = Timestamp::from_micros(micros);
        let record = Record::sign(&owner(), b"n", 1, expires, b"").unwrap();
        verify(record.as_bytes()).map(drop)
    };
    let now = NOW.as_micros();
    let month = Record::MAX_LIFE.as_micros() as u64;
    assert_eq!(expiring(now), Err(RecordError::Expired { expires: NOW }));
    assert_eq!(expiring(now + 1), Ok(()));
    assert_eq!(expiring(now + month), Ok(()));
    let expires = Timestamp::from_micros(now + month + 1);
    assert_eq!(expiring(now + month + 1), Err(RecordError::ExpiryTooFar { expires }));
}

#[test]
fn the_largest_record_fits_and_a_larger_one_is_not_signed() {
    let name = [b'n'; Record::MAX_NAME_LEN];
    let value = [1; Record::MAX_CONTENT_LEN];
    let far = Timestamp::from_micros(u64::MAX);
    for name_len in [0, Record::MAX_NAME_LEN] {
        let value = &value[name_len..];
        let largest = Record::sign(&owner(), &name[..name_len], u64::MAX, far, value).unwrap();
        assert!(largest.as_bytes().len() <= Record::MAX_LEN, "{} octets", largest.as_bytes().len());
        assert!(UnverifiedRecord::parse(largest.as_bytes()).is_ok());
    }
    let sign = |name: &[u8], value: &[u8]| Record::sign(&owner(), name, 0, far, value).map(drop);
    assert_eq!(sign(b"n", &value), Err(SignRecordError::TooLarge { len: Record::MAX_CONTENT_LEN + 1 }));
    assert_eq!(sign(&[0; 65], b""), Err(SignRecordError::NameTooLong { len: 65 }));
}
