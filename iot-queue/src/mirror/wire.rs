//! The frames of `docs/formats/mirror.md`.

use alloc::vec::Vec;

use iot_codec::cbor::{self, DecodeError, Limits};
use iot_codec::framing::frame_header;
use iot_codec::record;
use iot_core::{DeviceId, Incarnation, Position, StreamId};

use crate::gap::GapItem;
use crate::message::{Lane, MessageId, Stored};
use crate::offset::Offset;
use crate::sink::Forwarded;

/// The version that both ends must name.
pub(super) const VERSION: u32 = 2;

/// Octets that a message's frame has besides its payload, at the most: keys, heads, a key of 255, a position.
pub(super) const MAX_OVERHEAD: usize = 512;

record! {
    /// What either end says.
    #[derive(Clone, Debug, PartialEq)]
    pub(super) enum Frame<'b> {
        1 => Hello(Hello),
        2 => Welcome(Welcome),
        3 => Message(MessageFrame<'b>),
        4 => Gap(GapItem<'b>),
        5 => Acknowledged(u64),
        6 => Fault(StreamFault),
    }
}

record! {
    /// Asks where a log goes on.
    #[derive(Clone, Debug, PartialEq)]
    pub(super) struct Hello {
        1 => pub(super) version: u32,
        2 => pub(super) feed: [u8; 8],
        3 => pub(super) origin: [u8; 32],
    }
}

record! {
    /// Says where it goes on, without `next` that nothing is known of it; and the longest payload that it takes.
    #[derive(Clone, Debug, PartialEq)]
    pub(super) struct Welcome {
        1 => pub(super) version: u32,
        2 => pub(super) next: Option<u64>,
        3 => pub(super) max_payload: u32,
    }
}

record! {
    #[derive(Clone, Debug, PartialEq)]
    pub(super) struct MessageFrame<'b> {
        1 => pub(super) offset: u64,
        2 => pub(super) payload: &'b [u8],
        3 => pub(super) position: Option<Place>,
        4 => pub(super) key: Option<&'b [u8]>,
        5 => pub(super) lane: Option<u8>,
        6 => pub(super) id: Option<[u8; 16]>,
    }
}

record! {
    /// A position.
    #[derive(Clone, Debug, PartialEq)]
    pub(super) struct Place {
        1 => source: [u8; 32],
        2 => stream: u32,
        3 => incarnation: [u8; 8],
        4 => sequence: u64,
    }
}

record! {
    /// Why a receiver takes no more on this connection.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum StreamFault {
        /// It speaks another version of the protocol.
        1 => Version,
        /// What was sent is no frame, or not one that was due.
        2 => Malformed,
        /// The log goes on elsewhere.
        3 => OutOfOrder,
        /// It has no room; later perhaps.
        4 => Full,
        /// It does not take messages as long as this.
        5 => TooLarge,
        /// Its storage failed.
        6 => Storage,
    }
}

impl Frame<'_> {
    /// Writes the frame behind its length.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let body = cbor::to_vec(self);
        // A frame is a payload of at most 2^30 octets and a little more.
        if let Ok(header) = frame_header(body.len()) {
            out.extend_from_slice(&header);
            out.extend_from_slice(&body);
        }
    }

    pub(super) fn read(octets: &[u8]) -> Result<Frame<'_>, DecodeError> {
        let limits = Limits::default().bytes(u32::try_from(octets.len()).unwrap_or(u32::MAX)).items(64);
        cbor::from_slice_within(octets, &limits)
    }

    /// The frame of an entry.
    pub(super) fn of(entry: &Forwarded) -> Frame<'_> {
        match entry {
            Forwarded::Message(message) => Frame::Message(MessageFrame {
                offset: message.offset.number(),
                payload: &message.payload,
                position: message.position.as_ref().map(Place::of),
                key: message.key.as_deref(),
                lane: (message.lane != Lane::NORMAL).then(|| message.lane.number()),
                id: message.id.map(|id| *id.as_bytes()),
            }),
            Forwarded::Gap(notice) => Frame::Gap(GapItem::of(notice)),
        }
    }

    /// The entry that the frame is of; nothing if it is of none, or of one that cannot be.
    pub(super) fn into_entry(self) -> Option<Forwarded> {
        match self {
            Self::Message(message) => Some(Forwarded::Message(Stored {
                offset: Offset::new(message.offset),
                position: message.position.map(Place::into_position),
                key: message.key.filter(|key| !key.is_empty()).map(<[u8]>::to_vec),
                lane: message.lane.map_or(Some(Lane::NORMAL), Lane::new)?,
                id: message.id.map(MessageId::from_bytes),
                payload: message.payload.to_vec(),
            })),
            Self::Gap(gap) => gap.into_notice().map(Forwarded::Gap),
            _ => None,
        }
    }
}

impl Place {
    fn of(position: &Position) -> Self {
        Self {
            source: *position.source.as_bytes(),
            stream: position.stream.number(),
            incarnation: *position.incarnation.as_bytes(),
            sequence: position.sequence,
        }
    }

    fn into_position(self) -> Position {
        Position {
            source: DeviceId::from_bytes(self.source),
            stream: StreamId::new(self.stream),
            incarnation: Incarnation::from_bytes(self.incarnation),
            sequence: self.sequence,
        }
    }
}

#[cfg(test)]
mod tests;
