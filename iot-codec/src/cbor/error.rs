use core::{fmt, num::NonZeroU32};

use super::Kind;

/// Why bytes were refused, where, and under which key of a record.
///
/// 20 bytes, so that a `Result` of it stays cheap to return.
// Whole words in place of the enum: between functions it is copied field by field, and an enum has fields of bytes.
#[derive(Clone, Copy)]
pub struct DecodeError {
    /// A [`Flaw`], or one of the codes below; above the lowest byte the kind that was expected, and the
    /// byte that was found.
    code: NonZeroU32,
    detail: [u32; 2],
    offset: u32,
    key: i32,
}

/// Stands for "no key": [`record!`](crate::record!) refuses it as a key.
pub(crate) const NO_KEY: i32 = i32::MIN;

const UNEXPECTED_TYPE: u32 = 0x80;
const UNEXPECTED_LENGTH: u32 = 0x81;
const UNKNOWN_VARIANT: u32 = 0x82;

impl DecodeError {
    /// An error about the item that begins at `offset`, for [`Decode`](super::Decode) written by hand.
    ///
    /// An offset above `u32::MAX` is kept as `u32::MAX`.
    // Inlined, so that of a kind that is known nothing but its code is left.
    #[inline]
    #[must_use]
    pub fn new(kind: DecodeErrorKind, offset: usize) -> Self {
        let (code, detail) = match kind {
            DecodeErrorKind::UnexpectedType { expected, found } => {
                return Self::unexpected_type(expected as u8, found.initial(), offset);
            }
            DecodeErrorKind::UnexpectedLength { expected, found } => (UNEXPECTED_LENGTH, [expected, found]),
            DecodeErrorKind::UnknownVariant { number } => {
                (UNKNOWN_VARIANT, [(number as u64 >> 32) as u32, number as u32])
            }
            plain => {
                let flaw = Flaw::ALL.iter().copied().find(|flaw| plain == (*flaw).into());
                (flaw.unwrap_or(Flaw::InvalidValue) as u32, [0; 2])
            }
        };
        Self::packed(code, detail, offset)
    }

    /// An error that has no detail.
    #[cold]
    pub(crate) fn of(flaw: Flaw, offset: usize) -> Self {
        Self::packed(flaw as u32, [0; 2], offset)
    }

    /// The kind of this number was expected, and an item that begins with `initial` found.
    #[cold]
    pub(crate) fn unexpected_type(expected: u8, initial: u8, offset: usize) -> Self {
        Self::packed(UNEXPECTED_TYPE | u32::from(expected) << 8 | u32::from(initial) << 16, [0; 2], offset)
    }

    #[cold]
    pub(crate) fn unexpected_length(expected: u32, found: u32, offset: usize) -> Self {
        Self::packed(UNEXPECTED_LENGTH, [expected, found], offset)
    }

    /// What a cursor holds before anything has failed.
    #[cfg(not(target_pointer_width = "64"))]
    pub(super) const NONE: Self = Self::packed(Flaw::InvalidValue as u32, [0; 2], 0);

    /// The same field by field, so that the compiler sees that the code is not zero.
    #[cfg(not(target_pointer_width = "64"))]
    #[inline(always)]
    pub(super) fn again(&self) -> Self {
        let Self { code, detail: [high, low], offset, key } = *self;
        Self { code, detail: [high, low], offset, key }
    }

    const fn packed(code: u32, detail: [u32; 2], offset: usize) -> Self {
        // No code is zero.
        let code = match NonZeroU32::new(code) {
            Some(code) => code,
            None => NonZeroU32::MIN,
        };
        let offset = if offset > u32::MAX as usize { u32::MAX } else { offset as u32 };
        Self { code, detail, offset, key: NO_KEY }
    }

    /// Names the key under which the error happened, unless an inner record has already named one.
    #[cold]
    #[must_use]
    pub fn or_key(mut self, key: i32) -> Self {
        self.add_key(key);
        self
    }

    /// As [`or_key`](Self::or_key), in place.
    #[inline]
    pub(crate) fn add_key(&mut self, key: i32) {
        if self.key == NO_KEY {
            self.key = key;
        }
    }

    /// What was wrong.
    #[must_use]
    pub fn kind(&self) -> DecodeErrorKind {
        let [high, low] = self.detail;
        match self.code.get() & 0xff {
            UNEXPECTED_TYPE => {
                let [_, expected, initial, _] = self.code.get().to_le_bytes();
                DecodeErrorKind::UnexpectedType { expected: Kind::at(expected), found: Kind::of(initial) }
            }
            UNEXPECTED_LENGTH => DecodeErrorKind::UnexpectedLength { expected: high, found: low },
            UNKNOWN_VARIANT => {
                DecodeErrorKind::UnknownVariant { number: (u64::from(high) << 32 | u64::from(low)) as i64 }
            }
            code => {
                let flaw = Flaw::ALL.iter().copied().find(|flaw| *flaw as u32 == code);
                flaw.unwrap_or(Flaw::InvalidValue).into()
            }
        }
    }

    /// Where the item in question begins, in bytes from the start of the input.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset as usize
    }

    /// The key of the innermost [`record!`](crate::record!) field concerned, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<i32> {
        (self.key != NO_KEY).then_some(self.key)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.kind(), self.offset)?;
        match self.key() {
            Some(key) => write!(f, ", key {key}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("DecodeError");
        fields.field("kind", &self.kind()).field("offset", &self.offset).field("key", &self.key()).finish()
    }
}

