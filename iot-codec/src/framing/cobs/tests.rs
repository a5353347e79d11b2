extern crate std;

use std::{vec, vec::Vec};

use super::*;
use crate::framing::{
    FrameError, Stats,
    deframer::tests::{CHECKSUMS, Line, expect_lost, feed},
};

const PAYLOADS: [&[u8]; 5] = CobsStuffing::PAYLOADS;

fn encode(payload: &[u8], checksum: Checksum) -> Vec<u8> {
    crate::framing::deframer::tests::encode::<CobsStuffing>(payload, checksum)
}

fn line(payloads: &[&[u8]], checksum: Checksum) -> Vec<u8> {
    crate::framing::deframer::tests::line::<CobsStuffing>(payloads, checksum)
}

fn decode(line: &[u8], checksum: Checksum) -> (Vec<Vec<u8>>, Stats) {
    crate::framing::deframer::tests::decode::<CobsStuffing>(line, checksum)
}

#[test]
fn writes_and_reads_the_published_examples() {
    // The examples of Wikipedia, "Consistent Overhead Byte Stuffing", less the zero at their end.
    let up = |from: u8, to: u8| (from..=to).collect::<Vec<_>>();
    let rows: [(Vec<u8>, Vec<u8>); 11] = [
        (vec![], vec![1]),
        (vec![0], vec![1, 1]),
        (vec![0, 0], vec![1, 1, 1]),
        (vec![0, 0x11, 0], vec![1, 2, 0x11, 1]),
        (vec![0x11, 0x22, 0, 0x33], vec![3, 0x11, 0x22, 2, 0x33]),
        (vec![0x11, 0x22, 0x33, 0x44], vec![5, 0x11, 0x22, 0x33, 0x44]),
        (vec![0x11, 0, 0, 0], vec![2, 0x11, 1, 1, 1]),
        (up(1, 0xfe), [vec![0xff], up(1, 0xfe)].concat()),
        (up(0, 0xfe), [vec![1, 0xff], up(1, 0xfe)].concat()),
        (up(1, 0xff), [vec![0xff], up(1, 0xfe), vec![2, 0xff]].concat()),
        ([up(2, 0xff), vec![0]].concat(), [vec![0xff], up(2, 0xff), vec![1, 1]].concat()),
    ];
    for (payload, stuffed) in rows {
        let line = [stuffed.as_slice(), &[0]].concat();
        assert_eq!(encode(&payload, Checksum::None), line);
        let mut decoder = Cobs::new([0; 256], Checksum::None);
        assert_eq!(decoder.push(&line), line.len());
        assert_eq!(decoder.next_frame(), Some(payload.as_slice()));
    }
}

/// The frames that damage at `range` of the line may cost.
fn touched(lens: &[usize], range: core::ops::Range<usize>) -> Vec<bool> {
    let mut start = 0;
    let mut joins_next = false;
    lens.iter()
        .map(|len| {
            let end = start + len;
            let is_touched = joins_next || (range.start < end && start < range.end);
            joins_next = range.contains(&(end - 1));
            start = end;
            is_touched
        })
        .collect()
}

fn check_damage(line: &[u8], lens: &[usize], range: core::ops::Range<usize>) {
    // A zero behind it all, so that a frame whose own was hit is counted too.
    let (frames, stats) = decode(&[line, &[0]].concat(), Checksum::Crc32);
    let touched = touched(lens, range.clone());
    let mut kept = frames.iter();
    for (payload, is_touched) in PAYLOADS.iter().zip(touched) {
        if !is_touched {
            assert!(kept.any(|frame| frame == payload), "lost {payload:?} by damage at {range:?}");
        }
    }
    assert!(frames.iter().all(|frame| PAYLOADS.contains(&frame.as_slice())), "made up a frame, {range:?}");
    assert!(stats.skipped > 0 || frames.len() == PAYLOADS.len() || range.len() > 1);
}

