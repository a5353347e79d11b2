use iot_core::Instant;

/// What it means that answers are overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Few answers are missing: they are waited for.
    Late,
    /// Some will not come: those that are overdue for the second time.
    GoneIfTwice,
    /// Many are missing: they will not come.
    Gone,
}

impl Silence {
    /// Of so many requests, and so many answers that came though they were overdue, so many are overdue or failed, and of
    /// these so many overdue twice or failed.
    pub(super) fn of(asked: usize, late: usize, once: usize, twice: usize) -> Self {
        if once > asked / 6 + 1 {
            Self::Gone
        } else if twice > asked / 36 + 1 + late {
            Self::GoneIfTwice
        } else {
            Self::Late
        }
    }

    /// Whether an answer that is overdue at these two moments is waited for no longer.
    pub(super) fn gives_up(self, now: Instant, timeout: Instant, twice: Instant) -> bool {
        match self {
            Self::Late => false,
            Self::GoneIfTwice => twice <= now,
            Self::Gone => timeout <= now,
        }
    }
}
