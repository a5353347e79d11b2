use std::collections::BTreeMap;
use std::vec::Vec;

use iot_crypto::SigningKey;
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000_000);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() + secs)
}

fn record(owner: u8, name: u8, sequence: u64, expires: u64, len: usize) -> Record {
    let key = SigningKey::from_seed(&[owner; 32]);
    Record::sign(&key, &[name], sequence, at(expires), &std::vec![0; len]).unwrap()
}

fn store(config: StoreConfig) -> Store {
    Store::new(NodeId::from_bytes([0; 32]), config)
}

#[test]
fn the_highest_sequence_stands() {
    let mut store = store(StoreConfig::default());
    let put = |store: &mut Store, sequence, len| store.put(NOW, record(1, 1, sequence, 9, len));
    assert_eq!(put(&mut store, 2, 1), Ok(Stored::New));
    assert_eq!(put(&mut store, 2, 1), Ok(Stored::Same));
    assert_eq!(put(&mut store, 2, 2), Err(Rejection::Conflict));
    assert_eq!(put(&mut store, 1, 1), Err(Rejection::Superseded));
    assert_eq!(put(&mut store, 3, 5), Ok(Stored::Replaced));
    assert_eq!(store.len(), 1);
    assert_eq!(store.octets(), record(1, 1, 3, 9, 5).as_bytes().len());
}

#[test]
fn the_expired_is_neither_taken_nor_returned_and_then_removed() {
    let mut store = store(StoreConfig::default());
    let short = record(1, 1, 1, 5, 0);
    assert_eq!(store.put(at(5), short.clone()), Err(Rejection::Expired));
    assert_eq!(store.put(NOW, short.clone()), Ok(Stored::New));
    assert_eq!(store.put(NOW, record(1, 2, 1, 9, 0)), Ok(Stored::New));
    assert!(store.get(at(4), short.key()).is_some() && store.get(at(5), short.key()).is_none());
    assert_eq!((store.expire(at(4)), store.expire(at(5)), store.expire(at(5))), (None, Some(*short.key()), None));
    assert_eq!(store.len(), 1);
}

#[test]
fn an_owner_at_its_quota_is_refused_and_others_are_not() {
    let mut store = store(StoreConfig::default().owner_records(2));
    assert!(store.put(NOW, record(1, 1, 1, 9, 0)).is_ok() && store.put(NOW, record(1, 2, 1, 9, 0)).is_ok());
    assert_eq!(store.put(NOW, record(1, 3, 1, 9, 0)), Err(Rejection::Quota));
    assert_eq!(store.put(NOW, record(1, 2, 2, 9, 0)), Ok(Stored::Replaced));
    assert_eq!(store.put(NOW, record(2, 1, 1, 9, 0)), Ok(Stored::New));
}

/// Keys are cheap: an attacker makes as many as it likes, and finds some close to the node.
#[test]
fn ten_thousand_fresh_keys_of_one_subnet_displace_none_that_have_less() {
    let mut store = store(StoreConfig::default().records(300).subnet_records(290));
    let honest: Vec<_> = (0..250).map(|n| record(n as u8, 7, 1, 9, 0)).collect();
    for (n, record) in honest.iter().enumerate() {
        // Fifty subnets, five records each.
        let from = ([10, 0, n as u8 % 50, 1], 4000).into();
        assert_eq!(store.put_from(NOW, record.clone(), from), Ok(Stored::New));
    }
    let attacker = ([10, 9, 9, 1], 4000).into();
    let mut taken = 0;
    for n in 0..10_000_u32 {
        let key = SigningKey::from_seed(&[n.to_be_bytes(); 8].concat().try_into().unwrap());
        let record = Record::sign(&key, b"flood", 1, at(9), b"").unwrap();
        taken += usize::from(store.put_from(NOW, record, attacker).is_ok());
    }
    assert!(taken > 50, "some take the place of others of theirs: {taken}");
    assert!(honest.iter().all(|record| store.get(NOW, record.key()).is_some()));
    // There is room for who comes later, at the cost of the one that has the most.
    assert_eq!(store.put_from(NOW, record(251, 7, 1, 9, 0), ([10, 8, 8, 1], 4000).into()), Ok(Stored::New));
    assert_eq!(store.len(), 300);
}

#[test]
fn a_subnet_at_its_quota_is_refused_and_others_are_not() {
    let mut store = store(StoreConfig::default().subnet_records(2));
    let [here, near, far] = [[10, 0, 0, 1], [10, 0, 0, 200], [10, 0, 1, 1]].map(|ip| (ip, 4000).into());
    assert_eq!(store.put_from(NOW, record(1, 1, 1, 9, 0), here), Ok(Stored::New));
    assert_eq!(store.put_from(NOW, record(2, 1, 1, 9, 0), near), Ok(Stored::New));
    assert_eq!(store.put_from(NOW, record(3, 1, 1, 9, 0), here), Err(Rejection::Quota));
    assert_eq!(store.put_from(NOW, record(3, 1, 1, 9, 0), far), Ok(Stored::New));
    // What another subnet brought counts as the one's that replaces it.
    assert_eq!(store.put_from(NOW, record(3, 1, 2, 9, 0), here), Err(Rejection::Quota));
    assert_eq!(store.put_from(NOW, record(1, 1, 2, 9, 0), far), Ok(Stored::Replaced));
    assert_eq!(store.put_from(NOW, record(3, 1, 2, 9, 0), here), Ok(Stored::Replaced));
}

