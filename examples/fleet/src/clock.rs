//! The time of the story: a day that passes in seconds, the same for every process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use iot_codec::record;
use iot_core::Timestamp;

record! {
    /// A clock that runs faster than the machine's, on which every process agrees.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Clock {
        /// What it shows at its start, in microseconds since the Unix epoch.
        1 => shown_us: u64,
        /// When the machine's clock reads that start, in microseconds since the Unix epoch.
        2 => start_us: u64,
        /// How many microseconds pass in one of the machine's.
        3 => factor: u64,
    }
}

impl Clock {
    /// A clock that shows `shown` until the machine's clock comes to `start`, and then runs `factor` times as fast.
    pub fn new(shown: Timestamp, start: SystemTime, factor: u64) -> Self {
        Self { shown_us: shown.as_micros(), start_us: micros(start), factor }
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        let passed = micros(SystemTime::now()).saturating_sub(self.start_us);
        Timestamp::from_micros(self.shown_us.saturating_add(passed.saturating_mul(self.factor)))
    }

    /// How long the machine takes until the clock shows `time`.
    pub fn until(&self, time: Timestamp) -> Duration {
        let shown_after = time.as_micros().saturating_sub(self.shown_us) / self.factor.max(1);
        Duration::from_micros((self.start_us + shown_after).saturating_sub(micros(SystemTime::now())))
    }

    /// A duration of the story that takes the machine this long.
    pub fn stretched(&self, machine: Duration) -> Duration {
        machine.saturating_mul(u32::try_from(self.factor).unwrap_or(u32::MAX))
    }
}

fn micros(time: SystemTime) -> u64 {
    let passed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_its_start_until_then_and_runs_faster_after() {
        let shown = Timestamp::from_secs(1_000);
        let later = Clock::new(shown, SystemTime::now() + Duration::from_secs(60), 4_320);
        assert_eq!(later.now(), shown);
        let earlier = Clock::new(shown, SystemTime::now() - Duration::from_secs(10), 4_320);
        let passed = earlier.now().saturating_since(shown);
        assert!((43_200..44_000).contains(&passed.as_secs()), "{passed:?}");
        assert_eq!(earlier.until(shown), Duration::ZERO);
    }
}
