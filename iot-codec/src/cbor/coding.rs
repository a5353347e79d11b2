use super::{Buffer, Cursor, DecodeError, EncodeError, Failed, Length, Limits, Output, Writer, error::Flaw};

/// A type that writes itself as one deterministic CBOR item.
///
/// [`record!`](crate::record!) implements it; by hand it is a line or two:
///
/// ```
/// use iot_codec::cbor::{Encode, EncodeError, Output, Writer};
/// struct KeyId([u8; 8]);
/// impl Encode for KeyId {
///     fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
///         writer.bytes(&self.0)
///     }
/// }
/// ```
pub trait Encode {
    /// Writes exactly one item.
    ///
    /// # Errors
    /// What the writer reports, and nothing else.
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError>;
}

/// A type that reads itself from one CBOR item, and may borrow from the input.
///
/// ```
/// use iot_codec::cbor::{Cursor, Decode, DecodeError};
/// struct KeyId([u8; 8]);
/// impl<'b> Decode<'b> for KeyId {
///     fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
///         <[u8; 8]>::decode(cursor).map(Self)
///     }
/// }
/// ```
pub trait Decode<'b>: Sized {
    /// Reads exactly one item.
    ///
    /// # Errors
    /// What the cursor reports; [`Cursor::error`] makes an error of one's own.
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError>;

    /// As [`decode`](Self::decode), with a result that is cheaper to hand on: for what this crate declares.
    #[doc(hidden)]
    #[inline(always)]
    fn read(cursor: &mut Cursor<'b>) -> Result<Self, Failed> {
        Self::decode(cursor).map_err(|error| cursor.fail_with(error))
    }
}

/// Encodes `value` into a vector of exactly its length.
///
/// # Panics
/// When an [`Encode`] written by hand returns an error of its own making. A vector always has room, so the types of this
/// crate and of [`record!`](crate::record!) never fail here.
#[cfg(feature = "alloc")]
#[must_use]
pub fn to_vec(value: &(impl Encode + ?Sized)) -> alloc::vec::Vec<u8> {
    let mut writer = Writer::new(alloc::vec::Vec::with_capacity(encoded_len(value)));
    value.encode(&mut writer).expect("a vector always has room, and Encode adds no errors of its own");
    writer.into_output()
}

/// Encodes `value` at the start of `space`, and returns the part that it fills.
///
/// # Errors
/// [`EncodeError::BufferFull`] when `space` is too small.
#[inline]
pub fn to_slice<'s>(value: &(impl Encode + ?Sized), space: &'s mut [u8]) -> Result<&'s [u8], EncodeError> {
    let mut writer = Writer::new(Buffer::new(space));
    value.encode(&mut writer)?;
    Ok(writer.into_output().into_written())
}

/// The length of the encoding of `value`, in bytes.
#[inline]
#[must_use]
pub fn encoded_len(value: &(impl Encode + ?Sized)) -> usize {
    let mut writer = Writer::new(Length::new());
    // Counting never fails.
    let _ = value.encode(&mut writer);
    writer.into_output().len()
}

/// Decodes `input`, which is exactly one item, under the default [`Limits`].
///
/// # Errors
/// Whatever is wrong first, bytes behind the item included.
#[inline]
pub fn from_slice<'b, T: Decode<'b>>(input: &'b [u8]) -> Result<T, DecodeError> {
    from_slice_within(input, &Limits::default())
}

/// Decodes `input`, which is exactly one item, under `limits`.
///
/// # Errors
/// Whatever is wrong first, bytes behind the item included.
#[inline]
pub fn from_slice_within<'b, T: Decode<'b>>(input: &'b [u8], limits: &Limits) -> Result<T, DecodeError> {
    read_whole(input, limits, T::read)
}

/// Reads all of `input`.
#[inline]
pub(super) fn read_whole<'b, T>(
    input: &'b [u8],
    limits: &Limits,
    read: impl FnOnce(&mut Cursor<'b>) -> Result<T, Failed>,
) -> Result<T, DecodeError> {
    let mut cursor = Cursor::start(input, limits);
    let result = cursor.check_len(limits).and_then(|()| {
        let value = read(&mut cursor)?;
        cursor.check_end()?;
        Ok(value)
    });
    cursor.outcome(result)
}

impl<T: Encode + ?Sized> Encode for &T {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        (**self).encode(writer)
    }
}

