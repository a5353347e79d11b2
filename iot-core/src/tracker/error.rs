use thiserror::Error;

use crate::Incarnation;

/// Why a sequence number is not recorded in an incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum SequenceError {
    /// A replay, or a message that came twice, or one that was skipped or given up before it came.
    #[error("sequence number {sequence} was recorded before")]
    Repeated {
        /// The number.
        sequence: u64,
    },
    /// Older than the window: whether it was seen is not known any more.
    #[error("sequence number {sequence} is too old, the window begins at {oldest}")]
    TooOld {
        /// The number.
        sequence: u64,
        /// The first number of the window.
        oldest: u64,
    },
    /// A limit was reached: one range too many. Offer it again after a gap was filled or given up.
    #[error("sequence number {sequence} would begin a range beyond the limit of {max}")]
    Full {
        /// The number, or the first one of the range.
        sequence: u64,
        /// The limit.
        max: usize,
    },
    /// The source misbehaved: no message stands above [`LAST_SEQUENCE`](crate::limits::LAST_SEQUENCE).
    #[error("sequence number {sequence} is above the last one")]
    AboveLast {
        /// The number.
        sequence: u64,
    },
    /// The source misbehaved: a skipped range is empty or reversed.
    #[error("skipped range {start}..{end} is empty or reversed")]
    EmptyRange {
        /// The first number.
        start: u64,
        /// One past the last number.
        end: u64,
    },
}

/// Why a [`Tracker`](crate::Tracker) does not accept a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// The incarnation is open, and refuses the number.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// The incarnation is closed: a replay, or a message that came too late.
    #[error("incarnation {incarnation} is closed")]
    Closed {
        /// Which.
        incarnation: Incarnation,
    },
    /// The incarnation is unknown, and [proof is demanded](crate::Tracker::demand_proof). Challenge the source.
    #[error("incarnation {incarnation} is not proven")]
    UnprovenIncarnation {
        /// Which.
        incarnation: Incarnation,
    },
    /// A limit was reached: one incarnation too many. [Close](crate::Tracker::close) one, and offer it again.
    #[error("incarnation {incarnation} is beyond the limit of {max} open ones")]
    TooManyIncarnations {
        /// Which.
        incarnation: Incarnation,
        /// The limit.
        max: usize,
    },
}

/// Why a [`Tracker`](crate::Tracker) does not close an incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum CloseError {
    /// A limit was reached: its name could not be remembered. Restore into a larger tracker, or
    /// [demand proof](crate::Tracker::demand_proof).
    #[error("incarnation {incarnation} is beyond the limit of {max} closed ones")]
    TooManyTombstones {
        /// Which.
        incarnation: Incarnation,
        /// The limit.
        max: usize,
    },
}

/// Why saved state is refused: it is damaged, or was saved by a larger tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// A range is empty or reversed, or begins at or below the end of what comes before it.
    #[error("saved range {index}, {start}..{end}, is empty or not above a gap")]
    NotAscending {
        /// Which range, counted from 0.
        index: usize,
        /// Its first number.
        start: u64,
        /// One past its last number.
        end: u64,
    },
    /// A limit was reached: more ranges than fit.
    #[error("more than {max} saved ranges")]
    TooManyRanges {
        /// The limit.
        max: usize,
    },
    /// The words of a window have bits where nothing can have been seen, or none for the highest number.
    #[error("saved words are not those of a window that ends at {end}")]
    Window {
        /// One past the highest number, as saved.
        end: u64,
    },
    /// An incarnation was given twice.
    #[error("incarnation {incarnation} is saved twice")]
    Twice {
        /// Which.
        incarnation: Incarnation,
    },
    /// A limit was reached: more open incarnations than fit.
    #[error("more than {max} saved open incarnations")]
    TooManyIncarnations {
        /// The limit.
        max: usize,
    },
    /// A limit was reached: more closed incarnations than fit.
    #[error("more than {max} saved closed incarnations")]
    TooManyTombstones {
        /// The limit.
        max: usize,
    },
}
