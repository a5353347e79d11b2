use iot_core::limits::OutOfRange;

use super::SHARDS;

/// How many shards to send for a number of data shards.
///
/// The default is [`NONE`](Self::NONE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Redundancy(Rule);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rule {
    Parity(u8),
    Loss { loss_ppm: u32, failure_ppm: u32 },
}

/// One, in parts per million.
const MILLION: u32 = 1_000_000;

impl Redundancy {
    /// Data shards only: for links that lose nothing, or repeat by themselves what they lose.
    pub const NONE: Self = Self(Rule::Parity(0));

    /// So many parity shards, however many data shards there are.
    pub const fn parity(count: u8) -> Self {
        Self(Rule::Parity(count))
    }

    /// As many that too many are lost at most `failure_ppm` times in a million, if each is lost `loss_ppm` times in a
    /// million, whatever becomes of the others.
    ///
    /// Links that lose several frames at a time need more than this says; add their share to the loss.
    ///
    /// # Errors
    /// [`OutOfRange`] for a loss above 990,000 and a failure outside of 1 to 999,999.
    pub const fn for_loss(loss_ppm: u32, failure_ppm: u32) -> Result<Self, OutOfRange> {
        if loss_ppm > 990_000 {
            return Err(OutOfRange { setting: "loss in ppm", value: loss_ppm as u64, min: 0, max: 990_000 });
        }
        if failure_ppm == 0 || failure_ppm >= MILLION {
            let (value, max) = (failure_ppm as u64, MILLION as u64 - 1);
            return Err(OutOfRange { setting: "failure in ppm", value, min: 1, max });
        }
        Ok(Self(Rule::Loss { loss_ppm, failure_ppm }))
    }

    /// The shards to send in all, for so many data shards.
    ///
    /// `None` for no data shards, and if more than [`SHARDS`] would be needed.
    ///
    /// The sum is the exact binomial one, in 32-bit integers and rounded against success: where the true probability
    /// lies within 10⁻⁶ of the one asked for, one shard more may be sent, and never one less. The work is bounded by
    /// [`SHARDS`] divisions.
    pub const fn shards(&self, data: u8) -> Option<u8> {
        if data == 0 {
            return None;
        }
        match self.0 {
            Rule::Parity(count) => data.checked_add(count),
            Rule::Loss { loss_ppm, failure_ppm } => shards_for_loss(data, loss_ppm, failure_ppm),
        }
    }
}

impl Default for Redundancy {
    fn default() -> Self {
        Self::NONE
    }
}

/// The last of `data` shards arrives after exactly i losses with probability C(data - 1 + i, i) · pᵈᵃᵗᵃ · qⁱ, each term
/// from the one before. What they sum to until n - data is the probability that n shards suffice.
const fn shards_for_loss(data: u8, loss_ppm: u32, failure_ppm: u32) -> Option<u8> {
    let mut term = Fraction::ONE;
    let mut power = 0;
    while power < data {
        term = term.times(MILLION - loss_ppm, MILLION);
        power += 1;
    }
    // Failure left, in units of 2⁻⁶⁰, which sums of 255 roundings do not disturb.
    let allowed = (failure_ppm as u64) * (UNIT / MILLION as u64);
    let mut failure = UNIT - term.scaled();
    let mut shards = data as u32;
    while failure > allowed {
        let losses = shards - data as u32 + 1;
        // Both factors stay below 2²⁸: a million times 255.
        term = term.times(loss_ppm * shards, MILLION * losses);
        failure = failure.saturating_sub(term.scaled());
        shards += 1;
        if shards > SHARDS as u32 {
            return None;
        }
    }
    Some(shards as u8)
}

const UNIT: u64 = 1 << 60;

/// A number of at most a few units, `mantissa · 2^(exponent - 31)` with the mantissa's top bit set, or 0. Rounded down.
#[derive(Clone, Copy)]
struct Fraction {
    mantissa: u32,
    exponent: i32,
}

impl Fraction {
    const ONE: Self = Self { mantissa: 1 << 31, exponent: 0 };