macro_rules! integers {
    ($encode:ident, $decode:ident $limits:tt: $($integer:ty),*) => {
        $(integers! { @one $encode $decode $limits $integer })*
    };
    (@one $encode:ident $decode:ident [$($limit:ident),*] $integer:ty) => {
        impl Encode for $integer {
            #[cfg_attr(target_pointer_width = "64", inline(always))]
            fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
                writer.$encode((*self).into())
            }
        }

        /// Fails with [`super::DecodeErrorKind::OutOfRange`] where the number does not fit.
        impl<'b> Decode<'b> for $integer {
            #[inline(always)]
            fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
                let result = Self::read(cursor);
                cursor.outcome(result)
            }

            #[inline(always)]
            fn read(cursor: &mut Cursor<'b>) -> Result<Self, Failed> {
                // The cursor keeps to the range, so that the conversion cuts nothing.
                cursor.$decode($(Self::$limit.into()),*).map(|value| value as Self)
            }
        }
    };
}

integers!(unsigned, unsigned_to [MAX]: u8, u16, u32, u64);
integers!(int, int_between [MIN, MAX]: i8, i16, i32, i64);

macro_rules! scalars {
    ($($method:ident, $read:ident: $scalar:ty),*) => {$(
        impl Encode for $scalar {
            #[cfg_attr(target_pointer_width = "64", inline(always))]
            fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
                writer.$method(*self)
            }
        }

        impl<'b> Decode<'b> for $scalar {
            #[inline(always)]
            fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
                cursor.$method()
            }

            #[inline(always)]
            fn read(cursor: &mut Cursor<'b>) -> Result<Self, Failed> {
                cursor.$read()
            }
        }
    )*};
}

scalars!(bool, truth: bool, float32, single: f32, float, double: f64);

impl Encode for str {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.text(self)
    }
}

impl<'b> Decode<'b> for &'b str {
    #[inline(always)]
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        cursor.text()
    }
}

/// A byte string.
impl Encode for [u8] {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.bytes(self)
    }
}

/// A byte string.
impl<'b> Decode<'b> for &'b [u8] {
    #[inline(always)]
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        cursor.bytes()
    }
}

/// A byte string of exactly this length.
impl<const N: usize> Encode for [u8; N] {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.bytes(self)
    }
}

/// A byte string of exactly this length; else [`super::DecodeErrorKind::UnexpectedLength`].
impl<'b, const N: usize> Decode<'b> for [u8; N] {
    #[inline(always)]
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        <&[u8; N]>::decode(cursor).copied()
    }

    #[inline(always)]
    fn read(cursor: &mut Cursor<'b>) -> Result<Self, Failed> {
        <&[u8; N]>::read(cursor).copied()
    }
}

/// A byte string of exactly this length; else [`super::DecodeErrorKind::UnexpectedLength`].
impl<'b, const N: usize> Decode<'b> for &'b [u8; N] {
    #[inline(always)]
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        let result = Self::read(cursor);
        cursor.outcome(result)
    }

    #[inline(always)]
    fn read(cursor: &mut Cursor<'b>) -> Result<Self, Failed> {
        match cursor.bytes_of_len(N)?.try_into() {
            Ok(bytes) => Ok(bytes),
            Err(_) => Err(cursor.fail(Flaw::InvalidValue)),
        }
    }
}

#[cold]
pub(crate) fn unexpected_length(expected: usize, found: usize, offset: usize) -> DecodeError {
    let expected = u32::try_from(expected).unwrap_or(u32::MAX);
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    DecodeError::unexpected_length(expected, found, offset)
}

#[cfg(feature = "alloc")]
mod owned {
    use alloc::{borrow::Cow, boxed::Box, string::String, vec::Vec};

    use super::{Cursor, Decode, DecodeError, Encode, EncodeError, Output, Writer};

    impl Encode for String {
        #[inline]
        fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
            writer.text(self)
        }
    }

    impl<'b> Decode<'b> for String {
        #[inline]
        fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
            cursor.text().map(Self::from)
        }
    }

    /// A byte string.
    impl Encode for Vec<u8> {
        #[inline]
        fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
            writer.bytes(self)
        }
    }

    /// A byte string.
    impl<'b> Decode<'b> for Vec<u8> {
        #[inline]
        fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
            cursor.bytes().map(Self::from)
        }
    }

    /// As its content, so that a record can contain itself; the limit of depth bounds what is read.
    impl<T: Encode + ?Sized> Encode for Box<T> {
        #[inline]
        fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
            (**self).encode(writer)
        }
    }

    /// As its content, so that a record can contain itself; the limit of depth bounds what is read.
    impl<'b, T: Decode<'b>> Decode<'b> for Box<T> {
        #[inline]
        fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
            T::decode(cursor).map(Self::new)
        }
    }

    impl<T: Encode + alloc::borrow::ToOwned + ?Sized> Encode for Cow<'_, T> {
        #[inline]
        fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
            (**self).encode(writer)
        }
    }

    /// Borrowed from the input.
    impl<'b, T: alloc::borrow::ToOwned + ?Sized> Decode<'b> for Cow<'b, T>
    where
        &'b T: Decode<'b>,
    {
        #[inline]
        fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
            <&'b T>::decode(cursor).map(Cow::Borrowed)
        }
    }
}
