//! What both stuffings have in common.

extern crate std;

use std::{vec, vec::Vec};

use super::*;
use crate::framing::{
    cobs::{CobsStuffing, encode_cobs, max_cobs_len},
    slip::{SlipStuffing, encode_slip, max_slip_len},
};

/// A stuffing, its encoder, and payloads that are hard for it, of which none is longer than 20 bytes.
pub(in crate::framing) trait Line: Stuffing {
    const PAYLOADS: [&'static [u8]; 5];
    const DELIMITER: u8;

    fn encode<'s>(payload: &[u8], checksum: Checksum, space: &'s mut [u8]) -> Result<&'s [u8], FrameEncodeError>;
    fn max_len(len: usize, checksum: Checksum) -> usize;
}

impl Line for CobsStuffing {
    const PAYLOADS: [&'static [u8]; 5] = [b"first", b"", b"\0\0mid\0dle\0", &[0xff; 20], b"last"];
    const DELIMITER: u8 = 0;

    fn encode<'s>(payload: &[u8], checksum: Checksum, space: &'s mut [u8]) -> Result<&'s [u8], FrameEncodeError> {
        encode_cobs(payload, checksum, space)
    }

    fn max_len(len: usize, checksum: Checksum) -> usize {
        max_cobs_len(len, checksum)
    }
}

impl Line for SlipStuffing {
    const PAYLOADS: [&'static [u8]; 5] = [b"first", b"\xc0", b"\xc0\xc0mid\xdbd\xdc\xdd", &[0xdb; 20], b"last"];
    const DELIMITER: u8 = 0xc0;

    fn encode<'s>(payload: &[u8], checksum: Checksum, space: &'s mut [u8]) -> Result<&'s [u8], FrameEncodeError> {
        encode_slip(payload, checksum, space)
    }

    fn max_len(len: usize, checksum: Checksum) -> usize {
        max_slip_len(len, checksum)
    }
}

pub(in crate::framing) const CHECKSUMS: [Checksum; 3] = [Checksum::None, Checksum::Crc16, Checksum::Crc32];

pub(in crate::framing) fn encode<L: Line>(payload: &[u8], checksum: Checksum) -> Vec<u8> {
    let mut space = vec![0xaa; L::max_len(payload.len(), checksum)];
    let frame = L::encode(payload, checksum, &mut space).unwrap();
    let (end, stuffed) = frame.split_last().unwrap();
    let start = stuffed.iter().take_while(|byte| **byte == L::DELIMITER).count();
    assert!(*end == L::DELIMITER && !stuffed[start..].contains(end), "a delimiter ends a frame and is not in it");
    frame.to_vec()
}

pub(in crate::framing) fn line<L: Line>(payloads: &[&[u8]], checksum: Checksum) -> Vec<u8> {
    payloads.iter().flat_map(|payload| encode::<L>(payload, checksum)).collect()
}

pub(in crate::framing) fn feed<B: AsRef<[u8]> + AsMut<[u8]>, L: Line>(
    decoder: &mut Deframer<B, L>,
    mut input: &[u8],
    frames: &mut Vec<Vec<u8>>,
) {
    while !input.is_empty() {
        let consumed = decoder.push(input);
        assert!(consumed > 0, "no progress");
        input = &input[consumed..];
        if let Some(frame) = decoder.next_frame() {
            frames.push(frame.to_vec());
        }
    }
}

pub(in crate::framing) fn decode<L: Line>(line: &[u8], checksum: Checksum) -> (Vec<Vec<u8>>, Stats) {
    let mut decoder = Deframer::<_, L>::new([0; 24], checksum);
    let mut frames = Vec::new();
    feed(&mut decoder, line, &mut frames);
    let stats = decoder.stats();
    assert_eq!((stats.bytes, stats.frames), (line.len() as u64, frames.len() as u64));
    (frames, stats)
}

/// The counters, where nothing is lost but `bad`, for this reason.
pub(in crate::framing) fn expect_lost<L: Line>(bad: &[u8], reason: fn(&mut Stats) -> &mut u64) {
    let good = encode::<L>(b"good", Checksum::Crc32);
    let line = [&good, bad, &good].concat();
    let (frames, stats) = decode::<L>(&line, Checksum::Crc32);
    assert_eq!(frames, [b"good", b"good"]);
    let mut expected = Stats { frames: 2, bytes: line.len() as u64, skipped: bad.len() as u64, ..Stats::default() };
    *reason(&mut expected) = 1;
    assert_eq!(stats, expected, "{bad:?}");
}

fn every_split_into_three_gives_the_same_frames<L: Line>() {
    for checksum in CHECKSUMS {
        let line = line::<L>(&L::PAYLOADS, checksum);
        for first in 0..=line.len() {
            for second in first..=line.len() {
                let mut decoder = Deframer::<_, L>::new([0; 24], checksum);
                let mut frames = Vec::new();
                for piece in [&line[..first], &line[first..second], &line[second..]] {
                    feed(&mut decoder, piece, &mut frames);
                }
                assert_eq!(frames, L::PAYLOADS, "split at {first} and {second}");
                assert_eq!(decoder.finish(), Ok(()));
                let expected = Stats { frames: 5, bytes: line.len() as u64, ..Stats::default() };
                assert_eq!(decoder.stats(), expected);
            }
        }
    }
}

