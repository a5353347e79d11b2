//! Times several contestants on the same work, interleaved, and says how sure the ratio of two of them is.
//!
//! A sample is the mean time of one call over a block of calls. The block's length is found once for each contestant,
//! so that a sample lasts about as long as [`Effort`] says. Samples are taken in rounds, one of each contestant
//! (A B C A B C …), so that whatever else the machine does falls on all of them alike.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long a measurement may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Enough samples to judge a row by.
    Full,
    /// Shows that the row runs; its figures mean nothing.
    Smoke,
}

impl Effort {
    /// Rounds of samples for work that costs nanoseconds to microseconds.
    fn rounds(self) -> usize {
        match self {
            Self::Full => 2_001,
            Self::Smoke => 5,
        }
    }

    /// How long one sample of such work should last: less than a slice of the scheduler, so that on a busy machine most
    /// samples are not interrupted, and medians do not notice those that are.
    fn sample_time(self) -> Duration {
        match self {
            Self::Full => Duration::from_micros(250),
            Self::Smoke => Duration::from_micros(50),
        }
    }

    /// One of two numbers, by effort: a row's own count of messages or rounds.
    pub fn choose<T>(self, full: T, smoke: T) -> T {
        match self {
            Self::Full => full,
            Self::Smoke => smoke,
        }
    }
}

/// A contestant: a name, and work that can be repeated.
pub struct Side<'a> {
    name: &'static str,
    run: Box<dyn FnMut(u64) -> Duration + 'a>,
}

impl<'a> Side<'a> {
    /// Work whose every call is timed together with its neighbours. The loop is compiled with the work, so that the
    /// harness adds nothing to a call, and what a call returns is kept from the optimiser.
    pub fn new<T>(name: &'static str, mut work: impl FnMut() -> T + 'a) -> Self {
        Self::timed(name, move |calls| {
            let start = Instant::now();
            for _ in 0..calls {
                black_box(work());
            }
            start.elapsed()
        })
    }

    /// Work that keeps its own time for a number of calls, because part of it must not be timed.
    pub fn timed(name: &'static str, run: impl FnMut(u64) -> Duration + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }

    /// Who this is.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The time of `calls` calls.
    pub fn run(&mut self, calls: u64) -> Duration {
        (self.run)(calls)
    }

    /// The number of calls that last about `sample_time`. Also warms the work up. The shortest of three runs counts, so
    /// that one that was interrupted does not pass for a long one.
    fn calls_for(&mut self, sample_time: Duration) -> u64 {
        let mut calls = 1;
        loop {
            let spent = (0..3).map(|_| self.run(calls)).min().expect("there are three");
            if spent >= sample_time / 4 {
                let scaled = calls as f64 * sample_time.as_secs_f64() / spent.as_secs_f64();
                return (scaled as u64).max(1);
            }
            calls = calls.saturating_mul(2);
        }
    }
}

/// The samples of one contestant: seconds a call, in the order in which they were taken.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Who was measured.
    pub name: &'static str,
    seconds: Vec<f64>,
}

impl Samples {
    /// Samples taken by other means, in seconds a call and in rounds with those they are compared with.
    pub fn new(name: &'static str, seconds: Vec<f64>) -> Self {
        assert!(!seconds.is_empty(), "a contestant without samples");
        Self { name, seconds }
    }

    /// The median, in seconds.
    pub fn median(&self) -> f64 {
        median(&mut self.seconds.clone())
    }
}

/// Measures all sides, interleaved; the answer has their order.
pub fn interleaved(effort: Effort, mut sides: Vec<Side<'_>>) -> Vec<Samples> {
    let calls: Vec<u64> = sides.iter_mut().map(|side| side.calls_for(effort.sample_time())).collect();
    let rounds = effort.rounds();
    take(Rounds { least: rounds, most: rounds, budget: Duration::ZERO }, &calls, sides)
}

/// How long [`alternating`] goes on.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// At least so many rounds.
    pub least: usize,
    /// At most so many.
    pub most: usize,
    /// Between the two, until so much time has passed: a disk may be a hundred times slower than another.
    pub budget: Duration,
}

/// Like [`interleaved`], with a fixed number of calls a sample, for work that waits for a disk.
pub fn alternating(rounds: Rounds, calls: u64, mut sides: Vec<Side<'_>>) -> Vec<Samples> {
    for side in &mut sides {
        side.run(1);
    }
    let calls = vec![calls; sides.len()];
    take(rounds, &calls, sides)
}

fn take(rounds: Rounds, calls: &[u64], mut sides: Vec<Side<'_>>) -> Vec<Samples> {
    let mut seconds = vec![Vec::with_capacity(rounds.most); sides.len()];
    let start = Instant::now();
    for round in 0..rounds.most {
        if round >= rounds.least && start.elapsed() > rounds.budget {
            break;
        }
        for ((side, &calls), seconds) in sides.iter_mut().zip(calls).zip(&mut seconds) {
            seconds.push(side.run(calls).as_secs_f64() / calls as f64);
        }
    }
    sides.iter().zip(seconds).map(|(side, seconds)| Samples::new(side.name, seconds)).collect()
}

