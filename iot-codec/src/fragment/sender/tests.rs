extern crate std;

use std::vec::Vec;

use super::*;
use crate::fragment::{header::Frame, slot_bytes};

fn sender(mtu: u16, redundancy: Redundancy) -> Sender {
    Sender::new(SenderConfig::default().mtu(mtu).unwrap().redundancy(redundancy), 0)
}

fn frames(mut outgoing: Outgoing<'_>) -> Vec<Vec<u8>> {
    let mut buffer = [0xee; 600];
    let mut frames = Vec::new();
    while let Some(frame) = outgoing.next_frame(Instant::START, &mut buffer).unwrap() {
        frames.push(frame.to_vec());
    }
    assert_eq!(outgoing.remaining(), 0);
    assert_eq!(outgoing.frames(), frames.len());
    frames
}

#[test]
fn what_fits_travels_whole_and_bare() {
    for first in [0x00, 0x7f, 0x80, 0xbf] {
        let message = [first; 51];
        assert_eq!(frames(sender(51, Redundancy::NONE).send(Instant::START, &message).unwrap()), [message]);
    }
}

#[test]
fn what_looks_like_a_fragment_is_escaped() {
    let mut sender = sender(20, Redundancy::NONE);
    for first in 0xc0..=0xff {
        let message = [first; 19];
        let sent = frames(sender.send(Instant::START, &message).unwrap());
        assert_eq!(sent, [[&[0xff], &message[..]].concat()]);
        assert_eq!(Frame::parse(&sent[0]), Ok(Frame::Whole(&message)));
    }
    assert_eq!(frames(sender.send(Instant::START, &[]).unwrap()), [[0xff]]);
    let too_long_with_the_escape = [0xc0; 20];
    assert_eq!(frames(sender.send(Instant::START, &too_long_with_the_escape).unwrap()).len(), 2);
}

#[test]
fn the_target_message_takes_as_many_frames_as_the_bound() {
    let loss = Redundancy::for_loss(200_000, 1_000).unwrap();
    let outgoing = sender(51, loss).send(Instant::START, &[0; 480]).unwrap();
    assert_eq!((outgoing.needed(), outgoing.frames(), outgoing.frame_len()), (10, 20, 51));
    // Ten frames leave 25 octets for headers and trailer, and five more for the message.
    assert_eq!(sender(51, loss).send(Instant::START, &[0; 486]).unwrap().needed(), 11);
}

/// The table of docs/formats/fragment.md.
#[test]
fn redundancy_for_a_loss_of_one_in_five_takes_the_published_number_of_frames() {
    let loss = Redundancy::for_loss(200_000, 1_000).unwrap();
    for (len, expected) in [
        (165, [(10, 20), (4, 10), (3, 9)]),
        (480, [(29, 48), (10, 20), (7, 15)]),
        (1000, [(60, 90), (21, 36), (13, 24)]),
    ] {
        let message = std::vec![0; len];
        let frames = [20, 51, 80].map(|mtu| {
            let outgoing = sender(mtu, loss).send(Instant::START, &message).map(|sent| (sent.needed(), sent.frames()));
            outgoing.unwrap()
        });
        assert_eq!(frames, expected, "{len} octets");
    }
}

#[test]
fn sends_the_fewest_and_then_the_shortest_frames() {
    for mtu in [8_u16, 20, 51, 80] {
        for len in usize::from(mtu) + 1..=1000 {
            let message = std::vec![1; len];
            let shards = |header| (len + TRAILER).div_ceil(usize::from(mtu) - header);
            let header = if shards(2) <= 31 { 2 } else { 3 };
            let needed = shards(header);
            let Ok(outgoing) = sender(mtu, Redundancy::NONE).send(Instant::START, &message) else {
                assert!(needed > 255, "{len} over {mtu}");
                continue;
            };
            assert_eq!((outgoing.needed(), outgoing.frames()), (needed, needed));
            assert!(outgoing.frame_len() <= mtu.into());
            assert!(needed * (outgoing.frame_len() - header) < len + TRAILER + needed);
        }
    }
}

#[test]
fn a_busy_sender_goes_on_with_longer_ids_until_there_are_none() {
    let mut sender = sender(20, Redundancy::NONE);
    let message = [1; 21];
    let mut kinds = Vec::new();
    let error = loop {
        let now = Instant::from_micros(if kinds.len() < 8 + 16 { 0 } else { 1 });
        match sender.send(now, &message) {
            Ok(outgoing) => kinds.push(outgoing.frame_len()),
            Err(error) => break error,
        }
    };
    assert_eq!(error, SendError::NoFreeId { retry_at: Instant::from_micros(120_000_000) });
    let taken = |header: usize| kinds.iter().filter(|len| **len == 13 + header).count();
    assert_eq!([taken(2), taken(3), taken(4)], [8, 16, 2048]);
    let later = Instant::from_micros(120_000_000);
    assert_eq!(sender.send(later, &message).unwrap().frame_len(), 13 + 2);
}

