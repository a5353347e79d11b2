use core::time::Duration;

/// How long messages stay that nobody needs any more, so that a cursor can go back to them. It never keeps anything out:
/// what nobody needs goes when there is no other room.
///
/// Messages that somebody still needs do not depend on it; see [`QueueConfig::expire_after`](crate::QueueConfig::expire_after),
/// [`MaxLag`](crate::MaxLag) and [`WhenFull`](crate::WhenFull).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Octets of records, and the age.
    pub(crate) limits: Option<(u64, Duration)>,
}

impl Retention {
    /// They go at once, a segment at a time, and take no memory.
    pub const NONE: Self = Self { limits: None };
    /// They stay as long as there is other room. Those of the whole queue take memory, and opening reads their footers.
    pub const WHILE_ROOM: Self = Self { limits: Some((u64::MAX, Duration::MAX)) };

    /// As long as there is other room, and all that is stored takes at most so many octets of records.
    #[must_use]
    pub const fn max_octets(self, octets: u64) -> Self {
        let (_, age) = self.limits_or_none();
        Self { limits: Some((octets, age)) }
    }

    /// As long as there is other room, and they are at most so old by the queue's own clock.
    #[must_use]
    pub const fn max_age(self, age: Duration) -> Self {
        let (octets, _) = self.limits_or_none();
        Self { limits: Some((octets, age)) }
    }

    const fn limits_or_none(self) -> (u64, Duration) {
        match self.limits {
            Some(limits) => limits,
            None => (u64::MAX, Duration::MAX),
        }
    }
}
