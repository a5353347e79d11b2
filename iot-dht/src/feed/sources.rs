use alloc::collections::BTreeMap;
use core::ops::Bound;

use iot_core::{Instant, Timestamp};
use iot_crypto::Directory;

use crate::feed::reader::{Fetch, FetchId, Fetched, Item, Reader};

/// Readers of several feeds that share a network: so many fetches under way in all, given out in turn.
///
/// Each feed is read in its own order, and one whose segments cannot be had holds up no other. Drive it as a [`Reader`];
/// every fetch and item says of which source it is.
#[derive(Clone, Debug)]
pub struct Sources {
    readers: BTreeMap<SourceId, Reader>,
    under_way: BTreeMap<SourceId, usize>,
    next: u64,
    fetches: usize,
    sources: usize,
    /// Whose turn it was last, for a fetch and for an item.
    fetched: SourceId,
    given: SourceId,
}

/// Names a feed among [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u64);

/// As many feeds are read as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} feeds are read at once")]
pub struct TooManySources {
    /// The bound that was set.
    pub limit: usize,
}

impl Sources {
    /// No feed yet. At most `sources` are read, beyond which [`insert`](Self::insert) refuses, and at most `fetches` are
    /// under way at once, beyond which [`poll_fetch`](Self::poll_fetch) waits.
    ///
    /// # Panics
    ///
    /// When one of the numbers is 0.
    pub fn new(sources: usize, fetches: usize) -> Self {
        assert!(sources > 0 && fetches > 0, "at least one source and one fetch");
        Self {
            readers: BTreeMap::new(),
            under_way: BTreeMap::new(),
            // The default stands before all of them.
            next: 1,
            fetches,
            sources,
            fetched: SourceId::default(),
            given: SourceId::default(),
        }
    }

    /// Reads another feed, beside the others.
    ///
    /// # Errors
    ///
    /// [`TooManySources`].
    pub fn insert(&mut self, reader: Reader) -> Result<SourceId, TooManySources> {
        if self.readers.len() >= self.sources {
            return Err(TooManySources { limit: self.sources });
        }
        let id = SourceId(self.next);
        self.next += 1;
        self.readers.insert(id, reader);
        Ok(id)
    }

    /// Reads a feed no longer. What is under way for it then changes nothing.
    pub fn remove(&mut self, source: SourceId) -> Option<Reader> {
        self.under_way.remove(&source);
        self.readers.remove(&source)
    }

    /// Takes in the result of a fetch, as [`Reader::handle_fetched`] does.
    pub fn handle_fetched(&mut self, now: Instant, wall: Timestamp, source: SourceId, id: FetchId, fetched: Fetched) {
        let Some(reader) = self.readers.get_mut(&source) else { return };
        if !reader.awaits(id) {
            return;
        }
        if let Some(count) = self.under_way.get_mut(&source) {
            *count -= 1;
        }
        reader.handle_fetched(now, wall, id, fetched);
    }

    /// The next record that is needed now, of the source whose turn it is. Call until it returns nothing.
    pub fn poll_fetch(&mut self, now: Instant, wall: Timestamp) -> Option<(SourceId, Fetch)> {
        if self.under_way.values().sum::<usize>() >= self.fetches {
            return None;
        }
        let fetch = self.take_turns(self.fetched, |reader| reader.poll_fetch(now, wall))?;
        self.fetched = fetch.0;
        *self.under_way.entry(fetch.0).or_default() += 1;
        Some(fetch)
    }

    /// The next message, gap or fork, of the source whose turn it is.
    pub fn poll_item(&mut self, devices: &impl Directory) -> Option<(SourceId, Item)> {
        let item = self.take_turns(self.given, |reader| reader.poll_item(devices))?;
        self.given = item.0;
        Some(item)
    }

    /// When [`poll_fetch`](Self::poll_fetch) may next return something, if no result is handed in and no item is taken
    /// before; `None` without a source, or while as many fetches as may be are under way.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waits = self.under_way.values().sum::<usize>() >= self.fetches;
        self.readers.values().map(Reader::poll_timeout).min().filter(|_| !waits)
    }

    /// The reader of a source: for its cursor, and what it has counted.
    pub fn get(&self, source: SourceId) -> Option<&Reader> {
        self.readers.get(&source)
    }

    /// All sources, ordered by when they came.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Reader)> + '_ {
        self.readers.iter().map(|(id, reader)| (*id, reader))
    }

    /// Whether everything has been read that the newest head of each source names; a source whose head was not found
    /// yet is not caught up.
    pub fn caught_up(&self) -> bool {
        self.readers.values().all(|reader| reader.caught_up() == Some(true))
    }

    fn take_turns<T>(
        &mut self,
        last: SourceId,
        mut poll: impl FnMut(&mut Reader) -> Option<T>,
    ) -> Option<(SourceId, T)> {
        let after = (Bound::Excluded(last), Bound::Unbounded);
        let found = self.readers.range_mut(after).find_map(|(id, reader)| Some((*id, poll(reader)?)));
        found.or_else(|| self.readers.range_mut(..=last).find_map(|(id, reader)| Some((*id, poll(reader)?))))
    }
}

#[cfg(test)]
mod tests;
