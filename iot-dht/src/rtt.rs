use core::time::Duration;

/// How long to wait for an answer that may never come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// After this long somebody else is asked, too: most answers have come by then.
    pub hedge: Duration,
    /// After this long the answer is overdue (the retransmission time-out of RFC 6298 §2).
    pub timeout: Duration,
}

impl Patience {
    /// What holds while nothing has been measured: a time-out of 1 s (RFC 6298 §2.1).
    pub const INITIAL: Self = Self { hedge: Duration::from_millis(500), timeout: Duration::from_secs(1) };

    /// The clock of RFC 6298 §2, as a floor under the variation: an answer may wait that long in a queue on a path whose
    /// times never varied before.
    const GRANULARITY: Duration = Duration::from_millis(50);

    fn from_estimate(smoothed: Duration, variation: Duration, variations: u32) -> Self {
        Self {
            hedge: smoothed + (variation * 2).max(Self::GRANULARITY / 2),
            timeout: smoothed + (variation * variations).max(Self::GRANULARITY),
        }
    }

    /// Neither longer than `timeout`.
    #[must_use]
    pub fn at_most(self, timeout: Duration) -> Self {
        Self { hedge: self.hedge.min(timeout), timeout: self.timeout.min(timeout) }
    }
}

/// The round-trip times of one peer, smoothed as RFC 6298 §2 says: four octets, in units of 256 µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rtt {
    /// 0 while nothing has been measured.
    smoothed: u16,
    variation: u16,
}

/// Microseconds of one unit.
const UNIT: u32 = 256;

impl Rtt {
    pub(crate) fn measure(&mut self, rtt: Duration) {
        let sample = u16::try_from(rtt.as_micros() / u128::from(UNIT)).unwrap_or(u16::MAX).max(1);
        if self.smoothed == 0 {
            *self = Self { smoothed: sample, variation: sample / 2 };
            return;
        }
        let mix = |old: u16, new: u16, shift: u32| {
            let (old, new) = (u32::from(old), u32::from(new));
            (((old << shift) - old + new + (1 << (shift - 1))) >> shift) as u16
        };
        self.variation = mix(self.variation, self.smoothed.abs_diff(sample), 2);
        self.smoothed = mix(self.smoothed, sample, 3).max(1);
    }

    pub(crate) fn smoothed(self) -> Option<Duration> {
        (self.smoothed != 0).then(|| Duration::from_micros((u32::from(self.smoothed) * UNIT).into()))
    }

    pub(crate) fn patience(self) -> Option<Patience> {
        let variation = Duration::from_micros((u32::from(self.variation) * UNIT).into());
        self.smoothed().map(|smoothed| Patience::from_estimate(smoothed, variation, 4))
    }
}

/// The round-trip times of all peers together: what to expect of one that was never asked. Mean and mean deviation,
/// of the first samples exactly, and then with a gain of 1/128, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Population {
    mean: u32,
    deviation: u32,
    samples: u8,
}

impl Population {
    const MOST: u8 = 128;

    /// RFC 6298 waits for four deviations of one path. The times of many paths have a longer tail: of a log-normal
    /// distribution with a sigma of 0.6, two in a hundred lie beyond four, and one in two hundred beyond six.
    const DEVIATIONS: u32 = 6;

    pub(crate) fn measure(&mut self, rtt: Duration) {
        let sample = i64::try_from(rtt.as_micros()).unwrap_or(i64::MAX).clamp(1, i64::from(u32::MAX / 8));
        self.samples = (self.samples + 1).min(Self::MOST);
        let step = |old: u32, new: i64| (i64::from(old) + (new - i64::from(old)) / i64::from(self.samples)) as u32;
        // RFC 6298 §2.2: the first deviation is half of the first sample.
        let deviation = if self.samples == 1 { sample / 2 } else { (sample - i64::from(self.mean)).abs() };
        self.deviation = step(self.deviation, deviation);
        self.mean = step(self.mean, sample);
    }

    pub(crate) fn patience(self) -> Option<Patience> {
        let micros = |value: u32| Duration::from_micros(value.into());
        (self.samples != 0)
            .then(|| Patience::from_estimate(micros(self.mean), micros(self.deviation), Self::DEVIATIONS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The formulas of RFC 6298 §2.2 and §2.3, in floating point.
    #[test]
    fn follows_the_formulas_of_the_rfc() {
        let samples = [100, 130, 80, 400, 90, 95, 105, 1000, 100, 100];
        let (mut smoothed, mut variation) = (100.0_f64, 50.0_f64);
        let mut rtt = Rtt::default();
        assert_eq!(rtt.patience(), None);
        rtt.measure(ms(samples[0]));
        for sample in &samples[1..] {
            rtt.measure(ms(*sample));
            let sample = *sample as f64;
            variation = 0.75 * variation + 0.25 * (smoothed - sample).abs();
            smoothed = 0.875 * smoothed + 0.125 * sample;
            let expected = smoothed + 4.0 * variation;
            let found = rtt.patience().unwrap().timeout.as_secs_f64() * 1000.0;
            assert!((found - expected).abs() < 0.02 * expected, "{found} is not {expected}");
        }
    }

    #[test]
    fn a_path_that_never_varies_still_has_a_margin() {
        let mut rtt = Rtt::default();
        (0..100).for_each(|_| rtt.measure(ms(20)));
        let patience = rtt.patience().unwrap();
        assert!(patience.timeout >= ms(65) && patience.hedge < patience.timeout, "{patience:?}");
        assert_eq!(patience.at_most(ms(30)), Patience { hedge: ms(30), timeout: ms(30) });
        rtt.measure(Duration::MAX);
        rtt.measure(Duration::ZERO);
        assert!(rtt.smoothed().unwrap() < Duration::from_secs(17));
    }

    #[test]
    fn a_population_is_its_mean_and_its_mean_deviation() {
        let mut population = Population::default();
        assert_eq!(population.patience(), None);
        for _ in 0..1000 {
            population.measure(ms(50));
            population.measure(ms(150));
        }
        let patience = population.patience().unwrap();
        let timeout = patience.timeout.as_secs_f64();
        assert!((0.37..0.43).contains(&timeout), "{timeout}");
        population.measure(Duration::MAX);
        population.measure(Duration::ZERO);
    }
}
