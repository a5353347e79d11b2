use alloc::vec::Vec;
use core::cmp::Reverse;

use iot_codec::cbor::{self, Cursor, Decode, DecodeError, Encode, EncodeError, Limits, List, Output, Writer};

use crate::peer::Peer;
use crate::table::{Entry, Table};
use crate::wire::unexpected_length;

/// The version of the octets.
const VERSION: u8 = 1;

/// The nodes of a table at one moment, to be kept over a restart. See [`Table::snapshot`] and [`Table::restore`].
///
/// Octets come back as they are: nothing in them is believed before it answered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot<const N: usize> {
    peers: Vec<Peer<N>>,
}

impl<const N: usize> Snapshot<N> {
    /// The most nodes of a snapshot.
    pub const MAX_PEERS: usize = 1024;

    /// The longest snapshot, in octets.
    pub const MAX_LEN: usize = 16 + Self::MAX_PEERS * (N + 32);

    /// Reads what [`to_vec`](Self::to_vec) wrote.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`].
    pub fn parse(octets: &[u8]) -> Result<Self, SnapshotError> {
        let limits = Limits::default().bytes(Self::MAX_LEN as u32).items(8 + 4 * Self::MAX_PEERS as u32);
        let Stored { version, peers } = cbor::from_slice_within(octets, &limits)?;
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        // What nothing can be sent to was not written by a table.
        Ok(Self { peers: peers.into_iter().filter_map(Peer::usable).take(Self::MAX_PEERS).collect() })
    }

    /// The octets, as `docs/formats/dht.md` describes them.
    pub fn to_vec(&self) -> Vec<u8> {
        cbor::to_vec(&Stored { version: VERSION, peers: self.peers.clone() })
    }

    /// The nodes, those that answered most reliably first.
    pub fn peers(&self) -> &[Peer<N>] {
        &self.peers
    }
}

/// Octets are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They are not its deterministic CBOR.
    #[error("the snapshot is malformed")]
    Malformed(#[from] DecodeError),
    /// They are a snapshot of another version.
    #[error("the snapshot has the unknown version {0}")]
    Version(u8),
}

impl<const N: usize> Table<N> {
    /// The entries that answered when they were last asked, to be kept over a restart.
    pub fn snapshot(&self) -> Snapshot<N> {
        let mut entries: Vec<_> = self.entries.iter().filter(|entry| entry.failures == 0).collect();
        entries.sort_by_key(|entry| (entry.lost_of_eight(), Reverse(entry.seen), entry.id));
        Snapshot { peers: entries.into_iter().map(Entry::peer).take(Snapshot::<N>::MAX_PEERS).collect() }
    }

    /// Takes the nodes of a snapshot as hearsay: [`next_hearsay`](Self::next_hearsay) names them one by one, and each
    /// enters the table once it answered, like any other.
    pub fn restore(&mut self, snapshot: Snapshot<N>) {
        // The first of the snapshot is named first.
        self.hearsay = snapshot.peers;
        self.hearsay.reverse();
    }

    /// Takes note of a node that somebody named, if there is room for it; at most
    /// [`replacements`](crate::TableConfig::replacements) such nodes wait, and beyond that a name is not kept.
    pub fn hear_of(&mut self, peer: Peer<N>) {
        if self.hearsay.len() < self.config.replacements
            && self.has_room(&peer)
            && self.hearsay.iter().all(|known| known.id != peer.id)
        {
            self.hearsay.push(peer);
        }
    }

    /// The next node to ask whether it lives, of those that are known by hearsay alone and would find a place.
    pub fn next_hearsay(&mut self) -> Option<Peer<N>> {
        while let Some(peer) = self.hearsay.pop() {
            if self.has_room(&peer) {
                return Some(peer);
            }
        }
        self.hearsay = Vec::new();
        None
    }

    /// The nodes that are known by hearsay alone.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Peer<N>> + '_ {
        self.hearsay.iter()
    }

    /// How many nodes are known by hearsay alone.
    pub fn hearsay(&self) -> usize {
        self.hearsay.len()
    }
}

/// ```cddl
/// snapshot = [version: 1, peers: [0*1024 peer]]
/// ```
struct Stored<const N: usize> {
    version: u8,
    peers: Vec<Peer<N>>,
}

impl<const N: usize> Encode for Stored<N> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(2)?;
        self.version.encode(writer)?;
        writer.array(self.peers.len() as u64)?;
        self.peers.iter().try_for_each(|peer| peer.encode(writer))
    }
}

impl<'b, const N: usize> Decode<'b> for Stored<N> {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        let start = cursor.position();
        let found = cursor.array()?;
        if found != 2 {
            return Err(unexpected_length(2, found, start));
        }
        let version = u8::decode(cursor)?;
        Ok(Self { version, peers: List::decode(cursor)?.0 })
    }
}
