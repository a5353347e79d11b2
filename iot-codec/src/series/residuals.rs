use super::{
    bits::{BitReader, ReverseBitWriter, gamma_len},
    tables::{ESCAPES, SCALE_BITS, SLOTS, SYMBOLS, TOP},
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
}

/// A row of the tables, and how many low bits are kept out of it.
struct Context {
    row: usize,
    shift: u32,
}

impl Scale {
    #[inline(always)]
    fn new(base: u32) -> Self {
        Self { base: 1 << base, recent: 0 }
    }

    #[inline(always)]
    fn context(self) -> Context {
        let level = 63 - (((self.base + self.recent) >> 1) | 1).leading_zeros();
        let row = level.min(TOP as u32);
        Context { row: row as usize, shift: level - row }
    }

    #[inline(always)]
    fn observe(&mut self, residual: u64) {
        self.recent = (self.recent + (residual.min(LARGEST) << FRACTION_BITS)) >> 1;
    }
}

/// What [`encode`] takes with this base, in 256ths of a bit.
pub(super) fn cost(residuals: &[u64], base: u32) -> u64 {
    let mut scale = Scale::new(base);
    let mut sum = 0;
    for &residual in residuals {
        let Context { row, shift } = scale.context();
        let high = residual >> shift;
        let escape = u64::from(ESCAPES[row & 7]);
        sum += u64::from(SYMBOLS[row & 7][(high.min(escape) & 15) as usize].cost + (shift << 8));
        if high >= escape {
            sum += u64::from(escape_len(high - escape) << 8);
        }
        scale.observe(residual);
    }
    sum
}

/// The base with the least cost, and that cost in 256ths of a bit.
pub(super) fn best_base(residuals: &[u64]) -> (u32, u64) {
    let bits: u32 = residuals.iter().map(|residual| 64 - residual.leading_zeros()).sum();
    let mean = (2 * bits + residuals.len() as u32) / (2 * residuals.len() as u32).max(1);
    let mut base = (mean + 3).min(MAX_BASE);
    let mut least = cost(residuals, base);
    let below = base.checked_sub(1).map_or(u64::MAX, |lower| cost(residuals, lower));
    if below < least {
        (base, least) = (base - 1, below);
        while let Some(lower) = base.checked_sub(1) {
            let next = cost(residuals, lower);
            if next >= least {
                break;
            }
            (base, least) = (lower, next);
        }
    } else {
        while base < MAX_BASE {
            let next = cost(residuals, base + 1);
            if next >= least {
                break;
            }
            (base, least) = (base + 1, next);
        }
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
        let escape = u64::from(ESCAPES[row & 7]);
        let symbol = &SYMBOLS[row & 7][(high.min(escape) & 15) as usize];
        if high >= escape {
            put_escape(out, high - escape);
        }
        let count = symbol.shift - u32::from(state < symbol.threshold);
        let shed = u64::from(state & ((1 << count) - 1));
        let low = residual & ((1 << shift) - 1);
        if shift + count <= 32 {
            out.put_short(low << count | shed, shift + count);
        } else {
            out.put(low, shift);
            out.put_short(shed, count);
        }
        let kept = state >> count;
        let quotient = ((u64::from(kept) * symbol.reciprocal) >> 32) as u32;
        state = (quotient << SCALE_BITS) + (kept - quotient * symbol.frequency) + symbol.start;
    }
    out.put_short(u64::from(state) & ((1 << STATE_BITS) - 1), STATE_BITS);
}

/// Reads one residual for each element of `residuals`, hands it to the element's `set`, and returns the payload.
///
/// `None` if an escape has no end. It never reads more than the count, whatever the bits are.
#[inline(always)]
pub(super) fn decode<T>(
    bits: &mut BitReader<'_>,
    base: u32,
    residuals: &mut [T],
    set: impl Fn(u64) -> T,
) -> Option<u32> {
    let mut bits_here = *bits;
    let mut state = 1 << STATE_BITS | bits_here.take(STATE_BITS) as u32;
    let mut scale = Scale::new(base);
    for element in residuals {
        let Context { row, shift } = scale.context();
        if bits_here.available() < 40 {
            bits_here.refill();
        }
        let slot = SLOTS[row & 7][(state & ((1 << SCALE_BITS) - 1)) as usize];
        let kept = slot.frequency() * (state >> SCALE_BITS) + u32::from(slot.offset);
        let count = kept.leading_zeros().saturating_sub(31 - STATE_BITS);
        state = kept << count | bits_here.take_buffered(count) as u32;
        let mut residual = u64::from(slot.symbol);
        if shift > 0 || slot.symbol == ESCAPES[row & 7] {
            let low = if shift <= 32 { bits_here.take_buffered(shift) } else { bits_here.take(shift) };
            if slot.symbol == ESCAPES[row & 7] {
                residual = take_escape(&mut bits_here)?.wrapping_add(residual);
            }
            residual = residual << shift | low;
        }
        scale.observe(residual);
        *element = set(residual);
    }
    *bits = bits_here;
    Some(state & ((1 << STATE_BITS) - 1))
}

/// What exceeds the last symbol of a row: its lowest bit, then the rest as a gamma code.
fn put_escape(out: &mut ReverseBitWriter<'_>, excess: u64) {
    out.put_gamma(excess >> 1);
    out.put_short(excess & 1, 1);
}

#[cold]
fn take_escape(bits: &mut BitReader<'_>) -> Option<u64> {
    let lowest = bits.take(1);
    Some(bits.take_gamma()?.wrapping_mul(2) | lowest)
}

fn escape_len(excess: u64) -> u32 {
    gamma_len(excess >> 1) + 1
}
