//! The length-delimited decoder, fed in pieces of any size, against a reader that sees the whole stream.
//!
//! The input is a byte for the size of the buffer, a byte for the size of the pieces, and the stream.

#![no_main]

use iot_codec::framing::{FrameError, LengthDelimited, frame_header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [buffer, piece, stream @ ..] = input else { return };
    let maximum = usize::from(*buffer);
    let (expected, is_whole) = model(stream, maximum);

    let mut decoder = LengthDelimited::new(vec![0; maximum]);
    let mut frames = Vec::new();
    let mut end = Ok(());
    'stream: for chunk in stream.chunks(usize::from(*piece).max(1)) {
        let mut rest = chunk;
        while !rest.is_empty() {
            match decoder.push(rest) {
                Ok(consumed) => {
                    assert!(consumed > 0, "no progress");
                    rest = &rest[consumed..];
                }
                Err(error) => {
                    end = Err(error);
                    break 'stream;
                }
            }
            if let Some(frame) = decoder.next_frame() {
                frames.push(frame.to_vec());
                assert_eq!(decoder.next_frame(), None, "a frame was handed out twice");
            }
        }
    }
    if end.is_ok() {
        end = decoder.finish();
    } else {
        assert_eq!(decoder.push(stream).err(), end.err(), "a poisoned decoder went on");
    }
    let is_too_long = matches!(end, Err(FrameError::TooLong { .. }));
    assert_eq!(frames, expected);
    assert_eq!(end.is_ok(), is_whole, "{end:?}");
    decoder.reset();
    let stats = decoder.stats();
    let delivered: usize = frames.iter().map(|frame| 4 + frame.len()).sum();
    assert_eq!((stats.frames, stats.oversized), (frames.len() as u64, u64::from(is_too_long)));
    assert_eq!(stats.bytes, delivered as u64 + stats.skipped, "octets that are neither delivered nor skipped");

    let again: Vec<u8> = frames
        .iter()
        .flat_map(|frame| [&frame_header(frame.len()).expect("a frame of 255 bytes at most")[..], frame].concat())
        .collect();
    assert!(stream.starts_with(&again), "the frames are not those of the stream");
});

/// The frames before the first fault, and whether there is none.
fn model(mut stream: &[u8], maximum: usize) -> (Vec<Vec<u8>>, bool) {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let Some((header, rest)) = stream.split_first_chunk::<4>() else { return (frames, false) };
        let len = u32::from_be_bytes(*header) as usize;
        if len > maximum || len > rest.len() {
            return (frames, false);
        }
        frames.push(rest[..len].to_vec());
        stream = &rest[len..];
    }
    (frames, true)
}
