/// What a decoder of frames has seen, handed out and thrown away, since it was made.
///
/// A snapshot: the counters of a decoder go on, whatever becomes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames handed out.
    pub frames: u64,
    /// Bytes taken, lengths and delimiters included.
    pub bytes: u64,
    /// Bytes that were thrown away with a frame, its length or delimiter included. Idle delimiters are none.
    pub skipped: u64,
    /// Frames thrown away because the checksum did not hold, or was cut short.
    pub checksum_failures: u64,
    /// Frames thrown away because the stuffing broke its own rules.
    pub malformed: u64,
    /// Frames thrown away because they did not fit the buffer.
    pub oversized: u64,
}
