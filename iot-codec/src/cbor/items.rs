use core::{fmt, iter::FusedIterator, marker::PhantomData};

use super::{Buffer, Cursor, Decode, DecodeError, Encode, EncodeError, Output, Writer, unexpected_length};

/// An array whose elements are decoded one by one, without allocation.
///
/// Decoding validates the whole array and keeps its bytes; an element becomes a `T` only when [`iter`](Items::iter)
/// comes to it, so an element that is no `T` is reported there. Two are equal when their bytes are.
///
/// ```
/// use iot_codec::cbor::{Items, from_slice};
/// let items: Items<u8> = from_slice(&[0x83, 0x01, 0x02, 0x03])?;
/// assert_eq!(items.count(), 3);
/// assert_eq!(items.iter().sum::<Result<u8, _>>()?, 6);
/// # Ok::<(), iot_codec::cbor::DecodeError>(())
/// ```
pub struct Items<'b, T> {
    cursor: Cursor<'b>,
    count: usize,
    element: PhantomData<fn() -> T>,
}

impl<'b, T> Items<'b, T> {
    /// Encodes `values` into `space`, so that a record with this field can be written without allocation.
    ///
    /// # Errors
    /// [`EncodeError::BufferFull`] when `space` is too small for all elements.
    pub fn encoded(values: &[T], space: &'b mut [u8]) -> Result<Self, EncodeError>
    where
        T: Encode,
    {
        let mut writer = Writer::new(Buffer::new(space));
        for value in values {
            value.encode(&mut writer)?;
        }
        let elements = writer.into_output().into_written();
        Ok(Self { cursor: Cursor::new(elements), count: values.len(), element: PhantomData })
    }

    /// An iterator over the elements, each decoded when it is asked for.
    ///
    /// It ends after the first element that is no `T`.
    #[must_use]
    pub fn iter(&self) -> ItemsIter<'b, T> {
        ItemsIter { cursor: self.cursor.clone(), remaining: self.count, element: PhantomData }
    }

    /// How many elements there are.
    #[inline]
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The encoded elements, one behind the other, without the head of the array.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &'b [u8] {
        self.cursor.rest()
    }
}

impl<T> Clone for Items<'_, T> {
    fn clone(&self) -> Self {
        Self { cursor: self.cursor.clone(), count: self.count, element: PhantomData }
    }
}

impl<T> fmt::Debug for Items<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("count", &self.count).field("bytes", &self.as_bytes()).finish()
    }
}

impl<T> PartialEq for Items<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.as_bytes() == other.as_bytes()
    }
}

impl<T> Eq for Items<'_, T> {}

impl<'b, T: Decode<'b>> IntoIterator for &Items<'b, T> {
    type Item = Result<T, DecodeError>;
    type IntoIter = ItemsIter<'b, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> Encode for Items<'_, T> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(self.count as u64)?;
        writer.put(self.as_bytes())
    }
}

impl<'b, T> Decode<'b> for Items<'b, T> {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        let (count, cursor) = cursor.elements()?;
        Ok(Self { cursor, count, element: PhantomData })
    }
}

/// The iterator of [`Items::iter`].
pub struct ItemsIter<'b, T> {
    cursor: Cursor<'b>,
    remaining: usize,
    element: PhantomData<fn() -> T>,
}

impl<'b, T: Decode<'b>> Iterator for ItemsIter<'b, T> {
    type Item = Result<T, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        let element = T::decode(&mut self.cursor);
        if element.is_err() {
            self.remaining = 0;
        }
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining.min(1), Some(self.remaining))
    }
}

impl<'b, T: Decode<'b>> FusedIterator for ItemsIter<'b, T> {}

impl<T> fmt::Debug for ItemsIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemsIter").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

/// An array of exactly `N` elements.
///
/// A type of its own because a `[u8; N]` is a byte string here. It needs no allocation; an array of another length is
/// refused with [`DecodeErrorKind::UnexpectedLength`](super::DecodeErrorKind::UnexpectedLength).
///
/// ```
/// use iot_codec::{cbor::{Array, from_slice, to_slice}, record};
/// record! {
///     #[derive(Debug, PartialEq)]
///     struct Place { 1 => position: Array<f32, 3> }
/// }
/// let place = Place { position: Array([48.25, 11.5, 520.0]) };
/// let mut space = [0; 16];
/// let bytes = to_slice(&place, &mut space)?;
/// assert_eq!(bytes, b"\xa1\x01\x83\xf9\x52\x08\xf9\x49\xc0\xf9\x60\x10");
/// assert_eq!(from_slice::<Place>(bytes)?, place);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Array<T, const N: usize>(pub [T; N]);

impl<T: Encode, const N: usize> Encode for Array<T, N> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(N as u64)?;
        self.0.iter().try_for_each(|element| element.encode(writer))
    }
}

impl<'b, T: Decode<'b>, const N: usize> Decode<'b> for Array<T, N> {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        let offset = cursor.position();
        cursor.enter()?;
        let found = cursor.array()?;
        if found != N {
            return Err(unexpected_length(N, found, offset));
        }
        let mut fault = None;
        let elements: [Option<T>; N] = core::array::from_fn(|_| {
            if fault.is_some() {
                return None;
            }
            T::decode(cursor).map_err(|error| fault = Some(error)).ok()
        });
        if let Some(fault) = fault {
            return Err(fault);
        }
        cursor.leave();
        Ok(Self(elements.map(|element| element.expect("without a fault every element was read"))))
    }
}

/// An array of owned elements.
///
/// A type of its own because a `Vec<u8>` is a byte string here. An array from a peer holds at most
/// [`Limits::items`](super::Limits::items) elements, and memory is taken as they are decoded, never for a claim: at most
/// for as many again as were decoded. It is the memory of `T`, however short an element was: a `List<u64>` of integers of
/// one byte takes eight times the input.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct List<T>(pub alloc::vec::Vec<T>);

#[cfg(feature = "alloc")]
impl<T> Default for List<T> {
    fn default() -> Self {
        Self(alloc::vec::Vec::new())
    }
}

#[cfg(feature = "alloc")]
impl<T: Encode> Encode for List<T> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(self.0.len() as u64)?;
        self.0.iter().try_for_each(|element| element.encode(writer))
    }
}

#[cfg(feature = "alloc")]
impl<'b, T: Decode<'b>> Decode<'b> for List<T> {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        cursor.enter()?;
        let count = cursor.array()?;
        let mut elements = alloc::vec::Vec::new();
        for read in 0..count {
            let element = T::decode(cursor)?;
            if read == elements.capacity() {
                // Twice what is there, so that a claim takes no memory, and never more than the claim.
                elements.reserve_exact(read.max(4).min(count - read));
            }
            elements.push(element);
        }
        cursor.leave();
        Ok(Self(elements))
    }
}
