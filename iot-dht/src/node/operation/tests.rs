use std::sync::LazyLock;
use std::vec::Vec;

use iot_core::Timestamp;
use iot_crypto::SigningKey;
use proptest::prelude::*;

use super::*;

/// Records of one key, by sequence and value.
static RECORDS: LazyLock<Vec<Vec<Record>>> = LazyLock::new(|| {
    let owner = SigningKey::from_seed(&[3; 32]);
    let record = |sequence, value| Record::sign(&owner, b"r", sequence, Timestamp::from_secs(1), &[value]).unwrap();
    (0..4).map(|sequence| (0..3).map(|value| record(sequence, value)).collect()).collect()
});

fn address(n: u8) -> SocketAddr {
    ([10, 0, 0, n], 4000).into()
}

/// The first of those with the highest sequence.
fn newest(records: &[Record]) -> Option<&Record> {
    let top = records.iter().map(Record::sequence).max()?;
    records.iter().find(|record| record.sequence() == top)
}

/// The first that says something else under the same number.
fn fork(believed: Option<&Record>, records: &[Record]) -> Option<Fork> {
    let believed = believed?;
    let other =
        records.iter().find(|other| other.sequence() == believed.sequence() && other.value() != believed.value());
    other.map(|other| Fork { believed: believed.clone(), other: other.clone() })
}

proptest! {
    /// Whatever comes in whichever order, from some twice: a get ends with the first of the newest, and shows the first that
    /// contradicts it.
    #[test]
    fn a_get_takes_the_first_of_the_newest_and_shows_what_contradicts_it(
        answers in proptest::collection::vec((0_u8..6, 0_usize..4, 0_usize..3), 0..12)
    ) {
        let mut get = Get::new(*RECORDS[0][0].key(), GetMode::Newest);
        let mut heard: Vec<(u8, Record)> = Vec::new();
        for (from, sequence, value) in answers {
            let record = RECORDS[sequence][value].clone();
            get.take(address(from), record.clone());
            // Who is asked in two parts of a region counts once.
            if heard.iter().all(|(of, _)| *of != from) {
                heard.push((from, record));
            }
            let records: Vec<_> = heard.iter().map(|(_, record)| record.clone()).collect();
            prop_assert_eq!(get.best.as_ref(), newest(&records));
            prop_assert_eq!(&get.fork, &fork(newest(&records), &records));
            let copies = get.copies.iter().map(|copy| (copy.from, copy.sequence, copy.value_hash));
            prop_assert!(copies.eq(heard.iter().map(|(of, it)| (address(*of), it.sequence(), it.value_hash()))));
        }
    }

    /// What nodes have in the place of a record that they refuse: the first of those that are newer than it, and the first
    /// that contradicts it.
    #[test]
    fn a_put_shows_the_newest_that_is_in_its_place_and_the_first_that_contradicts_it(
        own in 0_usize..4, answers in proptest::collection::vec(proptest::option::weighted(0.8, (0_usize..4, 0_usize..3)), 0..12)
    ) {
        let record = &RECORDS[own][0];
        let mut put = Put::new(record.clone(), Origin::Command);
        let mut shown: Vec<Record> = Vec::new();
        for (place, answer) in answers.into_iter().enumerate() {
            let stored = answer.map(|(sequence, value)| RECORDS[sequence][value].clone());
            let reason = if place % 2 == 0 { Rejection::Superseded } else { Rejection::Conflict };
            put.refuse(reason, stored.clone());
            shown.extend(stored);
            let newer = newest(&shown).filter(|newest| newest.sequence() > record.sequence());
            prop_assert_eq!(put.newer.as_ref(), newer);
            prop_assert_eq!(&put.fork, &fork(Some(record), &shown));
            prop_assert_eq!((put.refused, put.reason), (place + 1, Some(reason)));
        }
    }
}
