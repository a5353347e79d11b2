use alloc::vec::Vec;

use iot_codec::cbor::{
    self, Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Limits, Output, Writer,
};
use iot_codec::record;

use crate::id::Key;
use crate::wire::{MAX_DATAGRAM_LEN, unexpected_length};

/// The version of these messages.
const VERSION: u64 = 1;

/// Names a lease: drawn by the subscriber, told to nobody but the node that gives the lease.
pub(super) type LeaseId = [u8; 8];

/// Shows that its bearer receives what is sent to its address.
pub(super) type Cookie = [u8; 16];

/// A datagram between a subscriber and a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message<'b> {
    pub(super) lease: LeaseId,
    pub(super) body: Body<'b>,
}

record! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) enum Body<'b> {
        /// Asks for a lease, or for more time.
        0 => Subscribe(Subscribe),
        /// Answers with what the next question must bring back.
        1 => Challenge(Challenge),
        /// Answers that the lease is given.
        2 => Granted(Granted),
        /// Answers that it is not: the node has given as many as it can.
        3 => Refused(Refused),
        /// Brings a newer version of the record.
        4 => Changed(Changed<'b>),
        /// Answers a change.
        5 => Seen(Seen),
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Subscribe {
        0 => pub(super) key: Key,
        /// For how long; 0 ends a lease.
        1 => pub(super) seconds: u32,
        /// The sequence of the version that the subscriber has.
        2 => pub(super) known: Option<u64>,
        3 => pub(super) cookie: Option<Cookie>,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Challenge {
        0 => pub(super) cookie: Cookie,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Granted {
        /// For how long, at most what was asked for.
        0 => pub(super) seconds: u32,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Refused {}
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Changed<'b> {
        /// The signed octets.
        0 => pub(super) record: &'b [u8],
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Seen {
        /// The sequence of the newest version that the subscriber has.
        0 => pub(super) sequence: u64,
    }
}

/// Whether a datagram is meant for [`Leases`](super::Leases) or a [`Subscription`](super::Subscription), and not for the
/// node on the same socket: an array of three, where a node's is a map.
pub fn is_subscription(datagram: &[u8]) -> bool {
    datagram.first() == Some(&0x83)
}

impl<'b> Message<'b> {
    pub(super) fn decode(datagram: &'b [u8]) -> Result<Self, DecodeError> {
        cbor::from_slice_within(datagram, &Limits::default().bytes(MAX_DATAGRAM_LEN as u32).items(64))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        cbor::to_vec(self)
    }
}

impl Encode for Message<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(3)?;
        writer.unsigned(VERSION)?;
        writer.bytes(&self.lease)?;
        self.body.encode(writer)
    }
}

impl<'b> Decode<'b> for Message<'b> {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        let start = cursor.position();
        let count = cursor.array()?;
        if count != 3 {
            return Err(unexpected_length(3, count, start));
        }
        let offset = cursor.position();
        if cursor.unsigned()? != VERSION {
            return Err(DecodeError::new(DecodeErrorKind::InvalidValue, offset));
        }
        Ok(Self { lease: LeaseId::decode(cursor)?, body: Body::decode(cursor)? })
    }
}
