use core::fmt;

use iot_codec::cbor::{self, Buffer, DecodeError, Encode, EncodeError, Output, Writer};
use iot_codec::record;
use iot_core::limits::LAST_SEQUENCE;
use iot_core::{DeviceId, Freshness, Incarnation, KeyId, Position, StreamId};

use super::authenticated::{GroupAuthenticated, Unconfirmed};
use super::epoch::{LEAF_LEN, Leaf};
use super::{Group, GroupId};
use crate::cose::{CoseError, Sign1, SignError, UnsignedSign1, VerifyError};
use crate::{
    Audience, BufferTooSmall, Directory, Proof, ReplayError, ReplayGuard, SignatureError, Signer, Verified,
    VerifyingKey,
};

/// The messages that a publisher has written since it signed last, up to `N` of them: a hash each.
///
/// A restart loses it, and readers then never learn who wrote those messages: publish what matters again.
pub struct Batch<const N: usize = 32> {
    group: Group,
    epoch: u64,
    /// Where the first one stands.
    first: Option<Position>,
    leaves: [Leaf; N],
    count: usize,
}

record! {
    struct Body<'b> {
        1 => epoch: u64,
        2 => stream: u32,
        3 => incarnation: &'b [u8; Incarnation::LEN],
        4 => first: u64,
        5 => leaves: &'b [u8],
    }
}

impl<const N: usize> Batch<N> {
    /// Octets that [`sign_into`](Self::sign_into) needs at most.
    pub const MAX_BUFFER_LEN: usize = {
        assert!(N > 0 && N <= SignedBatch::MAX_MESSAGES, "a batch has 1 to 64 messages");
        body_len(N) + Sign1::buffer_len(body_len(N), CONTEXT_LEN)
    };

    /// A batch without messages, for the publishers of `group`.
    pub const fn new(group: Group) -> Self {
        let _ = Self::MAX_BUFFER_LEN;
        Self { group, epoch: 0, first: None, leaves: [[0; LEAF_LEN]; N], count: 0 }
    }

    /// Signs that the publisher wrote these messages, writes the record to the front of `buffer`, which must have
    /// [`MAX_BUFFER_LEN`](Self::MAX_BUFFER_LEN) octets, and empties the batch. Returns the octets of the record; none
    /// if the batch is empty.
    ///
    /// # Errors
    ///
    /// [`SignError`]; the batch is as it was.
    pub fn sign_into(&mut self, signer: &impl Signer, buffer: &mut [u8]) -> Result<usize, SignError> {
        let Some(first) = self.first else { return Ok(0) };
        let buffer = BufferTooSmall::check(buffer, Self::MAX_BUFFER_LEN)?;
        let (structure, body) = buffer.split_at_mut(Self::MAX_BUFFER_LEN - body_len(N));
        let mut external = [0; CONTEXT_LEN];
        let external = Context { group: &self.group, source: &first.source }.write(&mut external);
        let len = Sign1::sign_into(signer, self.write_body(&first, body), external, structure)?;
        self.clear();
        Ok(len)
    }

    /// The first half of [`sign_into`](Self::sign_into), for a `key` whose holder answers later: everything but
    /// signing. `None` if the batch is empty.
    ///
    /// The batch is empty afterwards, and the next messages begin another one. What was in it is signed with what this
    /// returns, or never: a holder that refuses is asked again before that is dropped.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`]; the batch is as it was.
    pub fn begin<'b>(
        &mut self,
        key: &VerifyingKey,
        buffer: &'b mut [u8],
    ) -> Result<Option<UnsignedSign1<'b>>, BufferTooSmall> {
        let Some(first) = self.first else { return Ok(None) };
        let buffer = BufferTooSmall::check(buffer, Self::MAX_BUFFER_LEN)?;
        let (structure, body) = buffer.split_at_mut(Self::MAX_BUFFER_LEN - body_len(N));
        let mut external = [0; CONTEXT_LEN];
        let external = Context { group: &self.group, source: &first.source }.write(&mut external);
        let unsigned = Sign1::prepare(key, self.write_body(&first, body), external, structure)?;
        self.clear();
        Ok(Some(unsigned))
    }

    fn write_body<'b>(&self, first: &Position, space: &'b mut [u8]) -> &'b [u8] {
        let body = Body {
            epoch: self.epoch,
            stream: first.stream.number(),
            incarnation: first.incarnation.as_bytes(),
            first: first.sequence,
            leaves: self.leaves[..self.count].as_flattened(),
        };
        cbor::to_slice(&body, space).expect("no body of so many messages is longer")
    }

    /// [`sign_into`](Self::sign_into) a new vector.
    ///
    /// # Errors
    ///
    /// As [`sign_into`](Self::sign_into).
    #[cfg(feature = "alloc")]
    pub fn sign(&mut self, signer: &impl Signer) -> Result<alloc::vec::Vec<u8>, SignError> {
        let mut buffer = alloc::vec![0; Self::MAX_BUFFER_LEN];
        let len = self.sign_into(signer, &mut buffer)?;
        buffer.truncate(len);
        Ok(buffer)
    }

    /// Forgets the messages without signing them.
    pub fn clear(&mut self) {
        self.first = None;
        self.count = 0;
    }

    /// How many messages are in it.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Whether it has as many as it can hold, and should be signed.
    pub const fn is_full(&self) -> bool {
        self.count == N
    }

    pub(super) fn has_place(&self, group: &Group, epoch: u64, position: &Position) -> bool {
        let Some(first) = self.first else { return self.group == *group };
        let behind = first.sequence.checked_add(self.count as u64);
        let expected = behind.map(|sequence| Position { sequence, ..first });
        self.group == *group && self.epoch == epoch && expected == Some(*position) && !self.is_full()
    }

    /// Puts in what [has a place](Self::has_place).
    pub(super) fn put(&mut self, group: &Group, epoch: u64, position: &Position, leaf: Leaf) {
        debug_assert!(self.has_place(group, epoch, position));
        if self.first.is_none() {
            self.first = Some(*position);
            self.epoch = epoch;
        }
        if let Some(slot) = self.leaves.get_mut(self.count) {
            *slot = leaf;
            self.count += 1;
        }
    }
}

