#[cfg(test)]
mod tests;

use thiserror::Error;

use super::SHARDS;
use super::field::{Product, add_scaled};

/// Makes parity shards for a number of data shards. 256 octets, and it can be kept for any number of blocks.
#[derive(Clone, Debug)]
pub struct Code {
    data: u8,
    /// For each data point, one over the product of its differences from the others.
    weights: [Product; SHARDS],
}

impl Code {
    /// A code of so many data shards.
    ///
    /// # Errors
    /// [`FecError::DataShards`] unless there are 1 to [`SHARDS`].
    pub fn new(data: usize) -> Result<Self, FecError> {
        let count = checked_count(data)?;
        let mut weights = [Product::ONE; SHARDS];
        for (point, weight) in (0..count).zip(&mut weights) {
            *weight = (0..count)
                .filter(|&other| other != point)
                .fold(Product::ONE, |weight, other| weight.over_difference(point, other));
        }
        Ok(Self { data: count, weights })
    }

    /// Writes the shard of this index, data or parity, from all data shards one after the other.
    ///
    /// # Errors
    /// [`FecError::BlockLength`] if `block` is not as long as all data shards, each as long as `shard`;
    /// [`FecError::NoSuchShard`] for index 255.
    pub fn encode(&self, block: &[u8], index: u8, shard: &mut [u8]) -> Result<(), FecError> {
        let (len, data) = (shard.len(), usize::from(self.data));
        if block.len() != len * data {
            return Err(FecError::BlockLength { len: block.len(), shards: data });
        }
        if usize::from(index) >= SHARDS {
            return Err(FecError::NoSuchShard { index });
        }
        let factors = self.factors(index);
        shard.fill(0);
        for point in 0..self.data {
            let from = usize::from(point) * len;
            factors.add(point, &block[from..from + len], shard);
        }
        Ok(())
    }

    /// By what each data shard is multiplied in the sum that is the shard of this index.
    pub(crate) fn factors(&self, index: u8) -> Factors<'_> {
        let all = (0..self.data).filter(|&point| point != index);
        let product = all.fold(Product::ONE, |product, point| product.times_difference(index, point));
        Factors { index, data: self.data, product, weights: &self.weights }
    }
}

/// The factors of one shard.
pub(crate) struct Factors<'c> {
    index: u8,
    data: u8,
    product: Product,
    weights: &'c [Product; SHARDS],
}

impl Factors<'_> {
    /// Adds to `target` its part of the data shard of this point.
    pub(crate) fn add(&self, point: u8, piece: &[u8], target: &mut [u8]) {
        add_scaled(target, piece, self.of(point));
    }

    /// Lagrange's coefficient; a data shard is itself.
    fn of(&self, point: u8) -> u8 {
        if self.index < self.data {
            return u8::from(point == self.index);
        }
        self.product.over_difference(self.index, point).times(self.weights[usize::from(point)]).value()
    }
}

/// Octets of scratch space for shards that are repaired: they are written where the parity stands that they are made of.
const SCRATCH: usize = 512;

/// The most data shards that can be missing: for each there is a parity shard, so it is half of all.
const MISSING: usize = SHARDS / 2;

/// Repairs a block in place: afterwards each place holds the data shard of its number.
///
/// `block` has as many places as `held` has entries, one after the other, and `held` gives the index of the shard in each.
/// Data shards stand at their own places, and parity shards at the places of those that are missing, in any order.
///
/// # Errors
/// [`FecError::DataShards`], [`FecError::BlockLength`] if the places do not divide the block, [`FecError::Index`] if a
/// data shard is not at its own place, an index appears twice, or is 255. The block is unchanged then.
pub fn reconstruct(block: &mut [u8], held: &[u8]) -> Result<(), FecError> {
    let data = checked_count(held.len())?;
    if !block.len().is_multiple_of(held.len()) {
        return Err(FecError::BlockLength { len: block.len(), shards: held.len() });
    }
    let missing = check_places(held, data)?;
    let len = block.len() / held.len();
    if missing == 0 || len == 0 {
        return Ok(());
    }

    // Lagrange: p(m) = Σ over held r of p(r) · Π(m - l) / ((m - r) · Π(r - l)), the products over all other held l.
    let mut weights = [Product::ONE; SHARDS];
    for (&point, weight) in held.iter().zip(&mut weights) {
        *weight = held
            .iter()
            .filter(|&&other| other != point)
            .fold(Product::ONE, |weight, &other| weight.over_difference(point, other));
    }
    let mut products = [Product::ONE; MISSING];
    for (place, product) in missing_places(held).zip(&mut products) {
        *product = held.iter().fold(Product::ONE, |product, &point| product.times_difference(place, point));
    }

    let mut scratch = [0; SCRATCH];
    let strip = (SCRATCH / missing).min(len);
    for start in (0..len).step_by(strip) {
        let width = strip.min(len - start);
        scratch.fill(0);
        for ((place, product), target) in missing_places(held).zip(&products).zip(scratch.chunks_exact_mut(strip)) {
            let shards = block.chunks_exact(len).zip(held).zip(&weights);
            for ((shard, &point), &weight) in shards {
                let factor = product.over_difference(place, point).times(weight).value();
                add_scaled(target, &shard[start..start + width], factor);
            }
        }
        for (place, repaired) in missing_places(held).zip(scratch.chunks_exact(strip)) {
            let at = usize::from(place) * len + start;
            block[at..at + width].copy_from_slice(&repaired[..width]);
        }
    }
    Ok(())
}

/// How many places hold parity.
fn check_places(held: &[u8], data: u8) -> Result<usize, FecError> {
    let mut seen = [0_u32; 8];
    let mut missing = 0;
    for (place, &index) in (0..data).zip(held) {
        let word = &mut seen[usize::from(index >> 5)];
        let bit = 1 << (index & 31);
        let is_misplaced = index < data && index != place;
        if is_misplaced || *word & bit != 0 || usize::from(index) >= SHARDS {
            return Err(FecError::Index { index, place: place.into() });
        }
        *word |= bit;
        missing += usize::from(index != place);
    }
    Ok(missing)
}

fn missing_places(held: &[u8]) -> impl Iterator<Item = u8> {
    (0..=u8::MAX).zip(held).filter(|(place, index)| place != *index).map(|(place, _)| place)
}

fn checked_count(data: usize) -> Result<u8, FecError> {
    match u8::try_from(data) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(FecError::DataShards { count: data }),
    }
}

/// What a code cannot do: the API was misused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FecError {
    /// No code has so many data shards.
    #[error("{count} data shards, outside of 1 to {SHARDS}")]
    DataShards {
        /// The number asked for.
        count: usize,
    },
    /// The length of the block does not fit the shards.
    #[error("block of {len} octets is not {shards} shards")]
    BlockLength {
        /// Octets in the block.
        len: usize,
        /// Shards that it should hold.
        shards: usize,
    },
    /// No code has a shard of this index.
    #[error("shard {index}, above {}", SHARDS - 1)]
    NoSuchShard {
        /// The index asked for.
        index: u8,
    },
    /// A shard of this index cannot be at that place.
    #[error("shard {index} cannot be at place {place}")]
    Index {
        /// The index of the shard.
        index: u8,
        /// Where it was said to be.
        place: usize,
    },
}
