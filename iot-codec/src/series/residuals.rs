use super::{
    bits::{BitReader, ReverseBitWriter},
    integers::Cell,
    number::unzigzag,
    tables::{self, EXCESS_BITS, SCALE_BITS, TOP},
};

/// The state of the coder lies from 2¹² to below 2¹³. Its first value carries 12 bits of payload for free.
pub(super) const STATE_BITS: u32 = 12;

/// The expected magnitude is kept in 16ths.
const FRACTION_BITS: u32 = 4;

/// Magnitudes count as at most this, so that their 16ths can be added up.
const LARGEST: u64 = 1 << 58;

/// The largest exponent of the base scale.
pub(super) const MAX_BASE: u32 = 60;

/// Tells, before each residual, the distribution that it is coded with: half the batch's own base, half an average of
/// the magnitudes before it in which each counts twice as much as its predecessor.
#[derive(Clone, Copy)]
struct Scale {
    base: u64,
    recent: u64,
    /// Twice the scale.
    sum: u64,
}

/// A row of the tables, and how many low bits are kept out of it.
struct Context {
    row: usize,
    shift: u32,
}

impl Scale {
    #[inline(always)]
    fn new(base: u32) -> Self {
        Self { base: 1 << base, recent: 1 << base, sum: 2 << base }
    }

    #[inline(always)]
    fn context(self) -> Context {
        let level = (self.sum | 2).ilog2() - 1;
        let row = level.min(TOP as u32);
        Context { row: row as usize, shift: level - row }
    }

    #[inline(always)]
    fn observe(&mut self, residual: u64) {
        self.observe_small(residual.min(LARGEST));
    }

    /// Takes account of a residual up to [`LARGEST`].
    #[inline(always)]
    fn observe_small(&mut self, residual: u64) {
        // The sum waits for the residual as briefly as it can: it decides what is decoded next.
        self.sum = (2 * self.base + self.recent + (residual << FRACTION_BITS)) >> 1;
        self.recent = (self.recent + (residual << FRACTION_BITS)) >> 1;
    }
}

/// What [`encode`] takes with each of these many bases from `base` on, in 256ths of a bit.
#[inline(always)]
fn costs<const COUNT: usize>(residuals: &[u64], base: u32) -> [u64; COUNT] {
    let mut scale = Scale::new(base);
    let mut sums = [0; COUNT];
    for &residual in residuals {
        for (index, sum) in sums.iter_mut().enumerate() {
            let Context { row, shift } = Scale { sum: (scale.base << index) + scale.recent, ..scale }.context();
            *sum += u64::from(tables::cost(row, residual >> shift) + (shift << 8));
        }
        scale.observe(residual);
    }
    sums
}

/// What two neighbouring bases must differ by, in 256ths of a bit, for a look beyond the better one: costs are nearly
/// convex, so that a small difference tells that the least is close.
const WORTH_A_LOOK: u64 = 512;

/// The base with the least cost, or close to it, and that cost in 256ths of a bit.
pub(super) fn best_base(residuals: &[u64]) -> (u32, u64) {
    // Where the search begins is a matter of speed only: close to it for most series that were looked at.
    let guess = |residual: &u64| if *residual == 0 { 2 } else { 69 - residual.leading_zeros() };
    let mean = residuals.iter().map(guess).sum::<u32>() / (residuals.len() as u32).max(1);
    let mut base = mean.min(MAX_BASE - 1);
    let [lower, higher] = costs(residuals, base);
    let mut least = lower.min(higher);
    let mut gain = lower.abs_diff(higher);
    let up = higher < lower;
    base += u32::from(up);
    while gain > WORTH_A_LOOK {
        let next = if up { base + 1 } else { base.wrapping_sub(1) };
        if next > MAX_BASE {
            break;
        }
        let [cost] = costs(residuals, next);
        if cost >= least {
            break;
        }
        gain = least - cost;
        (base, least) = (next, cost);
    }
    (base, least)
}

/// Writes the residuals so that [`decode`] finds them, and `payload` (12 bits) as what remains.
///
/// `contexts` is scratch of at least as many elements.
pub(super) fn encode(out: &mut ReverseBitWriter<'_>, residuals: &[u64], base: u32, payload: u32, contexts: &mut [u8]) {
    let mut scale = Scale::new(base);
    for (&residual, context) in residuals.iter().zip(contexts.iter_mut()) {
        let Context { row, shift } = scale.context();
        *context = row as u8 + shift as u8;
        scale.observe(residual);
    }
    let mut state = 1 << STATE_BITS | payload;
    for (&residual, &level) in residuals.iter().zip(contexts.iter()).rev() {
        let row = usize::from(level).min(TOP);
        let shift = u32::from(level) - row as u32;
        let high = residual >> shift;
        let escape = tables::escape(row);
        let symbol = tables::symbol(row, high.min(escape));
        if high >= escape {
            put_excess(out, high - escape);
        }
        let count = u32::from(symbol.shift) - u32::from(state < symbol.threshold.into());
        let shed = u64::from(state & ((1 << count) - 1));
        let low = residual & ((1 << shift) - 1);
        if shift + count <= 32 {
            out.put_short(shed << shift | low, shift + count);
        } else {
            out.put_short(shed, count);
            out.put(low, shift);
        }
        // What is kept, divided by the frequency; the product does not wait for the count.
        let quotient = ((u64::from(state) * u64::from(symbol.reciprocal)) >> (31 + count)) as u32;
        state = (state >> count) + u32::from(symbol.start) + quotient * u32::from(symbol.others);
    }
    out.put_short(u64::from(state) & ((1 << STATE_BITS) - 1), STATE_BITS);
}

/// Reads one residual for each element of `residuals`, which take their signed forms, and returns the payload.
///
/// `None` if an escape has no end. It never reads more than the count, whatever the bits are.
#[inline(never)]
pub(super) fn decode<T: Cell>(bits: &mut BitReader<'_>, base: u32, residuals: &mut [T]) -> Option<u32> {
    let mut reader = *bits;
    let mut state = 1 << STATE_BITS | reader.take(STATE_BITS) as u32;
    let mut scale = Scale::new(base);
    for element in residuals {
        let Context { row, shift } = scale.context();
        if reader.available() < 40 {
            reader.refill();
        }
        let slot = tables::slot(row, state);
        let low = if shift < 32 { reader.take_buffered(shift) } else { reader.take_wide(shift) };
        let kept = slot.frequency() * (state >> SCALE_BITS) + slot.offset();
        let count = STATE_BITS.wrapping_sub((kept | 1).ilog2());
        state = kept << count | reader.take_buffered(count) as u32;
        let mut residual = slot.symbol() << shift | low;
        if slot.escapes() || shift >= 32 {
            if slot.escapes() {
                residual = residual.wrapping_add(take_excess(&mut reader)? << shift);
            }
            scale.observe(residual);
        } else {
            scale.observe_small(residual);
        }
        *element = T::from_integer(unzigzag(residual));
    }
    *bits = reader;
    Some(state & ((1 << STATE_BITS) - 1))
}

/// What exceeds the escape: its lowest bits, then the rest as a gamma code.
fn put_excess(out: &mut ReverseBitWriter<'_>, excess: u64) {
    out.put_gamma(excess >> EXCESS_BITS);
    out.put_short(excess & ((1 << EXCESS_BITS) - 1), EXCESS_BITS);
}

#[cold]
fn take_excess(bits: &mut BitReader<'_>) -> Option<u64> {
    let lowest = bits.take(EXCESS_BITS);
    Some(bits.take_gamma()? << EXCESS_BITS | lowest)
}
