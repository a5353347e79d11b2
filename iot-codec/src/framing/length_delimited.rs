use super::Stats;

/// Cuts a byte stream into frames, each behind its length in four bytes, most significant first.
///
/// ```text
///   0       1       2       3       4                4 + length
///  +-------+-------+-------+-------+----------------+
///  |  length of the payload, u32   |    payload     |
///  +-------+-------+-------+-------+----------------+
/// ```
///
/// Sans-IO: bytes come in by [`push`](Self::push) as the link delivers them, in pieces of any size, and whole frames
/// go out by [`next_frame`](Self::next_frame), one at a time. The buffer is the caller's (`[u8; N]`, `&mut [u8]`,
/// `Box<[u8]>`, `Vec<u8>`), holds one payload, and its length is the longest frame that is accepted. One call copies at
/// most one frame.
///
/// **A length that is wrong cannot be recovered from.** Nothing in the stream marks a frame's start, so after a frame
/// that is too long all that follows is meaningless: the decoder refuses everything from there on, and the caller
/// closes the link. [`reset`](Self::reset) prepares it for a new one. The claim is counted as an oversized frame of four
/// bytes; what follows is not taken. A frame that is claimed and does not come is waited for: the deadline is the caller's.
///
/// ```
/// use iot_codec::framing::{LengthDelimited, frame_header};
///
/// let mut decoder = LengthDelimited::new([0; 64]);
/// let mut stream = frame_header(5)?.to_vec();
/// stream.extend(b"hello");
///
/// for chunk in stream.chunks(3) {
///     let mut input = chunk;
///     while !input.is_empty() {
///         let consumed = decoder.push(input)?;
///         input = &input[consumed..];
///         if let Some(frame) = decoder.next_frame() {
///             assert_eq!(frame, b"hello");
///         }
///     }
/// }
/// decoder.finish()?;
/// assert_eq!(decoder.stats().frames, 1);
/// # Ok::<(), iot_codec::framing::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LengthDelimited<B> {
    buffer: B,
    state: State,
    stats: Stats,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> LengthDelimited<B> {
    /// A decoder at the start of a stream, for payloads up to the length of `buffer`.
    pub fn new(buffer: B) -> Self {
        Self { buffer, state: START, stats: Stats::default() }
    }

    /// Takes bytes from the front of `input`, up to the end of the current frame, and returns how many.
    ///
    /// It takes none while a whole frame waits for [`next_frame`](Self::next_frame), and all otherwise, unless a frame
    /// ends inside of `input`.
    ///
    /// # Errors
    /// [`FrameError::TooLong`], now and from now on. The frames before it have all been handed out.
    pub fn push(&mut self, input: &[u8]) -> Result<usize, FrameError> {
        let mut rest = input;
        if let State::Header { mut bytes, filled } = self.state {
            let (header, after) = rest.split_at(rest.len().min(bytes.len() - filled));
            copy(&mut bytes, filled, header);
            let filled = filled + header.len();
            rest = after;
            self.state = State::Header { bytes, filled };
            if filled == bytes.len() {
                self.state = self.after_header(u32::from_be_bytes(bytes));
                if let State::Poisoned(_) = self.state {
                    self.stats.oversized += 1;
                    self.stats.skipped += bytes.len() as u64;
                }
            }
        }
        if let State::Payload { len, filled } = self.state {
            let (payload, after) = rest.split_at(rest.len().min(len - filled));
            copy(self.buffer.as_mut(), filled, payload);
            let filled = filled + payload.len();
            rest = after;
            self.state = if filled == len { State::Whole { len } } else { State::Payload { len, filled } };
        }
        let consumed = input.len() - rest.len();
        self.stats.bytes += consumed as u64;
        match self.state {
            State::Poisoned(error) => Err(error),
            _ => Ok(consumed),
        }
    }

    /// Starts over for another stream: forgets an error, and an unfinished frame or one that waits, which counts as
    /// skipped; keeps the counters.
    pub fn reset(&mut self) {
        self.stats.skipped += match self.state {
            State::Header { filled, .. } => filled,
            State::Payload { filled, .. } => HEADER_LEN + filled,
            State::Whole { len } => HEADER_LEN + len,
            // Counted when it was met.
            State::Poisoned(_) => 0,
        } as u64;
        self.state = START;
    }

    /// The frame that is whole, once; then [`push`](Self::push) takes the next one's bytes.
    #[must_use]
    pub fn next_frame(&mut self) -> Option<&[u8]> {
        let State::Whole { len } = self.state else {
            return None;
        };
        self.state = START;
        self.stats.frames += 1;
        self.buffer.as_ref().get(..len)
    }

    /// Tells whether the stream may end here, that is, between two frames.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] inside a frame; [`FrameError::TooLong`] after one that was too long.
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.state {
            State::Header { filled: 0, .. } | State::Whole { .. } => Ok(()),
            State::Header { bytes, filled } => Err(FrameError::Truncated { missing: bytes.len() - filled }),
            State::Payload { len, filled } => Err(FrameError::Truncated { missing: len - filled }),
            State::Poisoned(error) => Err(error),
        }
    }

    /// What came through, and what was thrown away, over all streams.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn after_header(&self, claimed: u32) -> State {
        let maximum = self.buffer.as_ref().len();
        match usize::try_from(claimed) {
            Ok(len) if len <= maximum => State::Payload { len, filled: 0 },
            _ => State::Poisoned(FrameError::TooLong { len: claimed.into(), maximum: maximum as u64 }),
        }
    }
}

/// The four bytes that go before a payload of `len` bytes.
///
/// # Errors
/// [`FrameError::TooLong`] above `u32::MAX`. What the receiver's buffer holds is for both ends to agree on.
pub fn frame_header(len: usize) -> Result<[u8; HEADER_LEN], FrameError> {
    match u32::try_from(len) {
        Ok(len) => Ok(len.to_be_bytes()),
        Err(_) => Err(FrameError::TooLong { len: len as u64, maximum: u32::MAX.into() }),
    }
}

/// Why a stream of frames cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame is longer than is accepted. The stream is lost.
    #[error("frame of {len} bytes exceeds the maximum of {maximum}")]
    TooLong {
        /// The length that the frame claims, in bytes.
        len: u64,
        /// The longest that is accepted, in bytes.
        maximum: u64,
    },
    /// The stream ended inside a frame.
    #[error("stream ends inside a frame, with at least {missing} bytes missing")]
    Truncated {
        /// How many bytes the length, or else the payload, still lacked.
        missing: usize,
    },
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header { bytes: [u8; HEADER_LEN], filled: usize },
    Payload { len: usize, filled: usize },
    Whole { len: usize },
    Poisoned(FrameError),
}

const HEADER_LEN: usize = 4;

const START: State = State::Header { bytes: [0; HEADER_LEN], filled: 0 };

/// Copies `source` to `offset` of `target`, which the caller knows to have room.
fn copy(target: &mut [u8], offset: usize, source: &[u8]) {
    if let Some(target) = target.get_mut(offset..).and_then(|free| free.get_mut(..source.len())) {
        target.copy_from_slice(source);
    }
}

#[cfg(test)]
mod tests;
