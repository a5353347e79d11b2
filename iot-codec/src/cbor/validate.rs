use super::{
    DecodeError, Limits,
    error::Flaw,
    float::Shortest,
    head::{self, argument, chunk, content},
};

/// Checks that `input` is exactly one well-formed, deterministic item (RFC 8949 §4.2.1) within `limits`.
///
/// It refuses whatever [`Writer`](super::Writer) and a sorted map would not produce: longer heads or floats than
/// needed, indefinite lengths, keys that are unsorted or repeated, text that is not UTF-8, bytes behind the item. It
/// loops instead of recursing: on a Cortex-M it needs less than 512 bytes of stack in all, of which 240 are a fixed array
/// of [`Limits::MAX_DEPTH`] levels, whatever the input. It allocates nothing, and its time is linear in the input, except that long equal
/// prefixes of neighbouring keys are read twice.
///
/// # Errors
/// The first fault found, reading from the start.
pub fn validate(input: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    if input.len() > limits.bytes as usize {
        return Err(DecodeError::of(Flaw::TooManyBytes, limits.bytes as usize));
    }
    let mut items = limits.items;
    match walk(input, limits.depth.into(), &mut items) {
        Ok(end) if end == input.len() => Ok(()),
        Ok(end) => Err(DecodeError::of(Flaw::TrailingBytes, end)),
        Err(fault) => Err(DecodeError::of(fault.flaw, fault.offset)),
    }
}

/// What is wrong with the item at `offset` of the bytes that were walked.
pub(super) struct Fault {
    pub(super) flaw: Flaw,
    pub(super) offset: usize,
}

/// An open container.
#[derive(Clone, Copy)]
struct Frame {
    /// Items still to come; for a map even before a key and odd before a value.
    remaining: u32,
    /// Where the latest key begins.
    key: u32,
    /// Where the key before it begins, [`FIRST_KEY`], or [`NOT_A_MAP`].
    previous: u32,
}

const NOT_A_MAP: u32 = u32::MAX;
const FIRST_KEY: u32 = u32::MAX - 1;
const SEQUENCE: Frame = Frame { remaining: 1, key: 0, previous: NOT_A_MAP };

/// Validates the first item of `input`, at most `depth` deep, charges `items` for what containers hold, and returns
/// where the item ends.
pub(super) fn walk(input: &[u8], depth: u32, items: &mut u32) -> Result<usize, Fault> {
    // Offsets are kept in 32 bits, below the two markers.
    let input = input.get(..FIRST_KEY as usize).unwrap_or(input);
    let mut stack = [SEQUENCE; Limits::MAX_DEPTH];
    let mut level = 0;
    let mut top = SEQUENCE;
    let mut rest = input;
    loop {
        let offset = input.len() - rest.len();
        let fault = |flaw| Fault { flaw, offset };
        if top.previous != NOT_A_MAP {
            if top.remaining & 1 == 0 {
                top.key = offset as u32;
            } else {
                if top.previous != FIRST_KEY {
                    ascends(input, top.previous as usize, top.key as usize..offset)?;
                }
                top.previous = top.key;
            }
        }
        top.remaining -= 1;
        let Some((&initial, after)) = rest.split_first() else {
            return Err(fault(Flaw::UnexpectedEnd));
        };
        let major = initial >> 5;
        if major > head::TAG {
            rest = simple_or_float(initial, after).map_err(fault)?;
        } else {
            if major >= head::ARRAY && level >= depth as usize {
                return Err(fault(Flaw::TooDeep));
            }
            let (value, after) = argument(initial, after).map_err(fault)?;
            rest = after;
            if major == head::BYTES || major == head::TEXT {
                let (bytes, after) = content(rest, value).map_err(fault)?;
                rest = after;
                if major == head::TEXT && !is_utf8(bytes) {
                    return Err(fault(Flaw::InvalidUtf8));
                }
            } else if major >= head::ARRAY {
                let frame = open(major, value, rest.len(), items).map_err(fault)?;
                let Some(slot) = stack.get_mut(level) else {
                    return Err(fault(Flaw::TooDeep));
                };
                *slot = top;
                level += 1;
                top = frame;
            }
        }
        while top.remaining == 0 {
            if level == 0 {
                return Ok(input.len() - rest.len());
            }
            level -= 1;
            top = stack.get(level).copied().unwrap_or(SEQUENCE);
        }
    }
}

/// The frame of an array, map or tag whose head has the argument `value`, with `available` bytes behind it.
#[cfg_attr(target_pointer_width = "64", inline(always))]
fn open(major: u8, value: u64, available: usize, items: &mut u32) -> Result<Frame, Flaw> {
    let (claim, previous) = match major {
        head::ARRAY => (Some(value), NOT_A_MAP),
        head::MAP => (value.checked_mul(2), FIRST_KEY),
        // A missing content is reported where it should begin.
        _ => (Some(0), NOT_A_MAP),
    };
    // Every item takes at least a byte, so a larger claim is known to be false before it is followed.
    let Some(claim) = claim.filter(|&claim| claim <= available as u64) else {
        return Err(Flaw::UnexpectedEnd);
    };
    let remaining = if major == head::TAG { 1 } else { claim as u32 };
    *items = items.checked_sub(remaining).ok_or(Flaw::TooManyItems)?;
    Ok(Frame { remaining, key: 0, previous })
}

