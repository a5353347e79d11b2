mod saved;

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ops::Range;

use iot_core::limits::LAST_SEQUENCE;
use iot_core::{Freshness, KeyId, Position, Ranges, SequenceError, Topic};

#[cfg(feature = "alloc")]
pub(super) use self::saved::saved_topic;
pub use self::saved::{RestoreError, StreamMemory};
#[cfg(feature = "alloc")]
pub(crate) use self::saved::{encode_memory, restore_memory};
use super::binding::BindingHash;
use super::message::{FormError, StreamMessage};
use super::ratchet::{Keys, Ratchet, generation_of};
use super::{ContextId, Epoch, Skipped};
use crate::aead::{Aead, RustCrypto, TAG_LEN};
use crate::{Answer, Audience, Heading, Proof, ReplayError, Verified};

/// Opens the messages of one epoch of one stream, each once. Nothing is allocated; a server with many streams takes
/// `Streams`.
///
/// `T` holds the topic: a `&str`, a `String`, anything that has its octets. `S` is the memory of what was accepted:
/// [`Ranges`] (the default) forgets nothing, so a backlog is accepted in any order; [`Window`](iot_core::Window) is for
/// live traffic with losses, and smaller. Up to `LATE` generations of keys before the current one are kept, 65,536
/// messages each, for messages that come late.
///
/// # Restarts
///
/// [Save](Self::save_into) it before a message is acknowledged, or after a restart the message is accepted again. From
/// a copy that may be too old, say so with [`doubt`](Self::doubt).
// What every message touches comes first, so that it lies together in memory.
#[repr(C)]
pub struct StreamReceiver<T, S = Ranges<8>, A = RustCrypto, const LATE: usize = 2> {
    topic: T,
    /// The sequence number is the first of the epoch.
    first: Position,
    key: KeyId,
    binding: BindingHash,
    /// The current generation; those before it are in `late`, latest first.
    ratchet: Ratchet,
    /// Above every sequence number if nothing is.
    proven_from: u64,
    seen: S,
    catch_up: u64,
    context: ContextId,
    late: [Option<Keys>; LATE],
    aead: PhantomData<fn() -> A>,
}

