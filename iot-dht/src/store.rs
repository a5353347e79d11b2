use alloc::collections::{BTreeMap, BTreeSet};

use iot_core::{DeviceId, Timestamp};

use crate::id::{Key, NodeId};
use crate::record::Record;
use crate::rejection::Rejection;

mod config;
#[cfg(test)]
mod tests;

pub use crate::store::config::StoreConfig;

/// The records that a node keeps for others.
///
/// It takes only a [`Record`], which exists only once its signature, owner and expiry were verified. Of one key it
/// keeps the highest sequence. An owner at its quota is refused. When the store as a whole is full, a record that lies
/// closer to the node takes the place of those that lie farthest, because others keep these; a record that lies
/// farther is refused. What has expired is never returned, and [`expire`](Self::expire) removes it.
#[derive(Clone, Debug)]
pub struct Store {
    own: NodeId,
    config: StoreConfig,
    records: BTreeMap<Key, Record>,
    expiries: BTreeSet<(Timestamp, Key)>,
    owners: BTreeMap<DeviceId, Usage>,
    octets: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    records: usize,
    octets: usize,
}

/// What became of a record that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// There was none under its key.
    New,
    /// It took the place of one with a lower sequence.
    Replaced,
    /// The same record was there.
    Same,
}

impl Store {
    /// An empty store of the node with this identifier.
    pub fn new(own: NodeId, config: StoreConfig) -> Self {
        Self { own, config, records: BTreeMap::new(), expiries: BTreeSet::new(), owners: BTreeMap::new(), octets: 0 }
    }

    /// Keeps a record.
    ///
    /// # Errors
    ///
    /// [`Rejection::Superseded`], [`Rejection::Conflict`], [`Rejection::Quota`], [`Rejection::Full`], or
    /// [`Rejection::Expired`] when the record has expired since it was verified.
    pub fn put(&mut self, now: Timestamp, record: Record) -> Result<Stored, Rejection> {
        if record.expires() <= now {
            return Err(Rejection::Expired);
        }
        let key = *record.key();
        let known = self.records.get(&key).filter(|known| known.expires() > now);
        let outcome = match known {
            None => Stored::New,
            Some(known) if known.sequence() > record.sequence() => return Err(Rejection::Superseded),
            Some(known) if known.sequence() < record.sequence() => Stored::Replaced,
            Some(known) if known.value() == record.value() && known.expires() == record.expires() => {
                return Ok(Stored::Same);
            }
            Some(_) => return Err(Rejection::Conflict),
        };
        let replaced = self.records.get(&key).map_or(0, |old| old.as_bytes().len());
        let added = usize::from(replaced == 0);
        self.check_quota(&record, added, replaced)?;
        self.make_room(&record, added, replaced)?;
        self.remove(&key);
        self.insert(record);
        Ok(outcome)
    }

    /// Forgets a record.
    pub fn remove(&mut self, key: &Key) -> Option<Record> {
        let record = self.records.remove(key)?;
        let len = record.as_bytes().len();
        self.expiries.remove(&(record.expires(), *key));
        self.octets -= len;
        if let Some(usage) = self.owners.get_mut(record.owner()) {
            usage.records -= 1;
            usage.octets -= len;
            if usage.records == 0 {
                self.owners.remove(record.owner());
            }
        }
        Some(record)
    }

    /// Removes one record that has expired, and returns its key; call until nothing comes back.
    pub fn expire(&mut self, now: Timestamp) -> Option<Key> {
        let (_, key) = self.expiries.first().copied().filter(|(expires, _)| *expires <= now)?;
        self.remove(&key);
        Some(key)
    }

    /// The record under a key, unless it has expired.
    pub fn get(&self, now: Timestamp, key: &Key) -> Option<&Record> {
        self.records.get(key).filter(|record| record.expires() > now)
    }

    /// All records, ordered by key, expired ones included until they are removed.
    pub fn records(&self) -> impl Iterator<Item = &Record> + '_ {
        self.records.values()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Octets of all records.
    pub fn octets(&self) -> usize {
        self.octets
    }

    fn check_quota(&self, record: &Record, added: usize, replaced: usize) -> Result<(), Rejection> {
        let usage = self.owners.get(record.owner()).copied().unwrap_or_default();
        let octets = usage.octets + record.as_bytes().len() - replaced;
        if usage.records + added > self.config.owner_records || octets > self.config.owner_octets {
            return Err(Rejection::Quota);
        }
        Ok(())
    }

    /// Removes the farthest records until this one fits; removes none if it does not fit even then.
    fn make_room(&mut self, record: &Record, added: usize, replaced: usize) -> Result<(), Rejection> {
        let mut records = self.records.len() + added;
        let mut octets = self.octets + record.as_bytes().len() - replaced;
        let mut evicted = alloc::vec::Vec::new();
        let distance = record.key().distance(&self.own);
        while records > self.config.records || octets > self.config.octets {
            let candidates = self.records.values().filter(|other| {
                let key = other.key();
                key != record.key() && key.distance(&self.own) > distance && !evicted.contains(key)
            });
            let Some(farthest) = candidates.max_by_key(|other| other.key().distance(&self.own)) else {
                return Err(Rejection::Full);
            };
            records -= 1;
            octets -= farthest.as_bytes().len();
            evicted.push(*farthest.key());
        }
        evicted.iter().for_each(|key| drop(self.remove(key)));
        Ok(())
    }

    fn insert(&mut self, record: Record) {
        let len = record.as_bytes().len();
        let usage = self.owners.entry(*record.owner()).or_default();
        usage.records += 1;
        usage.octets += len;
        self.octets += len;
        self.expiries.insert((record.expires(), *record.key()));
        self.records.insert(*record.key(), record);
    }
}
