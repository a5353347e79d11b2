//! Packets on a byte stream, each behind its length.

use std::io::{self, ErrorKind, Read, Write};

use iot_codec::framing::{LengthDelimited, frame_header};

/// Octets of the longest packet: a batch of 256 readings needs less.
pub const MAX_PACKET: usize = 16 * 1024;

/// Reads packets.
pub struct Frames<R> {
    source: R,
    decoder: LengthDelimited<Vec<u8>>,
    /// What was read, and how much of it the decoder has.
    read: Vec<u8>,
    taken: usize,
}

impl<R: Read> Frames<R> {
    /// Reads from `source` packets of up to `max` octets.
    pub fn new(source: R, max: usize) -> Self {
        Self { source, decoder: LengthDelimited::new(vec![0; max]), read: Vec::new(), taken: 0 }
    }

    /// The next packet, or nothing at the end.
    ///
    /// # Errors
    ///
    /// What the source says, among it that nothing came in time: then the next call goes on. And
    /// [`InvalidData`](ErrorKind::InvalidData) for a packet that is too long, or is cut off.
    pub fn packet(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(packet) = self.decoder.next_frame() {
                return Ok(Some(packet.to_vec()));
            }
            if self.taken == self.read.len() {
                self.taken = 0;
                self.read.resize(4096, 0);
                let outcome = self.source.read(&mut self.read);
                self.read.truncate(*outcome.as_ref().unwrap_or(&0));
                if outcome? == 0 {
                    return self.decoder.finish().map(|()| None).map_err(invalid);
                }
            }
            self.taken += self.decoder.push(&self.read[self.taken..]).map_err(invalid)?;
        }
    }
}

/// All packets of a body, each of up to `max` octets.
///
/// # Errors
///
/// As [`Frames::packet`].
pub fn read_all(body: impl Read, max: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut frames = Frames::new(body, max);
    std::iter::from_fn(|| frames.packet().transpose()).collect()
}

/// A body of packets, as [`read_all`] reads it.
///
/// # Errors
///
/// [`InvalidData`](ErrorKind::InvalidData) for a packet that is longer than a header can say.
pub fn join(packets: impl IntoIterator<Item = Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    packets.into_iter().try_for_each(|packet| write(&mut body, [&packet, &[]]))?;
    Ok(body)
}

/// Writes a packet that is in two parts.
///
/// # Errors
///
/// What the target says.
pub fn write(target: &mut impl Write, parts: [&[u8]; 2]) -> io::Result<()> {
    let len = parts.iter().map(|part| part.len()).sum();
    let header = frame_header(len).map_err(invalid)?;
    target.write_all(&[&header, parts[0], parts[1]].concat())
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back_and_one_that_is_cut_off_or_too_long_is_refused() {
        let mut stream = Vec::new();
        write(&mut stream, [&[1; 300], &[]]).unwrap();
        write(&mut stream, [&[], &[]]).unwrap();
        write(&mut stream, [&[2], &[3]]).unwrap();
        let mut frames = Frames::new(&stream[..], 300);
        for packet in [vec![1; 300], Vec::new(), vec![2, 3]] {
            assert_eq!(frames.packet().unwrap(), Some(packet));
        }
        assert_eq!(frames.packet().unwrap(), None);
        assert_eq!(read_all(&stream[..], 300).unwrap(), [vec![1; 300], Vec::new(), vec![2, 3]]);
        assert_eq!(join([vec![1; 300], Vec::new(), vec![2, 3]]).unwrap(), stream);
        assert_eq!(read_all(&stream[..stream.len() - 1], 300).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(Frames::new(&stream[..5], 300).packet().unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(Frames::new(&stream[..], 299).packet().unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