/// Why a message of a stream was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The octets are not a message of a stream.
    #[error("the message is malformed")]
    Form(#[from] FormError),
    /// No stream is open under this identifier. The device may have missed that its reader forgot it: invite it anew.
    #[error("no stream is open under {0}")]
    UnknownContext(ContextId),
    /// The message came under another topic than the stream's.
    #[error("the message came under another topic than the stream's")]
    OtherTopic,
    /// The position is not accepted.
    #[error("the position is not accepted")]
    Replay(#[from] ReplayError),
    /// The sequence number is so far ahead that its keys would take too long to derive: forged, or more was lost than
    /// [`catching_up`](StreamReceiver::catching_up) allows.
    #[error("the message is {generations} generations ahead")]
    TooFarAhead {
        /// How many generations of keys lie between.
        generations: u64,
    },
    /// It cannot be decrypted: it was altered, or is another source's.
    #[error("the message cannot be decrypted")]
    Decryption,
}

impl<T: AsRef<[u8]>, S: StreamMemory, A: Aead, const LATE: usize> StreamReceiver<T, S, A, LATE> {
    /// How many generations a message may be ahead, unless set.
    pub const CATCH_UP: u64 = 16;

    /// A receiver of the messages of `epoch`. `topic` must hold the epoch's topic.
    ///
    /// # Errors
    ///
    /// [`StreamError::OtherTopic`].
    pub fn new(epoch: Epoch<'_>, topic: T) -> Result<Self, StreamError> {
        if topic.as_ref() != epoch.topic().as_str().as_bytes() {
            return Err(StreamError::OtherTopic);
        }
        let first = epoch.first.position;
        let proven_from = if epoch.freshness >= Freshness::Proven { first.sequence } else { UNPROVEN };
        Ok(Self {
            context: epoch.context,
            first,
            key: epoch.key,
            binding: epoch.binding,
            ratchet: epoch.ratchet,
            late: [const { None }; LATE],
            seen: S::starting_at(first.sequence),
            proven_from,
            catch_up: Self::CATCH_UP,
            topic,
            aead: PhantomData,
        })
    }

    /// How many generations of keys, 65,536 messages each, a message may be ahead of the latest one: how many can be
    /// lost in a row. Each costs about 5 µs when it is skipped, and when a forged message claims it. Default:
    /// [`CATCH_UP`](Self::CATCH_UP).
    #[must_use]
    pub const fn catching_up(mut self, generations: u16) -> Self {
        self.catch_up = generations as u64;
        self
    }

    /// Opens `message`, of either form, in place. `topic` is what the transport says.
    ///
    /// After a failure the message is as it was, but after [`StreamError::Decryption`] it may be overwritten.
    ///
    /// # Errors
    ///
    /// [`StreamError`]. Nothing is remembered then.
    pub fn open<'m>(&mut self, topic: Topic<'m>, message: &'m mut [u8]) -> Result<Verified<'m>, StreamError> {
        let parsed = Parsed::new(message)?;
        if parsed.context != self.context {
            return Err(StreamError::UnknownContext(parsed.context));
        }
        self.open_parsed(topic, parsed, message)
    }

    /// [`open`](Self::open) for a transport that does not say the topic: it is the stream's.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_without_topic<'m>(&'m mut self, message: &'m mut [u8]) -> Result<Verified<'m>, StreamError> {
        let parsed = Parsed::new(message)?;
        if parsed.context != self.context {
            return Err(StreamError::UnknownContext(parsed.context));
        }
        self.open_parsed_without_topic(parsed, message)
    }

    /// Records where the source stands by its answer to a challenge that was drawn after this memory began. From there
    /// on, messages are [`Freshness::Proven`], which this gives; it gives [`Freshness::Unproven`], and changes nothing,
    /// if the answer is about another stream or incarnation.
    pub fn prove(&mut self, answer: &Answer) -> Freshness {
        let Position { source, stream, incarnation, .. } = self.first;
        if (answer.source, answer.stream, answer.incarnation) != (source, stream, incarnation) {
            return Freshness::Unproven;
        }
        self.proven_from = self.proven_from.min(answer.next);
        Freshness::Proven
    }

    /// Withdraws all proof, because this memory may lack what was accepted: it was put back from an old copy.
    pub fn doubt(&mut self) {
        self.proven_from = UNPROVEN;
    }

    /// What messages of the stream carry.
    pub const fn context(&self) -> ContextId {
        self.context
    }

    /// Where the epoch began: source, stream, incarnation, and the first message's sequence number.
    pub const fn first(&self) -> &Position {
        &self.first
    }

    /// The topic.
    pub const fn topic(&self) -> &T {
        &self.topic
    }

    /// What was accepted.
    pub const fn seen(&self) -> &S {
        &self.seen
    }

    /// From which number on messages are [`Freshness::Proven`].
    pub fn proven_from(&self) -> Option<u64> {
        (self.proven_from != UNPROVEN).then_some(self.proven_from)
    }

    #[inline]
    pub(super) fn open_parsed<'m>(
        &mut self,
        topic: Topic<'m>,
        parsed: Parsed,
        message: &'m mut [u8],
    ) -> Result<Verified<'m>, StreamError> {
        self.check_topic(topic)?;
        let (payload, freshness) = self.decrypt(parsed, message)?;
        Ok(self.verified(topic, parsed.sequence, payload, freshness))
    }

    pub(super) fn open_parsed_without_topic<'m>(
        &'m mut self,
        parsed: Parsed,
        message: &'m mut [u8],
    ) -> Result<Verified<'m>, StreamError> {
        let (payload, freshness) = self.decrypt(parsed, message)?;
        let topic = core::str::from_utf8(self.topic.as_ref()).ok().and_then(|topic| Topic::new(topic).ok());
        let topic = topic.ok_or(StreamError::OtherTopic)?;
        Ok(self.verified(topic, parsed.sequence, payload, freshness))
    }

    #[inline]
    fn verified<'m>(&self, topic: Topic<'m>, sequence: u64, payload: &'m [u8], freshness: Freshness) -> Verified<'m> {
        let heading = Heading { topic, position: Position { sequence, ..self.first } };
        let (proof, audience) = (Proof::PairwiseKey, Audience::Reader);
        Verified { payload, heading, key: self.key, proof, freshness, audience }
    }

    #[inline]
    fn check_topic(&self, topic: Topic<'_>) -> Result<(), StreamError> {
        if topic.as_str().as_bytes() == self.topic.as_ref() { Ok(()) } else { Err(StreamError::OtherTopic) }
    }

    /// Decrypts in place what was not accepted before, and remembers it. Gives the payload.
    #[inline]
    fn decrypt<'m>(&mut self, parsed: Parsed, message: &'m mut [u8]) -> Result<(&'m [u8], Freshness), StreamError> {
        let sequence = parsed.sequence;
        self.check_replay(sequence)?;
        let (_, ciphertext) = message.split_at_mut(parsed.header_len);
        let (text, tag) = ciphertext.split_last_chunk_mut::<TAG_LEN>().ok_or(StreamError::Decryption)?;
        let generation = generation_of(sequence);
        let open = |keys: &Keys, text: &mut [u8]| {
            A::open(&keys.key, &keys.nonce(sequence), &self.binding.authenticated(), text, tag)
                .map_err(|_| StreamError::Decryption)
        };
        if generation == self.ratchet.generation {
            open(&self.ratchet.keys, text)?;
        } else if let Some(behind) = self.ratchet.generation.checked_sub(generation) {
            let late = usize::try_from(behind - 1).ok().and_then(|index| self.late.get(index)?.as_ref());
            open(late.ok_or(ReplayError::TooOld)?, text)?;
        } else {
            let ahead = self.ratchet_at(generation)?;
            open(&ahead.keys, text)?;
            self.turn(generation);
        }
        self.accept(sequence)?;
        let freshness = if sequence >= self.proven_from { Freshness::Proven } else { Freshness::Unproven };
        Ok((text, freshness))
    }

    /// The ratchet as it will stand at a later generation.
    #[cold]
    fn ratchet_at(&self, generation: u64) -> Result<Ratchet, StreamError> {
        let generations = generation - self.ratchet.generation;
        let is_too_far = generations > self.catch_up;
        #[cfg(iot_fault)]
        let is_too_far = is_too_far && !crate::fault::is_off(crate::fault::Check::GenerationLimit);
        if is_too_far {
            return Err(StreamError::TooFarAhead { generations });
        }
        let mut ratchet = self.ratchet.following(&self.binding);
        while ratchet.generation < generation {
            ratchet = ratchet.following(&self.binding);
        }
        Ok(ratchet)
    }

    /// Turns the ratchet, because a message of that generation was verified.
    #[cold]
    fn turn(&mut self, generation: u64) {
        while self.ratchet.generation < generation {
            let following = self.ratchet.following(&self.binding);
            let passed = mem::replace(&mut self.ratchet, following);
            self.late.rotate_right(usize::from(LATE > 0));
            if let Some(latest) = self.late.first_mut() {
                *latest = Some(passed.keys);
            }
        }
    }

    #[inline]
    fn check_replay(&self, sequence: u64) -> Result<(), ReplayError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::Position) {
            return Ok(());
        }
        if sequence < self.first.sequence {
            return Err(ReplayError::TooOld);
        }
        self.seen.check(sequence).map_err(refused)
    }

    #[inline]
    fn accept(&mut self, sequence: u64) -> Result<(), ReplayError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::Position) {
            return Ok(());
        }
        self.seen.insert(sequence).map_err(refused)
    }
}

