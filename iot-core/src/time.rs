use core::time::Duration;

/// A point on the wall clock: microseconds since the Unix epoch, leap seconds not counted.
///
/// Many devices have no clock. What may be unknown is an `Option<Timestamp>`, and each function that takes one says
/// what it does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch, 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The last point that can be represented, in the year 586,524.
    pub const MAX: Self = Self(u64::MAX);

    /// The point that lies this many microseconds after the Unix epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The point that lies this many seconds after the Unix epoch; saturates at [`MAX`](Self::MAX).
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The point `duration` later, rounded down to the microsecond; saturates at [`MAX`](Self::MAX).
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// The point `duration` earlier, `duration` rounded down to the microsecond; saturates at [`EPOCH`](Self::EPOCH).
    pub const fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }

    /// How long `earlier` lies before this point; zero if it lies after.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A point on the caller's monotonic clock, in microseconds since a start that the caller chose.
///
/// Points of different clocks, or of different boots, do not compare. Saturates instead of overflowing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the caller's clock.
    pub const START: Self = Self(0);

    /// The last point that can be represented.
    pub const MAX: Self = Self(u64::MAX);

    /// The point that lies this many microseconds after the clock's start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the clock's start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The point `duration` later, rounded down to the microsecond; saturates at [`MAX`](Self::MAX).
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// How long `earlier` lies before this point; zero if it lies after.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

const fn micros(duration: Duration) -> u64 {
    let micros = duration.as_micros();
    if micros > u64::MAX as u128 { u64::MAX } else { micros as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturates_at_both_ends_of_the_clock() {
        assert_eq!(Instant::MAX.saturating_add(Duration::from_micros(1)), Instant::MAX);
        assert_eq!(Instant::START.saturating_add(Duration::MAX), Instant::MAX);
        assert_eq!(Instant::START.saturating_since(Instant::MAX), Duration::ZERO);
        assert_eq!(Timestamp::EPOCH.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::EPOCH.saturating_sub(Duration::from_micros(1)), Timestamp::EPOCH);
        assert_eq!(Timestamp::from_secs(u64::MAX), Timestamp::MAX);
    }

    #[test]
    fn what_is_added_is_what_lies_between() {
        let start = Timestamp::from_micros(1_767_225_600_123_456);
        let later = start.saturating_add(Duration::new(3, 4_999));
        assert_eq!(later.saturating_since(start), Duration::from_micros(3_000_004));
        assert_eq!(later.saturating_sub(Duration::new(3, 4_999)), start);
        assert_eq!(start.as_secs(), 1_767_225_600);
        assert_eq!(Timestamp::from_secs(start.as_secs()).saturating_since(start), Duration::ZERO);
    }
}
