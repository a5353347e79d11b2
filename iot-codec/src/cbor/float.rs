//! Conversions between float widths, on the bits alone.
//!
//! The hardware's conversions may quiet a signalling NaN, and a Cortex-M3 has none, so nothing here computes with
//! floats. A NaN narrows when the payload bits that would be cut are all zero, so widening gives back the same bits.

use super::{error::Flaw, head::chunk};

/// A float in the shortest form that keeps its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortest {
    Half(u16),
    Single(u32),
    Double(u64),
}

impl Shortest {
    #[inline]
    pub(super) fn of_f64(value: f64) -> Self {
        match single_from_double(value.to_bits()) {
            Some(single) => Self::of_f32(f32::from_bits(single)),
            None => Self::Double(value.to_bits()),
        }
    }

    #[inline]
    pub(super) fn of_f32(value: f32) -> Self {
        match half_from_single(value.to_bits()) {
            Some(half) => Self::Half(half),
            None => Self::Single(value.to_bits()),
        }
    }

    /// Reads the float whose first byte is `initial` (0xf9 to 0xfb), and refuses a longer form than it needs.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn read(initial: u8, rest: &[u8]) -> Result<(Self, &[u8]), Flaw> {
        match initial {
            0xf9 => {
                let (bytes, rest) = chunk(rest)?;
                Ok((Self::Half(u16::from_be_bytes(bytes)), rest))
            }
            0xfa => {
                let (bytes, rest) = chunk(rest)?;
                let bits = u32::from_be_bytes(bytes);
                if half_from_single(bits).is_some() {
                    return Err(Flaw::LongFloat);
                }
                Ok((Self::Single(bits), rest))
            }
            _ => {
                let (bytes, rest) = chunk(rest)?;
                let bits = u64::from_be_bytes(bytes);
                if single_from_double(bits).is_some() {
                    return Err(Flaw::LongFloat);
                }
                Ok((Self::Double(bits), rest))
            }
        }
    }

    /// Reads the float whose first byte is `initial` (0xf9 to 0xfb), in whatever width.
    pub(super) fn read_long(initial: u8, rest: &[u8]) -> Result<(Self, &[u8]), Flaw> {
        match initial {
            0xf9 => chunk(rest).map(|(bytes, rest)| (Self::Half(u16::from_be_bytes(bytes)), rest)),
            0xfa => chunk(rest).map(|(bytes, rest)| (Self::Single(u32::from_be_bytes(bytes)), rest)),
            _ => chunk(rest).map(|(bytes, rest)| (Self::Double(u64::from_be_bytes(bytes)), rest)),
        }
    }

    #[inline]
    pub(super) fn to_f64(self) -> f64 {
        match self {
            Self::Half(bits) => f64::from_bits(double_from_single(single_from_half(bits))),
            Self::Single(bits) => f64::from_bits(double_from_single(bits)),
            Self::Double(bits) => f64::from_bits(bits),
        }
    }

    /// Nothing for a double: one that fits a single is not in its shortest form.
    #[inline]
    pub(super) fn to_f32(self) -> Option<f32> {
        match self {
            Self::Half(bits) => Some(f32::from_bits(single_from_half(bits))),
            Self::Single(bits) => Some(f32::from_bits(bits)),
            Self::Double(_) => None,
        }
    }
}

#[inline]
fn single_from_double(bits: u64) -> Option<u32> {
    // Whatever the exponent, the mantissa loses at least these 29 bits.
    if bits & 0x1fff_ffff != 0 {
        return None;
    }
    let sign = ((bits >> 32) as u32) & 0x8000_0000;
    let mantissa = ((bits >> 29) & 0x7f_ffff) as u32;
    match (bits >> 52) as u32 & 0x7ff {
        0x7ff => Some(sign | 0x7f80_0000 | mantissa),
        0 if mantissa == 0 => Some(sign),
        exponent @ 897..=1150 => Some(sign | (exponent - 896) << 23 | mantissa),
        exponent @ 874..=896 => subnormal(mantissa | 0x80_0000, 897 - exponent).map(|mantissa| sign | mantissa),
        _ => None,
    }
}

#[cfg_attr(target_pointer_width = "64", inline)]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
fn half_from_single(bits: u32) -> Option<u16> {
    if bits & 0x1fff != 0 {
        return None;
    }
    let sign = (bits >> 16) as u16 & 0x8000;
    let mantissa = (bits >> 13) & 0x3ff;
    match (bits >> 23) & 0xff {
        0xff => Some(sign | 0x7c00 | mantissa as u16),
        0 if mantissa == 0 => Some(sign),
        exponent @ 113..=142 => Some(sign | ((exponent - 112) << 10 | mantissa) as u16),
        exponent @ 103..=112 => subnormal(mantissa | 0x400, 113 - exponent).map(|mantissa| sign | mantissa as u16),
        _ => None,
    }
}

/// `significand` (with its leading one) shifted right, if that cuts only zeros.
fn subnormal(significand: u32, shift: u32) -> Option<u32> {
    (significand.trailing_zeros() >= shift).then_some(significand >> shift)
}

#[inline]
fn single_from_half(bits: u16) -> u32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let mantissa = u32::from(bits & 0x3ff);
    match u32::from(bits >> 10) & 0x1f {
        0x1f => sign | 0x7f80_0000 | mantissa << 13,
        0 if mantissa == 0 => sign,
        0 => {
            // The leading one moves out of the mantissa into the exponent.
            let shift = mantissa.leading_zeros() - 21;
            sign | (113 - shift) << 23 | (mantissa << shift & 0x3ff) << 13
        }
        exponent => sign | (exponent + 112) << 23 | mantissa << 13,
    }
}

#[inline]
fn double_from_single(bits: u32) -> u64 {
    let sign = u64::from(bits & 0x8000_0000) << 32;
    let mantissa = u64::from(bits & 0x7f_ffff);
    match u64::from(bits >> 23) & 0xff {
        0xff => sign | 0x7ff0_0000_0000_0000 | mantissa << 29,
        0 if mantissa == 0 => sign,
        0 => {
            let shift = u64::from(mantissa.leading_zeros() - 40);
            sign | (897 - shift) << 52 | (mantissa << shift & 0x7f_ffff) << 29
        }
        exponent => sign | (exponent + 896) << 52 | mantissa << 29,
    }
}

#[cfg(test)]
mod tests;
