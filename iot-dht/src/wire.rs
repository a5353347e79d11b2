//! The datagrams that nodes exchange, as `docs/formats/dht.md` defines them.
//!
//! Public so that tests, tools and those who study attacks can read and write any message; a [`Node`](crate::Node)
//! needs none of it from its user.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

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
pub const VERSION: u8 = 2;

/// The most nodes of one answer: twenty of them with IPv4 addresses fit a datagram beside a proof.
pub const MAX_NODES: usize = 20;

/// The longest capability that stands beside a proof, in octets.
pub const MAX_CAPABILITY_LEN: usize = 512;

/// How often the octets of a request an answer may have, as long as the sender has not shown that it receives what is sent
/// to its address.
pub const MAX_AMPLIFICATION: usize = 3;

/// How long a request is made that has no cookie and asks for something long: the longest answer is then permitted.
pub const PADDED_LEN: usize = MAX_DATAGRAM_LEN.div_ceil(MAX_AMPLIFICATION);

/// Binds an answer to its request: eight random octets.
pub type Transaction = [u8; 8];

/// Shows that its bearer received an answer of the node that made it: a keyed hash of address, node and key.
pub type Token = [u8; 16];

/// Shows that its bearer receives what is sent to its address: a keyed hash of address and node.
pub type Cookie = [u8; 8];

/// What a proof must be made for: drawn by who asks for it.
pub type Nonce = [u8; 8];

record! {
    /// A datagram.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Message<'b> {
        /// [`VERSION`].
        0 => pub version: u8,
        /// Which network it belongs to; nodes ignore all others. In a private one, a keyed hash of the datagram.
        1 => pub overlay: u64,
        /// Chosen by the request, repeated by the answer.
        2 => pub transaction: Transaction,
        /// Who sent it.
        3 => pub sender: NodeId,
        /// Whether the sender answers requests.
        4 => pub role: Role,
        /// What it says.
        5 => pub body: Body<'b>,
        /// In a request, the cookie that the receiver gave; in an answer, one for the next requests.
        6 => pub cookie: Option<Cookie>,
        /// Asks the receiver to prove who it is.
        7 => pub challenge: Option<Challenge>,
        /// Proves who the sender is, to who asked for it.
        8 => pub proof: Option<Proof<'b>>,
        /// Makes a request long enough for its answer.
        9 => pub padding: Option<&'b [u8]>,
    }
}

record! {
    /// Asks for a proof.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Challenge {
        /// In a request, its transaction; in an answer, what a pong must have as its transaction.
        0 => pub nonce: Nonce,
        /// Where the challenger sends this.
        1 => pub asked: Endpoint,
    }
}

record! {
    /// Proves that its sender holds the key that its identifier is the hash of, at the address that was asked.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Proof<'b> {
        /// The verifying key.
        0 => pub key: &'b [u8],
        /// By that key, over [`proof::statement`].
        1 => pub signature: [u8; 64],
        /// Where the challenge came from.
        2 => pub seen: Endpoint,
        /// By what the sender may be a node, where that takes more than a key: at most [`MAX_CAPABILITY_LEN`] octets.
        3 => pub capability: Option<&'b [u8]>,
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
        8 => Refused(Refused<'b>),
        /// Answers that the answer is too long for an address that has not shown a cookie: to be asked again with this one.
        9 => Retry(Empty),
        /// Asks for what those need who may be behind a NAT.
        10 => Ask(Ask),
        /// Answers that.
        11 => Reply(Reply),
        /// Is neither asked nor answered: opens and uses a path between two nodes.
        12 => Word(Word<'b>),
        /// Asks which records the receiver has of a part of the key space, unless they are those that the sender has.
        13 => Compare(Compare),
        /// Answers with what there is, or with nothing where both have the same.
        14 => Holdings(Holdings<'b>),
    }
}

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint(pub SocketAddr);

impl Body<'_> {
    /// Whether it is an answer, which only makes sense to who asked.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Compare(_) => false,
            Self::Ping(_) | Self::FindNode(_) | Self::Get(_) | Self::Put(_) | Self::Ask(_) | Self::Word(_) => false,
            Self::Pong(_)
            | Self::Nodes(_)
            | Self::Value(_)
            | Self::Stored(_)
            | Self::Refused(_)
            | Self::Retry(_)
            | Self::Holdings(_)
            | Self::Reply(_) => true,
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
        /// Which sequence it replaces: a receiver that has another refuses it.
        2 => pub replaces: Option<u64>,
    }
}

record! {
    /// Says why a record is not stored.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Refused<'b> {
        /// Why.
        0 => pub reason: Rejection,
        /// The record that is stored in its place, if that is why.
        1 => pub record: Option<&'b [u8]>,
    }
}

impl<'b> Message<'b> {
    /// A message of this version that says nothing beside its body.
    pub const fn new(overlay: u64, transaction: Transaction, sender: NodeId, role: Role, body: Body<'b>) -> Self {
        let (cookie, challenge, proof, padding) = (None, None, None, None);
        Self { version: VERSION, overlay, transaction, sender, role, body, cookie, challenge, proof, padding }
    }

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

