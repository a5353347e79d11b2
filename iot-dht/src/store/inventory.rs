use alloc::vec;
use alloc::vec::Vec;
use core::hash::Hasher as _;

use iot_core::Timestamp;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::id::{Id, Key};
use crate::record::Record;
use crate::store::Store;
use crate::wire::{Compare, Digest, Held, MAX_DIGESTS, MAX_HELD, Nonce};

/// About how many records a part should have whose digest stands for it.
const PER_DIGEST: usize = 12;

/// A part of the key space: all points that share the first bits of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) point: Key,
    pub(crate) bits: u8,
}

/// What a store has of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Inventory {
    /// Just what was asked about.
    Same,
    Records(Vec<Held>),
    /// Of so many equal parts, each eight octets.
    Digests(Vec<u8>),
}

impl Part {
    pub(crate) fn holds(&self, key: &Key) -> bool {
        self.point.shared_prefix(key) >= self.bits.into()
    }

    /// One of the equal parts that have so many bits more, counted in the order of their keys.
    pub(crate) fn part(&self, more: u8, place: usize) -> Self {
        let mut octets = *self.point.within(self.bits.into(), [0; 32]).as_bytes();
        for bit in 0..more {
            let index = usize::from(self.bits) + usize::from(bit);
            if place >> (more - 1 - bit) & 1 == 1 {
                if let Some(octet) = octets.get_mut(index / 8) {
                    *octet |= 0x80 >> (index % 8);
                }
            }
        }
        Self { point: Id::from_bytes(octets), bits: self.bits.saturating_add(more) }
    }

    /// Which of those a point lies in.
    fn place_of(&self, more: u8, key: &Key) -> usize {
        let bit = |bit: u8| key.bit(usize::from(self.bits) + usize::from(bit)) as usize;
        (0..more).fold(0, |place, next| place << 1 | bit(next))
    }
}

impl Store {
    /// The records of a part that have not expired, in the order of their keys.
    pub(crate) fn records_of(&self, now: Timestamp, part: &Part) -> impl Iterator<Item = &Record> + '_ {
        let bits = part.bits.into();
        let range = part.point.within(bits, [0; 32])..=part.point.within(bits, [0xff; 32]);
        self.records.range(range).map(|(_, held)| &held.record).filter(move |record| record.expires() > now)
    }

    /// What tells the records of a part from others.
    pub(crate) fn digest(&self, now: Timestamp, part: &Part, nonce: &Nonce) -> Digest {
        let mut hasher = hasher(nonce);
        self.records_of(now, part).for_each(|record| add(&mut hasher, record));
        finish(&hasher)
    }

    /// What to answer to whoever compares its records with these. Walks over the records of the part.
    pub(crate) fn inventory(&self, now: Timestamp, asked: &Compare) -> Inventory {
        let part = Part { point: asked.point, bits: asked.bits };
        if self.digest(now, &part, &asked.nonce) == asked.digest {
            return Inventory::Same;
        }
        let count = self.records_of(now, &part).count();
        // As many parts as there are keys are never too many.
        if count <= MAX_HELD || part.bits > u8::MAX - MAX_DIGESTS.ilog2() as u8 {
            let held = |record: &Record| Held { key: *record.key(), sequence: record.sequence() };
            return Inventory::Records(self.records_of(now, &part).map(held).take(MAX_HELD).collect());
        }
        let parts = (count / PER_DIGEST).next_power_of_two().min(MAX_DIGESTS);
        let more = parts.ilog2() as u8;
        let mut hashers = vec![hasher(&asked.nonce); parts];
        self.records_of(now, &part).for_each(|record| add(&mut hashers[part.place_of(more, record.key())], record));
        Inventory::Digests(hashers.iter().flat_map(finish).collect())
    }

    /// The digest of a part in which there is nothing.
    pub(crate) fn digest_of_nothing(&self, nonce: &Nonce) -> Digest {
        finish(&hasher(nonce))
    }
}

fn hasher(nonce: &Nonce) -> SipHasher24 {
    let key = u64::from_le_bytes(*nonce);
    SipHasher24::new_with_keys(key, key)
}

fn add(hasher: &mut SipHasher24, record: &Record) {
    hasher.write(record.key().as_bytes());
    hasher.write(&record.sequence().to_be_bytes());
}

