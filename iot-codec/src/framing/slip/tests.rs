extern crate std;

use std::{vec, vec::Vec};

use super::*;

const CHECKSUMS: [Checksum; 3] = [Checksum::None, Checksum::Crc16, Checksum::Crc32];

fn encode(payload: &[u8], checksum: Checksum) -> Vec<u8> {
    let mut space = vec![0xaa; max_slip_len(payload.len(), checksum)];
    encode_slip(payload, checksum, &mut space).unwrap().to_vec()
}

fn feed<B: AsRef<[u8]> + AsMut<[u8]>>(decoder: &mut Slip<B>, mut input: &[u8], frames: &mut Vec<Vec<u8>>) {
    while !input.is_empty() {
        let consumed = decoder.push(input);
        assert!(consumed > 0, "no progress");
        input = &input[consumed..];
        if let Some(frame) = decoder.next_frame() {
            frames.push(frame.to_vec());
        }
    }
}

fn decode(line: &[u8], checksum: Checksum) -> (Vec<Vec<u8>>, LineStats) {
    let mut decoder = Slip::new([0; 24], checksum);
    let mut frames = Vec::new();
    feed(&mut decoder, line, &mut frames);
    let stats = decoder.stats();
    assert_eq!((stats.bytes, stats.frames), (line.len() as u64, frames.len() as u64));
    (frames, stats)
}

const PAYLOADS: [&[u8]; 5] = [b"first", b"\xc0", b"\xc0\xc0mid\xdbd\xdc\xdd", &[0xdb; 20], b"last"];

#[test]
fn every_split_into_three_gives_the_same_frames() {
    for checksum in CHECKSUMS {
        let line: Vec<u8> = PAYLOADS.iter().flat_map(|payload| encode(payload, checksum)).collect();
        for first in 0..=line.len() {
            for second in first..=line.len() {
                let mut decoder = Slip::new([0; 24], checksum);
                let mut frames = Vec::new();
                for piece in [&line[..first], &line[first..second], &line[second..]] {
                    feed(&mut decoder, piece, &mut frames);
                }
                assert_eq!(frames, PAYLOADS, "split at {first} and {second}");
                assert_eq!(decoder.finish(), Ok(()));
                let expected = LineStats { frames: 5, bytes: line.len() as u64, ..LineStats::default() };
                assert_eq!(decoder.stats(), expected);
            }
        }
    }
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
    let good = encode(b"good", Checksum::Crc32);
    let expect = |bad: &[u8], reason: fn(&mut LineStats) -> &mut u64| {
        let line = [&good, bad, &good].concat();
        let (frames, stats) = decode(&line, Checksum::Crc32);
        assert_eq!(frames, [b"good", b"good"]);
        let mut expected =
            LineStats { frames: 2, bytes: line.len() as u64, skipped: bad.len() as u64, ..LineStats::default() };
        *reason(&mut expected) = 1;
        assert_eq!(stats, expected, "{bad:?}");
    };
    expect(b"badsum\xc0", |stats| &mut stats.checksum_failures);
    expect(b"x\xc0", |stats| &mut stats.checksum_failures);
    expect(b"x\xdbx\xdb\xdc\xc0", |stats| &mut stats.malformed);
    expect(b"\xdbx\xc0", |stats| &mut stats.malformed);
    expect(b"x\xdb\xc0", |stats| &mut stats.malformed);
    expect(b"\xdb\xc0", |stats| &mut stats.malformed);
    expect(&encode(&[7; 21], Checksum::Crc32)[1..], |stats| &mut stats.oversized);
    expect(&[&[7; 25][..], b"\xdbx\xc0"].concat(), |stats| &mut stats.oversized);
    let (frames, stats) = decode(&[END; 3], Checksum::Crc32);
    assert_eq!((frames.len(), stats.skipped), (0, 0));
}

#[test]
fn an_empty_payload_needs_a_checksum() {
    assert_eq!(encode_slip(b"", Checksum::None, &mut [0; 8]), Err(FrameEncodeError::Empty));
    for checksum in [Checksum::Crc16, Checksum::Crc32] {
        assert_eq!(decode(&encode(b"", checksum), checksum).0, [b""]);
    }
}

#[test]
fn takes_nothing_while_a_frame_waits_and_forgets_on_reset() {
    let line = [encode(b"first", Checksum::None), encode(b"second", Checksum::None)].concat();
    let mut decoder = Slip::new(vec![0; 24], Checksum::None);
    assert_eq!(decoder.push(&line), 7);
    assert_eq!(decoder.push(&line[7..]), 0);
    assert_eq!(decoder.next_frame(), Some(&b"first"[..]));
    assert_eq!(decoder.next_frame(), None);
    assert_eq!(decoder.push(&line[7..10]), 3);
    assert_eq!(decoder.finish(), Err(FrameError::Truncated { missing: 1 }));
    decoder.reset();
    assert_eq!((decoder.finish(), decoder.stats().skipped), (Ok(()), 2));
}

#[test]
fn a_buffer_that_is_too_small_is_refused_at_every_length() {
    let payload = [1, 0xc0, 0xdb, 3];
    let frame = encode(&payload, Checksum::Crc16);
    let mut space = [0; 32];
    for available in 0..frame.len() {
        let result = encode_slip(&payload, Checksum::Crc16, &mut space[..available]);
        assert_eq!(result, Err(FrameEncodeError::BufferFull { available }));
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
