//! One channel of a batch: which values are missing, which do not fit the scale, the kind, and the integers.

use super::{
    bits::{BitReader, ReverseBitWriter, gamma_len},
    encoder::Scratch,
    integers::{self, Plan, put_extension, tag},
    scale,
};

/// Up to this many decimals, a scale without exceptions is taken without another look.
const PLAIN_EXPONENT: u32 = 4;

/// What the values of a channel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Floats, `f64`.
    Float,
    /// Integers, `i64`.
    Integer,
}

/// How integers stand for values, as the wire tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Integer,
    /// Divided by ten to this power, they are floats.
    Decimal(u32),
    /// Shifted up by as many bits, they are the bits of floats, in the floats' order.
    Ordered(u32),
}

/// The usual meanings: integers, one decimal, two decimals. The code that is left says that a rare meaning follows.
const USUAL: [Meaning; 3] = [Meaning::Integer, Meaning::Decimal(1), Meaning::Decimal(2)];
const USUAL_BITS: u32 = 2;

const RARE_BITS: u32 = 3;
const RARE: [Meaning; 6] = [
    Meaning::Decimal(0),
    Meaning::Decimal(3),
    Meaning::Decimal(4),
    Meaning::Decimal(5),
    Meaning::Decimal(6),
    Meaning::Decimal(7),
];
/// The exponent follows, less the first that is not above.
const LONG_EXPONENT: u64 = 6;
const LEAST_LONG: u32 = 8;
const EXPONENT_BITS: u32 = 4;
/// The number of zeros follows.
const ORDERED: u64 = 7;
const ZEROS_BITS: u32 = 6;

impl Meaning {
    fn put(self, out: &mut ReverseBitWriter<'_>) {
        if let Some(code) = USUAL.iter().position(|usual| *usual == self) {
            return out.put_short(code as u64, USUAL_BITS);
        }
        match (RARE.iter().position(|rare| *rare == self), self) {
            (Some(code), _) => out.put_short(code as u64, RARE_BITS),
            (None, Self::Ordered(zeros)) => {
                out.put_short(zeros.into(), ZEROS_BITS);
                out.put_short(ORDERED, RARE_BITS);
            }
            (None, Self::Decimal(exponent)) => {
                out.put_short(u64::from(exponent - LEAST_LONG), EXPONENT_BITS);
                out.put_short(LONG_EXPONENT, RARE_BITS);
            }
            (None, Self::Integer) => {}
        }
        out.put_short(USUAL.len() as u64, USUAL_BITS);
    }

    pub(super) fn take(bits: &mut BitReader<'_>) -> Option<Self> {
        if let Some(usual) = USUAL.get(bits.take(USUAL_BITS) as usize) {
            return Some(*usual);
        }
        match bits.take(RARE_BITS) {
            ORDERED => Some(Self::Ordered(bits.take(ZEROS_BITS) as u32)),
            LONG_EXPONENT => {
                let exponent = LEAST_LONG + bits.take(EXPONENT_BITS) as u32;
                (exponent <= scale::MAX_EXPONENT).then_some(Self::Decimal(exponent))
            }
            code => RARE.get(code as usize).copied(),
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Integer => Kind::Integer,
            Self::Decimal(_) | Self::Ordered(_) => Kind::Float,
        }
    }
}

/// Puts a channel of integers, without what is missing.
pub(super) fn put_integers(out: &mut ReverseBitWriter<'_>, values: &[i64], residuals: &mut [u64], contexts: &mut [u8]) {
    if values.is_empty() {
        return Meaning::Integer.put(out);
    }
    let plan = integers::plan(values, residuals);
    put_planned(out, &plan, Meaning::Integer, values, residuals, contexts);
}

/// Puts a channel of floats, without what is missing.
pub(super) fn put_floats(out: &mut ReverseBitWriter<'_>, floats: &[f64], scratch: &mut Scratch<'_>) {
    if floats.is_empty() {
        return Meaning::Ordered(0).put(out);
    }
    let Scratch { integers, residuals, contexts } = scratch;
    let Some(integers) = integers.get_mut(..floats.len()) else { return };
    let tolerated = floats.len() / 8;
    if let Some(scale) = scale::decimals(floats, integers, tolerated) {
        let mut plan = integers::plan(integers, residuals);
        let plain = scale.exceptions == 0 && scale.exponent <= PLAIN_EXPONENT;
        if plain || plan.cost + exceptions_cost(floats, scale) <= ordered_cost(floats, integers, residuals) {
            if !plain {
                scale::decimals(floats, integers, tolerated);
                plan = integers::plan(integers, residuals);
            }
            put_planned(out, &plan, Meaning::Decimal(scale.exponent), integers, residuals, contexts);
            if scale.exceptions > 0 {
                put_exceptions(out, floats, scale);
            }
            return;
        }
    }
    let zeros = scale::trailing_zeros(floats);
    scale::ordered(floats, zeros, integers);
    let plan = integers::plan(integers, residuals);
    put_planned(out, &plan, Meaning::Ordered(zeros), integers, residuals, contexts);
}

fn put_planned(
    out: &mut ReverseBitWriter<'_>,
    plan: &Plan,
    meaning: Meaning,
    values: &[i64],
    residuals: &[u64],
    contexts: &mut [u8],
) {
    integers::put_body(out, plan, values, residuals, contexts);
    meaning.put(out);
    integers::put_prefix(out, plan);
}

/// What the floats take by the order of their bits; leaves their integers and residuals in the scratch.
fn ordered_cost(floats: &[f64], integers: &mut [i64], residuals: &mut [u64]) -> u64 {
    let zeros = scale::trailing_zeros(floats);
    scale::ordered(floats, zeros, integers);
    integers::plan(integers, residuals).cost + u64::from(ZEROS_BITS) * 256
}

/// Hands out, from the last to the first, each float that the scale does not give back, and how many others lie between
/// it and the one before it.
fn each_exception(floats: &[f64], scale: scale::Scale, mut hand_out: impl FnMut(u64, f64)) {
    let power = scale::power(scale.exponent);
    let (mut waiting, mut others) = (None, 0);
    for &float in floats.iter().rev() {
        if scale::integer_at(float, power).is_some() {
            others += 1;
            continue;
        }
        if let Some(exception) = waiting.replace(float) {
            hand_out(others, exception);
        }
        others = 0;
    }
    if let Some(exception) = waiting {
        hand_out(others, exception);
    }
}

fn exceptions_cost(floats: &[f64], scale: scale::Scale) -> u64 {
    if scale.exceptions == 0 {
        return 0;
    }
    let mut sum = u64::from(tag::len(tag::EXTENDED) + gamma_len(scale.exceptions as u64 - 1));
    each_exception(floats, scale, |others, _| sum += u64::from(gamma_len(others) + 64));
    sum * 256
}

fn put_exceptions(out: &mut ReverseBitWriter<'_>, floats: &[f64], scale: scale::Scale) {
    each_exception(floats, scale, |others, exception| {
        out.put(exception.to_bits(), 64);
        out.put_gamma(others);
    });
    out.put_gamma(scale.exceptions as u64 - 1);
    put_extension(out, tag::EXCEPTIONS);
}
