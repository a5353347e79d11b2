//! The datagrams that nodes exchange, as `docs/formats/dht.md` defines them.
//!
//! Public so that tests, tools and those who study attacks can read and write any message; a [`Node`](crate::Node)
//! needs none of it from its user.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use iot_codec::cbor::{
    self, Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Limits, List, Output, Writer,
};
use iot_codec::record;

use crate::id::{Id, Key, NodeId};
use crate::peer::Peer;
use crate::rejection::Rejection;

/// The longest datagram, in octets: what IPv6 carries everywhere (1,280), less its header and UDP's, and below 1,232.
pub const MAX_DATAGRAM_LEN: usize = 1231;

/// The version of the messages.
pub const VERSION: u8 = 1;

/// The most nodes of one answer: twenty of them with IPv6 addresses fit a datagram.
pub const MAX_NODES: usize = 20;

/// Binds an answer to its request: eight random octets.
pub type Transaction = [u8; 8];

/// Shows that its bearer received an answer of the node that made it: a keyed hash of address, node and key.
pub type Token = [u8; 16];

record! {
    /// A datagram.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Message<'b> {
        /// [`VERSION`].
        0 => pub version: u8,
        /// Which network it belongs to; nodes ignore all others.
        1 => pub overlay: u64,
        /// Chosen by the request, repeated by the answer.
        2 => pub transaction: Transaction,
        /// Who sent it.
        3 => pub sender: NodeId,
        /// Whether the sender answers requests.
        4 => pub role: Role,
        /// What it says.
        5 => pub body: Body<'b>,
    }
}

record! {
    /// Whether a node answers requests.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Role {
        /// It only asks, and enters no table.
        0 => Client,
        /// It stores and answers.
        1 => Server,
    }
}

record! {
    /// What a message says.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Body<'b> {
        /// Asks whether the receiver lives.
        0 => Ping(Empty),
        /// Answers a ping.
        1 => Pong(Empty),
        /// Asks for the nodes closest to a point, and for a write token for it.
        2 => FindNode(FindNode),
        /// Answers with nodes.
        3 => Nodes(Nodes),
        /// Asks for a record, or for the nodes closest to it.
        4 => Get(Get),
        /// Answers with a record.
        5 => Value(Value<'b>),
        /// Asks to store a record.
        6 => Put(Put<'b>),
        /// Answers that the record is stored.
        7 => Stored(Empty),
        /// Answers that the record is not stored.
        8 => Refused(Refused),
    }
}

impl Body<'_> {
    /// Whether it is an answer, which only makes sense to who asked.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Ping(_) | Self::FindNode(_) | Self::Get(_) | Self::Put(_) => false,
            Self::Pong(_) | Self::Nodes(_) | Self::Value(_) | Self::Stored(_) | Self::Refused(_) => true,
        }
    }
}

record! {
    /// Nothing more to say.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Empty {}
}

record! {
    /// Asks for the nodes closest to a point.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FindNode {
        /// The point.
        0 => pub target: Id<32>,
        /// The record's key that the token is for; the point, if there is none.
        1 => pub key: Option<Key>,
    }
}

record! {
    /// The nodes that the sender knows closest to the point.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Nodes {
        /// Permits the receiver to put the record at that point, or at the key that it named.
        0 => pub token: Token,
        /// At most [`MAX_NODES`]; the receiver ignores more.
        1 => pub nodes: List<Peer<32>>,
    }
}

record! {
    /// Asks for a record.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Get {
        /// Where it belongs.
        0 => pub key: Key,
        /// The point near which to name nodes, beside the record if there is one; if there is no such point, the key,
        /// and only instead of the record.
        1 => pub near: Option<Id<32>>,
    }
}

record! {
    /// A record.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Value<'b> {
        /// The signed octets.
        0 => pub record: &'b [u8],
        /// Nodes near the point of the request, if it named one: as many as the datagram has room for.
        1 => pub nodes: Option<List<Peer<32>>>,
    }
}

record! {
    /// Asks to store a record.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Put<'b> {
        /// From the [`Nodes`] that the receiver last sent for the record's key.
        0 => pub token: Token,
        /// The signed octets.
        1 => pub record: &'b [u8],
    }
}

record! {
    /// Says why a record is not stored.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Refused {
        /// Why.
        0 => pub reason: Rejection,
    }
}

