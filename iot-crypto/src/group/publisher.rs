use core::fmt;
use core::marker::PhantomData;

use iot_core::{Incarnation, Position};

use super::batch::Batch;
use super::epoch::PublisherKeys;
use super::member::authenticated;
use super::{Group, GroupMember, message};
use crate::aead::{Aead, RustCrypto, TAG_LEN};
use crate::stream::{CounterStore, Numbers, Reservation, ResumeError, SendError, Sent};
use crate::{BufferTooSmall, Carries, Heading, MAX_PAYLOAD_LEN, RoutingHeader};

/// Writes the messages of one member for the group, about one topic, in one incarnation of one of its streams. Nothing
/// is allocated.
///
/// Each message goes into a [`Batch`], which the publisher signs, because the group's key does not say who wrote.
/// Sequence numbers are reserved in the [`CounterStore`] before they are used, as those of
/// [streams](crate::stream::StreamSender); the keys follow from the member, so nothing else is to be saved. **A
/// publisher has a stream and an incarnation of its own**: another one under both would use its positions, and about
/// the same topic its nonces.
pub struct GroupPublisher<'t, C, A = RustCrypto> {
    numbers: Numbers<C>,
    group: Group,
    epoch: u64,
    /// The sequence number does not count.
    heading: Heading<'t>,
    keys: PublisherKeys,
    carries: Carries,
    aead: PhantomData<fn() -> A>,
}

/// Why a publisher does not begin, resume or go on. `E` is the error of the [`CounterStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublisherError<E> {
    /// The member is in no epoch yet.
    #[error("the member is in no epoch")]
    NoEpoch,
    /// The topic is longer than a routing header carries.
    #[error("the topic has {len} octets, more than {max}", max = RoutingHeader::MAX_TOPIC_LEN)]
    TopicTooLong {
        /// Its octets.
        len: usize,
    },
    /// The counter does not let it.
    #[error("the sequence numbers cannot be used")]
    Counter(#[source] ResumeError<E>),
}

/// Why a publisher does not follow a member into an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FollowMemberError {
    /// The member is in no epoch, or in one before the publisher's: it was restored from an old copy.
    #[error("the member is not in epoch {epoch}, nor in a later one")]
    Behind {
        /// The publisher's epoch.
        epoch: u64,
    },
    /// It is a member of another group.
    #[error("the member belongs to another group")]
    OtherGroup,
}

/// Why nothing was published. `E` is the error of the [`CounterStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError<E> {
    /// The batch is full, or of another epoch or run: sign it, and begin the next.
    #[error("the batch has no place for the message")]
    Batch,
    /// Nothing was sent.
    #[error("the message was not sent")]
    Send(#[source] SendError<E>),
}

impl<'t, C: CounterStore, A: Aead> GroupPublisher<'t, C, A> {
    /// Begins an incarnation at the position of `first`, whose source is this member, in the member's current epoch.
    ///
    /// # Errors
    ///
    /// [`PublisherError`], with [`ResumeError::InUse`] and [`ResumeError::Store`].
    pub fn begin<B: Aead, const LATE: usize>(
        member: &GroupMember<B, LATE>,
        first: &Heading<'t>,
        store: C,
        reservation: Reservation,
    ) -> Result<Self, PublisherError<C::Error>> {
        let Position { incarnation, sequence, .. } = first.position;
        Self::with(member, first, || Numbers::begin(store, reservation, incarnation, sequence))
    }

    /// Goes on in an incarnation after a restart, behind all numbers that may have been used. The sequence number in
    /// `heading` does not count.
    ///
    /// # Errors
    ///
    /// [`PublisherError`]; after [`ResumeError::CounterLost`], begin a new incarnation.
    pub fn resume<B: Aead, const LATE: usize>(
        member: &GroupMember<B, LATE>,
        heading: &Heading<'t>,
        store: C,
        reservation: Reservation,
    ) -> Result<Self, PublisherError<C::Error>> {
        Self::with(member, heading, || Numbers::resume(store, reservation, heading.position.incarnation))
    }

    /// What routing headers carry beside the position. Default: nothing.
    ///
    /// # Errors
    ///
    /// [`PublisherError::TopicTooLong`].
    pub fn carrying(mut self, carries: Carries) -> Result<Self, PublisherError<C::Error>> {
        let len = self.heading.topic.as_str().len();
        if carries == Carries::SourceAndTopic && len > RoutingHeader::MAX_TOPIC_LEN {
            return Err(PublisherError::TopicTooLong { len });
        }
        self.carries = carries;
        Ok(self)
    }

    /// Goes on in the member's current epoch. A publisher that does not follow writes on for those who have left.
    ///
    /// # Errors
    ///
    /// [`FollowMemberError`]; the publisher is as it was.
    pub fn follow<B: Aead, const LATE: usize>(
        &mut self,
        member: &GroupMember<B, LATE>,
    ) -> Result<u64, FollowMemberError> {
        if *member.group() != self.group {
            return Err(FollowMemberError::OtherGroup);
        }
        let epoch = member.current().filter(|epoch| epoch.number >= self.epoch);
        let epoch = epoch.ok_or(FollowMemberError::Behind { epoch: self.epoch })?;
        self.keys = epoch.publisher_keys(&self.group, &self.heading);
        self.epoch = epoch.number;
        Ok(self.epoch)
    }

