/// Whether this receiver can exclude that it accepted a message before.
///
/// A [`Tracker`](crate::Tracker) refuses what it has seen. What came before its memory began (a new receiver, a wiped
/// one, storage put back from an old copy) it cannot know, and whoever recorded those messages can play them again.
/// The source ends the doubt: it signs an answer to a challenge that the receiver drew at random after its memory
/// began, and the answer names the incarnation and the next sequence number. What stands there or later was written
/// after the challenge.
///
/// Says nothing of when a message was written, how long it was held back, or whether others are missing. Ordered by
/// strength, so that a policy reads `freshness >= Freshness::Proven`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// Not seen in the memory that the receiver has, and its source has not proven that this memory is enough: the
    /// message may be a replay from before.
    Unproven,
    /// Never accepted before by this receiver.
    Proven,
}
