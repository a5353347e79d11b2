extern crate std;

use std::{vec, vec::Vec};

use super::*;

fn stream(payloads: &[&[u8]]) -> Vec<u8> {
    let mut stream = Vec::new();
    for payload in payloads {
        stream.extend(frame_header(payload.len()).unwrap());
        stream.extend(*payload);
    }
    stream
}

fn feed<B: AsRef<[u8]> + AsMut<[u8]>>(
    decoder: &mut LengthDelimited<B>,
    mut input: &[u8],
    frames: &mut Vec<Vec<u8>>,
) -> Result<(), FrameError> {
    while !input.is_empty() {
        let consumed = decoder.push(input)?;
        assert!(consumed > 0, "no progress");
        input = &input[consumed..];
        if let Some(frame) = decoder.next_frame() {
            frames.push(frame.to_vec());
        }
    }
    Ok(())
}

const PAYLOADS: [&[u8]; 4] = [b"first", b"", b"exactly8", b"x"];

#[test]
fn every_split_into_three_gives_the_same_frames() {
    let stream = stream(&PAYLOADS);
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let mut decoder = LengthDelimited::new([0; 8]);
            let mut frames = Vec::new();
            for piece in [&stream[..first], &stream[first..second], &stream[second..]] {
                feed(&mut decoder, piece, &mut frames).unwrap();
            }
            assert_eq!(frames, PAYLOADS, "split at {first} and {second}");
            assert_eq!(decoder.finish(), Ok(()));
            assert_eq!(decoder.stats(), Stats { frames: 4, bytes: stream.len() as u64, ..Stats::default() });
        }
    }
}

#[test]
fn byte_by_byte_gives_the_same_frames() {
    let stream = stream(&PAYLOADS);
    let mut space = [0; 8];
    let mut decoder = LengthDelimited::new(&mut space[..]);
    let mut frames = Vec::new();
    for byte in &stream {
        feed(&mut decoder, core::slice::from_ref(byte), &mut frames).unwrap();
    }
    assert_eq!(frames, PAYLOADS);
}

#[test]
fn takes_nothing_while_a_frame_waits() {
    let mut decoder = LengthDelimited::new(vec![0; 8]);
    let stream = stream(&PAYLOADS);
    assert_eq!(decoder.push(&stream), Ok(9));
    assert_eq!(decoder.push(&stream[9..]), Ok(0));
    assert_eq!(decoder.next_frame(), Some(&b"first"[..]));
    assert_eq!(decoder.next_frame(), None);
    assert_eq!(decoder.push(&stream[9..]), Ok(4));
    assert_eq!(decoder.next_frame(), Some(&b""[..]));
}

#[test]
fn a_frame_that_is_too_long_poisons_the_stream_in_every_split() {
    let bad = stream(&[b"fine", b"ninebytes", b"lost"]);
    let error = FrameError::TooLong { len: 9, maximum: 8 };
    for split in 0..=bad.len() {
        let mut decoder = LengthDelimited::new([0; 8]);
        let mut frames = Vec::new();
        let result = feed(&mut decoder, &bad[..split], &mut frames)
            .and_then(|()| feed(&mut decoder, &bad[split..], &mut frames));
        assert_eq!(result, Err(error), "split at {split}");
        assert_eq!(frames, [b"fine"]);
        assert_eq!(decoder.push(&stream(&PAYLOADS)), Err(error), "a poisoned stream stays poisoned");
        assert_eq!(decoder.next_frame(), None);
        assert_eq!(decoder.finish(), Err(error));
        decoder.reset();
        feed(&mut decoder, &stream(&PAYLOADS), &mut frames).unwrap();
        assert_eq!(frames.len(), 5);
    }
}

#[test]
fn the_largest_claim_is_refused_without_waiting_for_it() {
    let mut decoder = LengthDelimited::new([0; 8]);
    assert_eq!(decoder.push(&[0xff; 4]), Err(FrameError::TooLong { len: u32::MAX.into(), maximum: 8 }));
}

#[test]
fn every_truncation_is_told_from_an_end_between_frames() {
    let whole = stream(&PAYLOADS);
    let ends = [0, 9, 13, 25, 30];
    for len in 0..=whole.len() {
        let mut decoder = LengthDelimited::new([0; 8]);
        feed(&mut decoder, &whole[..len], &mut Vec::new()).unwrap();
        assert_eq!(decoder.finish().is_ok(), ends.contains(&len), "cut at {len}");
    }
    let mut decoder = LengthDelimited::new([0; 8]);
    decoder.push(&whole[..7]).unwrap();
    assert_eq!(decoder.finish(), Err(FrameError::Truncated { missing: 2 }));
}

#[test]
fn what_is_thrown_away_is_counted() {
    let whole = stream(&[b"first"]);
    for len in 0..=whole.len() {
        let mut decoder = LengthDelimited::new([0; 8]);
        assert_eq!(decoder.push(&whole[..len]), Ok(len));
        decoder.reset();
        decoder.reset();
        let mut expected = Stats { bytes: len as u64, skipped: len as u64, ..Stats::default() };
        assert_eq!(decoder.stats(), expected, "cut at {len}");
        feed(&mut decoder, &whole, &mut Vec::new()).unwrap();
        decoder.reset();
        expected.frames = 1;
        expected.bytes += whole.len() as u64;
        assert_eq!(decoder.stats(), expected);
    }
    let mut decoder = LengthDelimited::new([0; 8]);
    for _ in 0..3 {
        assert!(decoder.push(&[0, 0, 0, 9, 1, 2]).is_err());
    }
    decoder.reset();
    assert_eq!(decoder.stats(), Stats { bytes: 4, skipped: 4, oversized: 1, ..Stats::default() });
}

#[cfg(target_pointer_width = "64")]
#[test]
fn refuses_a_header_for_more_than_32_bits() {
    assert_eq!(frame_header(u32::MAX as usize), Ok([0xff; 4]));
    assert!(matches!(frame_header(1 << 32), Err(FrameError::TooLong { .. })));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]
    #[test]
    fn any_pieces_of_any_frames_give_the_frames(
        payloads in proptest::collection::vec(proptest::collection::vec(0u8.., 0..40), 0..8),
        piece_len in 1usize..50,
    ) {
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let mut decoder = LengthDelimited::new([0; 40]);
        let mut frames = Vec::new();
        for piece in stream(&slices).chunks(piece_len) {
            feed(&mut decoder, piece, &mut frames).unwrap();
        }
        proptest::prop_assert_eq!(frames, payloads);
        proptest::prop_assert_eq!(decoder.finish(), Ok(()));
    }
}