#[test]
fn gives_no_frame_after_its_time_or_without_room() {
    let message = [1; 60];
    let mut outgoing = sender(51, Redundancy::NONE).send(Instant::START, &message).unwrap();
    let mut buffer = [0; 51];
    let late = Instant::from_micros(60_000_000);
    let in_time = Instant::from_micros(59_999_999);
    assert_eq!(outgoing.next_frame(in_time, &mut buffer[..34]), Err(SendError::Buffer { needed: 35, available: 34 }));
    assert_eq!(outgoing.remaining(), 2);
    assert_eq!(outgoing.next_frame(in_time, &mut buffer).unwrap().map(<[u8]>::len), Some(35));
    assert_eq!(outgoing.next_frame(late, &mut buffer), Err(SendError::TooLate));
    assert_eq!(outgoing.remaining(), 1);
    assert!(outgoing.next_frame(in_time, &mut buffer).unwrap().is_some());
    assert_eq!(outgoing.next_frame(late, &mut buffer), Ok(None));
}

#[test]
fn refuses_what_255_frames_do_not_hold() {
    let message = [0; 255 * 17 - TRAILER + 1];
    assert!(sender(20, Redundancy::NONE).send(Instant::START, &message[1..]).is_ok());
    for redundancy in [Redundancy::NONE, Redundancy::parity(1)] {
        let from = usize::from(redundancy != Redundancy::NONE);
        let error = sender(20, redundancy).send(Instant::START, &message[from..]).unwrap_err();
        assert_eq!(error, SendError::TooLong { len: message.len() - from, mtu: 20 });
    }
}

#[test]
fn the_longest_message_goes_with_every_header_and_a_longer_one_does_not() {
    let loss = Redundancy::for_loss(200_000, 1_000).unwrap();
    for mtu in [8, 20, 51, 80, 65_535] {
        for redundancy in [Redundancy::NONE, Redundancy::parity(1), Redundancy::parity(250), loss] {
            let config = SenderConfig::default().mtu(mtu).unwrap().redundancy(redundancy);
            let (sender, len) = (Sender::new(config, 0), config.max_message_len());
            let fits = |len, form| sender.plan(len, form).is_some();
            assert!(fits(len, Form::Medium) && fits(len, Form::Long), "{len} over {mtu}");
            assert!(!fits(len + 1, Form::Long), "{len} over {mtu}");
        }
    }
    assert_eq!(SenderConfig::DEFAULT.max_message_len(), 11_980);
    assert_eq!(SenderConfig::DEFAULT.redundancy(Redundancy::parity(255)).max_message_len(), 0);
    // A single data fragment of four octets has no room for the trailer.
    let least = SenderConfig::default().mtu(8).unwrap().redundancy(Redundancy::parity(254));
    assert_eq!(least.max_message_len(), 0);
}

#[test]
fn a_slot_holds_the_longest_block_and_not_an_octet_more() {
    for mtu in 8..=90_u16 {
        let sender = sender(mtu, Redundancy::NONE);
        let mut most = (0, 0);
        for len in 0..=600 {
            for form in Form::ALL {
                let Some(plan) = sender.plan(len, form) else { continue };
                let data = usize::from(plan.data);
                let (needed, available) = (data * plan.shard_len + data, slot_bytes(len, mtu));
                assert!(needed <= available, "{len} over {mtu}: {needed} of {available}");
                most = most.max((needed + 600 - available, len));
            }
        }
        assert_eq!(most.0, 600, "some message of frames of {mtu} fills its slot");
    }
    // Whoever has longer frames needs no more.
    assert!((8..=200).is_sorted_by_key(|mtu| std::cmp::Reverse(slot_bytes(500, mtu))));
    assert_eq!(slot_bytes(500, 0), slot_bytes(500, 8));
}

#[test]
fn refuses_settings_outside_of_their_range() {
    assert_eq!(SenderConfig::default().mtu(7).unwrap_err().min, 8);
    assert_eq!(SenderConfig::default().lifetime(Duration::ZERO).unwrap_err().value, 0);
    assert!(SenderConfig::default().lifetime(Duration::from_nanos(999)).is_err());
    // A lifetime without end refused itself as out of a range that held it. Its ids are never free again.
    let config = SenderConfig::default().mtu(20).unwrap().lifetime(Duration::MAX).unwrap();
    let (mut sender, message) = (Sender::new(config, 0), [1; 21]);
    for _ in 0..8 + 16 + 2048 {
        let late = Instant::from_micros(u64::MAX - 1);
        let mut outgoing = sender.send(Instant::START, &message).unwrap();
        assert!(outgoing.next_frame(late, &mut [0; 20]).unwrap().is_some());
    }
    let retry_at = Instant::MAX;
    assert_eq!(sender.send(Instant::START, &message).unwrap_err(), SendError::NoFreeId { retry_at });
}
