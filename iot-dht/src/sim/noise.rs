use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// A number that follows from a seed and from what it is for, so that it does not matter in which order, or on which
/// thread, such numbers are drawn.
pub(super) fn hash(seed: u64, what: &[u64]) -> u64 {
    what.iter().fold(mix(seed), |state, word| mix(state ^ word))
}

/// One step of `SplitMix64` (Steele, Lea and Flood, 2014).
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// From 0 up to 1, without 1.
pub(super) fn uniform(noise: u64) -> f64 {
    (noise >> 11) as f64 / (1_u64 << 53) as f64
}

/// A standard normal deviate: the sum of twelve uniform ones, with the second term of its Cornish-Fisher expansion, which
/// is right to a hundredth up to three deviations. Only the four operations are used, whose results IEEE 754 fixes
/// to the bit, so that the same seed gives the same network on every machine.
pub(super) fn normal(noise: u64) -> f64 {
    let sum: u64 = (0..3_u64)
        .map(|word| hash(noise, &[word]))
        .map(|word| (word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48))
        .sum();
    let z = (sum as f64 + 6.0) / 65_536.0 - 6.0;
    z + (z * z * z - 3.0 * z) / 240.0
}

/// The exponential function, between -50 and 50, again by the four operations alone.
pub(super) fn exp(x: f64) -> f64 {
    let small = x.clamp(-50.0, 50.0) / 1024.0;
    let series = 1.0 + small * (1.0 + small / 2.0 * (1.0 + small / 3.0 * (1.0 + small / 4.0)));
    (0..10).fold(series, |power, _| power * power)
}

/// A generator for what a simulated node calls secret: fast, repeatable, and no secret at all.
pub(super) struct Noise {
    seed: u64,
    drawn: u64,
}

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    pub(super) fn octets<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        octets.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.draw().to_be_bytes()[..chunk.len()]));
        octets
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        hash(self.seed, &[self.drawn])
    }
}

impl TryRng for Noise {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.draw() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.draw())
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Infallible> {
        octets.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.draw().to_be_bytes()[..chunk.len()]));
        Ok(())
    }
}

impl TryCryptoRng for Noise {}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_standard_library() {
        for n in -400..400 {
            let x = f64::from(n) / 40.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-9, "{x}");
        }
    }

    /// Quantiles of the normal distribution, from its tables.
    #[test]
    fn deviates_have_the_quantiles_of_the_normal_distribution() {
        let mut deviates: Vec<_> = (0..400_000).map(|n| normal(hash(5, &[n]))).collect();
        deviates.sort_by(f64::total_cmp);
        for (share, expected) in [(0.5, 0.0), (0.841_34, 1.0), (0.975, 1.960), (0.99, 2.326), (0.001, -3.090)] {
            let found = deviates[(share * deviates.len() as f64) as usize];
            assert!((found - expected).abs() < 0.04, "{found} is not {expected}");
        }
    }
}
