use alloc::collections::BTreeMap;
use core::time::Duration;

use iot_core::Instant;

/// How many slots are looked through at least before those that are idle are forgotten.
const LEAST_SWEEP: usize = 32;

/// Rates of addresses, counted by slots: memory does not grow with the number of addresses, and nobody can choose which
/// slot an address falls into, because a secret hash does.
///
/// Each slot is the generic cell rate algorithm (ITU-T I.371): the moment at which its bucket will be full again. A
/// slot whose moment has passed is as good as new and takes no memory, so a node holds only those that were used within
/// the last burst.
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    /// What one request costs.
    interval: Duration,
    /// How far ahead of now a slot's moment may lie.
    burst: Duration,
    slots: usize,
    full_at: BTreeMap<u32, Instant>,
    sweep_at: usize,
}

impl Limiter {
    pub(super) fn new(rate: u32, burst: u32, slots: usize) -> Self {
        let interval = Duration::from_nanos(1_000_000_000_u64.div_ceil(rate.into())).max(Duration::from_micros(1));
        let burst = interval.saturating_mul(burst);
        Self { interval, burst, slots, full_at: BTreeMap::new(), sweep_at: LEAST_SWEEP }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    #[cfg(feature = "sim")]
    pub(super) fn glance(&self) -> u64 {
        self.full_at.first_key_value().map_or(0, |(slot, _)| u64::from(*slot))
    }

    /// Takes one request off the slot, if it has one left.
    pub(super) fn admit(&mut self, now: Instant, slot: usize) -> bool {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Defence::Rate) {
            return true;
        }
        if self.full_at.len() >= self.sweep_at {
            self.full_at.retain(|_, at| *at > now);
            self.sweep_at = (self.full_at.len() * 2).max(LEAST_SWEEP);
        }
        let full_at = self.full_at.entry(slot as u32).or_insert(now);
        let after = (*full_at).max(now).saturating_add(self.interval);
        let admitted = after.saturating_since(now) <= self.burst;
        if admitted {
            *full_at = after;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn admits_a_burst_and_then_the_rate() {
        let mut limiter = Limiter::new(100, 5, 8);
        assert_eq!((0..9).filter(|_| limiter.admit(at(1000), 3)).count(), 5);
        assert!(limiter.admit(at(1000), 4), "another slot");
        assert!(!limiter.admit(at(1009), 3) && limiter.admit(at(1010), 3) && !limiter.admit(at(1010), 3));
        assert_eq!((0..9).filter(|_| limiter.admit(at(5000), 3)).count(), 5, "no more than a burst after a pause");
    }

    #[test]
    fn idle_slots_take_no_memory() {
        let mut limiter = Limiter::new(100, 200, 1 << 20);
        for n in 0..100_000 {
            assert!(limiter.admit(at(n as u64), n));
        }
        assert!(limiter.full_at.len() <= 2 * LEAST_SWEEP, "{}", limiter.full_at.len());
    }
}
