//! Numbers of the headers: short when they are small.

use super::bits::{BitReader, ReverseBitWriter};

/// How many low bits of a number stand in front of its length.
pub(super) const LOW_BITS: u32 = 12;

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Puts what a number has above its low bits: nothing more than a zero bit, or one, the width less one, and the bits.
pub(super) fn put_high(out: &mut ReverseBitWriter<'_>, number: u64) {
    let high = number >> LOW_BITS;
    if high == 0 {
        return out.put_short(0, 1);
    }
    let width = high.ilog2() + 1;
    out.put(high, width);
    out.put_short(u64::from(width - 1) << 1 | 1, 7);
}

pub(super) fn high_len(number: u64) -> u32 {
    match number >> LOW_BITS {
        0 => 1,
        high => 8 + high.ilog2(),
    }
}

/// Takes what [`put_high`] put, with zeros as the low bits.
pub(super) fn take_high(bits: &mut BitReader<'_>) -> u64 {
    if bits.take(1) == 0 {
        return 0;
    }
    let width = bits.take(6) as u32 + 1;
    bits.take(width) << LOW_BITS
}

/// Puts a whole number: its low bits, then what it has above them.
pub(super) fn put_number(out: &mut ReverseBitWriter<'_>, number: u64) {
    put_high(out, number);
    out.put_short(number & ((1 << LOW_BITS) - 1), LOW_BITS);
}

pub(super) fn number_len(number: u64) -> u32 {
    LOW_BITS + high_len(number)
}

pub(super) fn take_number(bits: &mut BitReader<'_>) -> u64 {
    let low = bits.take(LOW_BITS);
    take_high(bits) | low
}
