use alloc::vec::Vec;

use super::Writer;

/// Deterministic CBOR that grows from arrays and maps whose order and lengths become known only at their end.
///
/// Beside its bytes it takes 12 for each pair of the maps that are open (up to 24 where pairs were not
/// [expected](Self::expect_pairs)), and once more the longest map that was not in order.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    bytes: Vec<u8>,
    /// The entries of all maps that are open, the innermost last.
    entries: Vec<Entry>,
    /// Where a map is put in order.
    scratch: Vec<u8>,
}

/// Where a pair begins, its value, and where it ends. Hostile maps have pairs of two bytes, so it is as short as it can
/// be: what lies beyond 32 bits is refused when the map ends.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u32,
    value: u32,
    end: u32,
}

/// An array or a map that is not complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    collection: Collection,
    claimed: Option<usize>,
    head: usize,
    content: usize,
    first_entry: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collection {
    Array,
    Map,
}

/// Why a map cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapError {
    /// Two keys have the same encoding.
    DuplicateKey,
    /// It ends beyond `u32::MAX`, where no reader follows.
    TooLong,
}

impl Assembly {
    /// With room for this many bytes.
    pub(crate) fn with_capacity(len: usize) -> Self {
        Self { bytes: Vec::with_capacity(len), ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends whole items.
    pub(crate) fn writer(&mut self) -> Writer<&mut Vec<u8>> {
        Writer::new(&mut self.bytes)
    }

    /// The byte at `offset`, to be changed.
    #[cfg(feature = "serde")]
    pub(crate) fn byte_mut(&mut self, offset: usize) -> Option<&mut u8> {
        self.bytes.get_mut(offset)
    }

    /// Begins an array or a map; a wrong claim of its length costs no more than time.
    pub(crate) fn open(&mut self, collection: Collection, claimed: Option<usize>) -> Open {
        let head = self.len();
        if let Some(count) = claimed {
            collection.write_head(&mut self.bytes, count);
        }
        Open { collection, claimed, head, content: self.len(), first_entry: self.entries.len() }
    }

    /// So many pairs are known to follow in the map that was opened last: without it, their list grows by doubling.
    pub(crate) fn expect_pairs(&mut self, count: usize) {
        self.entries.reserve_exact(count);
    }

    /// A key of the innermost map begins at `start` and ends here.
    pub(crate) fn end_key(&mut self, start: usize) {
        let end = self.len() as u32;
        self.entries.push(Entry { key: start as u32, value: end, end });
    }

    /// The value of the latest key ends here.
    pub(crate) fn end_value(&mut self) {
        let end = self.len() as u32;
        if let Some(entry) = self.entries.last_mut() {
            entry.end = end;
        }
    }

    /// Ends an array or a map of `count` elements or pairs.
    pub(crate) fn close(&mut self, open: Open, count: usize) -> Result<(), MapError> {
        if open.collection == Collection::Map {
            self.sort(open)?;
        }
        if open.claimed != Some(count) {
            let mut head = Vec::new();
            open.collection.write_head(&mut head, count);
            self.bytes.splice(open.head..open.content, head);
        }
        Ok(())
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn sort(&mut self, open: Open) -> Result<(), MapError> {
        if u32::try_from(self.len()).is_err() {
            return Err(MapError::TooLong);
        }
        let entries = self.entries.get_mut(open.first_entry..).unwrap_or_default();
        let part = |from: u32, to: u32| self.bytes.get(from as usize..to as usize).unwrap_or_default();
        let key = |entry: &Entry| part(entry.key, entry.value);
        if !entries.is_sorted_by(|first, second| key(first) < key(second)) {
            entries.sort_unstable_by(|first, second| key(first).cmp(key(second)));
            if !entries.is_sorted_by(|first, second| key(first) < key(second)) {
                return Err(MapError::DuplicateKey);
            }
            let len = self.bytes.len().saturating_sub(open.content);
            self.scratch.clear();
            if self.scratch.capacity() < len {
                // Given back first: to grow it would hold both for a while, and nothing in it is needed.
                self.scratch = Vec::new();
                self.scratch.reserve_exact(len);
            }
            for entry in entries {
                self.scratch.extend_from_slice(part(entry.key, entry.end));
            }
            self.bytes.truncate(open.content);
            self.bytes.extend_from_slice(&self.scratch);
        }
        self.entries.truncate(open.first_entry);
        Ok(())
    }
}

impl Collection {
    fn write_head(self, bytes: &mut Vec<u8>, count: usize) {
        let mut writer = Writer::new(bytes);
        // A vector always has room.
        let _ = match self {
            Self::Array => writer.array(count as u64),
            Self::Map => writer.map(count as u64),
        };
    }
}
