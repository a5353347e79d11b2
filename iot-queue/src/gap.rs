//! What was dropped to make room, and who says so.

use alloc::vec::Vec;
use core::fmt;

use iot_core::{DeviceId, Incarnation, StreamId};

use crate::offset::Gap;

mod notice;
mod record;

pub(crate) use self::notice::GapItem;
pub use self::notice::GapNotice;
pub(crate) use self::record::{FEED_LEN, FIXED_LEN};

/// Signs for whoever drops messages: the queue has no cryptography.
///
/// What it signs is that party's claim, never proof that the messages existed, or that nobody else has them.
pub trait GapSigner: fmt::Debug + Send + Sync {
    /// Octets of the longest signature that it gives, for which the queue keeps room.
    fn signature_len(&self) -> usize;

    /// Signs the octets of a [`GapRecord::claim`]. Everything that it gives is kept and handed on as it is: a bare
    /// signature, or an envelope around one.
    ///
    /// # Errors
    /// When the key cannot be used now. Then nothing is dropped, and the append that needed the room is refused.
    fn sign(&mut self, claim: &[u8]) -> Result<Vec<u8>, GapSigningError>;
}

/// A [`GapSigner`] could not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record of what is to be dropped could not be signed")]
pub struct GapSigningError;

/// Everything that was dropped to make room and that not every reader was told of yet, as one record.
///
/// What is dropped later is joined to it, until everybody was told; see [`Queue::dropped`](crate::Queue::dropped).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRecord {
    /// The places of the log that it is about, of the cause [`Dropped`](crate::GapCause::Dropped). Some of the messages
    /// there may have been acknowledged before.
    pub gap: Gap,
    /// How many messages somebody still needed were dropped.
    pub messages: u64,
    /// The feeds of sources that they came from, as many as fit.
    pub feeds: Vec<DroppedFeed>,
    /// How many of the messages are in none of these feeds: they had no position, or there was no room for their feed.
    pub unnamed: u64,
    /// What the signature covers: all of the above, and the log's [`Epoch`](crate::Epoch), as `docs/formats/queue.md`
    /// defines it.
    pub claim: Vec<u8>,
    /// What the [`GapSigner`] gave; nothing without one.
    pub signature: Vec<u8>,
}

/// What was dropped of one incarnation of one stream of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DroppedFeed {
    /// The source.
    pub source: DeviceId,
    /// Its stream.
    pub stream: StreamId,
    /// The incarnation of the stream.
    pub incarnation: Incarnation,
    /// The lowest sequence number that was dropped.
    pub from: u64,
    /// One more than the highest that was.
    pub until: u64,
    /// How many messages between them were: what else is there was delivered, or never came.
    pub messages: u64,
}
