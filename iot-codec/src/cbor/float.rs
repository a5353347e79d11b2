//! Conversions between float widths, on the bits alone.
//!
//! The hardware's conversions may quiet a signalling NaN, and a Cortex-M3 has none, so nothing here computes with
//! floats. A NaN narrows when the payload bits that would be cut are all zero, so widening gives back the same bits.

#[cfg(not(target_pointer_width = "64"))]
use super::head;
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

    /// Takes a float from the start of `rest`, whose first byte is `initial` (0xf9 to 0xfb), and refuses a longer form
    /// than it needs.
    #[cfg(target_pointer_width = "64")]
    #[inline]
    pub(super) fn take(initial: u8, rest: &mut &[u8]) -> Result<Self, Flaw> {
        let (float, after) = Self::read_short(initial, rest.get(1..).unwrap_or_default())?;
        *rest = after;
        Ok(float)
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline]
    pub(super) fn take(initial: u8, rest: &mut &[u8]) -> Result<Self, Flaw> {
        let bits = head::take(rest)?;
        Ok(match initial {
            0xf9 => Self::Half(bits as u16),
            0xfa => Self::Single(bits as u32),
            _ => Self::Double(bits),
        })
    }

    /// Reads the float whose first byte is `initial` (0xf9 to 0xfb), and refuses a longer form than it needs.
    #[cfg(target_pointer_width = "64")]
    #[inline]
    pub(super) fn read_short(initial: u8, rest: &[u8]) -> Result<(Self, &[u8]), Flaw> {
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
    if !double_narrows(bits) {
        return None;
    }
    let sign = ((bits >> 32) as u32) & 0x8000_0000;
    let mantissa = ((bits >> 29) & 0x7f_ffff) as u32;
    Some(
        sign | match (bits >> 52) as u32 & 0x7ff {
            0x7ff => 0x7f80_0000 | mantissa,
            0 => 0,
            exponent @ 897.. => (exponent - 896) << 23 | mantissa,
            exponent => (mantissa | 0x80_0000) >> (897 - exponent),
        },
    )
}

#[cfg_attr(target_pointer_width = "64", inline)]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
fn half_from_single(bits: u32) -> Option<u16> {
    if !single_narrows(bits) {
        return None;
    }
    let sign = (bits >> 16) & 0x8000;
    let magnitude = (bits >> 13) & 0x3_ffff;
    let half = match magnitude >> 10 {
        0xff => magnitude - (224 << 10),
        113.. => magnitude - (112 << 10),
        0 => 0,
        exponent => (magnitude & 0x3ff | 0x400) >> (113 - exponent),
    };
    Some((sign | half) as u16)
}

/// Whether a single gives the double back to the bit.
#[inline]
pub(super) fn double_narrows(bits: u64) -> bool {
    // Whatever the exponent, the mantissa loses at least these 29 bits.
    bits & 0x1fff_ffff == 0
        && narrows((bits >> 52) as u32 & 0x7ff, (bits >> 29) as u32 & 0x7f_ffff | 0x80_0000, 897, 1150)
}

/// Whether a half gives the single back to the bit.
#[inline]
pub(super) fn single_narrows(bits: u32) -> bool {
    // Whatever the exponent, the mantissa loses at least these 13 bits.
    bits & 0x1fff == 0 && narrows(bits >> 23 & 0xff, bits >> 13 & 0x3ff | 0x400, 113, 142)
}

/// Whether a float of this exponent and significand (with a leading one) keeps its bits where the exponents
/// of normal numbers go from `first` to `last`.
#[cfg_attr(target_pointer_width = "64", inline(always))]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
fn narrows(exponent: u32, significand: u32, first: u32, last: u32) -> bool {
    if (first..=last).contains(&exponent) {
        return true;
    }
    // Exponents are symmetric around that of one: this is the exponent of infinities and NaNs.
    if exponent > last {
        return exponent == first + last;
    }
    // A subnormal is shifted right, and may lose nothing but zeros; what would be shifted out has too few. Zero has the
    // exponent of the longer float's subnormals, and nothing but the leading one that those have not.
    first - exponent <= significand.trailing_zeros() || exponent == 0 && significand & (significand - 1) == 0
}

#[inline]
fn single_from_half(bits: u16) -> u32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff);
    let (shift, bias) = match magnitude >> 10 {
        0x1f => (0, 224),
        0 if magnitude == 0 => return sign,
        0 => {
            // The leading one moves out of the mantissa, and so adds one to the exponent.
            let shift = magnitude.leading_zeros() - 21;
            (shift, 112 - shift)
        }
        _ => (0, 112),
    };
    sign | ((magnitude << (13 + shift)) + (bias << 23))
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