    /// Octets of the datagram.
    pub(crate) fn encoded_len(&self) -> usize {
        cbor::to_vec(self).len()
    }

    /// The datagram, if it has at most so many octets.
    pub(crate) fn encode_within(&self, budget: usize) -> Option<Vec<u8>> {
        let datagram = cbor::to_vec(self);
        (datagram.len() <= budget).then_some(datagram)
    }

    /// Writes the datagram, and makes it [`PADDED_LEN`] octets or a few more, so that any answer is permitted.
    ///
    /// # Panics
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_padded(&self) -> Vec<u8> {
        const ZEROS: [u8; PADDED_LEN] = [0; PADDED_LEN];
        let bare = Self { padding: None, ..self.clone() }.encode();
        // The field's key and the least head of its octets.
        match PADDED_LEN.checked_sub(bare.len() + 2) {
            Some(missing) => Self { padding: Some(&ZEROS[..missing]), ..self.clone() }.encode(),
            None => bare,
        }
    }
}

/// Where the number of the overlay stands in a datagram.
pub(crate) fn place_of_overlay(datagram: &[u8]) -> Option<Range<usize>> {
    let mut cursor = Cursor::new(datagram);
    cursor.map().ok()?;
    while cursor.unsigned().ok()? != 1 {
        cursor.skip().ok()?;
    }
    let start = cursor.position();
    cursor.unsigned().ok()?;
    Some(start..cursor.position())
}

/// What of a datagram is no signature, in order: a record's signature is the last thing in it, and a proof has one.
#[cfg(feature = "sim")]
pub(crate) fn without_signatures(datagram: &[u8], mut part: impl FnMut(&[u8])) {
    let mut end = 0;
    // What cannot be read has no signature.
    let _ = signature_ends(datagram, |at| {
        if let Some(start) = at.checked_sub(iot_crypto::Signature::LEN).filter(|start| *start >= end) {
            part(&datagram[end..start]);
            end = at;
        }
    });
    part(&datagram[end..]);
}

#[cfg(feature = "sim")]
fn signature_ends(datagram: &[u8], mut found: impl FnMut(usize)) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new(datagram);
    for _ in 0..cursor.map()? {
        match cursor.unsigned()? {
            5 => {
                cursor.array()?;
                let record_key = match cursor.unsigned()? {
                    5 => Some(0),
                    6 | 8 => Some(1),
                    _ => {
                        cursor.skip()?;
                        continue;
                    }
                };
                for _ in 0..cursor.map()? {
                    let key = cursor.unsigned()?;
                    cursor.skip()?;
                    if Some(key) == record_key {
                        found(cursor.position());
                    }
                }
            }
            8 => {
                for _ in 0..cursor.map()? {
                    let key = cursor.unsigned()?;
                    cursor.skip()?;
                    if key == 1 {
                        found(cursor.position());
                    }
                }
            }
            _ => cursor.skip()?,
        }
    }
    Ok(())
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
        write_address(writer, &self.address)
    }
}

impl Encode for Endpoint {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(2)?;
        write_address(writer, &self.0)
    }
}

impl<'b> Decode<'b> for Endpoint {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        expect_array(cursor, 2)?;
        read_address(cursor).map(Self)
    }
}

fn write_address<O: Output>(writer: &mut Writer<O>, address: &SocketAddr) -> Result<(), EncodeError> {
    match address.ip() {
        IpAddr::V4(ip) => writer.bytes(&ip.octets())?,
        IpAddr::V6(ip) => writer.bytes(&ip.octets())?,
    }
    writer.unsigned(address.port().into())
}

fn read_address(cursor: &mut Cursor<'_>) -> Result<SocketAddr, DecodeError> {
    let offset = cursor.position();
    let octets = cursor.bytes()?;
    let ip = match *octets {
        [a, b, c, d] => IpAddr::from([a, b, c, d]),
        _ => IpAddr::from(<[u8; 16]>::try_from(octets).map_err(|_| unexpected_length(16, octets.len(), offset))?),
    };
    Ok(SocketAddr::new(ip, u16::decode(cursor)?))
}

impl<'b, const N: usize> Decode<'b> for Peer<N> {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        expect_array(cursor, 3)?;
        Ok(Self { id: Id::decode(cursor)?, address: read_address(cursor)? })
    }
}

fn expect_array(cursor: &mut Cursor<'_>, expected: usize) -> Result<(), DecodeError> {
    let start = cursor.position();
    let found = cursor.array()?;
    if found == expected { Ok(()) } else { Err(unexpected_length(expected as u32, found, start)) }
}

pub(crate) fn unexpected_length(expected: u32, found: usize, offset: usize) -> DecodeError {
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    DecodeError::new(DecodeErrorKind::UnexpectedLength { expected, found }, offset)
}

mod compare;
mod meeting;
pub mod proof;
#[cfg(test)]
mod tests;

pub use crate::wire::compare::{Compare, Digest, Held, Holdings, MAX_DIGESTS, MAX_HELD};
pub use crate::wire::meeting::{
    Ask, Data, Decline, Declined, Introduce, Introduced, MAX_PAYLOAD_LEN, Meet, Pass, Probed, Reply, Reserve, Reserved,
    Tried, Try, Word,
};
