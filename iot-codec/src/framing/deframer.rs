use super::Checksum;

/// What is common to the decoders of serial lines: the frame that is being put together, and the counters.
///
/// The line code strips its stuffing and calls [`append`](Self::append) and [`delimiter`](Self::delimiter).
#[derive(Clone, Debug)]
pub(super) struct Deframer<B> {
    buffer: B,
    checksum: Checksum,
    len: usize,
    /// Bytes of the line that this frame took so far.
    line_bytes: u64,
    state: State,
    stats: LineStats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// Longer than the buffer: what follows is thrown away up to the next delimiter.
    Oversized,
    Malformed,
    /// The payload of this length waits to be taken.
    Whole(usize),
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Deframer<B> {
    pub(super) fn new(buffer: B, checksum: Checksum) -> Self {
        Self { buffer, checksum, len: 0, line_bytes: 0, state: State::Good, stats: LineStats::default() }
    }

    /// Adds decoded bytes to the frame.
    #[inline]
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.state != State::Good {
            return;
        }
        let target = self.buffer.as_mut().get_mut(self.len..).and_then(|free| free.get_mut(..bytes.len()));
        match target {
            Some(target) => {
                target.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.state = State::Oversized,
        }
    }

    /// The stuffing broke its rules: the frame is lost.
    pub(super) fn malformed(&mut self) {
        if self.state == State::Good {
            self.state = State::Malformed;
        }
    }

    /// Counts bytes of the line, delimiters included.
    #[inline]
    pub(super) fn took(&mut self, bytes: usize) {
        self.stats.bytes += bytes as u64;
        self.line_bytes += bytes as u64;
    }

    /// The frame has ended.
    pub(super) fn delimiter(&mut self) {
        let frame = self.buffer.as_ref().get(..self.len).unwrap_or_default();
        let payload = match self.state {
            State::Good => self.checksum.check(frame).map(<[u8]>::len),
            _ => None,
        };
        match (self.state, payload) {
            (State::Good, Some(len)) => {
                self.state = State::Whole(len);
                return;
            }
            (State::Oversized, _) => self.stats.oversized += 1,
            (State::Malformed, _) => self.stats.malformed += 1,
            _ => self.stats.checksum_failures += 1,
        }
        self.stats.skipped += self.line_bytes;
        self.restart();
    }

    /// A delimiter directly behind another: an idle line.
    pub(super) fn idle(&mut self) {
        self.restart();
    }

    /// Forgets an unfinished frame or one that waits, and counts it as skipped.
    pub(super) fn reset(&mut self) {
        self.stats.skipped += self.line_bytes;
        self.restart();
    }

    #[inline]
    pub(super) fn next_frame(&mut self) -> Option<&[u8]> {
        let State::Whole(len) = self.state else {
            return None;
        };
        self.restart();
        self.stats.frames += 1;
        self.buffer.as_ref().get(..len)
    }

    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Whole(_))
    }

    /// Whether no byte of a frame has come since the last one ended.
    pub(super) fn is_between_frames(&self) -> bool {
        self.line_bytes == 0 || self.is_whole()
    }

    /// Whether nothing has been appended to the frame.
    pub(super) fn is_blank(&self) -> bool {
        self.len == 0 && self.state == State::Good
    }

    pub(super) fn stats(&self) -> LineStats {
        self.stats
    }

    fn restart(&mut self) {
        self.state = State::Good;
        self.len = 0;
        self.line_bytes = 0;
    }
}

/// What a decoder of a serial line has seen and thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineStats {
    /// Frames handed out.
    pub frames: u64,
    /// Bytes taken from the line, delimiters included.
    pub bytes: u64,
    /// Bytes of the line that were thrown away with a frame, its delimiter included. Idle delimiters are none.
    pub skipped: u64,
    /// Frames thrown away because the checksum did not hold, or was cut short.
    pub checksum_failures: u64,
    /// Frames thrown away because the stuffing broke its own rules.
    pub malformed: u64,
    /// Frames thrown away because they did not fit the buffer.
    pub oversized: u64,
}

/// Why a frame could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameEncodeError {
    /// The caller's buffer is too small.
    #[error("buffer of {available} bytes is too small for the frame")]
    BufferFull {
        /// The length of the buffer, in bytes.
        available: usize,
    },
    /// SLIP without a checksum has no frame for an empty payload.
    #[error("an empty payload has no frame in slip without a checksum")]
    Empty,
}

/// A caller's buffer that is filled from its start.
pub(super) struct FrameBuffer<'s> {
    space: &'s mut [u8],
    len: usize,
}

impl<'s> FrameBuffer<'s> {
    pub(super) fn new(space: &'s mut [u8]) -> Self {
        Self { space, len: 0 }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), FrameEncodeError> {
        let available = self.space.len();
        let target = self.space.get_mut(self.len..).and_then(|free| free.get_mut(..bytes.len()));
        target.ok_or(FrameEncodeError::BufferFull { available })?.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Replaces the byte at `index`, which was put before.
    pub(super) fn set(&mut self, index: usize, byte: u8) {
        if let Some(target) = self.space.get_mut(index) {
            *target = byte;
        }
    }

    pub(super) fn into_written(self) -> &'s [u8] {
        let space: &'s [u8] = self.space;
        space.get(..self.len).unwrap_or_default()
    }
}
