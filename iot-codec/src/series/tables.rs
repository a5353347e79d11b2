//! The static distributions of residuals, and what is computed from them.
//!
//! Row q is a two-sided geometric distribution over zigzag numbers, in 256ths; its last entry stands for all the
//! numbers from its index on. From a row to the next, the expected magnitude doubles.

/// The highest row. Magnitudes above it are halved until they fit.
pub(super) const TOP: usize = ROWS - 1;

const ROWS: usize = 7;

/// Rows and columns of the tables: powers of two, so that an index can be cut to fit.
const HEIGHT: usize = 8;
const WIDTH: usize = 32;

/// The frequencies of a row add up to 2⁸.
pub(super) const SCALE_BITS: u32 = 8;

const SCALE: usize = 1 << SCALE_BITS;

const FREQUENCIES: [&[u16]; ROWS] = [
    &[243, 6, 6, 1],
    &[233, 11, 11, 1],
    &[211, 20, 20, 2, 2, 1],
    &[175, 33, 33, 6, 6, 1, 1, 1],
    &[125, 43, 42, 15, 15, 5, 5, 2, 2, 2],
    &[75, 41, 41, 22, 22, 12, 12, 7, 7, 4, 4, 2, 2, 1, 1, 3],
    &[40, 30, 29, 22, 22, 16, 16, 11, 11, 8, 8, 6, 6, 4, 4, 3, 3, 2, 2, 2, 11],
];

/// What it takes to encode one symbol of a row.
#[derive(Clone, Copy)]
pub(super) struct Symbol {
    /// 2³¹ / frequency, rounded up: a division by multiplication, exact below 2¹³.
    pub(super) reciprocal: u32,
    /// From this state on, the coder sheds `shift` bits, and one less below it.
    pub(super) threshold: u16,
    /// The frequencies of all others.
    pub(super) others: u8,
    /// The sum of the frequencies before it.
    pub(super) start: u8,
    pub(super) shift: u8,
}

/// What a slot of a row decodes to: from the low byte up, the symbol, the slot's place inside of the symbol, whether it
/// is the escape, and the frequency.
#[derive(Clone, Copy)]
pub(super) struct Slot(u32);

impl Slot {
    const fn new(symbol: usize, frequency: u16, offset: u16, escapes: bool) -> Self {
        Self(symbol as u32 | (offset as u32) << 8 | (escapes as u32) << 16 | (frequency as u32) << 24)
    }

    #[inline(always)]
    pub(super) fn symbol(self) -> u64 {
        (self.0 & 0xff).into()
    }

    #[inline(always)]
    pub(super) fn offset(self) -> u32 {
        self.0 >> 8 & 0xff
    }

    #[inline(always)]
    pub(super) fn escapes(self) -> bool {
        self.0 & 0x1_0000 != 0
    }

    #[inline(always)]
    pub(super) fn frequency(self) -> u32 {
        self.0 >> 24
    }
}

/// How many low bits of an excess stand in front of its gamma code.
pub(super) const EXCESS_BITS: u32 = 2;

#[inline(always)]
pub(super) fn escape(row: usize) -> u64 {
    ESCAPES[row % HEIGHT].into()
}

#[inline(always)]
pub(super) fn symbol(row: usize, number: u64) -> &'static Symbol {
    &SYMBOLS[row % HEIGHT][number as usize % WIDTH]
}

#[inline(always)]
pub(super) fn slot(row: usize, state: u32) -> Slot {
    SLOTS[row % HEIGHT][state as usize % SCALE]
}

/// What a number takes in a row, in 256ths of a bit, the excess above the escape included.
#[inline(always)]
pub(super) fn cost(row: usize, number: u64) -> u32 {
    match COSTS[row % HEIGHT].get(number as usize) {
        Some(cost) if number < COSTED as u64 => (*cost).into(),
        _ => rare_cost(row, number),
    }
}

#[cold]
fn rare_cost(row: usize, number: u64) -> u32 {
    let excess = number - escape(row);
    u32::from(COSTS[row % HEIGHT][escape(row) as usize]) + ((excess >> EXCESS_BITS).saturating_add(1).ilog2() << 9)
}

/// Numbers whose cost stands in a table.
const COSTED: usize = 64;

/// The number of the entry that stands for all others, by row.
const ESCAPES: [u8; HEIGHT] = {
    let mut escapes = [0; HEIGHT];
    let mut row = 0;
    while row < ROWS {
        escapes[row] = FREQUENCIES[row].len() as u8 - 1;
        row += 1;
    }
    escapes
};

static COSTS: [[u16; COSTED]; HEIGHT] = {
    let mut costs = [[0; COSTED]; HEIGHT];
    let mut row = 0;
    while row < ROWS {
        let escape = FREQUENCIES[row].len() - 1;
        let mut number = 0;
        while number < COSTED {
            let symbol = if number < escape { number } else { escape };
            let mut cost = (SCALE_BITS << 8) - log2_in_256ths(FREQUENCIES[row][symbol] as u32);
            if number >= escape {
                let gamma = 2 * (((number - escape) >> EXCESS_BITS) + 1).ilog2() + 1;
                cost += (gamma + EXCESS_BITS) << 8;
            }
            costs[row][number] = cost as u16;
            number += 1;
        }
        row += 1;
    }
    costs
};

static SYMBOLS: [[Symbol; WIDTH]; HEIGHT] = {
    let none = Symbol { reciprocal: 0, others: 0, start: 0, threshold: 0, shift: 0 };
    let mut symbols = [[none; WIDTH]; HEIGHT];
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
                reciprocal: (1u32 << 31).div_ceil(frequency),
                threshold: (least << shift) as u16,
                others: (SCALE as u32 - frequency) as u8,
                start: start as u8,
                shift: shift as u8,
            };
            start += frequency;
            index += 1;
        }
        assert!(start as usize == SCALE);
        row += 1;
    }
    symbols
};

static SLOTS: [[Slot; SCALE]; HEIGHT] = {
    let mut slots = [[Slot(0); SCALE]; HEIGHT];
    let mut row = 0;
    while row < ROWS {
        let mut slot = 0;
        let mut symbol = 0;
        while symbol < FREQUENCIES[row].len() {
            let frequency = FREQUENCIES[row][symbol];
            let mut offset = 0;
            while offset < frequency {
                slots[row][slot] = Slot::new(symbol, frequency, offset, symbol + 1 == FREQUENCIES[row].len());
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
