//! The static distributions of residuals, and what is computed from them.
//!
//! Row q is a two-sided geometric distribution over zigzag numbers, in 256ths; its last entry stands for all the
//! numbers from its index on. From a row to the next, the expected magnitude doubles.

/// The highest row. Magnitudes above it are halved until they fit.
pub(super) const TOP: usize = ROWS - 1;

const ROWS: usize = 7;

/// Entries of the longest row.
const WIDTH: usize = 13;

/// The frequencies of a row add up to 2⁸.
pub(super) const SCALE_BITS: u32 = 8;

const SCALE: usize = 1 << SCALE_BITS;

const FREQUENCIES: [&[u16]; ROWS] = [
    &[243, 6, 6, 1],
    &[233, 11, 11, 1],
    &[211, 20, 20, 2, 2, 1],
    &[175, 33, 33, 6, 6, 1, 1, 1],
    &[125, 43, 42, 15, 15, 5, 5, 2, 2, 2],
    &[75, 41, 41, 22, 22, 12, 12, 7, 7, 4, 4, 2, 7],
    &[40, 29, 29, 22, 21, 16, 16, 11, 11, 8, 8, 6, 39],
];

/// What one symbol of a row costs and takes to encode.
#[derive(Clone, Copy)]
pub(super) struct Symbol {
    /// 2³² / frequency, rounded up: a division by multiplication, exact below 2¹³.
    pub(super) reciprocal: u64,
    pub(super) frequency: u32,
    /// The sum of the frequencies before it.
    pub(super) start: u32,
    /// From this state on, the coder sheds `shift` bits, and one less below it.
    pub(super) threshold: u32,
    pub(super) shift: u32,
    /// In 256ths of a bit, rounded.
    pub(super) cost: u32,
}

/// What a slot of a row decodes to.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) symbol: u8,
    /// The frequency less one.
    frequency: u8,
    /// The slot's place inside of its symbol.
    pub(super) offset: u8,
}

impl Slot {
    #[inline(always)]
    pub(super) fn frequency(self) -> u32 {
        self.frequency as u32 + 1
    }
}

/// The number of the entry that stands for all others, by row.
pub(super) const ESCAPES: [u8; 8] = {
    let mut escapes = [0; 8];
    let mut row = 0;
    while row < ROWS {
        escapes[row] = FREQUENCIES[row].len() as u8 - 1;
        row += 1;
    }
    escapes
};

pub(super) static SYMBOLS: [[Symbol; 16]; 8] = {
    let none = Symbol { reciprocal: 0, frequency: 1, start: 0, threshold: 0, shift: 0, cost: 0 };
    let mut symbols = [[none; 16]; 8];
    let mut row = 0;
    while row < ROWS {
        let mut start = 0;
        let mut index = 0;
        while index < FREQUENCIES[row].len() {
            assert!(index < WIDTH);
            let frequency = FREQUENCIES[row][index] as u32;
            let least = frequency << (super::residuals::STATE_BITS - SCALE_BITS);
            let shift = super::residuals::STATE_BITS - least.ilog2();
            symbols[row][index] = Symbol {
                reciprocal: (1u64 << 32).div_ceil(frequency as u64),
                frequency,
                start,
                threshold: least << shift,
                shift,
                cost: (SCALE_BITS << 8) - log2_in_256ths(frequency),
            };
            start += frequency;
            index += 1;
        }
        assert!(start as usize == SCALE);
        row += 1;
    }
    symbols
};

pub(super) static SLOTS: [[Slot; SCALE]; 8] = {
    let mut slots = [[Slot { symbol: 0, frequency: 0, offset: 0 }; SCALE]; 8];
    let mut row = 0;
    while row < ROWS {
        let mut slot = 0;
        let mut symbol = 0;
        while symbol < FREQUENCIES[row].len() {
            let frequency = FREQUENCIES[row][symbol];
            let mut offset = 0;
            while offset < frequency {
                slots[row][slot] =
                    Slot { symbol: symbol as u8, frequency: (frequency - 1) as u8, offset: offset as u8 };
                slot += 1;
                offset += 1;
            }
            symbol += 1;
        }
        row += 1;
    }
    slots
};

/// The binary logarithm by repeated squaring, rounded down to a 256th.
const fn log2_in_256ths(number: u32) -> u32 {
    let whole = number.ilog2();
    let mut result = whole;
    // A mantissa of 1 to 2 with 31 bits after the point.
    let mut mantissa = (number as u64) << (31 - whole);
    let mut bit = 0;
    while bit < 8 {
        mantissa = (mantissa * mantissa) >> 31;
        result <<= 1;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            result |= 1;
        }
        bit += 1;
    }
    result
}