#[test]
fn a_full_store_keeps_what_is_closest_to_its_node() {
    let mut store = store(StoreConfig::default().records(4));
    let records: Vec<_> = (0..20).map(|name| record(1, name, 1, 9, 0)).collect();
    for record in &records {
        let closer = store.records().filter(|other| other.key() < record.key()).count();
        let expected = if closer < 4 { Ok(Stored::New) } else { Err(Rejection::Full) };
        assert_eq!(store.put(NOW, record.clone()), expected);
    }
    let mut keys: Vec<_> = records.iter().map(|record| *record.key()).collect();
    keys.sort_unstable();
    assert_eq!(store.records().map(|record| *record.key()).collect::<Vec<_>>(), keys[..4]);
}

#[derive(Clone, Debug)]
enum Step {
    Put { owner: u8, name: u8, sequence: u64, expires: u64, len: usize },
    Expire(u64),
    Remove(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1_u8..4, 0_u8..4, 0_u64..4, 1_u64..12, 0_usize..3).prop_map(|(owner, name, sequence, expires, len)| {
            Step::Put { owner, name, sequence, expires, len: len * 300 }
        }),
        2 => (0_u64..3).prop_map(Step::Expire),
        1 => (1_u8..4, 0_u8..4).prop_map(|(owner, name)| Step::Remove(owner, name)),
    ]
}

/// What a store does, said with a plain map and sums taken anew each time.
#[derive(Default)]
struct Model(BTreeMap<Key, Record>);

impl Model {
    fn octets(&self) -> usize {
        self.0.values().map(|record| record.as_bytes().len()).sum()
    }

    fn put(&mut self, now: Timestamp, record: &Record) -> Result<Stored, Rejection> {
        let key = *record.key();
        if record.expires() <= now {
            return Err(Rejection::Expired);
        }
        let mut outcome = Stored::New;
        if let Some(known) = self.0.get(&key).filter(|known| known.expires() > now) {
            match known.sequence().cmp(&record.sequence()) {
                core::cmp::Ordering::Greater => return Err(Rejection::Superseded),
                core::cmp::Ordering::Equal if known == record => return Ok(Stored::Same),
                core::cmp::Ordering::Equal => return Err(Rejection::Conflict),
                core::cmp::Ordering::Less => outcome = Stored::Replaced,
            }
        }
        let mut after = self.0.clone();
        after.insert(key, record.clone());
        let mine = after.values().filter(|other| other.owner() == record.owner());
        if mine.clone().count() > 3 || mine.map(|other| other.as_bytes().len()).sum::<usize>() > 1500 {
            return Err(Rejection::Quota);
        }
        let mut after = Model(after);
        // The node's identifier is zero, so the farthest key is the greatest.
        while after.0.len() > 5 || after.octets() > 2500 {
            let (farthest, _) = after.0.pop_last().unwrap();
            if farthest == key {
                return Err(Rejection::Full);
            }
        }
        *self = after;
        Ok(outcome)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn behaves_as_a_plain_map(steps in proptest::collection::vec(step(), 1..40)) {
        let config = StoreConfig::default().records(5).octets(2500).owner_records(3).owner_octets(1500);
        let mut store = store(config);
        let mut model = Model::default();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Put { owner, name, sequence, expires, len } => {
                    let record = record(owner, name, sequence, expires, len);
                    prop_assert_eq!(store.put(at(now), record.clone()), model.put(at(now), &record));
                }
                Step::Expire(later) => {
                    now += later;
                    while store.expire(at(now)).is_some() {}
                    model.0.retain(|_, record| record.expires() > at(now));
                }
                Step::Remove(owner, name) => {
                    let key = *record(owner, name, 0, 1, 0).key();
                    prop_assert_eq!(store.remove(&key), model.0.remove(&key));
                }
            }
            prop_assert!(store.records().eq(model.0.values()));
            prop_assert_eq!(store.octets(), model.octets());
            let owners: BTreeMap<_, usize> = model.0.values().fold(BTreeMap::new(), |mut owners, record| {
                *owners.entry(*record.owner()).or_default() += record.as_bytes().len();
                owners
            });
            let counted: BTreeMap<_, usize> = store.owners.iter().map(|(owner, usage)| (*owner, usage.octets)).collect();
            prop_assert_eq!(counted, owners);
        }
    }
}
