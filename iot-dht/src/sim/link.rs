use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;

use crate::sim::Host;
use crate::sim::noise::{exp, hash, normal, uniform};

/// What becomes of datagrams under way.
///
/// Each pair of hosts has a round-trip time of its own, log-normal over all pairs; each datagram takes half of it, and up
/// to [`jitter`](Self::jitter) of that longer. All of it follows from the seed, the two hosts and the number of the
/// datagram, and from nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    median: Duration,
    sigma: f64,
    jitter: f64,
    loss: f64,
    reorder: f64,
    partitions: Vec<Partition>,
}

#[derive(Clone, Debug, PartialEq)]
struct Partition {
    from: Instant,
    until: Instant,
    parts: u32,
}

/// What a number is drawn for.
enum Draw {
    Pair = 1,
    Jitter = 2,
    Loss = 3,
    Reorder = 4,
    Partition = 5,
}

impl Link {
    /// No datagram takes less than this, and so hosts can be simulated apart from each other for as long.
    pub const LEAST_DELAY: Duration = Duration::from_millis(5);

    /// The median round-trip time, 20 ms to 10 s; 100 ms by default.
    ///
    /// # Panics
    /// When the time is out of range.
    pub fn median(mut self, rtt: Duration) -> Self {
        let range = Duration::from_millis(20)..=Duration::from_secs(10);
        assert!(range.contains(&rtt), "a median of {rtt:?} is out of range");
        self.median = rtt;
        self
    }

    /// The standard deviation of the logarithm of the round-trip times, 0 to 2; 0.6 by default.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn sigma(mut self, sigma: f64) -> Self {
        assert!((0.0..=2.0).contains(&sigma), "a sigma of {sigma} is out of range");
        self.sigma = sigma;
        self
    }

    /// By which share of its delay a datagram is late at most, 0 to 1; 0.1 by default.
    ///
    /// # Panics
    /// When the share is out of range.
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = checked_share(share);
        self
    }

    /// Which share of the datagrams is lost, 0 to 1; none by default.
    ///
    /// # Panics
    /// When the share is out of range.
    pub fn loss(mut self, share: f64) -> Self {
        self.loss = checked_share(share);
        self
    }

    /// Which share of the datagrams takes twice as long, so that later ones overtake it, 0 to 1; none by default.
    ///
    /// # Panics
    /// When the share is out of range.
    pub fn reorder(mut self, share: f64) -> Self {
        self.reorder = checked_share(share);
        self
    }

    /// Splits the hosts at random into `parts` that do not hear each other in this time.
    ///
    /// # Panics
    /// When there are fewer than two parts.
    pub fn partition(mut self, from: Instant, until: Instant, parts: u32) -> Self {
        assert!(parts >= 2, "{parts} parts are no partition");
        self.partitions.push(Partition { from, until, parts });
        self
    }

    /// How long a datagram takes, if it arrives.
    pub(super) fn delay(&self, seed: u64, now: Instant, from: Host, to: Host, number: u32) -> Option<Duration> {
        let (from, to) = (u64::from(from.0), u64::from(to.0));
        let draw = |draw: Draw| hash(seed, &[draw as u64, from << 32 | to, number.into()]);
        if self.loss > 0.0 && uniform(draw(Draw::Loss)) < self.loss {
            return None;
        }
        for (place, partition) in self.partitions.iter().enumerate() {
            let part = |host| hash(seed, &[Draw::Partition as u64, place as u64, host]) % u64::from(partition.parts);
            if (partition.from..partition.until).contains(&now) && part(from) != part(to) {
                return None;
            }
        }
        let mut micros = self.half(seed, from, to);
        micros *= 1.0 + self.jitter * uniform(draw(Draw::Jitter));
        if self.reorder > 0.0 && uniform(draw(Draw::Reorder)) < self.reorder {
            micros *= 2.0;
        }
        Some(Duration::from_micros(micros as u64).max(Self::LEAST_DELAY))
    }

    /// What a datagram and its answer take at least.
    pub(super) fn round_trip(&self, seed: u64, one: Host, other: Host) -> Duration {
        let half = self.half(seed, u64::from(one.0), u64::from(other.0));
        2 * Duration::from_micros(half as u64).max(Self::LEAST_DELAY)
    }

    /// Half of the round-trip time of two hosts, in microseconds.
    fn half(&self, seed: u64, from: u64, to: u64) -> f64 {
        let pair = hash(seed, &[Draw::Pair as u64, from.min(to) << 32 | from.max(to)]);
        self.median.as_micros() as f64 / 2.0 * exp(self.sigma * normal(pair))
    }
}

impl Default for Link {
    fn default() -> Self {
        let median = Duration::from_millis(100);
        Self { median, sigma: 0.6, jitter: 0.1, loss: 0.0, reorder: 0.0, partitions: Vec::new() }
    }
}

fn checked_share(share: f64) -> f64 {
    assert!((0.0..=1.0).contains(&share), "{share} is no share");
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::START;

    #[test]
    fn round_trips_have_the_median_and_the_spread_that_were_asked_for() {
        let link = Link::default();
        let delay = |from, to, number| link.delay(3, NOW, Host(from), Host(to), number).unwrap();
        let mut millis: Vec<_> =
            (0..20_000).map(|n| (delay(n, n + 1, 0) + delay(n + 1, n, 0)).as_secs_f64() * 1000.0).collect();
        millis.sort_by(f64::total_cmp);
        // The jitter adds a twentieth on average; one deviation is a factor of e^0.6.
        for (share, expected) in [(0.5, 105.0), (0.841_34, 105.0 * 1.822), (0.158_66, 105.0 / 1.822)] {
            let found = millis[(share * millis.len() as f64) as usize];
            assert!((found / expected - 1.0).abs() < 0.05, "{found} is not {expected}");
        }
        assert_eq!(delay(1, 2, 7), delay(1, 2, 7));
        assert_ne!(delay(1, 2, 7), delay(1, 2, 8), "each datagram has a jitter of its own");
    }

    #[test]
    fn loses_holds_up_and_parts_as_many_as_it_is_told() {
        let count = |link: &Link, now| {
            let delays = (0..10_000).filter_map(|n| link.delay(3, now, Host(n), Host(n + 1), 0));
            let slow = delays.clone().filter(|delay| *delay == Duration::from_millis(100)).count();
            (delays.count(), slow)
        };
        let even = Link::default().sigma(0.0).jitter(0.0);
        assert_eq!(count(&even, NOW), (10_000, 0));
        let (arrived, slow) = count(&even.clone().loss(0.2).reorder(0.1), NOW);
        assert!((7800..8200).contains(&arrived) && (700..900).contains(&slow), "{arrived} {slow}");
        let until = Instant::from_micros(10);
        let parted = even.partition(NOW, until, 2);
        assert!((4700..5300).contains(&count(&parted, NOW).0));
        assert_eq!(count(&parted, until).0, 10_000, "a partition heals");
    }
}
