//! Frames over a byte stream: between devices and the gateway, and between the run and its processes.

use std::io::{self, Read, Write};

use iot_codec::cbor::{self, Decode, Encode};
use iot_codec::framing::{LengthDelimited, frame_header};

/// Octets of the longest frame.
const MAX_FRAME_LEN: usize = 64 * 1024;

/// Reads frames.
pub struct FrameReader<R> {
    source: R,
    decoder: LengthDelimited<Vec<u8>>,
    /// What was read and not yet taken by the decoder.
    pending: Vec<u8>,
    taken: usize,
}

impl<R: Read> FrameReader<R> {
    /// Reads from `source`.
    pub fn new(source: R) -> Self {
        Self { source, decoder: LengthDelimited::new(vec![0; MAX_FRAME_LEN]), pending: vec![0; 16 * 1024], taken: 0 }
            .emptied()
    }

    fn emptied(mut self) -> Self {
        self.taken = self.pending.len();
        self
    }

    /// The next frame; `None` when the other side has closed.
    pub fn frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return Ok(Some(frame.to_vec()));
            }
            if self.taken == self.pending.len() {
                self.pending.resize(16 * 1024, 0);
                let len = self.source.read(&mut self.pending)?;
                self.pending.truncate(len);
                self.taken = 0;
                if len == 0 {
                    return Ok(None);
                }
            }
            self.taken += self.decoder.push(&self.pending[self.taken..]).map_err(io::Error::other)?;
        }
    }

    /// The next frame as a record.
    pub fn record<T: for<'b> Decode<'b>>(&mut self) -> io::Result<Option<T>> {
        let Some(frame) = self.frame()? else { return Ok(None) };
        cbor::from_slice(&frame).map(Some).map_err(io::Error::other)
    }
}

/// Writes one frame and hands it on.
pub fn write_frame(target: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    let mut frame = frame_header(payload.len()).map_err(io::Error::other)?.to_vec();
    frame.extend_from_slice(payload);
    target.write_all(&frame)?;
    target.flush()
}

/// Writes a record as one frame.
pub fn write_record(target: &mut impl Write, record: &impl Encode) -> io::Result<()> {
    write_frame(target, &cbor::to_vec(record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_one_by_one() {
        let mut stream = Vec::new();
        for len in [0, 1, 20_000, 3] {
            write_frame(&mut stream, &vec![7; len]).unwrap();
        }
        let mut reader = FrameReader::new(&stream[..]);
        for len in [0, 1, 20_000, 3] {
            assert_eq!(reader.frame().unwrap(), Some(vec![7; len]));
        }
        assert_eq!(reader.frame().unwrap(), None);
    }
}
