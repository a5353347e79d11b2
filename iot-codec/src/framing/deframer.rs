use super::{Checksum, FrameError, Stats};

/// Cuts a serial line into frames: [`Cobs`](super::Cobs) or [`Slip`](super::Slip), as `S` has it.
///
/// Sans-IO, with the verbs of [`LengthDelimited`](super::LengthDelimited): [`push`](Self::push) takes what the line
/// delivers, in pieces of any size, and [`next_frame`](Self::next_frame) hands out whole frames, one at a time. It never
/// fails: what is damaged is skipped up to the next delimiter and [counted](Stats). Delimiters with nothing between them
/// are an idle line. The buffer is the caller's, and holds one payload and its checksum. One call copies at most one
/// frame.
#[derive(Clone, Debug)]
pub struct Deframer<B, S> {
    buffer: B,
    checksum: Checksum,
    stuffing: S,
    len: usize,
    /// Bytes of the line that this frame took so far.
    line_bytes: u64,
    state: State,
    stats: Stats,
}

/// How frames stand on a line, and where in a frame the line is.
pub trait Stuffing: Default {
    /// Takes bytes from the front of `input`, which is not empty: at least one of them, and tells what they are.
    fn take<'i>(&mut self, input: &'i [u8]) -> (usize, Piece<'i>);

    /// How many bytes the frame lacks at least.
    fn missing(&self) -> usize;
}

/// What bytes of a line are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'i> {
    /// These bytes of a frame.
    Content(&'i [u8]),
    /// A part of the stuffing.
    Nothing,
    /// What breaks the rules of the stuffing: the frame is lost.
    Malformed,
    /// The delimiter.
    End,
    /// The delimiter, where it must not stand.
    EarlyEnd,
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

impl<B: AsRef<[u8]> + AsMut<[u8]>, S: Stuffing> Deframer<B, S> {
    /// A decoder for payloads up to the length of `buffer`, less that of `checksum`.
    pub fn new(buffer: B, checksum: Checksum) -> Self {
        let (stuffing, stats) = (S::default(), Stats::default());
        Self { buffer, checksum, stuffing, len: 0, line_bytes: 0, state: State::Good, stats }
    }

    /// Takes bytes from the front of `input`, up to the end of the current frame, and returns how many.
    ///
    /// It takes none while a whole frame waits for [`next_frame`](Self::next_frame), and all otherwise, unless a frame
    /// ends inside of `input`.
    pub fn push(&mut self, input: &[u8]) -> usize {
        let mut rest = input;
        while !rest.is_empty() && !self.is_whole() {
            let is_first = self.line_bytes == 0;
            let (len, piece) = self.stuffing.take(rest);
            self.stats.bytes += len as u64;
            self.line_bytes += len as u64;
            rest = rest.get(len..).unwrap_or_default();
            match piece {
                Piece::Content(bytes) => self.append(bytes),
                Piece::Nothing => {}
                Piece::Malformed => self.malformed(),
                Piece::End if is_first => self.restart(),
                Piece::End => self.end(),
                Piece::EarlyEnd => {
                    self.malformed();
                    self.end();
                }
            }
        }
        input.len() - rest.len()
    }

    /// Forgets an unfinished frame, or one that waits, and counts it as skipped; keeps the counters.
    pub fn reset(&mut self) {
        self.stats.skipped += self.line_bytes;
        self.restart();
    }

    /// The frame that is whole, once; then [`push`](Self::push) takes the next one's bytes.
    #[must_use]
    pub fn next_frame(&mut self) -> Option<&[u8]> {
        let State::Whole(len) = self.state else {
            return None;
        };
        self.restart();
        self.stats.frames += 1;
        self.buffer.as_ref().get(..len)
    }

    /// Tells whether the line may end here, that is, between two frames.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.line_bytes == 0 || self.is_whole() {
            Ok(())
        } else {
            Err(FrameError::Truncated { missing: self.stuffing.missing() })
        }
    }

    /// What came through, and what was thrown away.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn is_whole(&self) -> bool {
        matches!(self.state, State::Whole(_))
    }

    fn append(&mut self, bytes: &[u8]) {
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

    fn malformed(&mut self) {
        if self.state == State::Good {
            self.state = State::Malformed;
        }
    }

    /// The frame has ended: its payload waits, or it is thrown away.
    fn end(&mut self) {
        let reason = match self.state {
            State::Oversized => &mut self.stats.oversized,
            State::Malformed => &mut self.stats.malformed,
            _ => {
                let frame = self.buffer.as_ref().get(..self.len).unwrap_or_default();
                if let Some(payload) = self.checksum.check(frame) {
                    self.state = State::Whole(payload.len());
                    return;
                }
                &mut self.stats.checksum_failures
            }
        };
        *reason += 1;
        self.reset();
    }

    fn restart(&mut self) {
        self.stuffing = S::default();
        self.state = State::Good;
        self.len = 0;
        self.line_bytes = 0;
    }
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

#[cfg(test)]
pub(super) mod tests;
