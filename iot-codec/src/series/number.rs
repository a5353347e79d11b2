//! Numbers of the headers: short when they are small.

use super::bits::{BitReader, ReverseBitWriter, gamma_len};

/// How many low bits of a number stand in front of its length.
pub(super) const LOW_BITS: u32 = 12;

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Puts what a number has above its low bits as the Elias delta code of it plus one.
pub(super) fn put_high(out: &mut ReverseBitWriter<'_>, number: u64) {
    let high = (number >> LOW_BITS) + 1;
    let width = high.ilog2();
    out.put(high & ((1 << width) - 1), width);
    out.put_gamma(width.into());
}

pub(super) fn high_len(number: u64) -> u32 {
    let width = ((number >> LOW_BITS) + 1).ilog2();
    width + gamma_len(width.into())
}

/// Takes what [`put_high`] put, with zeros as the low bits; `None` if it exceeds 64 bits.
pub(super) fn take_high(bits: &mut BitReader<'_>) -> Option<u64> {
    let width = bits.take_gamma()?;
    if width > u64::from(64 - LOW_BITS) {
        return None;
    }
    let high = (1 << width | bits.take(width as u32)) - 1;
    (high >> (64 - LOW_BITS) == 0).then_some(high << LOW_BITS)
}

/// Puts a whole number: its low bits, then what it has above them.
pub(super) fn put_number(out: &mut ReverseBitWriter<'_>, number: u64) {
    put_high(out, number);
    out.put_short(number & ((1 << LOW_BITS) - 1), LOW_BITS);
}

pub(super) fn number_len(number: u64) -> u32 {
    LOW_BITS + high_len(number)
}

pub(super) fn take_number(bits: &mut BitReader<'_>) -> Option<u64> {
    let low = bits.take(LOW_BITS);
    Some(take_high(bits)? | low)
}
