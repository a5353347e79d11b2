/// Numbers that follow from a seed: `SplitMix64` (Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
/// 2014). It need not be good, only quick and the same everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        (((self.next() >> 32) * bound) >> 32) % bound
    }

    /// A place in something that has `len` places, which is not 0.
    pub(crate) const fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// Whether something happens that happens `times` times in `of`.
    pub(crate) const fn happens(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }

    pub(crate) fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }
}
