use iot_core::Instant;

/// Tells the time to a [`SharedQueue`](super::SharedQueue). It never goes back.
///
/// Every function without arguments that gives an [`Instant`] is one.
pub trait Clock: Send + Sync + 'static {
    /// What the clock shows.
    fn now(&self) -> Instant;
}

impl<F: Fn() -> Instant + Send + Sync + 'static> Clock for F {
    fn now(&self) -> Instant {
        self()
    }
}