impl<T, A, const N: usize, const LATE: usize> StreamReceiver<T, Ranges<N>, A, LATE> {
    /// Records what the source signed that it never used. Gives how many of the numbers were not recorded before;
    /// nothing if the declaration is about another stream.
    ///
    /// # Errors
    ///
    /// [`ReplayError::Full`] if it would be one range too many.
    pub fn skip(&mut self, skipped: &Skipped) -> Result<u64, ReplayError> {
        let Position { source, stream, incarnation, .. } = self.first;
        if (skipped.source, skipped.stream, skipped.incarnation) != (source, stream, incarnation) {
            return Ok(0);
        }
        self.seen.skip(skipped.numbers()).map_err(refused)
    }

    /// Gives up the first gap, as [`Ranges::give_up`] does, and returns it: what is missing there will be refused.
    pub fn give_up(&mut self) -> Option<Range<u64>> {
        self.seen.give_up()
    }

    /// The gaps, ascending, from the first number of the epoch on.
    pub fn missing(&self) -> impl Iterator<Item = Range<u64>> + Clone + '_ {
        self.seen.missing()
    }
}

impl<T, S, A, const LATE: usize> fmt::Debug for StreamReceiver<T, S, A, LATE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReceiver")
            .field("context", &self.context)
            .field("first", &self.first)
            .field("generation", &self.ratchet.generation)
            .finish_non_exhaustive()
    }
}

/// What a message says of itself, without a hold on its octets.
#[derive(Clone, Copy)]
pub(super) struct Parsed {
    pub(super) context: ContextId,
    sequence: u64,
    header_len: usize,
}

impl Parsed {
    #[inline]
    pub(super) fn new(message: &[u8]) -> Result<Self, FormError> {
        let parsed = StreamMessage::parse(message)?;
        let header_len = message.len() - parsed.ciphertext().len();
        Ok(Self { context: parsed.context(), sequence: parsed.sequence(), header_len })
    }
}

fn refused(refused: SequenceError) -> ReplayError {
    match refused {
        SequenceError::Repeated { .. } => ReplayError::Repeated,
        SequenceError::Full { .. } => ReplayError::Full,
        _ => ReplayError::TooOld,
    }
}

/// Above every sequence number.
const UNPROVEN: u64 = LAST_SEQUENCE + 1;
