use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;

use iot_codec::{cbor, record};
use iot_core::{Incarnation, StreamId};
use zeroize::Zeroizing;

use super::binding::BindingHash;
use super::message;
use super::numbers::Numbers;
use super::opening::write;
use super::ratchet::{Chain, Keys, Ratchet, generation_of};
use super::{ContextId, CounterStore, Epoch, Reservation};
use crate::aead::{Aead, KEY_LEN, NONCE_LEN, RustCrypto, TAG_LEN};
use crate::{BufferTooSmall, MAX_PAYLOAD_LEN};

/// Writes the messages of one stream, each under a sequence number of its own.
///
/// It reserves numbers in the [`CounterStore`] before it uses them, so that a power cut at any point leaves some unused
/// and none used twice. Nothing is allocated.
///
/// # Restarts
///
/// Either the source begins a new epoch at each boot, in a new incarnation, and saves nothing but what is left of its
/// own key: the safest, at the cost of one sealed message a boot. Or it [saves](Self::save_into) the sender when the
/// epoch begins, and [resumes](Self::resume) it, behind all numbers that may have been used.
pub struct StreamSender<C, A = RustCrypto> {
    numbers: Numbers<C>,
    context: ContextId,
    stream: StreamId,
    binding: BindingHash,
    ratchet: Ratchet,
    aead: PhantomData<fn() -> A>,
}

/// A message that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its sequence number.
    pub sequence: u64,
    /// Its octets, at the front of the buffer.
    pub len: usize,
}

/// Why a sender does not begin or resume. `E` is the error of the [`CounterStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError<E> {
    /// The storage failed.
    #[error("the counter could not be read or written")]
    Store(#[source] E),
    /// There is no counter of this incarnation: it was lost or damaged. **Do not store one.** Nobody knows which
    /// numbers were used; begin a new epoch in a new incarnation.
    #[error("the counter of incarnation {incarnation} is lost")]
    CounterLost {
        /// The incarnation that is to be given up.
        incarnation: Incarnation,
    },
    /// There is a counter of the incarnation already, and another epoch of it begins at a number that may have been
    /// used: the API was misused, or drawn incarnations repeat.
    #[error("numbers of incarnation {incarnation} were used up to {unused_from}")]
    InUse {
        /// The incarnation.
        incarnation: Incarnation,
        /// What the counter says.
        unused_from: u64,
    },
    /// The counter is further from the saved sender than [`StreamSender::MAX_CATCH_UP`] generations. Begin a new epoch.
    #[error("the counter is {generations} generations ahead")]
    TooFarAhead {
        /// How many.
        generations: u64,
    },
    /// The octets are not those of a saved sender.
    #[error("the saved sender is malformed")]
    Malformed(#[from] cbor::DecodeError),
    /// The context's identifier in them does not have 1 to 8 octets.
    #[error("the saved context has {len} octets, not 1 to 8")]
    Context {
        /// How many it has.
        len: usize,
    },
}

/// Why nothing was sent. `E` is the error of the [`CounterStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError<E> {
    /// The storage failed, so no number could be reserved. Trying again may help.
    #[error("no sequence number could be reserved")]
    Store(#[source] E),
    /// The last number was used. Begin a new epoch in a new incarnation.
    #[error("no sequence number is left in the incarnation")]
    Exhausted,
    /// The payload is longer than [`MAX_PAYLOAD_LEN`].
    #[error("the payload has {len} octets, more than {max}", max = MAX_PAYLOAD_LEN)]
    PayloadTooLong {
        /// Its octets.
        len: usize,
    },
    /// The cipher did not work: hardware may be at fault. The number is used up.
    #[error("the message could not be encrypted")]
    Encryption,
    /// The caller's buffer is too short.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
}

record! {
    struct Saved<'b> {
        1 => context: &'b [u8],
        2 => stream: u32,
        3 => incarnation: &'b [u8; Incarnation::LEN],
        4 => binding: &'b [u8; BindingHash::LEN],
        5 => generation: u64,
        6 => key: &'b [u8; KEY_LEN],
        7 => base_iv: &'b [u8; NONCE_LEN],
        8 => next: &'b [u8; 32],
    }
}

impl<C: CounterStore, A: Aead> StreamSender<C, A> {
    /// Octets that [`save_into`](Self::save_into) needs at most.
    pub const MAX_SAVED_LEN: usize =
        1 + (2 + ContextId::MAX_LEN) + 6 + (2 + Incarnation::LEN) + 35 + 10 + 35 + (2 + NONCE_LEN) + 35;

    /// How many generations of keys a saved sender may lie behind its counter: with the default reservation and keys
    /// that are saved once an epoch, 268 million messages.
    pub const MAX_CATCH_UP: u64 = 4_096;

    /// Begins a new epoch, whose opening is or will be sealed, and reserves its first numbers.
    ///
    /// # Errors
    ///
    /// [`ResumeError::InUse`] and [`ResumeError::Store`].
    pub fn begin(epoch: Epoch<'_>, store: C, reservation: Reservation) -> Result<Self, ResumeError<C::Error>> {
        let numbers = Numbers::begin(store, reservation, epoch.incarnation(), epoch.first.position.sequence)?;
        Ok(Self {
            numbers,
            context: epoch.context,
            stream: epoch.stream(),
            binding: epoch.binding,
            ratchet: epoch.ratchet,
            aead: PhantomData,
        })
    }