    /// Encrypts `payload`, writes the message to the front of `buffer`, which must have
    /// [`message_len`](Self::message_len) octets, and puts it in `batch`.
    ///
    /// # Errors
    ///
    /// [`PublishError`]. No number is used up then, but after [`SendError::Encryption`]; the batch is as it was.
    pub fn publish_into<const N: usize>(
        &mut self,
        payload: &[u8],
        batch: &mut Batch<N>,
        buffer: &mut [u8],
    ) -> Result<Sent, PublishError<C::Error>> {
        if payload.len() > MAX_PAYLOAD_LEN {
            return Err(PublishError::Send(SendError::PayloadTooLong { len: payload.len() }));
        }
        let sequence = self.numbers.next();
        let position = Position { sequence, ..self.heading.position };
        if !batch.has_place(&self.group, self.epoch, &position) {
            return Err(PublishError::Batch);
        }
        let len = self.message_len(payload.len());
        let buffer = BufferTooSmall::check(buffer, len).map_err(|short| PublishError::Send(short.into()))?;
        // From here on the number counts as used, whatever happens.
        self.numbers.take().map_err(PublishError::Send)?;
        let routing = self.routing(sequence);
        let (routing_octets, structure) = buffer.split_at_mut(routing.encoded_len());
        routing.encode(routing_octets).expect("the buffer has room for the header");
        let (head, ciphertext) = structure.split_at_mut(message::head_len(self.epoch, sequence, payload.len()));
        message::write_head(self.group.id, self.epoch, sequence, payload.len(), head);
        let (text, tag) = ciphertext.split_at_mut(payload.len());
        text.copy_from_slice(payload);
        let keys = &self.keys.keys;
        let associated = authenticated(routing_octets, self.keys.binding.as_bytes());
        let associated = associated.expect("no routing header is longer");
        let Ok(computed) = A::seal(&keys.key, &keys.nonce(sequence), associated.as_bytes(), text) else {
            text.fill(0);
            return Err(PublishError::Send(SendError::Encryption));
        };
        tag.copy_from_slice(&computed);
        batch.put(&self.group, self.epoch, &position, self.keys.leaf(buffer));
        Ok(Sent { sequence, len })
    }

    /// [`publish_into`](Self::publish_into) a new vector.
    ///
    /// # Errors
    ///
    /// As [`publish_into`](Self::publish_into).
    #[cfg(feature = "alloc")]
    pub fn publish<const N: usize>(
        &mut self,
        payload: &[u8],
        batch: &mut Batch<N>,
    ) -> Result<alloc::vec::Vec<u8>, PublishError<C::Error>> {
        let mut message = alloc::vec![0; self.message_len(payload.len().min(MAX_PAYLOAD_LEN))];
        self.publish_into(payload, batch, &mut message)?;
        Ok(message)
    }

    /// Gives back what is reserved and not used, so that nothing is left unused at the next start.
    ///
    /// # Errors
    ///
    /// What the store reports; the numbers then stay reserved.
    pub fn shut_down(self) -> Result<C, C::Error> {
        self.numbers.shut_down()
    }

    /// Octets of the next message with a payload of `payload_len` octets.
    pub fn message_len(&self, payload_len: usize) -> usize {
        let sequence = self.numbers.next();
        let head_len = message::head_len(self.epoch, sequence, payload_len);
        self.routing(sequence).encoded_len() + head_len + payload_len + TAG_LEN
    }

    /// The sequence number that the next message gets.
    pub const fn next_sequence(&self) -> u64 {
        self.numbers.next()
    }

    /// The incarnation.
    pub const fn incarnation(&self) -> Incarnation {
        self.heading.position.incarnation
    }

    /// The epoch in which it writes.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    fn with<B: Aead, const LATE: usize>(
        member: &GroupMember<B, LATE>,
        heading: &Heading<'t>,
        numbers: impl FnOnce() -> Result<Numbers<C>, ResumeError<C::Error>>,
    ) -> Result<Self, PublisherError<C::Error>> {
        let epoch = member.current().ok_or(PublisherError::NoEpoch)?;
        Ok(Self {
            numbers: numbers().map_err(PublisherError::Counter)?,
            group: *member.group(),
            epoch: epoch.number,
            heading: *heading,
            keys: epoch.publisher_keys(member.group(), heading),
            carries: Carries::Position,
            aead: PhantomData,
        })
    }

    fn routing(&self, sequence: u64) -> RoutingHeader<'t> {
        let Position { source, stream, incarnation, .. } = self.heading.position;
        RoutingHeader {
            source: (self.carries != Carries::Position).then_some(source),
            topic: (self.carries == Carries::SourceAndTopic).then_some(self.heading.topic),
            stream,
            incarnation,
            sequence,
        }
    }
}

impl<C, A> fmt::Debug for GroupPublisher<'_, C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupPublisher")
            .field("group", &self.group)
            .field("epoch", &self.epoch)
            .field("heading", &self.heading)
            .field("numbers", &self.numbers)
            .finish_non_exhaustive()
    }
}
