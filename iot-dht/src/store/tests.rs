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

/// Nobody has configured anything: one subnet fills half of a store, and one owner a quarter.
#[test]
fn by_default_one_subnet_takes_half_of_a_store_and_one_owner_a_quarter() {
    let mut store = store(StoreConfig::default());
    let put = |store: &mut Store, owner: u8, from: u8, n: u16| {
        let key = SigningKey::from_seed(&[owner; 32]);
        let record = Record::sign(&key, &n.to_be_bytes(), 1, at(9), b"").unwrap();
        store.put_from(NOW, record, ([10, 0, from, 1], 4000).into())
    };
    for owner in 0..2 {
        assert!((0..1024).all(|n| put(&mut store, owner, owner, n).is_ok()));
        assert_eq!(put(&mut store, owner, owner, 1024), Err(Rejection::Quota), "owner {owner}");
    }
    assert!((0..1024).all(|n| put(&mut store, 2, 0, n).is_ok()));
    assert_eq!(put(&mut store, 3, 0, 0), Err(Rejection::Quota), "the subnet has brought 2,048");
    assert_eq!((put(&mut store, 3, 1, 0), store.len()), (Ok(Stored::New), 3 * 1024 + 1));
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

/// What came in the place of another subnet's record once counted for both, so that the other seemed to have as much as
/// the one that had the most, and had to make room in its stead.
#[test]
fn what_takes_the_place_of_another_subnets_record_counts_once() {
    let mut store = store(StoreConfig::default().octets(2000));
    let [most, newcomer, other] = [[10, 0, 0, 1], [10, 0, 1, 1], [10, 0, 2, 1]].map(|ip| (ip, 4000).into());
    for (owner, from) in [(1, most), (2, most), (3, other), (4, other)] {
        assert_eq!(store.put_from(NOW, record(owner, 1, 1, 9, 300), from), Ok(Stored::New));
    }
    assert_eq!(store.put_from(NOW, record(3, 1, 2, 9, 600), newcomer), Ok(Stored::Replaced));
    let left = |owner| store.get(NOW, record(owner, 1, 1, 9, 300).key()).is_some();
    assert_eq!((store.len(), left(3), left(4)), (3, true, true), "one of the two of who has the most is gone");
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        put: Put,
        replaces: Option<u64>,
    },
    Expire(u64),
    Remove(u8, u8),
    /// To a shelf that takes so many.
    Write(usize),
}

#[derive(Clone, Copy, Debug)]
struct Put {
    owner: u8,
    name: u8,
    sequence: u64,
    expires: u64,
    len: usize,
    /// The subnet that brings it; the node's own user is 0.
    from: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let put = (1_u8..4, 0_u8..4, 0_u64..4, 1_u64..12, 0_usize..3, 0_u8..4);
    let put = put.prop_map(|(owner, name, sequence, expires, len, from)| Put {
        owner,
        name,
        sequence,
        expires,
        len: len * 300,
        from,
    });
    prop_oneof![
        8 => (put, proptest::option::weighted(0.3, 0_u64..4)).prop_map(|(put, replaces)| Step::Put { put, replaces }),
        2 => (0_u64..3).prop_map(Step::Expire),
        1 => (1_u8..4, 0_u8..4).prop_map(|(owner, name)| Step::Remove(owner, name)),
        2 => (0_usize..8).prop_map(Step::Write),
    ]
}

fn address(from: u8) -> Option<SocketAddr> {
    (from > 0).then(|| ([10, 0, from, 7], 4000).into())
}

/// A shelf that breaks.
#[derive(Default)]
struct Fragile {
    kept: BTreeMap<Key, Vec<u8>>,
    strength: usize,
}

impl Fragile {
    fn spend(&mut self) -> Result<(), ()> {
        self.strength = self.strength.checked_sub(1).ok_or(())?;
        Ok(())
    }
}

impl Shelf for Fragile {
    type Error = ();

    fn keep(&mut self, key: &Key, octets: &[u8]) -> Result<(), ()> {
        self.spend()?;
        self.kept.insert(*key, octets.to_vec());
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> Result<(), ()> {
        self.spend()?;
        assert!(self.kept.remove(key).is_some(), "what it never had is not removed from it");
        Ok(())
    }
}

/// What a store does, said with a plain map and sums taken anew each time.
#[derive(Clone, Default)]
struct Model(BTreeMap<Key, (Record, Source)>);

impl Model {
    /// Records and octets of those that are wanted.
    fn sum(&self, wanted: impl Fn(&Record, Source) -> bool) -> (usize, usize) {
        let lens = self.0.values().filter(|(record, from)| wanted(record, *from)).map(|(it, _)| it.as_bytes().len());
        lens.fold((0, 0), |(records, octets), len| (records + 1, octets + len))
    }

