use iot_codec::fec::Redundancy;
use iot_codec::fragment::{Peer, Received, Receiver, ReceiverConfig, slot_bytes};

use super::{NOW, Random, frames, give, sender};

#[test]
fn every_length_arrives_once_in_any_order_and_with_repetitions() {
    for mtu in [20, 51, 80] {
        let mut random = Random(u64::from(mtu));
        let mut plain = sender(mtu, Redundancy::NONE, 0);
        let mut repairing = sender(mtu, Redundancy::parity(3), 0);
        let mut receiver = Receiver::<4, { slot_bytes(1000, 20) }>::new(ReceiverConfig::default());
        for len in 0..=1000 {
            let message = random.octets(len);
            for sender in [&mut plain, &mut repairing] {
                let mut frames = frames(sender, &message);
                let is_whole = frames.len() == 1;
                assert!(frames.iter().all(|frame| !frame.is_empty() && frame.len() <= mtu.into()));
                if !is_whole {
                    frames.extend_from_within(..);
                }
                random.shuffle(&mut frames);
                assert_eq!(give(&mut receiver, &frames), [&message[..]], "{len} octets over {mtu}");
            }
        }
        assert_eq!(receiver.unfinished(), 0);
        assert_eq!(receiver.stats().contradictions + receiver.stats().checksum_failures, 0);
    }
}

#[test]
fn a_slot_of_the_length_that_is_named_suffices() {
    const BYTES: usize = slot_bytes(300, 20);
    for mtu in 20..=90 {
        // The others have used up their shorter ids, and have longer headers.
        let mut senders = [0, 8, 24].map(|before| {
            let mut sender = sender(mtu, Redundancy::parity(1), 0);
            (0..before).for_each(|_| drop(frames(&mut sender, &[0; 100])));
            sender
        });
        for len in 298..=300 {
            let mut receiver = Receiver::<1, BYTES>::new(ReceiverConfig::default());
            let message = vec![mtu as u8; len];
            for sender in &mut senders {
                assert_eq!(give(&mut receiver, &frames(sender, &message)), [&message[..]], "{len} over {mtu}");
            }
        }
    }
}

#[test]
fn every_set_of_frames_gives_the_message_if_and_only_if_it_is_large_enough() {
    let mut random = Random(1);
    for (mtu, len, parity) in [(20, 50, 6), (20, 120, 4), (51, 160, 6), (80, 150, 8), (20, 8, 5)] {
        let message = random.octets(len);
        let mut all = frames(&mut sender(mtu, Redundancy::parity(parity), 3), &message);
        let needed = all.len() - usize::from(parity);
        random.shuffle(&mut all);
        for set in 0_u32..1 << all.len() {
            let mut receiver = Receiver::<1, 400>::new(ReceiverConfig::default());
            let arrived: Vec<_> = (0..all.len()).filter(|number| set >> number & 1 == 1).collect();
            let received = give(&mut receiver, arrived.iter().map(|&number| &all[number]));
            assert_eq!(received.len(), usize::from(arrived.len() >= needed), "{arrived:?} of {}", all.len());
            assert!(received.iter().all(|found| *found == message));
        }
    }
}

#[test]
fn messages_of_many_peers_do_not_mix() {
    let mut random = Random(5);
    for mtu in [20, 51, 80] {
        // All peers use the same ids, and each has two messages on its way.
        let mut messages = Vec::new();
        let mut link = Vec::new();
        for peer in 0..6 {
            let mut sender = sender(mtu, Redundancy::parity(2), 0);
            for _ in 0..2 {
                let message = random.octets(300);
                for frame in frames(&mut sender, &message) {
                    link.push((peer, frame));
                }
                messages.push((peer, message));
            }
        }
        random.shuffle(&mut link);
        let mut receiver = Receiver::<12, { slot_bytes(300, 20) }>::new(ReceiverConfig::default());
        let mut received = Vec::new();
        for (peer, frame) in &link {
            if let Ok(Received::Message(message)) = receiver.handle_frame(NOW, Peer(*peer), frame) {
                received.push((*peer, message.to_vec()));
            }
        }
        received.sort();
        messages.sort();
        assert_eq!(received, messages);
        assert_eq!(receiver.stats().repeated, 24);
    }
}

#[test]
fn frames_in_order_need_no_more_than_one_slot() {
    let mut sender = sender(20, Redundancy::parity(4), 0);
    let mut receiver = Receiver::<1, { slot_bytes(200, 20) }>::new(ReceiverConfig::default());
    for value in 0..100 {
        assert_eq!(give(&mut receiver, &frames(&mut sender, &[value; 200])), [[value; 200]]);
    }
    assert_eq!(receiver.stats().evicted, 0);
}
