use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;

use iot_core::{DeviceId, Timestamp};

use crate::id::{Key, NodeId};
use crate::peer::{Address, Subnet};
use crate::record::Record;
use crate::rejection::Rejection;
use crate::store::shelf::Shelving;

mod config;
mod inventory;
mod shelf;
#[cfg(test)]
mod tests;

pub use crate::store::config::StoreConfig;
pub(crate) use crate::store::inventory::{Inventory, Part};
pub use crate::store::shelf::Shelf;
pub(crate) use crate::store::shelf::unshelve;

/// The records that a node keeps for others.
///
/// It takes only a [`Record`], which exists only once its signature, owner and expiry were verified. Of one key it
/// keeps the highest sequence. What has expired is never returned, and [`expire`](Self::expire) removes it.
///
/// # Quotas and eviction
///
/// An owner at its quota is refused, and so is a subnet (an IPv4 /24, an IPv6 /64) that has brought as many records or octets
/// as one may. When the store as a whole is full, room is made among the records of whoever has brought the most: of all
/// subnets the one with the most records, the newcomer's with the new one counted, loses those that lie farthest from the
/// node. If that is the newcomer's own, its record takes the place of others of its subnet that lie farther, and is
/// refused if it lies farther than all of them. So a subnet displaces others only as long as it has less than they have, however
/// many owners it makes up and however close to the node it makes their keys.
#[derive(Clone, Debug)]
pub struct Store {
    own: NodeId,
    config: StoreConfig,
    records: BTreeMap<Key, Held>,
    expiries: BTreeSet<(Timestamp, Key)>,
    owners: BTreeMap<DeviceId, Usage>,
    sources: BTreeMap<Source, Usage>,
    octets: usize,
    shelving: Shelving,
}

#[derive(Clone, Debug)]
struct Held {
    record: Record,
    source: Source,
}