    /// Goes on with a sender that was [saved](Self::save_into), behind all numbers that may have been used.
    ///
    /// # Errors
    ///
    /// [`ResumeError`]; after [`ResumeError::CounterLost`] and [`ResumeError::TooFarAhead`], begin a new epoch.
    pub fn resume(saved: &[u8], store: C, reservation: Reservation) -> Result<Self, ResumeError<C::Error>> {
        let saved: Saved<'_> = cbor::from_slice(saved)?;
        let incarnation = Incarnation::from_bytes(*saved.incarnation);
        let context = ContextId::new(saved.context).ok_or(ResumeError::Context { len: saved.context.len() })?;
        let numbers = Numbers::resume(store, reservation, incarnation)?;
        let ratchet = Ratchet {
            generation: saved.generation,
            keys: Keys { key: Zeroizing::new(*saved.key), base_iv: Zeroizing::new(*saved.base_iv) },
            next: Chain(Zeroizing::new(*saved.next)),
        };
        let generations = generation_of(numbers.next()).checked_sub(saved.generation);
        // A counter behind the saved keys belongs to another run of the device.
        let generations = generations.ok_or(ResumeError::CounterLost { incarnation })?;
        if generations > Self::MAX_CATCH_UP {
            return Err(ResumeError::TooFarAhead { generations });
        }
        let mut sender = Self {
            numbers,
            context,
            stream: StreamId::new(saved.stream),
            binding: BindingHash(*saved.binding),
            ratchet,
            aead: PhantomData,
        };
        sender.turn();
        Ok(sender)
    }

    /// Encrypts `payload` and writes the message, in its compact form, to the front of `buffer`, which must have
    /// [`message_len`](Self::message_len) octets.
    ///
    /// # Errors
    ///
    /// [`SendError`]. No number is used up then, but after [`SendError::Encryption`].
    pub fn send_into(&mut self, payload: &[u8], buffer: &mut [u8]) -> Result<Sent, SendError<C::Error>> {
        if payload.len() > MAX_PAYLOAD_LEN {
            return Err(SendError::PayloadTooLong { len: payload.len() });
        }
        let len = self.message_len(payload.len());
        let buffer = BufferTooSmall::check(buffer, len)?;
        // From here on the number counts as used, whatever happens.
        let sequence = self.numbers.take()?;
        if generation_of(sequence) > self.ratchet.generation {
            self.ratchet = self.ratchet.following(&self.binding);
        }
        let (header, ciphertext) = buffer.split_at_mut(message::header_len(self.context, sequence));
        let (text, tag) = ciphertext.split_at_mut(payload.len());
        message::write_header(self.context, sequence, header);
        text.copy_from_slice(payload);
        let keys = &self.ratchet.keys;
        let sealed = A::seal(&keys.key, &keys.nonce(sequence), &self.binding.authenticated(), text);
        match sealed {
            Ok(computed) => tag.copy_from_slice(&computed),
            Err(_) => {
                text.fill(0);
                return Err(SendError::Encryption);
            }
        }
        Ok(Sent { sequence, len })
    }

    /// [`send_into`](Self::send_into) a new vector. Returns the sequence number, too.
    ///
    /// # Errors
    ///
    /// As [`send_into`](Self::send_into).
    #[cfg(feature = "alloc")]
    pub fn send(&mut self, payload: &[u8]) -> Result<(u64, alloc::vec::Vec<u8>), SendError<C::Error>> {
        let mut message = alloc::vec![0; self.message_len(payload.len().min(MAX_PAYLOAD_LEN))];
        let Sent { sequence, .. } = self.send_into(payload, &mut message)?;
        Ok((sequence, message))
    }

    /// Gives back what is reserved and not used, so that nothing is left unused at the next start.
    ///
    /// # Errors
    ///
    /// What the store reports; the numbers then stay reserved.
    pub fn shut_down(self) -> Result<C, C::Error> {
        self.numbers.shut_down()
    }

    /// Writes what [`resume`](Self::resume) needs to the front of `buffer` and returns how many octets that is. They
    /// are as secret as a key. Once an epoch suffices; saved more often, a thief of the storage reads fewer of the
    /// messages that were sent before.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn save_into(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let saved = Saved {
            context: self.context.as_bytes(),
            stream: self.stream.number(),
            incarnation: self.numbers.incarnation().as_bytes(),
            binding: self.binding.as_bytes(),
            generation: self.ratchet.generation,
            key: &self.ratchet.keys.key,
            base_iv: &self.ratchet.keys.base_iv,
            next: &self.ratchet.next.0,
        };
        write(&saved, buffer)
    }

    /// Of the numbers before those of this run, the ones that were never used, if the source knows from elsewhere which
    /// is the first of them: its queue holds the last message that it wrote. To be signed as
    /// [`Skipped`](super::Skipped), so that the reader does not wait for them.
    ///
    /// Who does not know claims nothing.
    pub fn skipped(&self, first_unused: u64) -> Option<Range<u64>> {
        self.numbers.skipped(first_unused)
    }

    /// Octets of the next message with a payload of `payload_len` octets.
    pub const fn message_len(&self, payload_len: usize) -> usize {
        message::header_len(self.context, self.numbers.next()) + payload_len + TAG_LEN
    }

    /// The sequence number that the next message gets.
    pub const fn next_sequence(&self) -> u64 {
        self.numbers.next()
    }

    /// The stream.
    pub const fn stream(&self) -> StreamId {
        self.stream
    }

    /// The incarnation.
    pub const fn incarnation(&self) -> Incarnation {
        *self.numbers.incarnation()
    }

    /// Turns the ratchet to the generation of the next number.
    fn turn(&mut self) {
        while self.ratchet.generation < generation_of(self.numbers.next()) {
            self.ratchet = self.ratchet.following(&self.binding);
        }
    }
}

impl<C, A> fmt::Debug for StreamSender<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSender")
            .field("context", &self.context)
            .field("stream", &self.stream)
            .field("numbers", &self.numbers)
            .finish_non_exhaustive()
    }
}
