#[cfg(test)]
mod tests;

use core::time::Duration;

use thiserror::Error;

use crate::Instant;
use crate::limits::OutOfRange;

/// How many tokens come in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u64,
    period_micros: u64,
}

impl Rate {
    /// `count` tokens in each `period`, evenly: one token each `period / count`.
    ///
    /// A period that is not a whole number of microseconds is rounded up, so no more comes than was asked for.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for a count of 0, a period of 0, and a period of `u64::MAX` microseconds or more.
    pub const fn new(count: u64, period: Duration) -> Result<Self, OutOfRange> {
        if count == 0 {
            return Err(OutOfRange { setting: "rate count", value: 0, min: 1, max: u64::MAX });
        }
        let period = period.as_nanos().div_ceil(1_000);
        let period_micros = if period > u64::MAX as u128 { u64::MAX } else { period as u64 };
        if period_micros == 0 || period_micros == u64::MAX {
            let value = period_micros;
            return Err(OutOfRange { setting: "rate period in microseconds", value, min: 1, max: u64::MAX - 1 });
        }
        Ok(Self { count, period_micros })
    }

    /// `count` tokens a second.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for a count of 0.
    pub const fn per_second(count: u64) -> Result<Self, OutOfRange> {
        Self::new(count, Duration::from_secs(1))
    }
}

/// A token bucket on the caller's clock: at most `burst` at once, and `rate` in the long run.
///
/// Exact: it counts in fractions of a token that make every microsecond worth a whole number, so nothing is rounded and
/// nothing drifts, however often it is asked.
///
/// Time that was counted once is not counted again. When the clock jumps back, no token comes until it has passed the
/// latest point it had shown; when it jumps far ahead, the bucket is full. Instants of another boot do not compare: a
/// receiver that restarts makes a new bucket.
///
/// ```
/// use core::time::Duration;
/// use iot_core::{Instant, Rate, RateLimit};
///
/// let mut limit = RateLimit::new(Rate::per_second(10)?, 2, Instant::START)?;
/// assert!(limit.try_take(Instant::START, 2).is_ok());
/// assert!(limit.try_take(Instant::START, 1).is_err());
/// assert!(limit.try_take(Instant::from_micros(100_000), 1).is_ok());
/// # Ok::<(), iot_core::limits::OutOfRange>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    rate: Rate,
    /// Tokens that fit.
    burst: u64,
    /// What is in the bucket, in fractions: a token is `rate.period_micros` of them, a microsecond brings `rate.count`.
    level: u64,
    latest: Instant,
}

impl RateLimit {
    /// A full bucket.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for a burst of 0, and for one that times the rate's period in microseconds exceeds a `u64`. With a
    /// period of a day that is 213 million.
    pub const fn new(rate: Rate, burst: u64, now: Instant) -> Result<Self, OutOfRange> {
        let max = u64::MAX / rate.period_micros;
        if burst == 0 || burst > max {
            return Err(OutOfRange { setting: "burst", value: burst, min: 1, max });
        }
        Ok(Self { rate, burst, level: burst * rate.period_micros, latest: now })
    }

    /// Takes `count` tokens, all or none. Taking none succeeds.
    ///
    /// # Errors
    ///
    /// [`RateLimited::RetryAt`] if too few are there now, [`RateLimited::OverBurst`] if `count` never fits. Nothing was
    /// taken then.
    pub fn try_take(&mut self, now: Instant, count: u64) -> Result<(), RateLimited> {
        self.refill(now);
        if count > self.burst {
            return Err(RateLimited::OverBurst { count, burst: self.burst });
        }
        let wanted = count * self.rate.period_micros;
        if wanted > self.level {
            let wait = (wanted - self.level).div_ceil(self.rate.count);
            return Err(RateLimited::RetryAt(Instant::from_micros(self.latest.as_micros().saturating_add(wait))));
        }
        self.level -= wanted;
        Ok(())
    }

    /// Whole tokens that could be taken now.
    pub fn available(&self, now: Instant) -> u64 {
        let mut later = self.clone();
        later.refill(now);
        later.level / later.rate.period_micros
    }

    /// Saturation is exact here: the capacity is a `u64`, so what does not fit into one would overflow the bucket too.
    fn refill(&mut self, now: Instant) {
        let elapsed = now.as_micros().saturating_sub(self.latest.as_micros());
        let capacity = self.burst * self.rate.period_micros;
        self.level = self.level.saturating_add(elapsed.saturating_mul(self.rate.count)).min(capacity);
        self.latest = self.latest.max(now);
    }
}

/// Why no token was taken from a [`RateLimit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RateLimited {
    /// A limit was reached: this is the first microsecond at which as many can be taken, if nobody takes any before.
    /// [`Instant::MAX`] may mean later than the clock can say.
    #[error("rate limit reached until {} µs", .0.as_micros())]
    RetryAt(Instant),
    /// The API was misused: so many never fit into the bucket.
    #[error("{count} tokens asked for, more than a burst of {burst}")]
    OverBurst {
        /// Tokens asked for.
        count: u64,
        /// Tokens that fit.
        burst: u64,
    },
}
