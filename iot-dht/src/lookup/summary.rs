/// How many nodes a [`Lookup`](crate::Lookup) asked, and what came of it: how far its result can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Nodes that were asked.
    pub asked: usize,
    /// Nodes that answered.
    pub answered: usize,
    /// Nodes that did not answer in time, or answered with what was refused.
    pub failed: usize,
    /// Of the closest nodes that answered, those that at least two others named.
    pub agreed: usize,
    /// How many answers, one after the other, led to the closest node, its own included.
    pub hops: usize,
}

impl Summary {
    /// Nodes that had not answered when the search was over, and were not waited for.
    pub fn unanswered(&self) -> usize {
        self.asked - self.answered - self.failed
    }
}
