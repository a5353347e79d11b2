use iot_codec::cbor::{Cursor, Decode, DecodeError, Encode, EncodeError, List, Output, Writer};
use iot_codec::record;

use crate::id::{Id, Key};
use crate::wire::{Nonce, expect_array};

/// What tells two sets of records apart: a keyed hash of their keys and sequences.
pub type Digest = [u8; 8];

/// The most records that one answer lists.
pub const MAX_HELD: usize = 24;

/// Of how many parts an answer holds digests at most.
pub const MAX_DIGESTS: usize = 128;

record! {
    /// Asks which records the receiver has of a part of the key space, unless they are those that the sender has.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Compare {
        /// A point of the part.
        0 => pub point: Id<32>,
        /// How many leading bits all keys of the part share with the point.
        1 => pub bits: u8,
        /// The key of all digests, drawn by the sender.
        2 => pub nonce: Nonce,
        /// Of what the sender has.
        3 => pub digest: Digest,
    }
}

record! {
    /// What the sender has of a part of the key space: a list if that is short, the digests of smaller parts if it is
    /// long, and neither if both have the same.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Holdings<'b> {
        /// All records of the part, at most [`MAX_HELD`].
        0 => pub records: Option<List<Held>>,
        /// The digests of 2, 4, 8 and so on, at most [`MAX_DIGESTS`], equal parts of the part, in order of their keys.
        1 => pub digests: Option<&'b [u8]>,
    }
}

/// Which version of a record there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Where it belongs.
    pub key: Key,
    /// Its sequence.
    pub sequence: u64,
}

impl Encode for Held {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(2)?;
        self.key.encode(writer)?;
        writer.unsigned(self.sequence)
    }
}

impl<'b> Decode<'b> for Held {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        expect_array(cursor, 2)?;
        Ok(Self { key: Id::decode(cursor)?, sequence: u64::decode(cursor)? })
    }
}
