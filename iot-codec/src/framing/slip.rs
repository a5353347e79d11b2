use super::{
    Checksum, Deframer, FrameEncodeError,
    deframer::{FrameBuffer, Piece, Stuffing},
};

/// Cuts a serial line into frames as RFC 1055 (SLIP) does.
///
/// ```text
///   c0 | payload, checksum | c0          c0 inside is sent as db dc, db as db dd
/// ```
///
/// RFC 1055 has no checksum: that is [`Checksum::None`], and damage then passes unseen. With another, both ends must
/// know. A frame may take twice its length on the line; [`Cobs`](super::Cobs) does not. An escape before anything but
/// `dc` or `dd`, which RFC 1055 leaves open, makes a frame malformed. [`Deframer`] has the methods.
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
pub type Slip<B> = Deframer<B, SlipStuffing>;

/// A frame with escapes.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlipStuffing {
    is_escaped: bool,
}

const END: u8 = 0xc0;
const ESC: u8 = 0xdb;
const ESC_END: u8 = 0xdc;
const ESC_ESC: u8 = 0xdd;

impl Stuffing for SlipStuffing {
    fn take<'i>(&mut self, input: &'i [u8]) -> (usize, Piece<'i>) {
        let is_escaped = core::mem::take(&mut self.is_escaped);
        let piece = match *input {
            [ESC_END, ..] if is_escaped => Piece::Content(&[END]),
            [ESC_ESC, ..] if is_escaped => Piece::Content(&[ESC]),
            [END, ..] if is_escaped => Piece::EarlyEnd,
            _ if is_escaped => Piece::Malformed,
            [END, ..] => Piece::End,
            [ESC, ..] => {
                self.is_escaped = true;
                Piece::Nothing
            }
            _ => {
                let run = plain(input);
                return (run.len(), Piece::Content(run));
            }
        };
        (1, piece)
    }

    fn missing(&self) -> usize {
        1 + usize::from(self.is_escaped)
    }
}

/// The bytes up to the first that is not sent as it is.
fn plain(bytes: &[u8]) -> &[u8] {
    let len = bytes.iter().position(|byte| matches!(*byte, END | ESC)).unwrap_or(bytes.len());
    bytes.get(..len).unwrap_or_default()
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
            let run = plain(rest);
            let (len, stuffed) = match first {
                END => (1, &[ESC, ESC_END][..]),
                ESC => (1, &[ESC, ESC_ESC][..]),
                _ => (run.len(), run),
            };
            frame.put(stuffed)?;
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
