use core::{fmt, iter::FusedIterator, marker::PhantomData};

use super::{Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Output, Writer, float::Shortest};

/// Numbers of one type, one behind the other in a byte string under a tag (RFC 8746).
///
/// It is read in either byte order, and written least significant byte first, as most machines keep numbers. Half
/// floats are read as `f32`; floats of 128 bits are not.
///
/// ```
/// use iot_codec::cbor::{TypedArray, from_slice, to_slice};
/// let (mut elements, mut space) = ([0; 8], [0; 16]);
/// let array = TypedArray::encoded(&[21.5f32, -0.25], &mut elements)?;
/// let bytes = to_slice(&array, &mut space)?;
/// assert_eq!(bytes, b"\xd8\x55\x48\x00\x00\xac\x41\x00\x00\x80\xbe");
/// assert_eq!(from_slice::<TypedArray<f32>>(bytes)?.iter().sum::<f32>(), 21.25);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TypedArray<'b, T> {
    bytes: &'b [u8],
    form: Form,
    element: PhantomData<fn() -> T>,
}

/// How the elements stand in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    tag: u8,
    order: Order,
    width: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    BigEndian,
    LittleEndian,
}

/// A number that a [`TypedArray`] holds: the integers of 8 to 64 bits, `f32` and `f64`.
pub trait TypedElement: Copy + sealed::Sealed {}

mod sealed {
    pub trait Sealed: Sized {
        /// The tags in big and in little endian order.
        const TAGS: [u8; 2];
        const WIDTH: usize;

        /// From the bytes, most significant first, aligned to the end.
        fn from_be_bytes(bytes: [u8; 8]) -> Self;
        /// The bytes, least significant first, aligned to the start.
        fn to_le_bytes(self) -> [u8; 8];
    }
}

macro_rules! elements {
    ($($type:ty, $bits:ty: $big:literal $little:literal;)*) => {$(
        impl TypedElement for $type {}

        impl sealed::Sealed for $type {
            const TAGS: [u8; 2] = [$big, $little];
            const WIDTH: usize = size_of::<$type>();

            #[inline]
            fn from_be_bytes(bytes: [u8; 8]) -> Self {
                // The bits of this width; what stands above them is zero.
                let bits = u64::from_be_bytes(bytes) as $bits;
                Self::from_ne_bytes(bits.to_ne_bytes())
            }

            #[inline]
            fn to_le_bytes(self) -> [u8; 8] {
                u64::from(<$bits>::from_ne_bytes(self.to_ne_bytes())).to_le_bytes()
            }
        }
    )*};
}

elements! {
    u8, u8: 64 64;
    u16, u16: 65 69;
    u32, u32: 66 70;
    u64, u64: 67 71;
    i8, u8: 72 72;
    i16, u16: 73 77;
    i32, u32: 74 78;
    i64, u64: 75 79;
    f32, u32: 81 85;
    f64, u64: 82 86;
}

/// `u8` that is to be clamped when it is computed with.
const CLAMPED_TAG: u8 = 68;
const HALF_TAGS: [u8; 2] = [80, 84];
const SINGLE_TAGS: [u8; 2] = [81, 85];

impl<'b, T: TypedElement> TypedArray<'b, T> {
    /// Lays `values` out in `space`, so that they can be written without allocation.
    ///
    /// # Errors
    /// [`EncodeError::BufferFull`] when `space` is too small for all elements.
    pub fn encoded(values: &[T], space: &'b mut [u8]) -> Result<Self, EncodeError> {
        let available = space.len();
        let needed = values.len().saturating_mul(T::WIDTH);
        let space = space.get_mut(..needed).ok_or(EncodeError::BufferFull { needed, available })?;
        for (target, value) in space.chunks_exact_mut(T::WIDTH).zip(values) {
            let bytes = value.to_le_bytes();
            target.copy_from_slice(bytes.get(..T::WIDTH).unwrap_or_default());
        }
        let form = Form { tag: T::TAGS[1], order: Order::LittleEndian, width: T::WIDTH };
        Ok(Self { bytes: space, form, element: PhantomData })
    }

