extern crate std;

use std::vec::Vec;

use super::*;
use crate::framing::{
    FrameError, Stats,
    deframer::tests::{CHECKSUMS, Line, expect_lost, feed},
};

const PAYLOADS: [&[u8]; 5] = SlipStuffing::PAYLOADS;

fn encode(payload: &[u8], checksum: Checksum) -> Vec<u8> {
    crate::framing::deframer::tests::encode::<SlipStuffing>(payload, checksum)
}

fn decode(line: &[u8], checksum: Checksum) -> (Vec<Vec<u8>>, Stats) {
    crate::framing::deframer::tests::decode::<SlipStuffing>(line, checksum)
}

#[test]
fn a_damaged_byte_costs_at_most_the_frame_that_it_is_in() {
    // Each frame has its own delimiter on either side, so a delimiter that is hit leaves its neighbour.
    let frames = PAYLOADS.map(|payload| encode(payload, Checksum::Crc32));
    for damaged in 0..frames.len() {
        for at in 0..frames[damaged].len() {
            for byte in 0..=u8::MAX {
                let mut line = frames.clone();
                line[damaged][at] = byte;
                let (kept, stats) = decode(&[&line.concat()[..], &[END]].concat(), Checksum::Crc32);
                assert!(kept.iter().all(|frame| PAYLOADS.contains(&frame.as_slice())), "made up a frame");
                let mut kept = kept.iter();
                for (index, payload) in PAYLOADS.iter().enumerate() {
                    assert!(index == damaged || kept.any(|frame| frame == payload), "{damaged}[{at}] = {byte:#x}");
                }
                let lost = stats.checksum_failures + stats.malformed + stats.oversized;
                assert!(lost > 0 || stats.frames == 5, "{damaged}[{at}] = {byte:#x}: {stats:?}");
            }
        }
    }
}

#[test]
fn what_is_thrown_away_is_counted_by_its_reason() {
    for bad in [b"badsum\xc0", &b"x\xc0"[..]] {
        expect_lost::<SlipStuffing>(bad, |stats| &mut stats.checksum_failures);
    }
    for bad in [b"x\xdbx\xdb\xdc\xc0", &b"\xdbx\xc0"[..], b"x\xdb\xc0", b"\xdb\xc0", b"\xdb\xdb\xdc\xc0"] {
        expect_lost::<SlipStuffing>(bad, |stats| &mut stats.malformed);
    }
    // Too long, and then malformed: the first reason stands.
    expect_lost::<SlipStuffing>(&[&[7; 25][..], b"\xdbx\xc0"].concat(), |stats| &mut stats.oversized);
}

#[test]
fn says_how_much_of_a_frame_is_missing_at_least() {
    for (bytes, missing) in [(&b"x"[..], 1), (b"x\xdb", 2), (b"\xdb", 2), (b"\xdb\xdc", 1)] {
        let mut decoder = Slip::new([0; 24], Checksum::Crc32);
        decoder.push(bytes);
        assert_eq!(decoder.finish(), Err(FrameError::Truncated { missing }), "{bytes:?}");
    }
}

#[test]
fn an_empty_payload_needs_a_checksum() {
    assert_eq!(encode_slip(b"", Checksum::None, &mut [0; 8]), Err(FrameEncodeError::Empty));
    for checksum in [Checksum::Crc16, Checksum::Crc32] {
        assert_eq!(decode(&encode(b"", checksum), checksum).0, [b""]);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]
    #[test]
    fn any_frames_in_any_pieces_come_back_behind_any_noise(
        noise in proptest::collection::vec(proptest::prop_oneof![proptest::prelude::Just(ESC), 0u8..], 0..80),
        payloads in proptest::collection::vec(
            proptest::collection::vec(proptest::prop_oneof![0xc0u8..0xe0, 0u8..], 0..300),
            0..4,
        ),
        piece_len in 1usize..300,
        checksum in proptest::sample::select(&CHECKSUMS[1..]),
    ) {
        let mut line = noise;
        for payload in &payloads {
            line.extend(encode(payload, checksum));
        }
        let mut decoder = Slip::new([0; 304], checksum);
        let mut frames = Vec::new();
        for piece in line.chunks(piece_len) {
            feed(&mut decoder, piece, &mut frames);
        }
        // Noise may pass for a frame with a probability that a CRC-16 does not make small.
        let frames = &frames[frames.len() - payloads.len()..];
        proptest::prop_assert_eq!(frames, payloads);
    }
}
