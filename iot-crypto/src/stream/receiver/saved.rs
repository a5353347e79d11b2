use core::marker::PhantomData;

use iot_codec::cbor::{self, Buffer, Cursor, Encode, EncodeError, Output, Writer};
use iot_codec::record;
use iot_core::{DeviceId, Incarnation, KeyId, Memory, Position, Ranges, StreamId, Window};
use zeroize::Zeroizing;

use super::super::ContextId;
use super::super::binding::BindingHash;
use super::super::ratchet::{Chain, Keys, Ratchet};
use super::{StreamReceiver, UNPROVEN};
use crate::BufferTooSmall;
use crate::aead::{Aead, KEY_LEN, NONCE_LEN};

/// The memory of what a stream's receiver accepted: [`Ranges`] or [`Window`], which can be saved.
pub trait StreamMemory: Memory {
    /// The memory of a stream that begins with this number.
    #[doc(hidden)]
    fn starting_at(first: u64) -> Self;

    /// The numbers that restore it.
    #[doc(hidden)]
    fn numbers(&self) -> impl Iterator<Item = u64> + Clone;

    /// Makes it of those numbers.
    #[doc(hidden)]
    fn restore(numbers: impl Iterator<Item = u64>) -> Result<Self, iot_core::RestoreError>
    where
        Self: Sized;
}

impl<const N: usize> StreamMemory for Ranges<N> {
    fn starting_at(first: u64) -> Self {
        Self::from_ranges(first, []).expect("there is no range")
    }

    fn numbers(&self) -> impl Iterator<Item = u64> + Clone {
        core::iter::once(self.low_water()).chain(self.seen().flat_map(|range| [range.start, range.end]))
    }

    fn restore(mut numbers: impl Iterator<Item = u64>) -> Result<Self, iot_core::RestoreError> {
        let nothing = iot_core::RestoreError::NotAscending { index: 0, start: 0, end: 0 };
        let low_water = numbers.next().ok_or(nothing)?;
        // A start without its end becomes an empty range, which is refused.
        let ranges = core::iter::from_fn(|| {
            let start = numbers.next()?;
            Some(start..numbers.next().unwrap_or(start))
        });
        Self::from_ranges(low_water, ranges)
    }
}

impl<const WORDS: usize> StreamMemory for Window<WORDS> {
    fn starting_at(_: u64) -> Self {
        Self::new()
    }

    fn numbers(&self) -> impl Iterator<Item = u64> + Clone {
        core::iter::once(self.end()).chain(*self.words())
    }

    fn restore(mut numbers: impl Iterator<Item = u64>) -> Result<Self, iot_core::RestoreError> {
        let end = numbers.next().ok_or(iot_core::RestoreError::Window { end: 0 })?;
        // A number stands where the count of words puts it, so those of another count say something else.
        let mut words = [0; WORDS];
        for word in &mut words {
            *word = numbers.next().ok_or(iot_core::RestoreError::Window { end })?;
        }
        match numbers.next() {
            None => Self::from_words(end, words),
            Some(_) => Err(iot_core::RestoreError::Window { end }),
        }
    }
}

/// Why octets are not a saved receiver that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// They are not the record of one.
    #[error("the saved receiver is malformed")]
    Malformed(#[from] cbor::DecodeError),
    /// A key or an identifier has another length than it must.
    #[error("a saved string has {len} octets")]
    Length {
        /// How many it has.
        len: usize,
    },
    /// The stream has another topic than the one given.
    #[error("the saved stream has another topic")]
    OtherTopic,
    /// What was accepted does not fit the memory, or is damaged.
    #[error("what was accepted cannot be restored")]
    Memory(#[from] iot_core::RestoreError),
}

record! {
    struct Saved<'b> {
        1 => context: &'b [u8],
        2 => source: &'b [u8; DeviceId::LEN],
        3 => stream: u32,
        4 => incarnation: &'b [u8; Incarnation::LEN],
        5 => first: u64,
        6 => topic: &'b [u8],
        7 => signing_key: &'b [u8; KeyId::LEN],
        8 => binding: &'b [u8; BindingHash::LEN],
        9 => generation: u64,
        10 => key: &'b [u8; KEY_LEN],
        11 => base_iv: &'b [u8; NONCE_LEN],
        12 => next: &'b [u8; 32],
        13 => proven_from: Option<u64>,
        14 => catch_up: u64,
    }
}

impl<T: AsRef<[u8]>, S: StreamMemory, A: Aead, const LATE: usize> StreamReceiver<T, S, A, LATE> {
    /// Octets that [`save_into`](Self::save_into) needs now.
    pub fn saved_len(&self) -> usize {
        cbor::encoded_len(&Whole(self))
    }