fn finish(hasher: &SipHasher24) -> Digest {
    let mut digest = Digest::default();
    digest.iter_mut().zip(hasher.finish128().as_bytes()).for_each(|(to, from)| *to = from);
    digest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use iot_crypto::SigningKey;

    use super::*;
    use crate::id::NodeId;
    use crate::store::StoreConfig;

    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
    const EVERYTHING: Part = Part { point: Id::from_bytes([0x5a; 32]), bits: 0 };

    fn store(records: impl Iterator<Item = (u16, u64)>) -> Store {
        let owner = SigningKey::from_seed(&[1; 32]);
        let mut store = Store::new(NodeId::from_bytes([0; 32]), StoreConfig::default());
        for (name, sequence) in records {
            let expires = Timestamp::from_secs(1_767_225_601 + u64::from(name));
            store.put(NOW, Record::sign(&owner, &name.to_be_bytes(), sequence, expires, b"").unwrap()).unwrap();
        }
        store
    }

    /// What `one` learns of `other` that it does not have itself, and with how many questions.
    fn compare(one: &Store, other: &Store) -> (BTreeSet<(Key, u64)>, usize) {
        let (nonce, mut questions, mut parts, mut found) = ([7; 8], 0, Vec::from([EVERYTHING]), BTreeSet::new());
        while let Some(part) = parts.pop() {
            questions += 1;
            let digest = one.digest(NOW, &part, &nonce);
            match other.inventory(NOW, &Compare { point: part.point, bits: part.bits, nonce, digest }) {
                Inventory::Same => {}
                Inventory::Records(held) => {
                    assert!(held.iter().all(|held| part.holds(&held.key)));
                    let new = |held: &Held| one.get(NOW, &held.key).is_none_or(|own| own.sequence() < held.sequence);
                    found.extend(held.into_iter().filter(new).map(|held| (held.key, held.sequence)));
                }
                Inventory::Digests(digests) => {
                    let digests: Vec<_> = digests.chunks_exact(8).collect();
                    let more = digests.len().ilog2() as u8;
                    let parts_of = (0..digests.len()).map(|place| part.part(more, place));
                    let differing =
                        parts_of.zip(digests).filter(|(part, there)| one.digest(NOW, part, &nonce) != **there);
                    parts.extend(differing.map(|(part, _)| part));
                }
            }
        }
        (found, questions)
    }

    #[test]
    fn two_stores_find_just_what_differs_and_one_question_says_that_nothing_does() {
        let one = store((0..600).filter(|name| name % 50 != 7).map(|name| (name, 3)));
        let other = store((0..600).map(|name| (name, if name == 100 { 4 } else { 3 })));
        assert_eq!(compare(&one, &one), (BTreeSet::new(), 1));
        let (found, questions) = compare(&one, &other);
        let owner = SigningKey::from_seed(&[1; 32]).verifying_key().device_id();
        let key = |name: u16| Key::of_record(&owner, &name.to_be_bytes());
        let expected: BTreeSet<_> =
            (0..600).filter(|name| name % 50 == 7).map(|name| (key(name), 3)).chain([(key(100), 4)]).collect();
        assert_eq!(found, expected);
        assert!((10..=1 + 13).contains(&questions), "{questions}");
        let (found, questions) = compare(&store((0..0).map(|name| (name, 1))), &other);
        assert_eq!((found.len(), questions), (600, 65), "whoever has nothing lists 64 parts");
    }

    #[test]
    fn what_has_expired_is_not_there_and_another_nonce_gives_another_digest() {
        let store = store((0..20).map(|name| (name, 1)));
        let later = NOW.saturating_add(core::time::Duration::from_secs(15));
        assert_eq!(store.records_of(later, &EVERYTHING).count(), 5);
        assert_ne!(store.digest(later, &EVERYTHING, &[7; 8]), store.digest(NOW, &EVERYTHING, &[7; 8]));
        assert_ne!(store.digest(NOW, &EVERYTHING, &[8; 8]), store.digest(NOW, &EVERYTHING, &[7; 8]));
        assert_eq!(store.digest_of_nothing(&[7; 8]), store.digest(NOW, &EVERYTHING.part(20, 1), &[7; 8]));
    }

    #[test]
    fn parts_are_counted_in_the_order_of_their_keys_and_hold_each_point_once() {
        for (bits, more) in [(0, 1), (3, 5), (13, 7), (248, 7)] {
            let part = Part { bits, ..EVERYTHING };
            let parts: Vec<_> = (0..1 << more).map(|place| part.part(more, place)).collect();
            assert!(parts.windows(2).all(|pair| pair[0].point < pair[1].point), "{bits} {more}");
            for (place, smaller) in parts.iter().enumerate() {
                assert!(part.holds(&smaller.point) && smaller.bits == bits + more);
                let inside = smaller.point.within(smaller.bits.into(), [0x33; 32]);
                assert_eq!(part.place_of(more, &inside), place);
                assert_eq!(parts.iter().filter(|other| other.holds(&inside)).count(), 1);
            }
        }
    }
}