/// The ratio of two medians, and the interval that holds it with a probability of 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The median of ours over the median of the peer's.
    pub median: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end: what a row is judged by.
    pub high: f64,
}

impl Ratio {
    /// How often the rounds are drawn again.
    const RESAMPLES: usize = 2_000;

    /// By the bootstrap over rounds: as many rounds as there were are drawn with replacement, both sides' samples of a
    /// round together (so what disturbed both cancels), and the ratio of the medians is taken; the interval reaches
    /// from the 2.5th to the 97.5th percentile of `RESAMPLES` such ratios. The draws are seeded, so the same
    /// samples give the same interval.
    pub fn of(ours: &Samples, peer: &Samples) -> Self {
        let rounds = ours.seconds.len().min(peer.seconds.len());
        let mut draws = Draws(0x9e37_79b9_7f4a_7c15);
        let (mut our_draw, mut peer_draw) = (vec![0.0; rounds], vec![0.0; rounds]);
        let mut ratios: Vec<f64> = (0..Self::RESAMPLES)
            .map(|_| {
                for slot in 0..rounds {
                    let round = draws.below(rounds);
                    our_draw[slot] = ours.seconds[round];
                    peer_draw[slot] = peer.seconds[round];
                }
                median(&mut our_draw) / median(&mut peer_draw)
            })
            .collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let percentile = |permille: usize| ratios[(Self::RESAMPLES - 1) * permille / 1_000];
        Self { median: ours.median() / peer.median(), low: percentile(25), high: percentile(975) }
    }
}

/// How many of so many trials came out as they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Those that did.
    pub successes: u64,
    /// All.
    pub trials: u64,
}

impl Share {
    /// The share itself.
    pub fn part(self) -> f64 {
        self.successes as f64 / self.trials as f64
    }

    /// The lower end of an interval around it (Wilson, 1927): `quantile` is that of the normal distribution, 1.96 for the
    /// two-sided 95 %.
    pub fn lower_bound(self, quantile: f64) -> f64 {
        let (count, share) = (self.trials as f64, self.part());
        let middle = share + quantile * quantile / (2.0 * count);
        let reach = quantile * (share * (1.0 - share) / count + quantile * quantile / (4.0 * count * count)).sqrt();
        (middle - reach) / (1.0 + quantile * quantile / count)
    }
}

/// `SplitMix64`: enough to draw rounds with.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = below.iter().copied().fold(f64::MIN, f64::max);
    if values.len() % 2 == 1 { upper } else { (lower + upper) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&mut [7.0]), 7.0);
    }

    #[test]
    fn interval_holds_a_known_ratio_and_narrows_with_samples() {
        let noisy = |scale: f64, count: usize, seed: u64| {
            let mut draws = Draws(seed);
            (0..count).map(|_| scale * (1.0 + draws.below(1_000) as f64 / 5_000.0)).collect::<Vec<_>>()
        };
        let wide = Ratio::of(&Samples::new("a", noisy(2.0, 9, 1)), &Samples::new("b", noisy(1.0, 9, 2)));
        let narrow = Ratio::of(&Samples::new("a", noisy(2.0, 301, 1)), &Samples::new("b", noisy(1.0, 301, 2)));
        for ratio in [wide, narrow] {
            assert!(ratio.low <= 2.0 && 2.0 <= ratio.high, "{ratio:?}");
        }
        assert!(narrow.high - narrow.low < wide.high - wide.low, "{wide:?} {narrow:?}");
    }

    #[test]
    fn rounds_are_drawn_in_pairs() {
        // Both sides are slowed alike in half of the rounds: a ratio taken round by round does not move.
        let slowed = |scale: f64| (0..100).map(|round| scale * if round < 50 { 1.0 } else { 3.0 }).collect::<Vec<_>>();
        let ratio = Ratio::of(&Samples::new("a", slowed(0.5)), &Samples::new("b", slowed(1.0)));
        assert_eq!((ratio.low, ratio.high), (0.5, 0.5));
    }

    /// The interval of 81 of 263 is the example of Newcombe, 1998, table I.
    #[test]
    fn the_lower_bound_is_that_of_wilson() {
        let bound = |successes, trials| Share { successes, trials }.lower_bound(1.96);
        assert!((bound(81, 263) - 0.2553).abs() < 1e-4);
        assert!((bound(5000, 5000) - 0.999_232).abs() < 1e-6);
    }

    #[test]
    fn every_side_gets_the_same_rounds() {
        let order = std::cell::RefCell::new(Vec::new());
        let order = &order;
        let side = |name: &'static str| {
            Side::timed(name, move |calls| {
                order.borrow_mut().push((name, calls));
                Duration::from_millis(calls)
            })
        };
        let samples = alternating(Rounds { least: 2, most: 9, budget: Duration::ZERO }, 3, vec![side("a"), side("b")]);
        assert_eq!(samples.iter().map(Samples::median).collect::<Vec<_>>(), [1e-3, 1e-3]);
        assert_eq!(*order.borrow(), [("a", 1), ("b", 1), ("a", 3), ("b", 3), ("a", 3), ("b", 3)]);
    }
}
