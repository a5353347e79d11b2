use core::time::Duration;

use crate::lease::Backoff;

/// How a mirror forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MirrorConfig {
    window: usize,
    window_octets: usize,
    answer_within: Duration,
    settle_after: Duration,
    backoff: Backoff,
}

impl Default for MirrorConfig {
    /// 512 entries or 1 MiB under way, 30 seconds for an answer, no tail, waits from half a second to a minute.
    fn default() -> Self {
        Self {
            window: 512,
            window_octets: 1 << 20,
            answer_within: Duration::from_secs(30),
            settle_after: Duration::ZERO,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(60)),
        }
    }
}

impl MirrorConfig {
    /// How many entries may be under way without an acknowledgement, from 1 to 65,536. By default 512. At the bound, the
    /// mirror waits.
    ///
    /// # Errors
    /// When the value is out of range.
    pub fn window(self, entries: usize) -> Result<Self, MirrorConfigError> {
        if !(1..=65_536).contains(&entries) {
            return Err(MirrorConfigError::Window { entries });
        }
        Ok(Self { window: entries, ..self })
    }

    /// Octets of payloads that may be under way; one entry may go beyond. By default 1 MiB.
    #[must_use]
    pub const fn window_octets(self, octets: usize) -> Self {
        Self { window_octets: octets, ..self }
    }

    /// How long the other side may be silent while it is to answer, before the connection counts as lost. By default 30
    /// seconds.
    #[must_use]
    pub const fn answer_within(self, time: Duration) -> Self {
        Self { answer_within: time, ..self }
    }

    /// How long after its acknowledgement a message is kept here, because a power cut at the other side may take it until
    /// then: with the connection up all the while, or else as long after the other side has said that it has it still. By
    /// default not at all, which is right where an acknowledgement means a sync. Whole by a sixteenth: a message
    /// may be kept so much longer.
    #[must_use]
    pub const fn settle_after(self, time: Duration) -> Self {
        Self { settle_after: time, ..self }
    }

    /// How long to wait after failures in a row. By default from half a second, doubled up to a minute.
    #[must_use]
    pub const fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    pub(super) const fn window_messages(&self) -> usize {
        self.window
    }

    pub(super) const fn window_octet_count(&self) -> usize {
        self.window_octets
    }

    pub(super) const fn answer_time(&self) -> Duration {
        self.answer_within
    }

    pub(super) const fn settle_time(&self) -> Duration {
        self.settle_after
    }

    pub(super) const fn backoff_choice(&self) -> Backoff {
        self.backoff
    }
}

/// Why a mirror's configuration is not possible; the caller corrects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorConfigError {
    /// See [`MirrorConfig::window`].
    #[error("a window of {entries} entries is not between 1 and 65536")]
    Window {
        /// What the setter was given.
        entries: usize,
    },
}
