use core::time::Duration;

use iot_core::Instant;

/// Tells when a stream has been silent for longer than its source promised.
///
/// Messages that are held back at the end of a stream leave no gap that could be seen. A source that promises never to
/// be silent for long lets its reader say, at least, since when it has heard nothing.
///
/// ```
/// use core::time::Duration;
/// use iot_core::Instant;
/// use iot_crypto::stream::Silence;
///
/// let second = |second: u64| Instant::from_micros(second * 1_000_000);
/// let mut silence = Silence::new(Duration::from_secs(60), second(0));
/// silence.handle_message(second(100));
/// assert_eq!(silence.silent_since(second(160)), None);
/// assert_eq!(silence.silent_since(second(161)), Some(second(100)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    longest: Duration,
    heard: Instant,
}

impl Silence {
    /// Begins at `now`, with the promise of an [`Epoch`](super::Epoch).
    pub const fn new(longest: Duration, now: Instant) -> Self {
        Self { longest, heard: now }
    }

    /// A message was verified. Only [`Freshness::Proven`](iot_core::Freshness::Proven) ones break a silence for sure:
    /// others may be replays.
    pub fn handle_message(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
    }

    /// When the last message came, if more time has passed since than was promised.
    pub fn silent_since(&self, now: Instant) -> Option<Instant> {
        (now.saturating_since(self.heard) > self.longest).then_some(self.heard)
    }

    /// When the silence becomes longer than promised, unless a message comes: the caller looks again then.
    pub const fn poll_timeout(&self) -> Instant {
        self.heard.saturating_add(self.longest).saturating_add(Duration::from_micros(1))
    }
}
