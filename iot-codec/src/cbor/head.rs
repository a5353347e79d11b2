use core::fmt;

use super::error::Flaw;
#[cfg(not(target_pointer_width = "64"))]
use super::float::{double_narrows, single_narrows};

/// The type of an item, as [`Cursor::peek`](super::Cursor::peek) tells it from the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An integer from 0 to 2^64-1 (major type 0).
    Unsigned,
    /// An integer from -2^64 to -1 (major type 1).
    Negative,
    /// A byte string (major type 2).
    Bytes,
    /// A text string (major type 3).
    Text,
    /// An array (major type 4).
    Array,
    /// A map (major type 5).
    Map,
    /// A tag, with its content behind it (major type 6).
    Tag,
    /// `false` or `true`.
    Bool,
    /// `null`.
    Null,
    /// `undefined`.
    Undefined,
    /// Any other simple value.
    Simple,
    /// A float of 16, 32 or 64 bits.
    Float,
}

impl Kind {
    /// All of them; those of the major types 0 to 6 come first.
    const ALL: [Self; 12] = [
        Self::Unsigned,
        Self::Negative,
        Self::Bytes,
        Self::Text,
        Self::Array,
        Self::Map,
        Self::Tag,
        Self::Bool,
        Self::Null,
        Self::Undefined,
        Self::Simple,
        Self::Float,
    ];

    /// The kind of this number.
    pub(super) fn at(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Simple)
    }

    /// The first byte of an item of this kind.
    pub(super) fn initial(self) -> u8 {
        match self {
            Self::Bool => 0xf4,
            Self::Null => 0xf6,
            Self::Undefined => 0xf7,
            Self::Simple => 0xe0,
            Self::Float => 0xf9,
            major => (major as u8) << 5,
        }
    }

    /// The kind that `initial`, the first byte of an item, announces.
    pub(super) fn of(initial: u8) -> Self {
        match initial {
            0xf4 | 0xf5 => Self::Bool,
            0xf6 => Self::Null,
            0xf7 => Self::Undefined,
            0xf9..=0xfb => Self::Float,
            0xe0.. => Self::Simple,
            _ => Self::at(initial >> 5),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsigned => "an unsigned integer",
            Self::Negative => "a negative integer",
            Self::Bytes => "a byte string",
            Self::Text => "a text string",
            Self::Array => "an array",
            Self::Map => "a map",
            Self::Tag => "a tag",
            Self::Bool => "a boolean",
            Self::Null => "null",
            Self::Undefined => "undefined",
            Self::Simple => "a simple value",
            Self::Float => "a float",
        })
    }
}

pub(super) const UNSIGNED: u8 = 0;
pub(super) const NEGATIVE: u8 = 1;
pub(super) const BYTES: u8 = 2;
pub(super) const TEXT: u8 = 3;
pub(super) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;
pub(super) const TAG: u8 = 6;

/// Takes a head from the start of `rest`: `value` becomes its argument.
#[cfg(target_pointer_width = "64")]
#[inline(always)]
pub(super) fn take_into(rest: &mut &[u8], value: &mut u64) -> Result<(), Flaw> {
    let (&initial, after) = rest.split_first().ok_or(Flaw::UnexpectedEnd)?;
    (*value, *rest) = argument(initial, after)?;
    Ok(())
}

/// Takes a head from the start of `rest`, and returns its argument.
#[inline(always)]
pub(super) fn take(rest: &mut &[u8]) -> Result<u64, Flaw> {
    let mut value = 0;
    take_into(rest, &mut value)?;
    Ok(value)
}

/// The argument of a head of major type 0 to 6 whose first byte is `initial`, and what follows it in `rest`.
#[cfg(target_pointer_width = "64")]
#[inline(always)]
pub(super) fn argument(initial: u8, rest: &[u8]) -> Result<(u64, &[u8]), Flaw> {
    let information = initial & 0x1f;
    if information < 24 { Ok((u64::from(information), rest)) } else { long_argument(initial, rest) }
}

#[cfg(target_pointer_width = "64")]
#[inline]
fn long_argument(initial: u8, rest: &[u8]) -> Result<(u64, &[u8]), Flaw> {
    let information = initial & 0x1f;
    if information > 27 {
        return Err(match initial >> 5 {
            BYTES..=MAP if information == 31 => Flaw::IndefiniteLength,
            _ => Flaw::ReservedInformation,
        });
    }
    wide_argument(1 << (information & 3), rest)
}