impl<const N: usize> fmt::Debug for Batch<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("first", &self.first).field("count", &self.count).finish_non_exhaustive()
    }
}

/// What a publisher signed: that it wrote these messages, from one sequence number on. It alone turns messages of a
/// group into [`Verified`] ones.
#[derive(Clone, Copy)]
pub struct SignedBatch<'b> {
    group: Group,
    epoch: u64,
    first: Position,
    key: KeyId,
    /// Of [`LEAF_LEN`] octets each.
    leaves: &'b [u8],
}

/// Why octets are not a batch that a known publisher signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// They are longer than any batch.
    #[error("the batch has {len} octets, more than {max}", max = SignedBatch::MAX_LEN)]
    TooLong {
        /// How many they are.
        len: usize,
    },
    /// They are not a `COSE_Sign1`.
    #[error("the batch is not a signed structure")]
    Cose(#[from] CoseError),
    /// A key is not named, or not by 8 octets.
    #[error("the batch names no key")]
    NoKeyId,
    /// It is signed with a key that the directory does not know.
    #[error("the signing key {0} is not known")]
    UnknownPublisher(KeyId),
    /// It is not signed by the publisher for this group.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// What is signed is not a batch.
    #[error("the signed content is not a batch")]
    Malformed(#[from] DecodeError),
    /// It has no messages, too many, or half a one.
    #[error("the hashes of the messages take {len} octets")]
    Leaves {
        /// How many they take.
        len: usize,
    },
    /// Its last sequence number is above [`LAST_SEQUENCE`].
    #[error("{count} messages from {first} on go beyond the last number")]
    AboveLast {
        /// The first sequence number.
        first: u64,
        /// How many follow from it on.
        count: usize,
    },
    /// The caller's scratch is too short.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
}

/// Why a message is not verified by a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfirmError {
    /// The batch says nothing about the message's position in its epoch.
    #[error("the message is not in the batch")]
    NotCovered,
    /// The publisher signed another message at this position: **a member of the group forged this one**, or had it
    /// from the publisher in another form.
    #[error("the publisher signed another message at this position")]
    Forged,
    /// The position is not accepted.
    #[error("the position is not accepted")]
    Replay(#[from] ReplayError),
}

impl<'b> SignedBatch<'b> {
    /// The most messages of a batch.
    pub const MAX_MESSAGES: usize = 64;

    /// Octets of the longest batch.
    pub const MAX_LEN: usize = Sign1::buffer_len(body_len(Self::MAX_MESSAGES), 0);

    /// Octets of scratch that [`verify`](Self::verify) needs for any batch.
    pub const SCRATCH_LEN: usize = Self::MAX_LEN + CONTEXT_LEN;

    /// Verifies that a publisher whom `directory` knows signed this batch for `group`. `scratch` takes the octets that
    /// were signed, [`SCRATCH_LEN`](Self::SCRATCH_LEN) at most.
    ///
    /// # Errors
    ///
    /// [`BatchError`].
    pub fn verify(
        octets: &'b [u8],
        group: &Group,
        directory: &impl Directory,
        scratch: &mut [u8],
    ) -> Result<Self, BatchError> {
        if octets.len() > Self::MAX_LEN {
            return Err(BatchError::TooLong { len: octets.len() });
        }
        let signed = Sign1::parse(octets)?;
        let key = signed.headers().key_id().ok_or(BatchError::NoKeyId)?;
        let (source, verifying_key) = directory.sender(key).ok_or(BatchError::UnknownPublisher(key))?;
        let mut external = [0; CONTEXT_LEN];
        let external = Context { group, source: &source }.write(&mut external);
        let body = signed.verify(&verifying_key, external, scratch).map_err(|refused| match refused {
            VerifyError::Signature(invalid) => BatchError::Signature(invalid),
            VerifyError::Buffer(short) => BatchError::Buffer(short),
        })?;
        let Body { epoch, stream, incarnation, first, leaves } = cbor::from_slice(body)?;
        let count = leaves.len() / LEAF_LEN;
        if !leaves.len().is_multiple_of(LEAF_LEN) || !matches!(count, 1..=Self::MAX_MESSAGES) {
            return Err(BatchError::Leaves { len: leaves.len() });
        }
        if first.checked_add(count as u64 - 1).is_none_or(|last| last > LAST_SEQUENCE) {
            return Err(BatchError::AboveLast { first, count });
        }
        let incarnation = Incarnation::from_bytes(*incarnation);
        let first = Position { source, stream: StreamId::new(stream), incarnation, sequence: first };
        Ok(Self { group: *group, epoch, first, key, leaves })
    }

    /// Whether the batch says something about the message at this position in this epoch.
    pub fn covers(&self, epoch: u64, position: &Position) -> bool {
        self.leaf(epoch, position).is_some()
    }

    /// The message, if its publisher signed it.
    ///
    /// # Errors
    ///
    /// [`ConfirmError::NotCovered`] (ask [`covers`](Self::covers) first) and [`ConfirmError::Forged`].
    pub fn confirm<'m>(&self, message: GroupAuthenticated<'m>) -> Result<Verified<'m>, ConfirmError> {
        self.check(&message.opened)?;
        Ok(self.verified(&message.opened, message.freshness))
    }

    /// The message, if its publisher signed it and none was accepted at its position before.
    ///
    /// # Errors
    ///
    /// [`ConfirmError`]. Nothing is remembered then.
    pub fn accept<'m>(
        &self,
        message: Unconfirmed<'m>,
        replay: &mut impl ReplayGuard,
    ) -> Result<Verified<'m>, ConfirmError> {
        self.check(&message)?;
        let position = &message.heading.position;
        replay.check(position)?;
        let freshness = replay.accept(position)?;
        Ok(self.verified(&message, freshness))
    }

    /// Where the first message stands.
    pub const fn first(&self) -> &Position {
        &self.first
    }

    /// How many messages it is about.
    pub const fn count(&self) -> usize {
        self.leaves.len() / LEAF_LEN
    }

    /// The epoch.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The key that signed.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    fn leaf(&self, epoch: u64, position: &Position) -> Option<&'b [u8]> {
        let index = position.sequence.checked_sub(self.first.sequence)?;
        let here = Position { sequence: self.first.sequence, ..*position };
        if epoch != self.epoch || here != self.first {
            return None;
        }
        self.leaves.chunks_exact(LEAF_LEN).nth(usize::try_from(index).ok()?)
    }

    fn check(&self, message: &Unconfirmed<'_>) -> Result<(), ConfirmError> {
        let leaf = self.leaf(message.epoch, &message.heading.position).filter(|_| message.group == self.group);
        let leaf = leaf.ok_or(ConfirmError::NotCovered)?;
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::BatchHash) {
            return Ok(());
        }
        if leaf == message.leaf { Ok(()) } else { Err(ConfirmError::Forged) }
    }

    fn verified<'m>(&self, message: &Unconfirmed<'m>, freshness: Freshness) -> Verified<'m> {
        let Unconfirmed { payload, heading, .. } = *message;
        Verified { payload, heading, key: self.key, proof: Proof::Signature, freshness, audience: Audience::Readers }
    }
}