fn takes_nothing_while_a_frame_waits_and_forgets_it_on_reset<L: Line>() {
    let line = line::<L>(&[b"first", b"second"], Checksum::Crc32);
    let mut decoder = Deframer::<_, L>::new(vec![0; 24], Checksum::Crc32);
    let consumed = decoder.push(&line);
    assert_eq!(consumed, encode::<L>(b"first", Checksum::Crc32).len());
    assert_eq!((decoder.push(&line[consumed..]), decoder.finish()), (0, Ok(())));
    assert_eq!(decoder.next_frame(), Some(&b"first"[..]));
    assert_eq!(decoder.next_frame(), None);
    let second = &line[consumed..];
    assert_eq!(decoder.push(second), second.len());
    decoder.reset();
    assert_eq!(decoder.next_frame(), None);
    let idle = second.iter().take_while(|byte| **byte == L::DELIMITER).count();
    assert_eq!(decoder.stats().skipped, (second.len() - idle) as u64);
    // Half a frame is forgotten, too, and what comes next is read.
    decoder.push(&second[..5]);
    assert!(decoder.finish().is_err());
    decoder.reset();
    assert_eq!((decoder.finish(), decoder.stats().skipped), (Ok(()), (second.len() + 5 - 2 * idle) as u64));
    decoder.push(second);
    assert_eq!(decoder.next_frame(), Some(&b"second"[..]));
}

fn every_truncation_is_told_from_an_end_between_frames<L: Line>() {
    let line = line::<L>(&L::PAYLOADS, Checksum::Crc16);
    for len in 0..=line.len() {
        let mut decoder = Deframer::<_, L>::new([0; 24], Checksum::Crc16);
        feed(&mut decoder, &line[..len], &mut Vec::new());
        assert_eq!(decoder.finish().is_ok(), len == 0 || line[len - 1] == L::DELIMITER, "cut at {len}");
        // The delimiter ends what was cut, and the next frame is read.
        let mut frames = Vec::new();
        feed(&mut decoder, &[L::DELIMITER], &mut frames);
        feed(&mut decoder, &encode::<L>(b"next", Checksum::Crc16), &mut frames);
        assert_eq!(frames.last().unwrap(), b"next");
    }
}

fn a_buffer_that_is_too_small_is_refused_at_every_length<L: Line>() {
    for payload in L::PAYLOADS {
        let frame = encode::<L>(payload, Checksum::Crc32);
        let mut space = [0; 64];
        for available in 0..frame.len() {
            let result = L::encode(payload, Checksum::Crc32, &mut space[..available]);
            assert_eq!(result, Err(FrameEncodeError::BufferFull { available }));
        }
        assert_eq!(L::encode(payload, Checksum::Crc32, &mut space[..frame.len()]), Ok(frame.as_slice()));
    }
}

fn a_payload_is_as_long_as_the_buffer_less_the_checksum<L: Line>() {
    for (checksum, len) in CHECKSUMS.into_iter().zip([24, 22, 20]) {
        let (fits, too_long) = (vec![L::DELIMITER; len], vec![L::DELIMITER; len + 1]);
        let (frames, stats) = decode::<L>(&line::<L>(&[&too_long, &fits], checksum), checksum);
        assert_eq!((frames, stats.oversized), (vec![fits], 1));
    }
}

fn what_does_not_fit_is_skipped_for_that_reason_however_long_it_is<L: Line>() {
    for len in [21, 22, 254, 255, 600] {
        let frame = encode::<L>(&vec![7; len], Checksum::Crc32);
        let idle = frame.iter().take_while(|byte| **byte == L::DELIMITER).count();
        expect_lost::<L>(&frame[idle..], |stats| &mut stats.oversized);
    }
}

fn an_idle_line_is_neither_a_frame_nor_skipped<L: Line>() {
    let (frames, stats) = decode::<L>(&[L::DELIMITER; 3], Checksum::None);
    assert_eq!((frames.len(), stats), (0, Stats { bytes: 3, ..Stats::default() }));
}

macro_rules! for_each_stuffing {
    ($($name:ident)*) => {
        for_each_stuffing! { @ cobs CobsStuffing $($name)* }
        for_each_stuffing! { @ slip SlipStuffing $($name)* }
    };
    (@ $module:ident $stuffing:ident $($name:ident)*) => {
        mod $module {
            $(#[test]
            fn $name() {
                super::$name::<super::$stuffing>();
            })*
        }
    };
}

for_each_stuffing! {
    every_split_into_three_gives_the_same_frames
    takes_nothing_while_a_frame_waits_and_forgets_it_on_reset
    every_truncation_is_told_from_an_end_between_frames
    a_buffer_that_is_too_small_is_refused_at_every_length
    a_payload_is_as_long_as_the_buffer_less_the_checksum
    what_does_not_fit_is_skipped_for_that_reason_however_long_it_is
    an_idle_line_is_neither_a_frame_nor_skipped
}
