use super::{
    Checksum, Deframer, FrameEncodeError,
    deframer::{FrameBuffer, Piece, Stuffing},
};

/// Cuts a serial line into frames by Consistent Overhead Byte Stuffing, with a checksum in each.
///
/// COBS (Cheshire and Baker, 1999) removes every zero from a frame, so a zero always means that a frame ends: whatever
/// was damaged before it, the next frame is read. A frame costs one byte, one more for each 254 of its length, the
/// [`Checksum`] and the zero. [`Deframer`] has the methods.
///
/// ```text
///   payload | checksum, LSB first        0 to 4 bytes of checksum
///   -- COBS --> blocks | 00              a block: its length + 1 (ff: 254 and no zero behind), its bytes without a zero
/// ```
///
/// Damage inside a frame costs that frame. Where the zero behind a frame is hit, the frame behind it is joined to it and
/// lost as well, so a sender that was silent sends a zero first: whatever the line made up meanwhile then ends there.
///
/// ```
/// use iot_codec::framing::{Checksum, Cobs, encode_cobs, max_cobs_len};
///
/// let mut space = [0; max_cobs_len(5, Checksum::Crc32)];
/// let mut line = encode_cobs(b"hel\0o", Checksum::Crc32, &mut space)?.to_vec();
/// line.splice(0..0, [17, 3, 0]); // Noise before the frame.
///
/// let mut decoder = Cobs::new([0; 64], Checksum::Crc32);
/// for chunk in line.chunks(3) {
///     let mut input = chunk;
///     while !input.is_empty() {
///         let consumed = decoder.push(input);
///         input = &input[consumed..];
///         if let Some(frame) = decoder.next_frame() {
///             assert_eq!(frame, b"hel\0o");
///         }
///     }
/// }
/// assert_eq!((decoder.stats().frames, decoder.stats().skipped), (1, 3));
/// # Ok::<(), iot_codec::framing::FrameEncodeError>(())
/// ```
pub type Cobs<B> = Deframer<B, CobsStuffing>;

/// A frame in blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct CobsStuffing {
    /// Bytes of the block that are still to come.
    block: u8,
    /// Whether a zero stands between the block and the next.
    has_zero: bool,
}

impl Stuffing for CobsStuffing {
    fn take<'i>(&mut self, input: &'i [u8]) -> (usize, Piece<'i>) {
        match *input {
            [0, ..] if self.block == 0 => (1, Piece::End),
            [0, ..] => (1, Piece::EarlyEnd),
            [first, ..] if self.block == 0 => {
                let piece = if self.has_zero { Piece::Content(&[0]) } else { Piece::Nothing };
                self.block = first - 1;
                self.has_zero = first != u8::MAX;
                (1, piece)
            }
            _ => {
                let available = input.get(..self.block.into()).unwrap_or(input);
                let len = available.iter().position(|byte| *byte == 0).unwrap_or(available.len());
                // A run is at most as long as the block.
                self.block -= len as u8;
                (len, Piece::Content(available.get(..len).unwrap_or_default()))
            }
        }
    }

    fn missing(&self) -> usize {
        usize::from(self.block) + 1
    }
}

/// Encodes `payload` and its checksum at the start of `space`, with the zero that ends the frame, and returns the part
/// that it fills.
///
/// # Errors
/// [`FrameEncodeError::BufferFull`]; a buffer of [`max_cobs_len`] never is.
pub fn encode_cobs<'s>(payload: &[u8], checksum: Checksum, space: &'s mut [u8]) -> Result<&'s [u8], FrameEncodeError> {
    let crc = checksum.of(payload).to_le_bytes();
    let crc = crc.get(..checksum.len()).unwrap_or_default();
    let mut frame = FrameBuffer::new(space);
    let mut block = frame.len();
    frame.put(&[1])?;
    for part in [payload, crc] {
        for (index, run) in part.split(|byte| *byte == 0).enumerate() {
            if index > 0 {
                if frame.len() - block == 255 {
                    // A full block stands for no zero, so an empty one has to.
                    frame.put(&[1])?;
                }
                block = frame.len();
                frame.put(&[1])?;
            }
            let mut run = run;
            while !run.is_empty() {
                if frame.len() - block == 255 {
                    block = frame.len();
                    frame.put(&[1])?;
                }
                let room = 255 - (frame.len() - block);
                let (now, later) = run.split_at(run.len().min(room));
                frame.put(now)?;
                // A block is its length and at most 254 bytes.
                frame.set(block, (frame.len() - block) as u8);
                run = later;
            }
        }
    }
    frame.put(&[0])?;
    Ok(frame.into_written())
}

/// The most bytes that a frame of a payload of `len` bytes takes on the line, its ending zero included.
#[must_use]
pub const fn max_cobs_len(len: usize, checksum: Checksum) -> usize {
    let len = len.saturating_add(checksum.len());
    let blocks = if len == 0 { 1 } else { len.div_ceil(254) };
    len.saturating_add(blocks).saturating_add(1)
}

#[cfg(test)]
mod tests;
