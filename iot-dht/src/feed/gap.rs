use iot_core::Timestamp;

/// What is missing from a feed, as far as it can be proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap {
    /// Segments that the signed index says have expired: `from` up to but without `to`.
    Expired {
        /// The first of them.
        from: u64,
        /// The first after them.
        to: u64,
    },
    /// A segment that the signed index names and that is still alive, which the network did not return.
    Unavailable {
        /// Its number.
        segment: u64,
        /// How many nodes were asked, in the last attempt.
        asked: usize,
        /// How many of them answered.
        answered: usize,
    },
    /// A segment that its owner signed and that is no sequence of messages.
    Malformed {
        /// Its number.
        segment: u64,
    },
    /// The head promised a successor that has not come.
    HeadOverdue {
        /// The sequence of the head.
        sequence: u64,
        /// When the successor was promised.
        promised: Timestamp,
    },
}