    /// An iterator over the elements.
    #[must_use]
    pub fn iter(&self) -> TypedArrayIter<'b, T> {
        TypedArrayIter { bytes: self.bytes, form: self.form, element: PhantomData }
    }

    /// How many elements there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bytes.len() / self.form.width
    }

    /// How the elements of `tag` stand in their bytes, if they are `T`.
    fn form_of(tag: u64) -> Option<Form> {
        let tag = u8::try_from(tag).ok()?;
        let find = |tags: [u8; 2], width| match tags {
            [big, _] if big == tag => Some(Form { tag, order: Order::BigEndian, width }),
            [_, little] if little == tag => Some(Form { tag, order: Order::LittleEndian, width }),
            _ => None,
        };
        match tag {
            CLAMPED_TAG if T::TAGS == u8::TAGS => Some(Form { tag, order: Order::BigEndian, width: 1 }),
            _ if T::TAGS == SINGLE_TAGS => find(T::TAGS, T::WIDTH).or_else(|| find(HALF_TAGS, 2)),
            _ => find(T::TAGS, T::WIDTH),
        }
    }
}

use sealed::Sealed as _;

impl<T> Clone for TypedArray<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for TypedArray<'_, T> {}

impl<T> fmt::Debug for TypedArray<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedArray").field("tag", &self.form.tag).field("bytes", &self.bytes).finish()
    }
}

/// Equal when the bytes are, in the same byte order.
impl<T> PartialEq for TypedArray<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.form.tag == other.form.tag && self.bytes == other.bytes
    }
}

impl<T> Eq for TypedArray<'_, T> {}

impl<'b, T: TypedElement> IntoIterator for &TypedArray<'b, T> {
    type Item = T;
    type IntoIter = TypedArrayIter<'b, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// In the byte order in which it was read or laid out.
impl<T> Encode for TypedArray<'_, T> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.tag(self.form.tag.into())?;
        writer.bytes(self.bytes)
    }
}

/// Fails with [`DecodeErrorKind::InvalidValue`] for a tag of other elements, and for bytes that end inside of one.
impl<'b, T: TypedElement> Decode<'b> for TypedArray<'b, T> {
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        let before = cursor.clone();
        cursor.enter()?;
        let form = Self::form_of(cursor.tag()?).ok_or_else(|| before.error(DecodeErrorKind::InvalidValue))?;
        let content = cursor.clone();
        let bytes = cursor.bytes()?;
        if !bytes.len().is_multiple_of(form.width) {
            return Err(content.error(DecodeErrorKind::InvalidValue));
        }
        cursor.leave();
        Ok(Self { bytes, form, element: PhantomData })
    }
}

/// The iterator of [`TypedArray::iter`].
pub struct TypedArrayIter<'b, T> {
    bytes: &'b [u8],
    form: Form,
    element: PhantomData<fn() -> T>,
}

impl<T: TypedElement> Iterator for TypedArrayIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let (element, rest) = self.bytes.split_at_checked(self.form.width)?;
        self.bytes = rest;
        // Most significant byte first, behind zeros.
        let mut bytes = [0; 8];
        let target = bytes.get_mut(8usize.checked_sub(element.len())?..)?;
        target.copy_from_slice(element);
        if self.form.order == Order::LittleEndian {
            target.reverse();
        }
        if HALF_TAGS.contains(&self.form.tag) {
            let half = Shortest::Half(u64::from_be_bytes(bytes) as u16);
            bytes = u64::from(half.to_f32()?.to_bits()).to_be_bytes();
        }
        Some(T::from_be_bytes(bytes))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.bytes.len() / self.form.width;
        (count, Some(count))
    }
}

impl<T: TypedElement> ExactSizeIterator for TypedArrayIter<'_, T> {}

impl<T: TypedElement> FusedIterator for TypedArrayIter<'_, T> {}

impl<T> fmt::Debug for TypedArrayIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedArrayIter").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
