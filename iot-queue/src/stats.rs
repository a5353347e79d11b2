/// What a queue holds and did, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages that are neither acknowledged nor lost, leased ones included.
    pub depth: u64,
    /// Messages that are leased now.
    pub leased: u64,
    /// Messages appended since the queue was opened.
    pub appended: u64,
    /// Messages acknowledged since the queue was opened.
    pub acknowledged: u64,
    /// Messages that were waiting when the queue was opened.
    pub recovered: u64,
    /// Messages that were numbered and cannot be given, as far as that is known; see [`Queue::gaps`](crate::Queue::gaps).
    pub quarantined: u64,
    /// Segments found at opening that hold something and say nothing about what it is; all their messages are lost.
    pub unreadable_segments: u64,
    /// Octets of a torn record that opening cut off the end of the log.
    pub cut: u64,
    /// Octets of the records in segments that are in use, acknowledged ones included.
    pub octets: u64,
    /// Octets of all segments together.
    pub budget: u64,
    /// Segments that are in use.
    pub segments_used: u32,
    /// Segments that there are.
    pub segments: u32,
    /// Syncs since the queue was opened.
    pub syncs: u64,
    /// Octets handed to the storage since the queue was opened, headers and footers included.
    pub written: u64,
}
