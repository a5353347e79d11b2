use iot_core::{DeviceId, Incarnation, StreamId, Timestamp};

/// What is missing from a feed, as far as it can be proved. There is no other kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Sequence numbers that their device signed never to have used. Nothing is lost.
    NeverWritten(Numbers),
    /// Segments that the signed index says have expired: `from` up to but without `to`.
    Expired {
        /// The first of them.
        from: u64,
        /// The first after them.
        to: u64,
    },
    /// A segment that the signed index names as alive, or does not say has expired because a page of the index is
    /// unavailable too, and of which the network returned nothing readable, or, without that page, perhaps not all.
    Unavailable {
        /// Its number.
        segment: u64,
        /// How many nodes were asked, in the last attempt.
        asked: usize,
        /// How many of them answered.
        answered: usize,
    },
    /// The head promised a successor that has not come.
    HeadOverdue {
        /// The sequence of the head.
        sequence: u64,
        /// When the successor was promised.
        promised: Timestamp,
    },
    /// Sequence numbers of which the owner of the feed says that it had them and lost them. That it says so is proved,
    /// not that it is true.
    ClaimedDropped {
        /// Who says so.
        by: DeviceId,
        /// What is lost.
        numbers: Numbers,
    },
}

/// A range of sequence numbers of one incarnation of one stream of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Whose they are.
    pub source: DeviceId,
    /// Of which stream.
    pub stream: StreamId,
    /// Of which incarnation.
    pub incarnation: Incarnation,
    /// The first of them.
    pub start: u64,
    /// The first after them, larger than `start`.
    pub end: u64,
}
