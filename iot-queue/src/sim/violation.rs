use crate::error::{AppendError, CommitError, LeaseError, OpenError, ReserveError};
use crate::offset::{GapCause, Offset};

/// A promise that a queue broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The disk worked, and the queue did not open.
    #[error("the queue does not open on a disk that works")]
    Shut(#[source] OpenError),
    /// A function of the queue panicked.
    #[error("a function of the queue panicked")]
    Panicked,
    /// The queue was taken for a new one.
    #[error("the queue has another epoch than before")]
    OtherQueue,
    /// A message that was durable, and that nobody acknowledged, is not there.
    #[error("message {offset} was durable and is lost")]
    Lost {
        /// Which one.
        offset: Offset,
    },
    /// A message whose process was killed after it had been appended is not there.
    #[error("message {offset} had been appended when the process was killed, and is lost")]
    LostByKill {
        /// Which one.
        offset: Offset,
    },
    /// The log ends before what was durable.
    #[error("everything below {durable} was durable, and the log ends at {next}")]
    CutShort {
        /// What had been promised.
        durable: Offset,
        /// What is there.
        next: Offset,
    },
    /// A message was damaged, and no gap names it.
    #[error("message {offset} was damaged, and no gap names it")]
    Unnamed {
        /// Which one.
        offset: Offset,
    },
    /// A message came that nobody appended there.
    #[error("message {offset} is not what was appended there")]
    Invented {
        /// Which one.
        offset: Offset,
    },
    /// A gap names a message that was not lost.
    #[error("the gap at {offset} has the cause {cause:?}, which is not what happened")]
    WrongGap {
        /// Which message.
        offset: Offset,
        /// What the queue says of it.
        cause: GapCause,
    },
    /// The log has a place that is neither a message nor a gap.
    #[error("the log has nothing at {offset}, and more after it")]
    Hole {
        /// Which place.
        offset: Offset,
    },
    /// A message is gone that nobody needed, although there was room for it and it was within the limits of retention.
    #[error("retention keeps message {offset}, and it is gone")]
    NotKept {
        /// Which one.
        offset: Offset,
    },
    /// A message came although its acknowledgement was durable, or as good as that.
    #[error("message {offset} was acknowledged and came again")]
    CameAgain {
        /// Which one.
        offset: Offset,
    },
    /// Nobody acknowledged a message, and it does not come.
    #[error("message {offset} waits and does not come")]
    NeverCame {
        /// Which one.
        offset: Offset,
    },
    /// A message was handed out that somebody holds.
    #[error("message {offset} was handed out although somebody holds it")]
    HeldTwice {
        /// Which one.
        offset: Offset,
    },
    /// More messages were handed out than asked for, or than may be leased.
    #[error("more messages were handed out than {most}")]
    TooMany {
        /// What was allowed.
        most: usize,
    },
    /// A message came for the first time after a later one had.
    #[error("message {offset} came after message {after}")]
    OutOfOrder {
        /// Which one.
        offset: Offset,
        /// Which one came before it.
        after: Offset,
    },
    /// A message came before an earlier one of its key was acknowledged.
    #[error("message {offset} came before message {waiting} of its key was acknowledged")]
    KeyOutOfOrder {
        /// Which one.
        offset: Offset,
        /// The earlier one.
        waiting: Offset,
    },
    /// A message came before its delay had passed.
    #[error("message {offset} came before its delay had passed")]
    Early {
        /// Which one.
        offset: Offset,
    },
    /// A message was handed out with fewer attempts than were counted for good.
    #[error("message {offset} came with attempt {says}, and attempt {is} was counted for good")]
    AttemptsLost {
        /// Which one.
        offset: Offset,
        /// The attempt that it came with.
        says: u32,
        /// The attempt that was saved.
        is: u32,
    },
    /// A message that was a dead letter for good is none any more, or is one without a reason to be.
    #[error("message {offset} was a dead letter and is none, or is one and was none")]
    DeadLetter {
        /// Which one.
        offset: Offset,
    },
    /// What was durable was appended once more.
    #[error("message {offset} is durable and was taken once more")]
    TakenTwice {
        /// Which one.
        offset: Offset,
    },
    /// A cursor is gone, or stands before what was saved of it, or behind what it has passed.
    #[error("the cursor stands at {says}, and {is} was saved of it")]
    Cursor {
        /// Where it stands.
        says: Offset,
        /// What was saved.
        is: Offset,
    },
    /// A cursor is there that was deleted for good, or deleting it was refused without a reason.
    #[error("the cursor was deleted, and is there")]
    CursorBack,
    /// Messages were dropped, and the record of that does not tell of all, or is gone.
    #[error("the record of what was dropped tells of what is before {says}, and what is before {is} was dropped")]
    Drops {
        /// What it says.
        says: Offset,
        /// What is.
        is: Offset,
    },
    /// A lease that had ended was taken.
    #[error("a lease on message {offset} that had ended was taken")]
    StaleLease {
        /// Of which message.
        offset: Offset,
    },
    /// The queue gave an offset that was not the next, or called durable what is not there.
    #[error("the queue says that {says} is next or durable, and {is} is")]
    WrongOffset {
        /// What it says.
        says: Offset,
        /// What is.
        is: Offset,
    },
    /// An append was refused without a reason.
    #[error("an append was refused without a reason")]
    Append(#[source] AppendError),
    /// A commit was refused without a reason: for want of space, for example, although appends leave some.
    #[error("a commit was refused without a reason")]
    Commit(#[source] CommitError),
    /// A reservation, or reading, was refused without a reason.
    #[error("reading was refused without a reason")]
    Reserve(#[source] ReserveError),
    /// A lease was refused without a reason.
    #[error("a lease was refused without a reason")]
    Lease(#[source] LeaseError),
    /// Everything was acknowledged, and the queue does not know it.
    #[error("everything was acknowledged, and the queue counts {depth} messages")]
    NotDrained {
        /// How many.
        depth: u64,
    },
}