/// The subnet that brought a record; none, if this node's own user did.
pub(crate) type Source = Option<Subnet>;

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
        let (records, expiries) = (BTreeMap::new(), BTreeSet::new());
        Self {
            own,
            config,
            records,
            expiries,
            owners: BTreeMap::new(),
            sources: BTreeMap::new(),
            octets: 0,
            shelving: Shelving::default(),
        }
    }

    /// Keeps a record of this node's own user, who counts as one subnet that has no quota.
    ///
    /// # Errors
    ///
    /// [`Rejection::Superseded`], [`Rejection::Conflict`], [`Rejection::Quota`], [`Rejection::Full`], or
    /// [`Rejection::Expired`] when the record has expired since it was verified.
    pub fn put(&mut self, now: Timestamp, record: Record) -> Result<Stored, Rejection> {
        self.put_by(now, record, None, None)
    }

    /// Keeps a record that came from this address.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put).
    pub fn put_from(&mut self, now: Timestamp, record: Record, from: SocketAddr) -> Result<Stored, Rejection> {
        self.put_by(now, record, Some(Address::from(from).subnet()), None)
    }

    /// Keeps a record of this node's own user, or of this address, if the record that is there has this sequence, or none
    /// is there.
    ///
    /// # Errors
    ///
    /// [`Rejection::Changed`], and those of [`put`](Self::put).
    pub fn replace(
        &mut self,
        now: Timestamp,
        record: Record,
        from: Option<SocketAddr>,
        replaces: u64,
    ) -> Result<Stored, Rejection> {
        self.put_by(now, record, from.map(|from| Address::from(from).subnet()), Some(replaces))
    }

    pub(crate) fn put_by(
        &mut self,
        now: Timestamp,
        record: Record,
        source: Source,
        replaces: Option<u64>,
    ) -> Result<Stored, Rejection> {
        if record.expires() <= now {
            return Err(Rejection::Expired);
        }
        let key = *record.key();
        let known = self.get(now, &key);
        let outcome = match known {
            None => Stored::New,
            // What comes a second time was stored, and its answer lost.
            Some(known) if known.as_bytes() == record.as_bytes() => return Ok(Stored::Same),
            Some(known) if replaces.is_some_and(|sequence| known.sequence() != sequence) => {
                return Err(Rejection::Changed);
            }
            Some(known) if known.sequence() > record.sequence() => return Err(Rejection::Superseded),
            Some(known) if known.sequence() < record.sequence() => Stored::Replaced,
            Some(known) if known.value() == record.value() && known.expires() == record.expires() => {
                return Ok(Stored::Same);
            }
            Some(_) => return Err(Rejection::Conflict),
        };
        let old = self.records.get(&key).map(|held| (held.record.as_bytes().len(), held.source));
        self.check_quotas(&record, source, old)?;
        self.make_room(&record, source, old)?;
        self.remove(&key);
        self.insert(record, source);
        Ok(outcome)
    }

    /// Forgets a record.
    pub fn remove(&mut self, key: &Key) -> Option<Record> {
        let Held { record, source } = self.records.remove(key)?;
        let len = record.as_bytes().len();
        self.expiries.remove(&(record.expires(), *key));
        self.octets -= len;
        self.shelving.note_removed(key);
        release(&mut self.owners, record.owner(), len);
        release(&mut self.sources, &source, len);
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
        self.records.get(key).map(|held| &held.record).filter(|record| record.expires() > now)
    }

    /// All records, ordered by key, expired ones included until they are removed.
    pub fn records(&self) -> impl Iterator<Item = &Record> + '_ {
        self.records.values().map(|held| &held.record)
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

    fn check_quotas(&self, record: &Record, source: Source, old: Option<(usize, Source)>) -> Result<(), Rejection> {
        let (added, len) = (usize::from(old.is_none()), record.as_bytes().len());
        let replaced = old.map_or(0, |(len, _)| len);
        let usage = self.owners.get(record.owner()).copied().unwrap_or_default();
        let octets = usage.octets + len - replaced;
        if usage.records + added > self.config.owner_records || octets > self.config.owner_octets {
            return Err(Rejection::Quota);
        }
        let usage = self.sources.get(&source).copied().unwrap_or_default();
        // What another subnet brought before counts as this one's from now on.
        let of_own = old.filter(|(_, before)| *before == source);
        let added = usize::from(of_own.is_none());
        let octets = usage.octets + len - of_own.map_or(0, |(len, _)| len);
        let exceeds = usage.records + added > self.config.subnet_records || octets > self.config.subnet_octets;
        if source.is_some() && exceeds { Err(Rejection::Quota) } else { Ok(()) }
    }

    /// Removes records until this one fits; removes none if it does not fit even then.
    fn make_room(&mut self, record: &Record, source: Source, old: Option<(usize, Source)>) -> Result<(), Rejection> {
        let mut records = self.records.len() + usize::from(old.is_none());
        let mut octets = self.octets + record.as_bytes().len() - old.map_or(0, |(len, _)| len);
        let mut evicted: Vec<(Key, Source)> = Vec::new();
        let distance = record.key().distance(&self.own);
        while records > self.config.records || octets > self.config.octets {
            let count = |of: &Source| {
                let evicted = evicted.iter().filter(|(_, source)| source == of).count();
                let replaced = usize::from(old.is_some_and(|(_, before)| before == *of));
                let new = usize::from(*of == source);
                self.sources.get(of).map_or(0, |usage| usage.records) + new - replaced - evicted
            };
            let heaviest = self.sources.keys().chain([&source]).max_by_key(|of| (count(of), **of == source)).copied();
            let heaviest = heaviest.unwrap_or(source);
            let candidates = self.records.values().filter(|held| {
                let key = held.record.key();
                held.source == heaviest
                    && key != record.key()
                    && (heaviest != source || key.distance(&self.own) > distance)
                    && evicted.iter().all(|(gone, _)| gone != key)
            });
            let Some(farthest) = candidates.max_by_key(|held| held.record.key().distance(&self.own)) else {
                return Err(Rejection::Full);
            };
            records -= 1;
            octets -= farthest.record.as_bytes().len();
            evicted.push((*farthest.record.key(), heaviest));
        }
        evicted.iter().for_each(|(key, _)| drop(self.remove(key)));
        Ok(())
    }

    fn insert(&mut self, record: Record, source: Source) {
        let len = record.as_bytes().len();
        self.owners.entry(*record.owner()).or_default().add(len);
        self.sources.entry(source).or_default().add(len);
        self.octets += len;
        self.shelving.note_kept(*record.key());
        self.expiries.insert((record.expires(), *record.key()));
        self.records.insert(*record.key(), Held { record, source });
    }
}

impl Usage {
    fn add(&mut self, len: usize) {
        self.records += 1;
        self.octets += len;
    }
}

/// Takes a record off what somebody uses, and forgets who uses nothing.
fn release<K: Ord>(usages: &mut BTreeMap<K, Usage>, of: &K, len: usize) {
    if let Some(usage) = usages.get_mut(of) {
        usage.records -= 1;
        usage.octets -= len;
        if usage.records == 0 {
            usages.remove(of);
        }
    }
}
