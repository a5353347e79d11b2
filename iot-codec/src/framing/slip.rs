use super::{
    Checksum, FrameEncodeError, FrameError, LineStats,
    deframer::{Deframer, FrameBuffer},
};

/// Cuts a serial line into frames as RFC 1055 (SLIP) does.
///
/// ```text
///   c0 | payload, checksum | c0          c0 inside is sent as db dc, db as db dd
/// ```
///
/// RFC 1055 has no checksum: that is [`Checksum::None`], and damage then passes unseen. With another, both ends must
/// know. A frame may take twice its length on the line; [`Cobs`](super::Cobs) does not.
///
/// Sans-IO, with the verbs of [`LengthDelimited`](super::LengthDelimited). It never fails: what is damaged is skipped up to
/// the next delimiter and [counted](LineStats). An escape before anything but `dc` or `dd`, which RFC 1055 leaves open,
/// makes a frame malformed. Two delimiters with nothing between are an idle line and no frame. The buffer is the
/// caller's, and holds one payload and its checksum. One call copies at most one frame.
///
/// ```
/// use iot_codec::framing::{Checksum, Slip, encode_slip};
///
/// let mut space = [0; 16];
/// let line = encode_slip(&[0x01, 0xc0, 0xdb], Checksum::None, &mut space)?;
/// assert_eq!(line, [0xc0, 0x01, 0xdb, 0xdc, 0xdb, 0xdd, 0xc0]);
///
/// let mut decoder = Slip::new([0; 8], Checksum::None);
/// assert_eq!(decoder.push(line), line.len());
/// assert_eq!(decoder.next_frame(), Some(&[0x01, 0xc0, 0xdb][..]));
/// # Ok::<(), iot_codec::framing::FrameEncodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Slip<B> {
    frame: Deframer<B>,
    is_escaped: bool,
}

const END: u8 = 0xc0;
const ESC: u8 = 0xdb;
const ESC_END: u8 = 0xdc;
const ESC_ESC: u8 = 0xdd;

impl<B: AsRef<[u8]> + AsMut<[u8]>> Slip<B> {
    /// A decoder for payloads up to the length of `buffer`, less that of `checksum`.
    pub fn new(buffer: B, checksum: Checksum) -> Self {
        Self { frame: Deframer::new(buffer, checksum), is_escaped: false }
    }

    /// Takes bytes from the front of `input`, up to the end of the current frame, and returns how many.
    ///
    /// It takes none while a whole frame waits for [`next_frame`](Self::next_frame), and all otherwise, unless a frame
    /// ends inside of `input`.
    pub fn push(&mut self, input: &[u8]) -> usize {
        let mut rest = input;
        while !self.frame.is_whole() {
            let Some((&first, after)) = rest.split_first() else { break };
            if self.is_escaped || first == END || first == ESC {
                rest = after;
                self.frame.took(1);
                self.special(first);
            } else {
                let len = rest.iter().position(|byte| matches!(*byte, END | ESC)).unwrap_or(rest.len());
                let (run, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
                rest = after;
                self.frame.took(len);
                self.frame.append(run);
            }
        }
        input.len() - rest.len()
    }

    /// Forgets an unfinished frame, or one that waits, and counts it as skipped; keeps the counters.
    pub fn reset(&mut self) {
        self.frame.reset();
        self.is_escaped = false;
    }

    /// The frame that is whole, once; then [`push`](Self::push) takes the next one's bytes.
    #[must_use]
    pub fn next_frame(&mut self) -> Option<&[u8]> {
        self.frame.next_frame()
    }

    /// Tells whether the line may end here, that is, between two frames.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.frame.is_between_frames() {
            Ok(())
        } else {
            Err(FrameError::Truncated { missing: 1 + usize::from(self.is_escaped) })
        }
    }

    /// What came through, and what was thrown away.
    #[must_use]
    pub fn stats(&self) -> LineStats {
        self.frame.stats()
    }

    /// A delimiter, an escape, or the byte behind one.
    fn special(&mut self, byte: u8) {
        match (self.is_escaped, byte) {
            (true, ESC_END) => self.frame.append(&[END]),
            (true, ESC_ESC) => self.frame.append(&[ESC]),
            (false, ESC) => {
                self.is_escaped = true;
                return;
            }
            (true, END) => {
                self.frame.malformed();
                self.frame.delimiter();
            }
            (false, END) if self.frame.is_blank() => self.frame.idle(),
            (false, END) => self.frame.delimiter(),
            _ => self.frame.malformed(),
        }
        self.is_escaped = false;
    }
}

/// Encodes `payload` and its checksum at the start of `space`, between two delimiters, and returns the part that it
/// fills.
///
/// The delimiter in front, which RFC 1055 recommends, ends whatever noise the line made up before.
///
/// # Errors
/// [`FrameEncodeError::BufferFull`]; a buffer of [`max_slip_len`] never is. [`FrameEncodeError::Empty`] for an empty
/// payload without a checksum.
pub fn encode_slip<'s>(payload: &[u8], checksum: Checksum, space: &'s mut [u8]) -> Result<&'s [u8], FrameEncodeError> {
    if payload.is_empty() && checksum.is_empty() {
        return Err(FrameEncodeError::Empty);
    }
    let crc = checksum.of(payload).to_le_bytes();
    let crc = crc.get(..checksum.len()).unwrap_or_default();
    let mut frame = FrameBuffer::new(space);
    frame.put(&[END])?;
    for part in [payload, crc] {
        let mut rest = part;
        while let Some(&first) = rest.first() {
            let len = match first {
                END => {
                    frame.put(&[ESC, ESC_END])?;
                    1
                }
                ESC => {
                    frame.put(&[ESC, ESC_ESC])?;
                    1
                }
                _ => {
                    let len = rest.iter().position(|byte| matches!(*byte, END | ESC)).unwrap_or(rest.len());
                    frame.put(rest.get(..len).unwrap_or_default())?;
                    len
                }
            };
            rest = rest.get(len..).unwrap_or_default();
        }
    }
    frame.put(&[END])?;
    Ok(frame.into_written())
}

/// The most bytes that a frame of a payload of `len` bytes takes on the line, its delimiters included.
#[must_use]
pub const fn max_slip_len(len: usize, checksum: Checksum) -> usize {
    len.saturating_add(checksum.len()).saturating_mul(2).saturating_add(2)
}

#[cfg(test)]
mod tests;