/// Reads 8 bytes whatever the width, and shifts out what is too much: a jump by width would be mispredicted.
#[cfg(target_pointer_width = "64")]
#[inline]
fn wide_argument(width: usize, rest: &[u8]) -> Result<(u64, &[u8]), Flaw> {
    let value = match rest.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes) >> (64 - 8 * width),
        None => argument_near_end(width, rest)?,
    };
    // 24, 2^8, 2^16 or 2^32: what does not fit the next shorter width.
    let least = if width == 1 { 24 } else { 1 << (4 * width) };
    match rest.get(width..) {
        Some(rest) if value >= least => Ok((value, rest)),
        Some(_) => Err(Flaw::LongArgument),
        None => Err(Flaw::UnexpectedEnd),
    }
}

#[cfg(target_pointer_width = "64")]
#[cold]
fn argument_near_end(width: usize, rest: &[u8]) -> Result<u64, Flaw> {
    let (bytes, _) = content(rest, width as u64)?;
    Ok(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// Takes a head from the start of `rest`, of whatever major type: `value` becomes its argument, or the bits of a float.
///
/// What it becomes where this fails is of no use. Octet by octet: small machines have no wide shifts.
#[cfg(not(target_pointer_width = "64"))]
#[inline(never)]
pub(super) fn take_into(rest: &mut &[u8], value: &mut u64) -> Result<(), Flaw> {
    let Some((&initial, after)) = rest.split_first() else {
        return Err(Flaw::UnexpectedEnd);
    };
    let information = initial & 0x1f;
    let major = initial >> 5;
    if information > 27 {
        return Err(match major {
            BYTES..=MAP if information == 31 => Flaw::IndefiniteLength,
            _ => Flaw::ReservedInformation,
        });
    }
    if information < 24 {
        *rest = after;
        *value = information.into();
        return Ok(());
    }
    let width = 1 << (information & 3);
    let Some((bytes, after)) = after.split_at_checked(width) else {
        return Err(Flaw::UnexpectedEnd);
    };
    let (mut high, mut low) = (0_u32, 0_u32);
    for &byte in bytes {
        high = high << 8 | low >> 24;
        low = low << 8 | u32::from(byte);
    }
    *value = u64::from(high) << 32 | u64::from(low);
    let flaw = if major > TAG {
        match information {
            24 if low < 32 => Flaw::InvalidSimple,
            26 if single_narrows(low) => Flaw::LongFloat,
            27 if double_narrows(*value) => Flaw::LongFloat,
            _ => {
                *rest = after;
                return Ok(());
            }
        }
    } else {
        // What does not fit the next shorter width.
        let is_short = match information {
            24 => low >= 24,
            25 => low >> 8 != 0,
            26 => low >> 16 != 0,
            _ => high != 0,
        };
        if is_short {
            *rest = after;
            return Ok(());
        }
        Flaw::LongArgument
    };
    Err(flaw)
}

/// Takes `len` bytes from the start of `rest`; a [saturated] length is beyond it.
#[cfg_attr(target_pointer_width = "64", inline(always))]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
pub(super) fn take_content<'b>(rest: &mut &'b [u8], len: usize) -> Result<&'b [u8], Flaw> {
    match rest.split_at_checked(len) {
        Some((bytes, after)) => {
            *rest = after;
            Ok(bytes)
        }
        None => Err(Flaw::UnexpectedEnd),
    }
}

/// How many items follow the head of an array or a map of `count` elements or pairs, where `available` bytes are left;
/// they are charged to `items`.
#[cfg_attr(target_pointer_width = "64", inline(always))]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
pub(super) fn claim(items: &mut u32, count: usize, major: u8, available: usize) -> Result<u32, Flaw> {
    // Every item takes at least a byte, so a larger claim is known to be false before it is followed.
    let each = major & 1;
    if count > available >> each {
        return Err(Flaw::UnexpectedEnd);
    }
    let claimed = count << each;
    match (*items as usize).checked_sub(claimed) {
        Some(left) => {
            *items = left as u32;
            Ok(claimed as u32)
        }
        None => Err(Flaw::TooManyItems),
    }
}

/// `value`, or what is larger than any length.
#[inline(always)]
pub(super) fn saturated(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The first `N` bytes of `rest`, and what follows them.
#[cfg_attr(target_pointer_width = "64", inline(always))]
pub(super) fn chunk<const N: usize>(rest: &[u8]) -> Result<([u8; N], &[u8]), Flaw> {
    match rest.split_first_chunk() {
        Some((bytes, rest)) => Ok((*bytes, rest)),
        None => Err(Flaw::UnexpectedEnd),
    }
}

/// The first `len` bytes of `rest`, and what follows them.
#[cfg_attr(target_pointer_width = "64", inline(always))]
pub(super) fn content(rest: &[u8], len: u64) -> Result<(&[u8], &[u8]), Flaw> {
    // A length beyond `usize` is also beyond `rest`, so the conversion can saturate.
    match rest.split_at_checked(usize::try_from(len).unwrap_or(usize::MAX)) {
        Some(split) => Ok(split),
        None => Err(Flaw::UnexpectedEnd),
    }
}
