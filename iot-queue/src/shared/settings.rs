use core::time::Duration;

/// When a [`SharedQueue`](super::SharedQueue) commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedSettings {
    pub(super) linger: Duration,
    pub(super) flush_after: Option<Duration>,
}

impl Default for SharedSettings {
    /// Syncs at once when somebody waits, and [`run`](super::SharedQueue::run) commits what nobody waits for after one
    /// second.
    fn default() -> Self {
        Self { linger: Duration::ZERO, flush_after: Some(Duration::from_secs(1)) }
    }
}

impl SharedSettings {
    /// How long whoever is about to sync waits for others to join. By default not at all: while one sync runs, those that
    /// come later gather for the next, without a wait. A linger makes fewer syncs of them, and each append that much
    /// later.
    #[must_use]
    pub const fn linger(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }

    /// How long acknowledgements, and messages that nobody waits for, stay without a commit while
    /// [`run`](super::SharedQueue::run) runs; `None` for as long as nobody asks. By default one second.
    #[must_use]
    pub const fn flush_after(self, delay: Option<Duration>) -> Self {
        Self { flush_after: delay, ..self }
    }
}