impl<'b> Message<'b> {
    /// Reads a datagram.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub fn decode(datagram: &'b [u8]) -> Result<Self, WireError> {
        if datagram.len() > MAX_DATAGRAM_LEN {
            return Err(WireError::TooLarge { len: datagram.len() });
        }
        let limits = Limits::default().bytes(MAX_DATAGRAM_LEN as u32).items(1024);
        let message: Self = cbor::from_slice_within(datagram, &limits)?;
        if message.version == VERSION { Ok(message) } else { Err(WireError::Version(message.version)) }
    }

    /// Writes the datagram.
    ///
    /// # Panics
    ///
    /// When the message does not fit [`MAX_DATAGRAM_LEN`] octets, which its parts keep to by their own limits.
    pub fn encode(&self) -> Vec<u8> {
        let datagram = cbor::to_vec(self);
        assert!(datagram.len() <= MAX_DATAGRAM_LEN, "{} octets do not fit a datagram", datagram.len());
        datagram
    }
}

/// A datagram without the signature of the record that it may carry: what stands before and behind it.
#[cfg(feature = "sim")]
pub(crate) fn without_signature(datagram: &[u8]) -> (&[u8], &[u8]) {
    // Where the record in the body of a value or a put ends; its signature is the last thing in it.
    let signed_end = || {
        let mut cursor = Cursor::new(datagram);
        for _ in 0..cursor.map()?.saturating_sub(1) {
            cursor.skip()?;
            cursor.skip()?;
        }
        cursor.skip()?;
        cursor.array()?;
        let record_key = match cursor.unsigned()? {
            5 => 0,
            6 => 1,
            _ => return Ok(None),
        };
        cursor.map()?;
        for _ in 0..record_key {
            cursor.skip()?;
            cursor.skip()?;
        }
        cursor.skip()?;
        cursor.skip()?;
        Ok::<_, DecodeError>(Some(cursor.position()))
    };
    let signature =
        signed_end().ok().flatten().and_then(|end| Some((end.checked_sub(iot_crypto::Signature::LEN)?, end)));
    signature.map_or((datagram, &[]), |(start, end)| (&datagram[..start], &datagram[end..]))
}

/// How many octets a peer takes in a list.
pub(crate) fn peer_len(peer: &Peer<32>) -> usize {
    let address = if peer.address.is_ipv4() { 4 } else { 16 };
    let port = match peer.address.port() {
        0..24 => 1,
        24..256 => 2,
        _ => 3,
    };
    1 + (2 + NodeId::LEN) + (1 + address) + port
}

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The datagram is longer than messages are.
    #[error("the datagram of {len} octets is too large")]
    TooLarge {
        /// Octets of the datagram.
        len: usize,
    },
    /// It is not the deterministic CBOR of a message.
    #[error("the message is malformed")]
    Malformed(#[from] DecodeError),
    /// It is a message of another version.
    #[error("the message has the unknown version {0}")]
    Version(u8),
}

impl<const N: usize> Encode for Id<N> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.bytes(self.as_bytes())
    }
}

impl<'b, const N: usize> Decode<'b> for Id<N> {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        <[u8; N]>::decode(cursor).map(Self::from_bytes)
    }
}

impl<const N: usize> Encode for Peer<N> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(3)?;
        self.id.encode(writer)?;
        match self.address.ip() {
            IpAddr::V4(ip) => writer.bytes(&ip.octets())?,
            IpAddr::V6(ip) => writer.bytes(&ip.octets())?,
        }
        writer.unsigned(self.address.port().into())
    }
}

impl<'b, const N: usize> Decode<'b> for Peer<N> {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        let start = cursor.position();
        let count = cursor.array()?;
        if count != 3 {
            return Err(unexpected_length(3, count, start));
        }
        let id = Id::decode(cursor)?;
        let offset = cursor.position();
        let octets = cursor.bytes()?;
        let ip = match *octets {
            [a, b, c, d] => IpAddr::from([a, b, c, d]),
            _ => IpAddr::from(<[u8; 16]>::try_from(octets).map_err(|_| unexpected_length(16, octets.len(), offset))?),
        };
        Ok(Self { id, address: SocketAddr::new(ip, u16::decode(cursor)?) })
    }
}

pub(crate) fn unexpected_length(expected: u32, found: usize, offset: usize) -> DecodeError {
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    DecodeError::new(DecodeErrorKind::UnexpectedLength { expected, found }, offset)
}

#[cfg(test)]
mod tests;
