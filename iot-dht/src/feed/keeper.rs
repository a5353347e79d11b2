use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use iot_core::{Instant, Timestamp};

use crate::id::Key;
use crate::record::Record;

/// Keeps records of others alive: a server that has read a sleeping device's feed puts its records again, from time to
/// time, until they expire. It needs no key of the device, and can change nothing: what it holds is signed, and a record
/// lives no longer for being put again.
///
/// Hand it every record that a [`Reader`](crate::feed::Reader) was given ([`keep`](Self::keep)), put those that
/// [`poll_put`](Self::poll_put) names, and look again at [`poll_timeout`](Self::poll_timeout).
#[derive(Clone, Debug)]
pub struct Keeper {
    interval: Duration,
    limit: usize,
    records: BTreeMap<Key, Kept>,
    due: BTreeSet<(Instant, Key)>,
}

#[derive(Clone, Debug)]
struct Kept {
    record: Record,
    due: Instant,
}

/// What became of a record that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is kept, in the place of an older version if there was one.
    Kept,
    /// It, or a newer version, was kept before.
    Known,
    /// It has expired.
    Expired,
    /// As many records as may be are kept, and all live longer.
    Full,
}

impl Keeper {
    /// Puts each record once an interval, and keeps at most `limit` records; beyond that, the one that expires first
    /// gives way to one that lives longer.
    ///
    /// # Panics
    ///
    /// When the interval is shorter than a second, or the limit is 0.
    pub fn new(interval: Duration, limit: usize) -> Self {
        assert!(
            interval >= Duration::from_secs(1) && limit > 0,
            "an interval of at least 1 s, and at least one record"
        );
        Self { interval, limit, records: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// Takes a record in. It is put for the first time after one interval, because it has just come from the network.
    pub fn keep(&mut self, now: Instant, wall: Timestamp, record: Record) -> Keep {
        if record.expires() <= wall {
            return Keep::Expired;
        }
        let key = *record.key();
        if self.records.get(&key).is_some_and(|kept| kept.record.sequence() >= record.sequence()) {
            return Keep::Known;
        }
        if self.records.len() >= self.limit && !self.records.contains_key(&key) {
            let first = self.records.values().min_by_key(|kept| kept.record.expires());
            match first.filter(|kept| kept.record.expires() < record.expires()) {
                Some(kept) => drop(self.remove(&kept.record.key().clone())),
                None => return Keep::Full,
            }
        }
        self.remove(&key);
        let due = now.saturating_add(self.interval);
        self.due.insert((due, key));
        self.records.insert(key, Kept { record, due });
        Keep::Kept
    }

    /// The next record to put; call until it returns nothing. What has expired is forgotten.
    pub fn poll_put(&mut self, now: Instant, wall: Timestamp) -> Option<&Record> {
        loop {
            let (_, key) = self.due.first().copied().filter(|(due, _)| *due <= now)?;
            let mut kept = self.remove(&key)?;
            if kept.record.expires() > wall {
                kept.due = now.saturating_add(self.interval);
                self.due.insert((kept.due, key));
                return Some(&self.records.entry(key).or_insert(kept).record);
            }
        }
    }

    /// When [`poll_put`](Self::poll_put) will next return something; `None` while nothing is kept.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// How many records are kept, expired ones included until they are due.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn remove(&mut self, key: &Key) -> Option<Kept> {
        let kept = self.records.remove(key)?;
        self.due.remove(&(kept.due, *key));
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use iot_crypto::SigningKey;

    use super::*;

    const WALL: Timestamp = Timestamp::from_secs(1_767_225_600);

    fn record(name: u8, sequence: u64, lives: u64) -> Record {
        let expires = WALL.saturating_add(Duration::from_secs(lives));
        Record::sign(&SigningKey::from_seed(&[3; 32]), &[name], sequence, expires, b"value").unwrap()
    }

    fn at(seconds: u64) -> (Instant, Timestamp) {
        let after = Duration::from_secs(seconds);
        (Instant::START.saturating_add(after), WALL.saturating_add(after))
    }

    fn put(keeper: &mut Keeper, seconds: u64) -> Vec<(u8, u64)> {
        let (now, wall) = at(seconds);
        std::iter::from_fn(|| keeper.poll_put(now, wall).map(|record| (record.name()[0], record.sequence()))).collect()
    }

    #[test]
    fn puts_each_record_once_an_interval_until_it_expires() {
        let mut keeper = Keeper::new(Duration::from_secs(60), 8);
        let (now, wall) = at(0);
        assert_eq!(keeper.keep(now, wall, record(1, 0, 100)), Keep::Kept);
        assert_eq!(keeper.keep(now, wall, record(2, 5, 1000)), Keep::Kept);
        assert_eq!(keeper.keep(now, wall, record(3, 0, 0)), Keep::Expired);
        assert_eq!(put(&mut keeper, 59), []);
        assert_eq!(keeper.poll_timeout(), Some(at(60).0));
        assert_eq!(put(&mut keeper, 60).len(), 2);
        assert_eq!(put(&mut keeper, 61), []);
        assert_eq!(put(&mut keeper, 120), [(2, 5)]);
        assert_eq!(keeper.len(), 1, "the other has expired");
    }

    #[test]
    fn a_newer_version_takes_the_place_of_an_older_one() {
        let mut keeper = Keeper::new(Duration::from_secs(60), 8);
        let (now, wall) = at(0);
        assert_eq!(keeper.keep(now, wall, record(1, 4, 100)), Keep::Kept);
        assert_eq!(keeper.keep(now, wall, record(1, 4, 100)), Keep::Known);
        assert_eq!(keeper.keep(now, wall, record(1, 3, 100)), Keep::Known);
        assert_eq!(keeper.keep(now, wall, record(1, 5, 100)), Keep::Kept);
        assert_eq!(put(&mut keeper, 60), [(1, 5)]);
    }

    #[test]
    fn at_its_bound_the_record_that_expires_first_gives_way() {
        let mut keeper = Keeper::new(Duration::from_secs(60), 2);
        let (now, wall) = at(0);
        assert_eq!(keeper.keep(now, wall, record(1, 0, 100)), Keep::Kept);
        assert_eq!(keeper.keep(now, wall, record(2, 0, 300)), Keep::Kept);
        assert_eq!(keeper.keep(now, wall, record(3, 0, 99)), Keep::Full);
        assert_eq!(keeper.keep(now, wall, record(4, 0, 200)), Keep::Kept);
        let mut names: Vec<_> = put(&mut keeper, 60).into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, [2, 4]);
    }
}
