use alloc::vec::Vec;

use iot_core::{Instant, Rate, RateLimit};

/// Token buckets over a fixed number of slots: memory does not grow with the number of addresses, and nobody can
/// choose which slot an address falls into, because a secret hash does.
#[derive(Clone, Debug)]
pub(super) struct Limiter(Vec<RateLimit>);

impl Limiter {
    pub(super) fn new(rate: u32, burst: u32, slots: usize, now: Instant) -> Self {
        let rate = Rate::per_second(rate.into()).expect("the configuration refuses a rate of 0");
        let bucket = RateLimit::new(rate, burst.into(), now).expect("the configuration refuses a burst of 0");
        Self(alloc::vec![bucket; slots])
    }

    pub(super) fn slots(&self) -> usize {
        self.0.len()
    }

    /// Takes one request off the slot, if it has one left.
    pub(super) fn admit(&mut self, now: Instant, slot: usize) -> bool {
        self.0[slot].try_take(now, 1).is_ok()
    }
}
