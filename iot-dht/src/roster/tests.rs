use std::collections::BTreeMap;

use iot_crypto::SigningKey;

use super::*;
use crate::id::Key;
use crate::name_key::NameKey;
use crate::node::GetMode;

const EXPIRES: Timestamp = Timestamp::from_secs(1_767_229_200);

fn authority() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

fn name() -> [u8; 39] {
    Roster::name(&Topic::new("plant/7/boiler/12").unwrap())
}

fn publications(count: usize) -> Vec<Publication> {
    (0..count).map(|n| Publication::new(DeviceId::from_bytes([n as u8; 32]), b"readings")).collect()
}

fn sign(sequence: u64, count: usize) -> Vec<Record> {
    Roster::sign(&authority(), &name(), sequence, EXPIRES, &publications(count)).unwrap()
}

fn read(records: &[Record], known: u64) -> Result<Roster, RosterError> {
    let records: BTreeMap<Key, &Record> = records.iter().map(|record| (*record.key(), record)).collect();
    let mut reader = RosterReader::new(authority().verifying_key().device_id(), &name(), known);
    loop {
        let fetch = reader.poll_fetch().expect("not done yet");
        let found = records.get(&fetch.key).copied().cloned();
        let is_front = fetch.key == Key::of_record(&authority().verifying_key().device_id(), &name());
        assert_eq!(matches!(fetch.mode, GetMode::Newest), is_front);
        if let Some(done) = reader.handle_fetched(&fetch.key, found.clone()) {
            assert_eq!(reader.handle_fetched(&fetch.key, found), None, "told once");
            return done;
        }
    }
}

#[test]
fn a_short_roster_is_one_record_and_a_long_one_has_pages() {
    for (count, records) in [(0, 1), (1, 1), (18, 1), (40, 4), (250, 15)] {
        let signed = sign(7, count);
        assert_eq!(signed.len(), records, "{count} publications");
        assert!(signed.iter().all(|record| record.as_bytes().len() <= Record::MAX_LEN));
        let roster = read(&signed, 7).unwrap();
        assert_eq!((roster.publications(), roster.sequence()), (&publications(count)[..], 7));
        assert_eq!(roster.expires(), EXPIRES);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |name: &[u8], publications: &[Publication]| {
        Roster::sign(&authority(), name, 0, EXPIRES, publications).unwrap_err()
    };
    assert_eq!(refused(&[0; 60], &[]), RosterError::NameTooLong { len: 60 });
    let long = [Publication::new(DeviceId::from_bytes([0; 32]), &[0; 41])];
    assert_eq!(refused(&name(), &long), RosterError::FeedTooLong { index: 0 });
    assert_eq!(refused(&name(), &publications(600)), RosterError::TooMany { count: 600 });
}

#[test]
fn an_older_roster_is_refused_and_pages_of_another_are() {
    assert_eq!(read(&sign(6, 1), 7), Err(RosterError::Stale { found: 6, known: 7 }));
    assert_eq!(read(&[], 0), Err(RosterError::NotFound));
    let mut mixed = sign(7, 60);
    let pages = mixed.len() - 1;
    mixed.remove(1);
    assert_eq!(read(&mixed, 0), Err(RosterError::Unavailable { missing: 1, pages }));
    let other = Roster::sign(&authority(), &name(), 8, EXPIRES, &publications(59)).unwrap();
    mixed.extend(other.into_iter().filter(|record| record.name().ends_with(b"/p/1")));
    // Nobody finds out that this page has the same publications as the one that is missing: they do.
    assert!(read(&mixed, 0).is_ok());
    let last = mixed.iter().position(|record| record.name().ends_with(b"/p/0")).unwrap();
    let forged = Record::sign(&authority(), mixed[last].name(), 9, EXPIRES, b"\x80").unwrap();
    mixed[last] = forged;
    assert_eq!(read(&mixed, 0), Err(RosterError::Unavailable { missing: 1, pages }));
}

#[test]
fn a_roster_that_is_none_is_refused() {
    let noise = Record::sign(&authority(), &name(), 1, EXPIRES, b"noise").unwrap();
    assert!(matches!(read(&[noise], 0), Err(RosterError::Malformed(_))));
}

#[test]
fn a_group_can_hide_which_topic_a_roster_is_of() {
    let hidden = NameKey::new(&[9; 32]).hide(&name());
    let signed = Roster::sign(&authority(), &hidden, 1, EXPIRES, &publications(1)).unwrap();
    assert_eq!(signed[0].name(), hidden);
    assert_ne!(name(), Roster::name(&Topic::new("plant/7/boiler/13").unwrap()));
}