/// Checks that the key at `range` sorts behind the key that begins at `previous`.
///
/// Both are well-formed, and no well-formed item is a prefix of another, so the bytes differ inside both keys or not
/// at all: where the previous key ends need not be known.
#[cfg(target_pointer_width = "64")]
#[inline]
fn ascends(input: &[u8], previous: usize, range: core::ops::Range<usize>) -> Result<(), Fault> {
    let first = input.get(previous..).and_then(<[u8]>::first_chunk::<8>);
    let second = input.get(range.start..).and_then(<[u8]>::first_chunk::<8>);
    if let (Some(first), Some(second)) = (first, second) {
        let (first, second) = (u64::from_be_bytes(*first), u64::from_be_bytes(*second));
        let same_bytes = (first ^ second).leading_zeros() as usize / 8;
        if first < second && same_bytes < range.len() {
            return Ok(());
        }
    }
    ascends_slowly(input, previous, range)
}

#[cfg(not(target_pointer_width = "64"))]
use ascends_slowly as ascends;

#[inline(never)]
fn ascends_slowly(input: &[u8], previous: usize, range: core::ops::Range<usize>) -> Result<(), Fault> {
    let offset = range.start;
    let key = input.get(range).unwrap_or_default();
    let previous = input.get(previous..).unwrap_or_default();
    match previous.iter().zip(key).find(|(before, here)| before != here) {
        Some((before, here)) if before < here => Ok(()),
        Some(_) => Err(Fault { flaw: Flaw::UnsortedKeys, offset }),
        None => Err(Fault { flaw: Flaw::DuplicateKey, offset }),
    }
}

/// Checks the item of major type 7 whose first byte is `initial`, and returns what follows it in `rest`.
#[inline]
pub(super) fn simple_or_float(initial: u8, rest: &[u8]) -> Result<&[u8], Flaw> {
    match initial & 0x1f {
        0..24 => Ok(rest),
        24 => match chunk(rest)? {
            ([0..32], _) => Err(Flaw::InvalidSimple),
            (_, rest) => Ok(rest),
        },
        25..28 => Shortest::read(initial, rest).map(|(_, rest)| rest),
        _ => Err(Flaw::ReservedInformation),
    }
}

/// As `str::from_utf8`, faster for the short ASCII strings that most are.
#[cfg(target_pointer_width = "64")]
#[inline]
fn is_utf8(bytes: &[u8]) -> bool {
    is_ascii(bytes) || core::str::from_utf8(bytes).is_ok()
}

/// As `str::from_utf8` in a fifth of its code and without its table.
#[cfg(any(test, not(target_pointer_width = "64")))]
fn is_utf8_in_little_code(mut bytes: &[u8]) -> bool {
    while let Some((&first, rest)) = bytes.split_first() {
        bytes = rest;
        let len = first.leading_ones();
        if len == 0 {
            continue;
        }
        let mut point = u32::from(first) & (0x7f >> len);
        for _ in 1..len {
            let Some((&next @ 0x80..0xc0, rest)) = bytes.split_first() else {
                return false;
            };
            point = point << 6 | u32::from(next & 0x3f);
            bytes = rest;
        }
        // What fewer bytes can say is refused, a byte that continues nothing too: it says less than any.
        let least = match len {
            2 => 0x80,
            3 => 0x800,
            4 => 0x1_0000,
            _ => return false,
        };
        if point < least || char::from_u32(point).is_none() {
            return false;
        }
    }
    true
}

#[cfg(not(target_pointer_width = "64"))]
use is_utf8_in_little_code as is_utf8;

/// Whole words, of which the last two may overlap, in place of a loop over the bytes that are left.
#[cfg(target_pointer_width = "64")]
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk() {
        let mut high = u64::from_ne_bytes(*last);
        let mut rest = bytes;
        while let Some((chunk, after)) = rest.split_first_chunk() {
            high |= u64::from_ne_bytes(*chunk);
            rest = after;
        }
        high & 0x8080_8080_8080_8080 == 0
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        (u32::from_ne_bytes(*first) | u32::from_ne_bytes(*last)) & 0x8080_8080 == 0
    } else {
        bytes.iter().all(u8::is_ascii)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes at which the rules of RFC 3629 §4 change, and their neighbours.
    const BYTES: [u8; 28] = [
        0x00, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
        0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xfe, 0xff,
    ];

    #[test]
    fn utf8_in_little_code_is_that_of_the_standard_library() {
        let mut sound = 0;
        for a in BYTES {
            for b in BYTES {
                for c in BYTES {
                    for d in BYTES {
                        let bytes = [a, b, c, d];
                        for len in 0..=bytes.len() {
                            let expected = core::str::from_utf8(&bytes[..len]).is_ok();
                            assert_eq!(is_utf8_in_little_code(&bytes[..len]), expected, "{:02x?}", &bytes[..len]);
                            sound += u32::from(expected);
                        }
                    }
                }
            }
        }
        assert!(sound > 1_000);
    }
}
