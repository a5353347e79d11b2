use super::{
    Cursor, DecodeError, Limits,
    coding::read_whole,
    error::Flaw,
    head::{self, claim, take_content},
};
#[cfg(target_pointer_width = "64")]
use super::{
    float::Shortest,
    head::{argument, chunk},
};

/// Checks that `input` is exactly one well-formed, deterministic item (RFC 8949 §4.2.1) within `limits`.
///
/// It refuses whatever [`Writer`](super::Writer) and a sorted map would not produce: longer heads or floats than
/// needed, indefinite lengths, keys that are unsorted or repeated, text that is not UTF-8, bytes behind the item. It
/// loops instead of recursing: on a Cortex-M3 it needs less than 512 bytes of stack in all, of which 228 are a fixed
/// array for [`Limits::MAX_DEPTH`] levels, whatever the input. It allocates nothing, and its time is linear in the input,
/// except that long equal prefixes of neighbouring keys are read twice.
///
/// # Errors
/// The first fault found, reading from the start.
pub fn validate(input: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    read_whole(input, limits, Cursor::pass)
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
/// What the array of open containers holds at first: a pattern is stored faster, zeros take less code.
const UNUSED: Frame =
    if cfg!(target_pointer_width = "64") { SEQUENCE } else { Frame { remaining: 0, key: 0, previous: 0 } };
const SEQUENCE: Frame = Frame { remaining: 1, key: 0, previous: NOT_A_MAP };

/// Validates the first item of `bytes`, at most `depth` deep, and returns its length; what its containers hold is charged
/// to `items`, which a fault leaves as they are.
#[cfg_attr(target_pointer_width = "64", inline(never))]
pub(super) fn walk(bytes: &[u8], depth: u32, items: &mut u32) -> Result<usize, Fault> {
    // Offsets are kept in 32 bits, below the two markers; where pointers are shorter than 64 bits, all are.
    let input =
        if cfg!(target_pointer_width = "64") { bytes.get(..FIRST_KEY as usize).unwrap_or(bytes) } else { bytes };
    let mut left = *items;
    // The outermost container needs no place for what is around it, which ends with it.
    let mut stack = [UNUSED; Limits::MAX_DEPTH - 1];
    let mut level = 0_usize;
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
                    let previous = input.get(top.previous as usize..).unwrap_or_default();
                    let key = input.get(top.key as usize..).unwrap_or_default();
                    ascends(previous, key, offset - top.key as usize)
                        .map_err(|flaw| Fault { flaw, offset: top.key as usize })?;
                }
                top.previous = top.key;
            }
        }
        top.remaining -= 1;
        let Some((&initial, after)) = rest.split_first() else {
            return Err(fault(Flaw::UnexpectedEnd));
        };
        let major = initial >> 5;
        if cfg!(target_pointer_width = "64") && major > head::TAG {
            rest = simple_or_float(initial, after).map_err(fault)?;
        } else {
            let is_container = (head::ARRAY..=head::TAG).contains(&major);
            if is_container && level >= depth as usize {
                return Err(fault(Flaw::TooDeep));
            }
            let value = take_argument(initial, after, &mut rest).map_err(fault)?;
            if major == head::BYTES || major == head::TEXT {
                let bytes = take_content(&mut rest, value).map_err(fault)?;
                if major == head::TEXT && !is_utf8(bytes) {
                    return Err(fault(Flaw::InvalidUtf8));
                }
            } else if is_container {
                let frame = open(major, value, rest.len(), &mut left).map_err(fault)?;
                match stack.get_mut(level.wrapping_sub(1)) {
                    Some(slot) => *slot = top,
                    None if level == 0 => {}
                    None => return Err(fault(Flaw::TooDeep)),
                }
                level += 1;
                top = frame;
            }
        }
        while top.remaining == 0 {
            if level <= 1 {
                *items = left;
                return Ok(input.len() - rest.len());
            }
            level -= 1;
            top = stack.get(level - 1).copied().unwrap_or(SEQUENCE);
        }
    }
}

/// Takes the head of which `initial` is the first byte, and `after` what follows it, from the start of `rest`.
#[cfg(target_pointer_width = "64")]
#[inline(always)]
fn take_argument<'b>(initial: u8, after: &'b [u8], rest: &mut &'b [u8]) -> Result<usize, Flaw> {
    let (value, after) = argument(initial, after)?;
    *rest = after;
    Ok(value as usize)
}

/// Takes a head from the start of `rest`, of whatever major type.
#[cfg(not(target_pointer_width = "64"))]
#[inline(always)]
fn take_argument(_: u8, _: &[u8], rest: &mut &[u8]) -> Result<usize, Flaw> {
    head::take(rest).map(head::saturated)
}

/// The frame of an array, map or tag whose head has the argument `value`, with `available` bytes behind it.
#[cfg_attr(target_pointer_width = "64", inline(always))]
fn open(major: u8, value: usize, available: usize, items: &mut u32) -> Result<Frame, Flaw> {
    // A missing content of a tag is reported where it should begin.
    let (count, available) = if major == head::TAG { (1, usize::MAX) } else { (value, available) };
    let remaining = claim(items, count, major, available)?;
    let previous = if major == head::MAP { FIRST_KEY } else { NOT_A_MAP };
    Ok(Frame { remaining, key: 0, previous })
}

/// Checks that the key of this length with which `key` begins sorts behind the key with which `previous` begins.
///
/// Both are well-formed, and no well-formed item is a prefix of another, so the bytes differ inside both keys or not
/// at all: where the previous key ends need not be known.
#[inline]
fn ascends(previous: &[u8], key: &[u8], len: usize) -> Result<(), Flaw> {
    if cfg!(target_pointer_width = "64") {
        if let (Some(first), Some(second)) = (previous.first_chunk::<8>(), key.first_chunk::<8>()) {
            let (first, second) = (u64::from_be_bytes(*first), u64::from_be_bytes(*second));
            let same_bytes = (first ^ second).leading_zeros() as usize / 8;
            if first < second && same_bytes < len {
                return Ok(());
            }
        }
    }
    ascends_slowly(previous, key, len)
}

/// As [`ascends`], in little code.
#[inline(never)]
pub(crate) fn ascends_slowly(previous: &[u8], key: &[u8], len: usize) -> Result<(), Flaw> {
    for index in 0..len {
        let (Some(before), Some(here)) = (previous.get(index), key.get(index)) else { break };
        if before != here {
            return if before < here { Ok(()) } else { Err(Flaw::UnsortedKeys) };
        }
    }
    Err(Flaw::DuplicateKey)
}

/// Checks the item of major type 7 at the start of `rest`, whose first byte is `initial`, and returns what follows it.
#[cfg(target_pointer_width = "64")]
#[inline]
fn simple_or_float(initial: u8, after: &[u8]) -> Result<&[u8], Flaw> {
    match initial & 0x1f {
        0..24 => Ok(after),
        24 => match chunk(after)? {
            ([0..32], _) => Err(Flaw::InvalidSimple),
            (_, rest) => Ok(rest),
        },
        25..28 => Shortest::read_short(initial, after).map(|(_, rest)| rest),
        _ => Err(Flaw::ReservedInformation),
    }
}

#[cfg(not(target_pointer_width = "64"))]
fn simple_or_float(_: u8, rest: &[u8]) -> Result<&[u8], Flaw> {
    Ok(rest)
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
        // What fewer bytes can say is below 0x80, 0x800 or 0x1_0000, and refused; a byte that continues nothing too,
        // because it says less than any.
        if len > 4 || point < 1 << (5 * len - 4).max(7) || char::from_u32(point).is_none() {
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
