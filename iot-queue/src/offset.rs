use core::fmt;

/// A place in a queue's log: the n-th message ever appended, counted from 0 by ones.
///
/// An offset that was handed out is not used again, except that of a message which a power cut took before it was
/// committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// The first message that a queue ever held.
    pub const START: Self = Self(0);

    /// The place with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of the place.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The place after this one; saturates.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Eight octets that tell one queue's log from every other, drawn at random by the caller.
///
/// It seeds every checksum, so that bytes of another queue, or of a segment's earlier life, never pass for records.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch([u8; 8]);

impl Epoch {
    /// Wraps 8 octets that the caller drew at random.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The 8 octets.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({:016x})", u64::from_be_bytes(self.0))
    }
}

/// Messages that the log once numbered and can no longer give: everything from `from` up to, not including, `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gap {
    /// The first message that is missing.
    pub from: Offset,
    /// The first message that is not missing any more.
    pub until: Offset,
    /// What is known about the loss.
    pub cause: GapCause,
}

/// What is known about messages that are missing from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapCause {
    /// A sync had covered them: the medium lost or changed what it had promised to hold.
    Damaged,
    /// No sync is known to have covered them: they may be a write that a crash tore, and then nobody was told that
    /// they were safe.
    Uncertain,
    /// Their time to live had ended before anybody acknowledged them; or a cursor stayed further behind than
    /// [its limit](crate::MaxLag), and missed them.
    Expired,
    /// They were dropped to make room; [`Queue::dropped`](crate::Queue::dropped) has the record of that.
    Dropped,
    /// Whoever stands between the queue and the reader left them out on purpose. The queue itself never does.
    Filtered,
}

impl GapCause {
    /// The cause in a word, as the tools and the brokers show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Uncertain => "uncertain",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
            Self::Filtered => "filtered",
        }
    }

    /// The cause that this [name](Self::name) says.
    pub fn from_name(name: &str) -> Option<Self> {
        let causes = [Self::Damaged, Self::Uncertain, Self::Expired, Self::Dropped, Self::Filtered];
        causes.into_iter().find(|cause| cause.name() == name)
    }
}