#[test]
fn damage_costs_at_most_the_frames_that_it_touches() {
    let lens = PAYLOADS.map(|payload| encode(payload, Checksum::Crc32).len());
    let line = line(&PAYLOADS, Checksum::Crc32);
    for at in 0..line.len() {
        for byte in 0..=u8::MAX {
            let mut line = line.clone();
            line[at] = byte;
            check_damage(&line, &lens, at..at + 1);
        }
    }
}

#[test]
fn bytes_that_the_line_drops_or_adds_cost_at_most_the_frames_that_they_touch() {
    let lens = PAYLOADS.map(|payload| encode(payload, Checksum::Crc32).len());
    let line = line(&PAYLOADS, Checksum::Crc32);
    for start in 0..line.len() {
        for end in start + 1..=line.len() {
            let dropped = [&line[..start], &line[end..]].concat();
            check_damage(&dropped, &lens, start..end);
        }
        for byte in 0..=u8::MAX {
            let added = [&line[..start], &[byte], &line[start..]].concat();
            check_damage(&added, &lens, start..start + 1);
        }
    }
}

#[test]
fn a_zero_in_front_saves_a_frame_from_the_noise_before_it() {
    for noise in 0..=u8::MAX {
        let line = [&[noise, noise, 0], encode(b"frame", Checksum::Crc16).as_slice()].concat();
        let (frames, stats) = decode(&line, Checksum::Crc16);
        assert_eq!(frames, [b"frame"]);
        assert_eq!(stats.skipped, if noise == 0 { 0 } else { 3 });
    }
}

#[test]
fn what_is_thrown_away_is_counted_by_its_reason() {
    let mut wrong = encode(b"good", Checksum::Crc32);
    wrong[2] ^= 0x40;
    expect_lost::<CobsStuffing>(&wrong, |stats| &mut stats.checksum_failures);
    expect_lost::<CobsStuffing>(&[3, 9, 9, 0], |stats| &mut stats.checksum_failures);
    expect_lost::<CobsStuffing>(&[9, 9, 9, 0], |stats| &mut stats.malformed);
    // Too long, and then cut short: the first reason stands.
    expect_lost::<CobsStuffing>(&[&[40][..], &[9; 30], &[0]].concat(), |stats| &mut stats.oversized);
}

#[test]
fn says_how_much_of_a_frame_is_missing_at_least() {
    for (bytes, missing) in [(&[0xff][..], 255), (&[0xff, 7], 254), (&[5, 1], 4), (&[5, 1, 1, 1, 1], 1), (&[1], 1)] {
        let mut decoder = Cobs::new([0; 24], Checksum::Crc32);
        decoder.push(bytes);
        assert_eq!(decoder.finish(), Err(FrameError::Truncated { missing }), "{bytes:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]
    #[test]
    fn any_frames_in_any_pieces_come_back(
        payloads in proptest::collection::vec(
            proptest::collection::vec(proptest::prop_oneof![proptest::prelude::Just(0u8), 0u8..], 0..600),
            0..4,
        ),
        piece_len in 1usize..300,
        checksum in proptest::sample::select(&CHECKSUMS[..]),
    ) {
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let mut decoder = Cobs::new([0; 604], checksum);
        let mut frames = Vec::new();
        for piece in line(&slices, checksum).chunks(piece_len) {
            feed(&mut decoder, piece, &mut frames);
        }
        proptest::prop_assert_eq!(frames, payloads);
        proptest::prop_assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn any_noise_is_accounted_for_and_the_frame_behind_it_is_read(
        noise in proptest::collection::vec(proptest::prop_oneof![proptest::prelude::Just(0u8), 0u8..], 0..80),
    ) {
        let frame = encode(b"frame", Checksum::Crc32);
        let line = [noise.as_slice(), &[0], &frame].concat();
        let (frames, stats) = decode(&line, Checksum::Crc32);
        proptest::prop_assert_eq!(frames, [b"frame"]);
        let idle = line.len() as u64 - stats.skipped - frame.len() as u64;
        let zeros = noise.iter().filter(|byte| **byte == 0).count() as u64 + 1;
        let ended = stats.checksum_failures + stats.malformed + stats.oversized;
        proptest::prop_assert_eq!(ended + idle, zeros);
    }
}