    /// Times `numerator / denominator`, both below 2²⁸ and the second not 0.
    const fn times(self, numerator: u32, denominator: u32) -> Self {
        let product = self.mantissa as u64 * numerator as u64;
        if product == 0 {
            return Self { mantissa: 0, exponent: 0 };
        }
        // Moved up as far as it goes, so that the quotient has 32 bits or more to be rounded to.
        let up = product.leading_zeros();
        let quotient = (product << up) / denominator as u64;
        let bits = 64 - quotient.leading_zeros() as i32;
        let mantissa = if bits > 32 { (quotient >> (bits - 32)) as u32 } else { (quotient << (32 - bits)) as u32 };
        Self { mantissa, exponent: self.exponent - up as i32 + bits - 32 }
    }

    /// In units of 2⁻⁶⁰.
    const fn scaled(self) -> u64 {
        let up = self.exponent + 29;
        if up >= 0 {
            // A term is a probability, at most 1, and rounded down.
            (self.mantissa as u64) << up
        } else if up > -32 {
            (self.mantissa >> -up) as u64
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same tail, summed in floating point over who arrives.
    fn success(data: u32, shards: u32, loss: f64) -> f64 {
        let mut arrived = [0.0_f64; 257];
        arrived[0] = 1.0;
        for _ in 0..shards {
            for count in (0..256).rev() {
                arrived[count + 1] += arrived[count] * (1.0 - loss);
                arrived[count] *= loss;
            }
        }
        arrived[data as usize..].iter().sum()
    }

    #[test]
    fn a_message_of_ten_shards_survives_a_loss_of_one_in_five_by_twenty() {
        let redundancy = Redundancy::for_loss(200_000, 1_000).unwrap();
        assert_eq!(redundancy.shards(10), Some(20));
        assert_eq!(redundancy.shards(11), Some(21));
        assert_eq!(redundancy.shards(1), Some(5));
        assert!((success(10, 20, 0.2) - 0.999_436_586_3).abs() < 1e-9);
        assert!((success(10, 19, 0.2) - 0.998_420_879_5).abs() < 1e-9);
    }

    #[test]
    fn the_number_is_the_least_that_the_exact_tail_allows() {
        for loss_ppm in [0, 1, 1_000, 20_000, 100_000, 200_000, 333_333, 500_000, 900_000, 990_000] {
            for failure_ppm in [1, 10, 1_000, 10_000, 500_000, 999_999] {
                let redundancy = Redundancy::for_loss(loss_ppm, failure_ppm).unwrap();
                for data in (1..=255_u8).step_by(7) {
                    let loss = f64::from(loss_ppm) / 1e6;
                    let enough = |shards: u32, margin: f64| {
                        success(data.into(), shards, loss) >= 1.0 - f64::from(failure_ppm) / 1e6 + margin
                    };
                    let shards = redundancy.shards(data).map_or(256, u32::from);
                    let story = (loss_ppm, failure_ppm, data, shards);
                    assert!(shards == 256 || enough(shards, -1e-12), "{story:?} is too few");
                    assert!(shards == u32::from(data) || !enough(shards - 1, 1e-6), "{story:?} is too many");
                }
            }
        }
    }

    #[test]
    fn refuses_rates_that_no_redundancy_mends() {
        assert_eq!(Redundancy::for_loss(990_001, 1).unwrap_err().max, 990_000);
        assert_eq!(Redundancy::for_loss(1, 0).unwrap_err().min, 1);
        assert_eq!(Redundancy::for_loss(1, 1_000_000).unwrap_err().value, 1_000_000);
        assert_eq!(Redundancy::for_loss(900_000, 1).unwrap().shards(100), None);
    }

    #[test]
    fn fixed_parity_is_added_until_there_are_too_many() {
        assert_eq!(Redundancy::NONE.shards(7), Some(7));
        assert_eq!(Redundancy::parity(3).shards(7), Some(10));
        assert_eq!(Redundancy::parity(3).shards(253), None);
        assert_eq!(Redundancy::NONE.shards(0), None);
        assert_eq!(Redundancy::default(), Redundancy::NONE);
    }
}
