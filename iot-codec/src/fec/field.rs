//! GF(256) with the generator 2 and the polynomial 0x11d.

/// What x⁸ is, less x⁸ itself.
const REDUCTION: u8 = 0x1d;

/// The order of the multiplicative group.
const ORDER: u16 = 255;

struct Tables {
    /// The powers of 2; the last entry repeats the first and is never read.
    power: [u8; 256],
    /// To which power of 2 a value is; that of 0 does not exist and is never read.
    log: [u8; 256],
}

static TABLES: Tables = tables();

const fn tables() -> Tables {
    let mut tables = Tables { power: [0; 256], log: [0; 256] };
    let mut value = 1;
    let mut exponent = 0;
    while exponent < 255 {
        tables.power[exponent] = value;
        tables.log[value as usize] = exponent as u8;
        value = double(value);
        exponent += 1;
    }
    tables.power[255] = value;
    tables
}

const fn double(value: u8) -> u8 {
    (value << 1) ^ ((value >> 7) * REDUCTION)
}

/// A product of values that are not 0, kept as the logarithm, so that factors are added and divisors subtracted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product(u8);

impl Product {
    pub(super) const ONE: Self = Self(0);

    /// Multiplies by the difference of two points, which are not the same.
    pub(super) fn times_difference(self, a: u8, b: u8) -> Self {
        Self::reduced(u16::from(self.0) + log(a ^ b))
    }

    /// Divides by the difference of two points, which are not the same.
    pub(super) fn over_difference(self, a: u8, b: u8) -> Self {
        Self::reduced(u16::from(self.0) + ORDER - log(a ^ b))
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self::reduced(u16::from(self.0) + u16::from(other.0))
    }

    pub(super) fn value(self) -> u8 {
        TABLES.power[usize::from(self.0)]
    }

    /// Of a sum of two logarithms: less than twice the order.
    fn reduced(sum: u16) -> Self {
        Self(if sum >= ORDER { sum - ORDER } else { sum } as u8)
    }
}

fn log(value: u8) -> u16 {
    TABLES.log[usize::from(value)].into()
}

/// Octets in a machine word, and a word with 1 in each.
const WORD: usize = size_of::<usize>();
const ONES: usize = usize::MAX / 255;

/// Adds `factor` times `source` to `target`, up to the end of the shorter one.
///
/// A word at a time and without a table: bit `b` of every octet, in the lowest places, times `factor·2ᵇ` is that many
/// products at once, because 0 or 1 times an octet does not carry into the next.
pub(super) fn add_scaled(target: &mut [u8], source: &[u8], factor: u8) {
    let mut multiples = [0; 8];
    let mut multiple = factor;
    for slot in &mut multiples {
        *slot = multiple.into();
        multiple = double(multiple);
    }
    let len = target.len().min(source.len());
    let mut targets = target[..len].chunks_exact_mut(WORD);
    let mut sources = source[..len].chunks_exact(WORD);
    for (target, source) in targets.by_ref().zip(sources.by_ref()) {
        let sum = word(target) ^ scaled(word(source), &multiples);
        target.copy_from_slice(&sum.to_ne_bytes());
    }
    let rest = sources.remainder();
    if !rest.is_empty() {
        let products = scaled(word(rest), &multiples).to_ne_bytes();
        for (target, product) in targets.into_remainder().iter_mut().zip(products) {
            *target ^= product;
        }
    }
}

fn scaled(word: usize, multiples: &[usize; 8]) -> usize {
    multiples.iter().enumerate().fold(0, |sum, (bit, multiple)| sum ^ ((word >> bit) & ONES).wrapping_mul(*multiple))
}

/// Up to a word's octets, followed by zeros.
fn word(octets: &[u8]) -> usize {
    let mut bytes = [0; WORD];
    bytes[..octets.len()].copy_from_slice(octets);
    usize::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: multiply polynomials over GF(2), reduce by 0x11d.
    fn product(a: u8, b: u8) -> u8 {
        let mut sum = (0..8).filter(|bit| b >> bit & 1 == 1).fold(0_u16, |sum, bit| sum ^ (u16::from(a) << bit));
        for bit in (8..16).rev() {
            if sum >> bit & 1 == 1 {
                sum ^= 0x11d << (bit - 8);
            }
        }
        sum as u8
    }

    #[test]
    fn every_product_is_that_of_the_definition() {
        let all: [u8; 256] = core::array::from_fn(|value| value as u8);
        for factor in 0..=255 {
            let mut target = all;
            add_scaled(&mut target, &all, factor);
            for (value, sum) in all.into_iter().zip(target) {
                assert_eq!(sum, value ^ product(value, factor));
            }
        }
    }

    #[test]
    fn every_length_is_scaled_to_its_end_and_no_further() {
        let source: [u8; 40] = core::array::from_fn(|index| (index * 7 + 1) as u8);
        for len in 0..=source.len() {
            let mut target = [0xaa; 40];
            add_scaled(&mut target[..len], &source, 0x53);
            let mut other = [0xaa; 40];
            add_scaled(&mut other, &source[..len], 0x53);
            assert_eq!(target, other);
            for (index, octet) in target.into_iter().enumerate() {
                let expected = if index < len { 0xaa ^ product(source[index], 0x53) } else { 0xaa };
                assert_eq!(octet, expected, "length {len}, index {index}");
            }
        }
    }

    #[test]
    fn products_of_differences_multiply_and_divide() {
        for a in 0..=255 {
            for b in 0..=255 {
                if a == b {
                    continue;
                }
                let multiplied = Product::ONE.times_difference(a, b);
                let divided = Product::ONE.over_difference(a, b);
                assert_eq!(multiplied.value(), a ^ b);
                assert_eq!(product(divided.value(), a ^ b), 1);
                assert_eq!(multiplied.times(divided).value(), 1);
            }
        }
    }
}