impl fmt::Debug for SignedBatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedBatch")
            .field("group", &self.group)
            .field("epoch", &self.epoch)
            .field("first", &self.first)
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

/// The external data of a batch's signature.
///
/// ```cddl
/// external = ["iot group batch 1", manager: bstr .size 32, group: bstr .size 8, source: bstr .size 32]
/// ```
struct Context<'a> {
    group: &'a Group,
    source: &'a DeviceId,
}

impl Context<'_> {
    fn write<'s>(&self, space: &'s mut [u8; CONTEXT_LEN]) -> &'s [u8] {
        let mut writer = Writer::new(Buffer::new(space));
        self.encode(&mut writer).expect("all parts have fixed lengths");
        writer.into_output().into_written()
    }
}

impl Encode for Context<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(4)?;
        writer.text("iot group batch 1")?;
        writer.bytes(self.group.manager.as_bytes())?;
        writer.bytes(self.group.id.as_bytes())?;
        writer.bytes(self.source.as_bytes())
    }
}

const CONTEXT_LEN: usize = 1 + (1 + 17) + (2 + DeviceId::LEN) + (1 + GroupId::LEN) + (2 + DeviceId::LEN);

/// Octets of the longest body of so many messages.
const fn body_len(count: usize) -> usize {
    1 + (1 + 9) + (1 + 5) + (1 + 1 + Incarnation::LEN) + (1 + 9) + (1 + 3) + count * LEAF_LEN
}