/// Two are equal when all that they tell is.
impl PartialEq for DecodeError {
    fn eq(&self, other: &Self) -> bool {
        (self.kind(), self.offset, self.key) == (other.kind(), other.offset, other.key)
    }
}

impl Eq for DecodeError {}

impl core::error::Error for DecodeError {}

/// What was wrong with bytes that were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The input ends inside an item, or an item claims more bytes or elements than there are bytes left.
    #[error("input ends inside an item")]
    UnexpectedEnd,
    /// Bytes follow the last item that was expected.
    #[error("bytes after the end of the item")]
    TrailingBytes,
    /// Additional information 28 to 30, or 31 where no item can have it (RFC 8949 §3).
    #[error("reserved additional information")]
    ReservedInformation,
    /// A simple value below 32 in two bytes (RFC 8949 §3.3).
    #[error("simple value below 32 in two bytes")]
    InvalidSimple,
    /// A text string that is not UTF-8.
    #[error("text is not utf-8")]
    InvalidUtf8,
    /// An argument that is not in its shortest form (RFC 8949 §4.2.1).
    #[error("argument is not in its shortest form")]
    LongArgument,
    /// A float that a shorter float gives back to the bit (RFC 8949 §4.2.1).
    #[error("float is not in its shortest form")]
    LongFloat,
    /// A string, array or map of indefinite length (RFC 8949 §4.2.1).
    #[error("indefinite length")]
    IndefiniteLength,
    /// A map key that sorts before its predecessor (RFC 8949 §4.2.1).
    #[error("map keys are not sorted")]
    UnsortedKeys,
    /// A map key that equals its predecessor (RFC 8949 §5.6).
    #[error("duplicate map key")]
    DuplicateKey,
    /// An item of another type than the reader expects.
    #[error("found {found} in place of {expected}")]
    UnexpectedType {
        /// What the reader asked for.
        expected: Kind,
        /// What stands there.
        found: Kind,
    },
    /// A number that does not fit the type that the reader asked for.
    #[error("number out of range")]
    OutOfRange,
    /// A byte string, array or map of another length than the reader's type has.
    #[error("length {found} in place of {expected}")]
    UnexpectedLength {
        /// What the reader's type has.
        expected: u32,
        /// What stands there; `u32::MAX` also stands for more.
        found: u32,
    },
    /// A required key of a record is not there. The offset is the record's.
    #[error("required key is missing")]
    MissingKey,
    /// A negative key that this version of the record does not know, and so must not ignore.
    #[error("unknown critical key")]
    UnknownKey,
    /// A variant number that this version of the enum does not know.
    #[error("unknown variant {number}")]
    UnknownVariant {
        /// The number that stands there.
        number: i64,
    },
    /// A well-formed item whose value breaks a rule of its type: for [`Decode`](super::Decode) written by hand.
    #[error("invalid value")]
    InvalidValue,
    /// The input is longer than [`Limits::bytes`](super::Limits::bytes).
    #[error("input exceeds the limit of bytes")]
    TooManyBytes,
    /// The containers nest deeper than [`Limits::depth`](super::Limits::depth).
    #[error("nesting exceeds the limit of depth")]
    TooDeep,
    /// The containers hold more than [`Limits::items`](super::Limits::items) in all.
    #[error("containers exceed the limit of items")]
    TooManyItems,
}

/// The kinds that have no detail, in a byte or a word: what the innermost functions return stays in registers.
macro_rules! flaws {
    ($($flaw:ident $(= $number:literal)?),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(target_pointer_width = "64", repr(u8))]
        #[cfg_attr(not(target_pointer_width = "64"), repr(u32))]
        pub(crate) enum Flaw {
            $($flaw $(= $number)?,)*
        }

        impl Flaw {
            /// All of them, in the order of their numbers.
            const ALL: &'static [Self] = &[$(Self::$flaw,)*];
        }

        impl From<Flaw> for DecodeErrorKind {
            fn from(flaw: Flaw) -> Self {
                match flaw {
                    $(Flaw::$flaw => Self::$flaw,)*
                }
            }
        }
    };
}

flaws!(
    // From 1: zero is what a `Result` needs to tell a value from an error.
    UnexpectedEnd = 1,
    TrailingBytes,
    ReservedInformation,
    InvalidSimple,
    InvalidUtf8,
    LongArgument,
    LongFloat,
    IndefiniteLength,
    UnsortedKeys,
    DuplicateKey,
    OutOfRange,
    MissingKey,
    UnknownKey,
    InvalidValue,
    TooManyBytes,
    TooDeep,
    TooManyItems,
);

/// Why a value could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The caller's buffer is too small. What fits before this write stays in it.
    #[error("buffer full: {needed} bytes needed, {available} available")]
    BufferFull {
        /// The length of this write, in bytes: the whole encoding may need more
        /// (see [`encoded_len`](super::encoded_len)).
        needed: usize,
        /// The space that was left, in bytes.
        available: usize,
    },
}

/// A limit outside of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// The validator's stack is fixed, so the depth has a hard maximum.
    #[error("depth {depth} exceeds the maximum of {maximum}")]
    DepthAboveMaximum {
        /// The depth that was asked for.
        depth: usize,
        /// [`Limits::MAX_DEPTH`](super::Limits::MAX_DEPTH).
        maximum: usize,
    },
}
