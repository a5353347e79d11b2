use iot_codec::fec::Redundancy;
use iot_codec::fragment::{Peer, ReceiveError, Received, Receiver, ReceiverConfig, slot_bytes};
use iot_codec::framing::Checksum;
use iot_core::Instant;

use super::{NOW, PEER, Random, frames, give, sender};

type Small = Receiver<4, { slot_bytes(200, 20) }>;

fn small() -> Small {
    Receiver::new(ReceiverConfig::default())
}

/// Whether a frame carries a fragment, as its first octet says.
fn is_fragment(frame: &[u8]) -> bool {
    matches!(frame.first(), Some(0xc0..0xf8))
}

#[test]
fn a_flipped_bit_never_makes_another_message() {
    for mtu in [20, 51, 80] {
        for (parity, len) in [(0, 100), (2, 100), (3, 10)] {
            let message = Random(3).octets(len);
            let all = frames(&mut sender(mtu, Redundancy::parity(parity), 0), &message);
            for (number, frame) in all.iter().enumerate().filter(|(_, frame)| is_fragment(frame)) {
                for bit in 0..frame.len() * 8 {
                    let mut damaged = all.clone();
                    damaged[number][bit / 8] ^= 1 << (bit % 8);
                    let mut receiver = small();
                    let mut received = give(&mut receiver, &damaged);
                    if !is_fragment(&damaged[number]) && received.contains(&damaged[number]) {
                        // It looks like a whole message now, which only the envelope can refuse.
                        received.retain(|found| *found != damaged[number]);
                    }
                    assert!(received.iter().all(|found| *found == message), "bit {bit} of frame {number}");
                }
            }
        }
    }
}

#[test]
fn a_truncated_frame_never_makes_another_message() {
    let message = Random(4).octets(100);
    let all = frames(&mut sender(20, Redundancy::parity(2), 0), &message);
    for (number, frame) in all.iter().enumerate() {
        for len in 0..frame.len() {
            let mut damaged = all.clone();
            damaged[number].truncate(len);
            // Two parity fragments make up for it, because a shorter shard belongs to no message that is here.
            assert_eq!(give(&mut small(), &damaged), [&message[..]], "frame {number} cut to {len}");
        }
        let mut longer = all.clone();
        longer[number].push(0);
        assert_eq!(give(&mut small(), &longer), [&message[..]]);
    }
}

#[test]
fn of_contradicting_fragments_the_first_stands() {
    for mtu in [20, 51, 80] {
        let message = Random(5).octets(190);
        let all = frames(&mut sender(mtu, Redundancy::NONE, 0), &message);
        let (first, last) = all.split_at(all.len() - 1);
        let mut receiver = small();
        give(&mut receiver, first);
        for (index, frame) in (0..).zip(first) {
            let mut forged = frame.clone();
            *forged.last_mut().unwrap() ^= 1;
            let error = receiver.handle_frame(NOW, PEER, &forged).unwrap_err();
            assert_eq!(error, ReceiveError::Contradiction { index });
        }
        assert_eq!(receiver.stats().contradictions, first.len() as u64);
        assert_eq!(give(&mut receiver, last), [message]);
    }
}

#[test]
fn a_forged_first_fragment_spoils_what_was_collected_and_no_more() {
    for mtu in [20, 51, 80] {
        let message = Random(6).octets(190);
        let needed = frames(&mut sender(mtu, Redundancy::NONE, 0), &message).len();
        // Parity alone is as many fragments as the message needs.
        let all = frames(&mut sender(mtu, Redundancy::parity(needed as u8), 0), &message);
        let mut forged = all[0].clone();
        forged[5] ^= 0x40;
        let mut receiver = small();
        assert!(give(&mut receiver, [&forged]).is_empty());
        assert_eq!(receiver.handle_frame(NOW, PEER, &all[0]), Err(ReceiveError::Contradiction { index: 0 }));
        assert!(give(&mut receiver, &all[1..needed - 1]).is_empty());
        assert_eq!(receiver.handle_frame(NOW, PEER, &all[needed - 1]), Err(ReceiveError::Checksum));
        assert_eq!(receiver.unfinished(), 0);
        assert_eq!(give(&mut receiver, &all[needed..]), [message]);
    }
}

