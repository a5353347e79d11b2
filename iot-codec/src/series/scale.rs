//! Floats as integers: by a decimal scale where every value comes back to the bit, and by the order of their bits.

/// The largest decimal exponent: its power of ten is still an exact float.
pub(super) const MAX_EXPONENT: u32 = 20;

/// Scaled values stay below this magnitude, where the rounding below is exact.
const LARGEST: f64 = (1u64 << 51) as f64;

/// Added to a float below [`LARGEST`] in magnitude, it leaves the nearest integer in the low bits.
const ROUNDER: f64 = (3u64 << 51) as f64;

const POWERS: [f64; MAX_EXPONENT as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
];

/// 10 to the power of a number that came over the wire or not.
pub(super) fn power(exponent: u32) -> f64 {
    POWERS.get(exponent as usize).copied().unwrap_or(1.0)
}

/// The result of the search for a decimal scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) exponent: u32,
    /// How many values have no integer at this scale.
    pub(super) exceptions: usize,
}

/// Fills `integers` at the least scale at which all floats come back to the bit, except for those that do at none:
/// they repeat their predecessor's integer.
///
/// `None` if more than `tolerated` floats have no scale at all.
pub(super) fn decimals(floats: &[f64], integers: &mut [i64], tolerated: usize) -> Option<Scale> {
    let mut exponent = 0;
    'scale: loop {
        let mut exceptions = 0;
        let mut done = 0;
        while let Some(rest) = floats.get(done..).filter(|rest| !rest.is_empty()) {
            done += scale_while_exact(rest, integers.get_mut(done..)?, power(exponent));
            let Some(&float) = floats.get(done) else { break };
            if let Some(finer) = (exponent + 1..=MAX_EXPONENT).find(|&finer| integer_at(float, power(finer)).is_some())
            {
                exponent = finer;
                continue 'scale;
            }
            exceptions += 1;
            if exceptions > tolerated {
                return None;
            }
            let before = done.checked_sub(1).and_then(|before| integers.get(before)).copied();
            *integers.get_mut(done)? = before.unwrap_or(0);
            done += 1;
        }
        if exceptions > 0 {
            begin_with_an_integer(floats, integers, power(exponent));
        }
        return Some(Scale { exponent, exceptions });
    }
}

/// Gives exceptions without a predecessor the integer of the first float that has one.
fn begin_with_an_integer(floats: &[f64], integers: &mut [i64], power: f64) {
    let lacking = floats.iter().take_while(|float| integer_at(**float, power).is_none()).count();
    let first = integers.get(lacking).copied();
    if let (Some(first), Some(lacking)) = (first, integers.get_mut(..lacking)) {
        lacking.fill(first);
    }
}

/// The integer that gives the float back to the bit when divided by the power.
#[inline(always)]
pub(super) fn integer_at(float: f64, power: f64) -> Option<i64> {
    let (integer, exact) = nearest(float, power);
    exact.then_some(integer)
}

#[inline(always)]
fn nearest(float: f64, power: f64) -> (i64, bool) {
    let shifted = float * power + ROUNDER;
    let rounded = shifted - ROUNDER;
    let integer = (shifted.to_bits() as i64).wrapping_sub(ROUNDER.to_bits() as i64);
    let exact = (rounded / power).to_bits() == float.to_bits() && rounded.abs() < LARGEST;
    (integer, exact)
}

/// Returns how many floats from the front have an integer, all in `integers`.
#[inline(always)]
fn scale_while_exact(floats: &[f64], integers: &mut [i64], power: f64) -> usize {
    const BLOCK: usize = 8;
    let mut done = 0;
    for (floats, integers) in floats.chunks(BLOCK).zip(integers.chunks_mut(BLOCK)) {
        let mut all = true;
        for (float, integer) in floats.iter().zip(integers.iter_mut()) {
            let (nearest, exact) = nearest(*float, power);
            *integer = nearest;
            all &= exact;
        }
        if !all {
            return done + floats.iter().take_while(|float| nearest(**float, power).1).count();
        }
        done += floats.len();
    }
    done
}

/// How many low bits are zero in all floats.
pub(super) fn trailing_zeros(floats: &[f64]) -> u32 {
    floats.iter().fold(1 << 63, |bits, float| bits | float.to_bits()).trailing_zeros()
}

/// Fills `integers` so that they are in the order of the floats: the magnitude's bits without the low zeros,
/// complemented for a negative sign.
pub(super) fn ordered(floats: &[f64], zeros: u32, integers: &mut [i64]) {
    for (float, integer) in floats.iter().zip(integers) {
        let magnitude = (float.to_bits() << 1 >> 1) >> zeros;
        *integer = magnitude as i64 ^ -i64::from(float.is_sign_negative());
    }
}

/// The float that [`ordered`] made an integer of.
#[inline(always)]
pub(super) fn from_ordered(integer: i64, zeros: u32) -> f64 {
    let sign = integer >> 63;
    let magnitude = ((integer ^ sign) as u64) << zeros;
    f64::from_bits(magnitude << 1 >> 1 | (sign as u64) << 63)
}
