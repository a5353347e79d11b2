use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use iot_codec::{cbor, record};

use crate::id::Key;
use crate::peer::Subnet;
use crate::record::Record;
use crate::store::{Source, Store};

/// Where a node keeps its records over a restart: a folder, a table of a database, a region of flash.
///
/// What it gives back is not believed: [`Node::restore_record`](crate::Node::restore_record) verifies it as if a stranger
/// had brought it.
pub trait Shelf {
    /// Why nothing more can be written.
    type Error;

    /// Keeps these octets under the key, in place of those that are there.
    ///
    /// # Errors
    ///
    /// Those of the medium. The record is written again with the next [`Store::write_to`].
    fn keep(&mut self, key: &Key, octets: &[u8]) -> Result<(), Self::Error>;

    /// Forgets what is kept under the key.
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep).
    fn remove(&mut self, key: &Key) -> Result<(), Self::Error>;
}

record! {
    /// A record, and which subnet brought it, because that subnet's quota is used up by it.
    struct Shelved<'b> {
        0 => version: u8,
        1 => record: &'b [u8],
        2 => source: Option<[u8; 16]>,
    }
}

const VERSION: u8 = 1;

/// Which keys a shelf has, and which of them it has not as the store does.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelving {
    kept: BTreeSet<Key>,
    changed: BTreeSet<Key>,
}

impl Shelving {
    pub(super) fn note_kept(&mut self, key: Key) {
        self.changed.insert(key);
    }

    /// What a shelf never had need not be removed from it, so that as many keys are remembered as there are records, and
    /// as there were when it was last written to.
    pub(super) fn note_removed(&mut self, key: &Key) {
        if self.kept.contains(key) {
            self.changed.insert(*key);
        } else {
            self.changed.remove(key);
        }
    }
}

impl Store {
    /// Writes to the shelf what has changed since the last time, and returns how many records that were. Call it from time to
    /// time, and before the node stops: what it loses is what came since.
    ///
    /// # Errors
    ///
    /// Those of the shelf; what is left is written the next time.
    pub fn write_to<S: Shelf>(&mut self, shelf: &mut S) -> Result<usize, S::Error> {
        let mut written = 0;
        while let Some(key) = self.shelving.changed.first().copied() {
            match self.records.get(&key) {
                Some(held) => {
                    let source = held.source.map(Subnet::to_octets);
                    let shelved = Shelved { version: VERSION, record: held.record.as_bytes(), source };
                    shelf.keep(&key, &cbor::to_vec(&shelved))?;
                    self.shelving.kept.insert(key);
                }
                None => {
                    shelf.remove(&key)?;
                    self.shelving.kept.remove(&key);
                }
            }
            self.shelving.changed.remove(&key);
            written += 1;
        }
        Ok(written)
    }

    /// Notes that a shelf has this record, which was just read from it.
    pub(crate) fn note_shelved(&mut self, key: Key) {
        self.shelving.kept.insert(key);
        self.shelving.changed.remove(&key);
    }
}

/// The octets of a record and who brought it, from what a shelf gave back.
pub(crate) fn unshelve(octets: &[u8]) -> Option<(Vec<u8>, Source)> {
    let limits = cbor::Limits::default().bytes(Record::MAX_LEN as u32 + 64);
    let shelved: Shelved<'_> = cbor::from_slice_within(octets, &limits).ok()?;
    (shelved.version == VERSION).then(|| (shelved.record.to_vec(), shelved.source.map(Subnet::from_octets)))
}