#[test]
fn forged_fragments_of_another_shape_do_not_touch_the_message() {
    let message = Random(7).octets(100);
    let mut sender = sender(20, Redundancy::NONE, 0);
    let all = frames(&mut sender, &message);
    let mut shorter = all[4].clone();
    shorter.pop();
    let mut of_more = all[4].clone();
    of_more[1] ^= 0b0010_0000;
    let mut of_another_id = all[4].clone();
    of_another_id[0] ^= 0b100;
    for forged in [shorter, of_more, of_another_id] {
        // In the name of the peer, as far as its quota goes, and in the name of another.
        for peer in [PEER, Peer(99)] {
            let mut receiver = small();
            give(&mut receiver, &all[..4]);
            assert!(matches!(receiver.handle_frame(NOW, peer, &forged), Ok(Received::Kept { .. })));
            assert_eq!(give(&mut receiver, &all[4..]), [&message[..]]);
        }
    }
}

#[test]
fn a_copied_fragment_of_another_peer_is_another_message() {
    let message = Random(8).octets(100);
    let all = frames(&mut sender(20, Redundancy::NONE, 0), &message);
    let mut receiver = small();
    give(&mut receiver, &all[..4]);
    for frame in &all[4..] {
        assert!(matches!(receiver.handle_frame(NOW, Peer(99), frame), Ok(Received::Kept { .. })));
    }
    assert_eq!((receiver.unfinished(), receiver.stats().messages), (2, 0));
    assert_eq!(give(&mut receiver, &all[4..]), [message]);
}

#[test]
fn padding_has_one_form() {
    // Three shards of 6: twelve octets, one of padding, and the trailer.
    let message = [1; 12];
    let all = frames(&mut sender(10, Redundancy::NONE, 0), &message);
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 8]);
    assert_eq!(give(&mut small(), &all), [message]);
    let mut damaged = all.clone();
    assert_eq!(damaged[2][2..4], [0, 1]);
    damaged[2][2] = 1;
    let mut receiver = small();
    assert!(give(&mut receiver, &damaged).is_empty());
    assert_eq!(receiver.stats().checksum_failures, 1);
}

#[test]
fn there_is_less_padding_than_shards() {
    // One data shard: a message, its padding, the number of that, and its checksum.
    let checksum = Checksum::Crc32.of(b"message").to_be_bytes();
    let frame = |padding: &[u8]| [&[0xc0, 0x20], &b"message"[..], padding, &checksum].concat();
    assert_eq!(small().handle_frame(NOW, PEER, &frame(&[0])), Ok(Received::Message(b"message")));
    assert_eq!(small().handle_frame(NOW, PEER, &frame(&[0, 1])), Err(ReceiveError::Checksum));
    assert_eq!(small().handle_frame(NOW, PEER, &frame(&[255])), Err(ReceiveError::Checksum));
}

#[test]
fn noise_neither_panics_nor_fills_anything() {
    let mut random = Random(8);
    let mut receiver = small();
    for step in 0..200_000_u64 {
        let len = random.below(24);
        let mut frame = random.octets(len);
        if let Some(first) = frame.first_mut() {
            *first |= if step % 2 == 0 { 0xc0 } else { 0 };
        }
        let peer = Peer(random.below(3) as u64);
        let _ = receiver.handle_frame(Instant::from_micros(step * 100_000), peer, &frame);
        assert!(receiver.unfinished() <= 4);
    }
    let stats = receiver.stats();
    assert!(stats.fragments > 50_000 && stats.malformed > 1_000 && stats.too_long > 1_000 && stats.evicted > 1_000);
}
