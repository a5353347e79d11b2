//! A serial line: a decoder fed in pieces of any size, against a reader that sees the whole line at once.

use iot_codec::framing::{Checksum, Cobs, FrameError, Slip, Stats};

/// What both decoders of serial lines offer.
pub trait LineDecoder {
    /// The byte that ends a frame.
    const DELIMITER: u8;

    /// Reads a frame without its delimiter as a whole, for a decoder that holds `maximum` bytes.
    fn unstuff(stuffed: &[u8], maximum: usize) -> Unstuffed;

    fn push(&mut self, input: &[u8]) -> usize;
    fn next_frame(&mut self) -> Option<&[u8]>;
    fn finish(&self) -> Result<(), FrameError>;
    fn stats(&self) -> Stats;
}

/// What stands between two delimiters.
#[derive(Debug, PartialEq)]
pub enum Unstuffed {
    /// Nothing that counts.
    Idle,
    /// A payload and its checksum.
    Frame(Vec<u8>),
    Malformed,
    Oversized,
}

macro_rules! line_decoder {
    ($decoder:ident: $delimiter:literal, $unstuff:ident) => {
        impl LineDecoder for $decoder<Vec<u8>> {
            const DELIMITER: u8 = $delimiter;

            fn unstuff(stuffed: &[u8], maximum: usize) -> Unstuffed {
                $unstuff(stuffed, maximum)
            }

            fn push(&mut self, input: &[u8]) -> usize {
                self.push(input)
            }

            fn next_frame(&mut self) -> Option<&[u8]> {
                self.next_frame()
            }

            fn finish(&self) -> Result<(), FrameError> {
                self.finish()
            }

            fn stats(&self) -> Stats {
                self.stats()
            }
        }
    };
}

line_decoder!(Cobs: 0x00, unstuff_cobs);
line_decoder!(Slip: 0xc0, unstuff_slip);

fn unstuff_cobs(mut stuffed: &[u8], maximum: usize) -> Unstuffed {
    if stuffed.is_empty() {
        return Unstuffed::Idle;
    }
    let mut frame = Vec::new();
    while let [first, rest @ ..] = stuffed {
        let len = usize::from(*first) - 1;
        frame.extend(&rest[..len.min(rest.len())]);
        if frame.len() > maximum {
            return Unstuffed::Oversized;
        }
        if len > rest.len() {
            return Unstuffed::Malformed;
        }
        stuffed = &rest[len..];
        if *first != 0xff && !stuffed.is_empty() {
            frame.push(0);
        }
    }
    Unstuffed::Frame(frame)
}

fn unstuff_slip(stuffed: &[u8], maximum: usize) -> Unstuffed {
    if stuffed.is_empty() {
        return Unstuffed::Idle;
    }
    let mut frame = Vec::new();
    let mut bytes = stuffed.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            0xdb => match bytes.next() {
                Some(0xdc) => frame.push(0xc0),
                Some(0xdd) => frame.push(0xdb),
                _ => return Unstuffed::Malformed,
            },
            byte => frame.push(*byte),
        }
        if frame.len() > maximum {
            return Unstuffed::Oversized;
        }
    }
    Unstuffed::Frame(frame)
}

/// Feeds `line` to `decoder`, whose buffer holds `maximum` bytes, in pieces of `piece` bytes, and checks the frames,
/// the counters and the end against the whole line. Returns the frames.
pub fn check<D: LineDecoder>(
    decoder: &mut D,
    maximum: usize,
    checksum: Checksum,
    line: &[u8],
    piece: usize,
) -> Vec<Vec<u8>> {
    let frames = feed(decoder, line, piece);

    let (mut expected, mut payloads) = (Stats::default(), Vec::new());
    expected.bytes = line.len() as u64;
    let mut parts: Vec<&[u8]> = line.split(|byte| *byte == D::DELIMITER).collect();
    let unfinished = parts.pop().expect("there is a last part");
    for part in parts {
        let counter = match D::unstuff(part, maximum) {
            Unstuffed::Idle => continue,
            Unstuffed::Malformed => &mut expected.malformed,
            Unstuffed::Oversized => &mut expected.oversized,
            Unstuffed::Frame(frame) => match payload(&frame, checksum) {
                Some(payload) => {
                    payloads.push(payload.to_vec());
                    expected.frames += 1;
                    continue;
                }
                None => &mut expected.checksum_failures,
            },
        };
        *counter += 1;
        expected.skipped += part.len() as u64 + 1;
    }
    assert_eq!(frames, payloads);
    assert_eq!(decoder.stats(), expected);
    assert_eq!(decoder.finish().is_ok(), unfinished.is_empty());
    frames
}

/// Feeds `line` in pieces, and returns the frames that come out.
pub fn feed(decoder: &mut impl LineDecoder, line: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for chunk in line.chunks(piece.max(1)) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let consumed = decoder.push(rest);
            assert!(consumed > 0, "no progress");
            rest = &rest[consumed..];
            if let Some(frame) = decoder.next_frame() {
                frames.push(frame.to_vec());
                assert_eq!(decoder.next_frame(), None, "a frame was handed out twice");
            } else {
                assert!(rest.is_empty(), "it stopped without a frame");
            }
        }
    }
    frames
}

fn payload(frame: &[u8], checksum: Checksum) -> Option<&[u8]> {
    let (payload, found) = frame.split_at(frame.len().checked_sub(checksum.len())?);
    (checksum.of(payload).to_le_bytes()[..checksum.len()] == *found).then_some(payload)
}

/// The checksum that a byte of the input chooses.
pub fn checksum(choice: u8) -> Checksum {
    [Checksum::None, Checksum::Crc16, Checksum::Crc32][usize::from(choice % 3)]
}
