/// Why a batch could not be written. Nothing of the buffer's content is then meant to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The caller's buffer is too small.
    #[error("buffer full: {needed} bytes needed, {available} available")]
    BufferFull {
        /// The length of the blob, in bytes.
        needed: usize,
        /// The length of the buffer, in bytes.
        available: usize,
    },
    /// More samples than the encoder was made for, or than any batch can hold.
    #[error("{samples} samples exceed the maximum of {maximum}")]
    TooManySamples {
        /// How many times were given.
        samples: usize,
        /// How many this encoder takes.
        maximum: usize,
    },
    /// More channels than a batch can hold.
    #[error("{channels} channels exceed the maximum of {maximum}")]
    TooManyChannels {
        /// How many channels were given.
        channels: usize,
        /// [`MAX_CHANNELS`](super::MAX_CHANNELS).
        maximum: usize,
    },
    /// A channel whose values or marks are not as many as the times.
    #[error("channel {channel} has {found} elements for {expected} times")]
    UnequalLengths {
        /// The channel's index.
        channel: usize,
        /// How many times were given.
        expected: usize,
        /// How many values, or marks of presence, the channel has.
        found: usize,
    },
}

/// Why a batch could not be read. What was delivered before the error is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends before its last value.
    #[error("input of {len} bytes ends inside the batch")]
    UnexpectedEnd {
        /// The length of the input, in bytes.
        len: usize,
    },
    /// Bytes, or bits that are not zero, follow the last value.
    #[error("batch ends inside byte {offset}, and more follows")]
    TrailingBytes {
        /// Where the batch ends, in bytes from the start of the input.
        offset: usize,
    },
    /// A code that no encoder of this version writes.
    #[error("reserved or contradictory code before offset {offset}")]
    InvalidCode {
        /// The byte after the last that was looked at.
        offset: usize,
    },
    /// The batch claims more samples than [`Limits::samples`](super::Limits::samples).
    #[error("{samples} samples exceed the limit of {limit}")]
    TooManySamples {
        /// How many the batch claims.
        samples: usize,
        /// How many are accepted.
        limit: usize,
    },
    /// The batch claims more channels than [`Limits::channels`](super::Limits::channels).
    #[error("{channels} channels exceed the limit of {limit}")]
    TooManyChannels {
        /// How many the batch claims.
        channels: usize,
        /// How many are accepted.
        limit: usize,
    },
    /// The caller's slice is not as long as the batch.
    #[error("slice of {found} elements for {expected} samples")]
    WrongLength {
        /// The number of samples.
        expected: usize,
        /// The length of the slice.
        found: usize,
    },
    /// The caller asked for another kind of values than the channel holds.
    #[error("channel holds values of another kind")]
    WrongKind,
    /// The times were asked for after a channel had been read.
    #[error("times come before the channels")]
    OutOfOrder,
}