    /// Writes all that must survive a restart to the front of `buffer`, which must have
    /// [`saved_len`](Self::saved_len) octets, and returns how many they are. They are as secret as a key.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn save_into(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let len = self.saved_len();
        let mut writer = Writer::new(Buffer::new(BufferTooSmall::check(buffer, len)?));
        Whole(self).encode(&mut writer).expect("the buffer has the length of the record");
        Ok(len)
    }

    /// Puts back what was saved. `topic` must hold the topic of the stream.
    ///
    /// # Errors
    ///
    /// [`RestoreError`].
    pub fn restore(saved: &[u8], topic: T) -> Result<Self, RestoreError> {
        let mut cursor = Cursor::new(saved);
        let members = cursor.array()?;
        if members != 3 {
            return Err(RestoreError::Length { len: members });
        }
        let saved: Saved<'_> = cbor::Decode::decode(&mut cursor)?;
        if saved.topic != topic.as_ref() {
            return Err(RestoreError::OtherTopic);
        }
        let context = ContextId::new(saved.context).ok_or(RestoreError::Length { len: saved.context.len() })?;
        let first = Position {
            source: DeviceId::from_bytes(*saved.source),
            stream: StreamId::new(saved.stream),
            incarnation: Incarnation::from_bytes(*saved.incarnation),
            sequence: saved.first,
        };
        let late = restore_late(cursor.bytes()?)?;
        let seen = restore_memory(&mut cursor)??;
        cursor.finish()?;
        Ok(Self {
            context,
            first,
            key: KeyId::from_bytes(*saved.signing_key),
            binding: BindingHash(*saved.binding),
            ratchet: Ratchet {
                generation: saved.generation,
                keys: Keys { key: Zeroizing::new(*saved.key), base_iv: Zeroizing::new(*saved.base_iv) },
                next: Chain(Zeroizing::new(*saved.next)),
            },
            late,
            seen,
            proven_from: saved.proven_from.unwrap_or(UNPROVEN),
            catch_up: saved.catch_up,
            topic,
            aead: PhantomData,
        })
    }
}

/// The topic of a saved receiver.
#[cfg(feature = "alloc")]
pub(in super::super) fn saved_topic(saved: &[u8]) -> Result<&[u8], RestoreError> {
    let mut cursor = Cursor::new(saved);
    cursor.array()?;
    let saved: Saved<'_> = cbor::Decode::decode(&mut cursor)?;
    Ok(saved.topic)
}

fn restore_late<const LATE: usize>(octets: &[u8]) -> Result<[Option<Keys>; LATE], RestoreError> {
    let mut late = [const { None }; LATE];
    let generations = octets.chunks_exact(LATE_LEN);
    if !generations.remainder().is_empty() {
        return Err(RestoreError::Length { len: octets.len() });
    }
    // Where fewer are kept than were saved, the oldest go.
    for (slot, generation) in late.iter_mut().zip(generations) {
        let mut keys = Keys { key: Zeroizing::new([0; KEY_LEN]), base_iv: Zeroizing::new([0; NONCE_LEN]) };
        let (key, base_iv) = generation.split_at(KEY_LEN);
        keys.key.copy_from_slice(key);
        keys.base_iv.copy_from_slice(base_iv);
        *slot = Some(keys);
    }
    Ok(late)
}

/// Writes what was accepted.
pub(crate) fn encode_memory<O: Output>(seen: &impl StreamMemory, writer: &mut Writer<O>) -> Result<(), EncodeError> {
    let numbers = seen.numbers();
    writer.array(numbers.clone().count() as u64)?;
    for number in numbers {
        writer.unsigned(number)?;
    }
    Ok(())
}

/// Reads what [`encode_memory`] wrote: first whether it is there, then whether it is sound.
pub(crate) fn restore_memory<S: StreamMemory>(
    cursor: &mut Cursor<'_>,
) -> Result<Result<S, iot_core::RestoreError>, cbor::DecodeError> {
    let count = cursor.array()?;
    let mut malformed = None;
    let numbers = (0..count).map_while(|_| cursor.unsigned().map_err(|error| malformed = Some(error)).ok());
    let seen = S::restore(numbers);
    match malformed {
        Some(error) => Err(error),
        None => Ok(seen),
    }
}

/// Octets of a generation's key and base IV.
const LATE_LEN: usize = KEY_LEN + NONCE_LEN;

/// `[record, late generations, what was accepted]`.
struct Whole<'r, T, S, A, const LATE: usize>(&'r StreamReceiver<T, S, A, LATE>);

impl<T: AsRef<[u8]>, S: StreamMemory, A, const LATE: usize> Encode for Whole<'_, T, S, A, LATE> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        let receiver = self.0;
        let saved = Saved {
            context: receiver.context.as_bytes(),
            source: receiver.first.source.as_bytes(),
            stream: receiver.first.stream.number(),
            incarnation: receiver.first.incarnation.as_bytes(),
            first: receiver.first.sequence,
            topic: receiver.topic.as_ref(),
            signing_key: receiver.key.as_bytes(),
            binding: receiver.binding.as_bytes(),
            generation: receiver.ratchet.generation,
            key: &receiver.ratchet.keys.key,
            base_iv: &receiver.ratchet.keys.base_iv,
            next: &receiver.ratchet.next.0,
            proven_from: (receiver.proven_from != UNPROVEN).then_some(receiver.proven_from),
            catch_up: receiver.catch_up,
        };
        writer.array(3)?;
        saved.encode(writer)?;
        let late = receiver.late.iter().map_while(Option::as_ref);
        writer.bytes_header((late.clone().count() * LATE_LEN) as u64)?;
        for keys in late {
            writer.put(&*keys.key)?;
            writer.put(&*keys.base_iv)?;
        }
        encode_memory(&receiver.seen, writer)
    }
}