    fn put(
        &mut self,
        now: Timestamp,
        record: &Record,
        source: Source,
        replaces: Option<u64>,
    ) -> Result<Stored, Rejection> {
        let key = *record.key();
        if record.expires() <= now {
            return Err(Rejection::Expired);
        }
        let mut outcome = Stored::New;
        if let Some((known, _)) = self.0.get(&key).filter(|(known, _)| known.expires() > now) {
            if known == record {
                return Ok(Stored::Same);
            }
            if replaces.is_some_and(|sequence| sequence != known.sequence()) {
                return Err(Rejection::Changed);
            }
            match known.sequence().cmp(&record.sequence()) {
                core::cmp::Ordering::Greater => return Err(Rejection::Superseded),
                core::cmp::Ordering::Equal => return Err(Rejection::Conflict),
                core::cmp::Ordering::Less => outcome = Stored::Replaced,
            }
        }
        let mut after = self.clone();
        after.0.insert(key, (record.clone(), source));
        let (records, octets) = after.sum(|other, _| other.owner() == record.owner());
        if records > 3 || octets > 1500 {
            return Err(Rejection::Quota);
        }
        let (records, octets) = after.sum(|_, from| from == source);
        if source.is_some() && (records > 4 || octets > 2000) {
            return Err(Rejection::Quota);
        }
        while after.0.len() > 5 || after.sum(|_, _| true).1 > 2500 {
            let sources: Vec<_> = after.0.values().map(|(_, from)| *from).collect();
            let weight = |of: &Source| (sources.iter().filter(|from| *from == of).count(), *of == source, *of);
            let heaviest = sources.iter().copied().max_by_key(weight).unwrap();
            // The node's identifier is zero, so the farthest key is the greatest.
            let gone = after.0.iter().rev().find(|(_, (_, from))| *from == heaviest).map(|(key, _)| *key).unwrap();
            // It is the newcomer's own, and all others of its subnet lie nearer.
            if gone == key {
                return Err(Rejection::Full);
            }
            after.0.remove(&gone);
        }
        *self = after;
        Ok(outcome)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn behaves_as_a_plain_map(steps in proptest::collection::vec(step(), 1..40)) {
        let config = StoreConfig::default().records(5).octets(2500).owner_records(3).owner_octets(1500);
        let mut store = store(config.subnet_records(4).subnet_octets(2000));
        let mut model = Model::default();
        let mut shelf = Fragile::default();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Put { put: Put { owner, name, sequence, expires, len, from }, replaces } => {
                    let record = record(owner, name, sequence, expires, len);
                    let source = address(from).map(|from| Address::from(from).subnet());
                    let expected = model.put(at(now), &record, source, replaces);
                    let outcome = match (replaces, address(from)) {
                        (Some(replaces), from) => store.replace(at(now), record, from, replaces),
                        (None, Some(from)) => store.put_from(at(now), record, from),
                        (None, None) => store.put(at(now), record),
                    };
                    prop_assert_eq!(outcome, expected);
                }
                Step::Expire(later) => {
                    now += later;
                    while store.expire(at(now)).is_some() {}
                    model.0.retain(|_, (record, _)| record.expires() > at(now));
                }
                Step::Remove(owner, name) => {
                    let key = *record(owner, name, 0, 1, 0).key();
                    prop_assert_eq!(store.remove(&key), model.0.remove(&key).map(|(record, _)| record));
                }
                Step::Write(strength) => {
                    shelf.strength = strength;
                    let written = store.write_to(&mut shelf);
                    prop_assert!(written.is_err() || written == Ok(strength - shelf.strength));
                }
            }
            prop_assert!(store.records().eq(model.0.values().map(|(record, _)| record)));
            prop_assert_eq!(store.octets(), model.sum(|_, _| true).1);
            for (owner, usage) in &store.owners {
                prop_assert_eq!((usage.records, usage.octets), model.sum(|record, _| record.owner() == owner));
            }
            for (source, usage) in &store.sources {
                prop_assert_eq!((usage.records, usage.octets), model.sum(|_, from| from == *source));
            }
            let of_owners: usize = store.owners.values().map(|usage| usage.records).sum();
            let of_sources: usize = store.sources.values().map(|usage| usage.records).sum();
            prop_assert_eq!((of_owners, of_sources), (store.len(), store.len()));
        }
        shelf.strength = usize::MAX;
        store.write_to(&mut shelf).unwrap();
        prop_assert_eq!(store.write_to(&mut shelf), Ok(0), "nothing is written twice");
        let read = |octets: &Vec<u8>| unshelve(octets).unwrap();
        let expected = model.0.iter().map(|(key, (record, from))| (*key, (record.as_bytes().to_vec(), *from)));
        prop_assert!(shelf.kept.iter().map(|(key, octets)| (*key, read(octets))).eq(expected));
    }
}
