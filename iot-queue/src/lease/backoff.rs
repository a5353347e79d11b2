use core::time::Duration;

/// How long a message that failed waits before it is handed out again: twice as long after each attempt.
///
/// Of the wait that an attempt asks for, at least half is kept and the rest is drawn from a seed, so that messages that
/// failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// Waits `first` after the first attempt, twice that after the second, and so on, but never longer than `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most }
    }

    /// The wait after so many attempts. The same seed gives the same wait; a caller that wants messages apart draws one
    /// for each.
    pub fn delay(&self, attempts: u32, seed: u64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(63);
        let asked = micros(self.first).saturating_mul(1 << doublings).min(micros(self.most));
        let half = asked / 2;
        Duration::from_micros(asked - half + scramble(seed) % half.saturating_add(1))
    }
}

impl Default for Backoff {
    /// One second, doubled up to ten minutes.
    fn default() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(600))
    }
}

/// The output function of `SplitMix64` (Steele, Lea, Flood 2014): spreads seeds that lie close together.
const fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_the_first_wait_to_the_most_and_keeps_half() {
        let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(9));
        for (attempts, asked) in [(0, 2), (1, 2), (2, 4), (3, 8), (4, 9), (u32::MAX, 9)] {
            for seed in 0..100 {
                let delay = backoff.delay(attempts, seed);
                assert!(delay >= Duration::from_secs(asked) / 2 && delay <= Duration::from_secs(asked), "{delay:?}");
                assert_eq!(delay, backoff.delay(attempts, seed));
            }
        }
        assert_eq!(Backoff::new(Duration::ZERO, Duration::MAX).delay(9, 9), Duration::ZERO);
        assert!(Backoff::new(Duration::MAX, Duration::MAX).delay(9, 9) >= Duration::from_micros(u64::MAX / 2));
    }

    #[test]
    fn seeds_that_lie_close_together_give_waits_that_lie_apart() {
        let backoff = Backoff::new(Duration::from_secs(100), Duration::from_secs(100));
        let mut buckets = [0; 10];
        for seed in 0..1000 {
            buckets[((backoff.delay(1, seed).as_secs_f64() - 50.0) / 5.01) as usize] += 1;
        }
        assert!(buckets.iter().all(|&count| (60..150).contains(&count)), "{buckets:?}");
    }
}
