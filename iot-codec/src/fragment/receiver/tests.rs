extern crate std;

use std::vec::Vec;

use super::*;
use crate::fec::Redundancy;
use crate::fragment::{Sender, SenderConfig, slot_bytes};

const START: Instant = Instant::START;
const ANN: Peer = Peer(1);
const BOB: Peer = Peer(2);

/// A receiver of messages up to 200 octets over frames of 20, some 13 fragments.
type Small<const SLOTS: usize> = Receiver<SLOTS, { slot_bytes(200, 20) }>;

fn small<const SLOTS: usize>(quota: u16) -> Small<SLOTS> {
    Receiver::new(ReceiverConfig::default().quota(quota).unwrap())
}

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

/// The frames of 200 octets of this value, from a sender whose ids begin here.
fn frames(value: u8, first_id: u16, parity: u8) -> Vec<Vec<u8>> {
    let config = SenderConfig::default().mtu(20).unwrap().redundancy(Redundancy::parity(parity));
    let message = [value; 200];
    let mut outgoing = Sender::new(config, first_id).send(START, &message).unwrap();
    let mut buffer = [0; 20];
    core::iter::from_fn(|| outgoing.next_frame(START, &mut buffer).unwrap().map(<[u8]>::to_vec)).collect()
}

/// Gives all frames, and returns the messages that came of them.
fn give<const S: usize, const B: usize>(
    receiver: &mut Receiver<S, B>,
    now: Instant,
    peer: Peer,
    frames: &[Vec<u8>],
) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    for frame in frames {
        if let Ok(Received::Message(message)) = receiver.handle_frame(now, peer, frame) {
            messages.push(message.to_vec());
        }
    }
    messages
}

#[test]
fn a_message_is_forgotten_a_lifetime_after_its_first_fragment() {
    let mut receiver = small::<2>(2);
    let frames = frames(7, 0, 0);
    assert_eq!(receiver.poll_timeout(), None);
    give(&mut receiver, at(5), ANN, &frames[..3]);
    give(&mut receiver, at(60), ANN, &frames[3..6]);
    assert_eq!(receiver.poll_timeout(), Some(at(65)));

    receiver.handle_timeout(Instant::from_micros(64_999_999));
    assert_eq!((receiver.unfinished(), receiver.stats().expired), (1, 0));
    receiver.handle_timeout(at(65));
    receiver.handle_timeout(at(65));
    assert_eq!((receiver.unfinished(), receiver.stats().expired), (0, 1));
    assert_eq!(receiver.poll_timeout(), None);

    // What comes too late begins another message, which is not whole.
    assert!(give(&mut receiver, at(65), ANN, &frames[6..]).is_empty());
    assert_eq!(receiver.poll_timeout(), Some(at(125)));
}

#[test]
fn an_id_can_be_used_again_after_its_lifetimes() {
    let mut receiver = small::<1>(1);
    assert!(give(&mut receiver, at(0), ANN, &frames(1, 0, 0)[..11]).is_empty());
    let later = give(&mut receiver, at(120), ANN, &frames(2, 0, 0));
    assert_eq!(later, [[2; 200]]);
    assert_eq!((receiver.stats().expired, receiver.stats().contradictions), (1, 0));
}

#[test]
fn the_clock_may_stand_or_jump() {
    let mut receiver = small::<1>(1);
    let frames = frames(1, 0, 0);
    give(&mut receiver, at(100), ANN, &frames[..6]);
    let messages = give(&mut receiver, at(0), ANN, &frames[6..]);
    assert_eq!(messages, [[1; 200]]);
    receiver.handle_timeout(Instant::MAX);
    assert_eq!(receiver.stats().expired, 0);
    // At the end of the clock everything expires at once, and nothing overflows.
    assert!(give(&mut receiver, Instant::MAX, ANN, &frames).is_empty());
}

#[test]
fn a_peer_at_its_quota_replaces_its_own_stalest_message() {
    let mut receiver = small::<4>(2);
    let bobs = frames(9, 0, 0);
    give(&mut receiver, at(0), BOB, &bobs[..11]);
    let first = frames(1, 0, 2);
    give(&mut receiver, at(1), ANN, &first[..10]);
    give(&mut receiver, at(2), ANN, &frames(2, 1, 0)[..1]);
    give(&mut receiver, at(3), ANN, &frames(3, 2, 0)[..1]);
    assert_eq!((receiver.stats().over_quota, receiver.stats().evicted), (1, 0));
    assert_eq!(receiver.unfinished(), 3);

    // Of the first message nothing is left, of the second and Bob's nothing is lost.
    assert!(give(&mut receiver, at(4), BOB, &bobs[11..]).concat() == [9; 200]);
    assert_eq!(give(&mut receiver, at(4), ANN, &frames(2, 1, 0)[1..]), [[2; 200]]);
    assert!(give(&mut receiver, at(4), ANN, &first[10..]).is_empty());
}

#[test]
fn the_stalest_message_is_the_one_that_heard_least_lately() {
    let mut receiver = small::<4>(2);
    let [older, newer, last] = [1, 2, 3].map(|value| frames(value, value.into(), 0));
    give(&mut receiver, at(1), ANN, &older[..1]);
    give(&mut receiver, at(2), ANN, &newer[..1]);
    give(&mut receiver, at(3), ANN, &older[1..2]);
    give(&mut receiver, at(4), ANN, &last[..1]);
    assert_eq!(give(&mut receiver, at(5), ANN, &older[2..]), [[1; 200]]);
    assert!(give(&mut receiver, at(5), ANN, &newer[1..]).is_empty());
}

#[test]
fn who_begins_many_messages_cannot_take_one_that_is_further() {
    let mut receiver = small::<3>(2);
    let frames = frames(9, 0, 0);
    give(&mut receiver, at(0), BOB, &frames[..2]);
    for forged in 0..1000 {
        let frame = self::frames(0, forged, 0).swap_remove(0);
        give(&mut receiver, at(1), Peer(100 + u64::from(forged)), &[frame]);
    }
    assert_eq!((receiver.unfinished(), receiver.stats().evicted), (3, 998));
    assert_eq!(give(&mut receiver, at(2), BOB, &frames[2..]), [[9; 200]]);
}

#[test]
fn of_messages_that_are_as_far_the_stalest_gives_way() {
    let mut receiver = small::<3>(1);
    let frames = frames(9, 0, 0);
    for (peer, time) in [(10, 3), (11, 1), (12, 2)] {
        give(&mut receiver, at(time), Peer(peer), &frames[..2]);
    }
    give(&mut receiver, at(4), BOB, &frames[..1]);
    for peer in [10, 12] {
        assert_eq!(give(&mut receiver, at(5), Peer(peer), &frames[2..]), [[9; 200]]);
    }
    assert!(give(&mut receiver, at(5), Peer(11), &frames[2..]).is_empty());
    assert_eq!(give(&mut receiver, at(5), BOB, &frames[1..]), [[9; 200]]);
}

#[test]
fn a_delivered_message_gives_way_to_any_other() {
    let mut receiver = small::<2>(2);
    give(&mut receiver, at(0), ANN, &frames(1, 0, 0));
    give(&mut receiver, at(1), ANN, &frames(2, 1, 0));
    assert_eq!(receiver.unfinished(), 0);
    // Both slots remember; the older one is used.
    give(&mut receiver, at(2), BOB, &frames(3, 0, 0)[..1]);
    assert_eq!(receiver.handle_frame(at(2), ANN, &frames(2, 1, 0)[0]), Ok(Received::Repeated));
    assert!(matches!(receiver.handle_frame(at(2), ANN, &frames(1, 0, 0)[0]), Ok(Received::Kept { .. })));
    assert_eq!(receiver.stats().evicted, 0);
}

#[test]
fn what_comes_after_delivery_is_recognised_to_the_octet() {
    let mut receiver = small::<1>(1);
    let frames = frames(1, 0, 5);
    assert_eq!(give(&mut receiver, at(0), ANN, &frames), [[1; 200]]);
    assert_eq!(receiver.stats().repeated, 5);
    for frame in &frames {
        assert_eq!(receiver.handle_frame(at(1), ANN, frame), Ok(Received::Repeated));
    }
}

#[test]
fn a_sender_that_restarted_with_the_same_ids_is_heard() {
    let mut receiver = small::<2>(2);
    for restart in 0..10 {
        assert_eq!(give(&mut receiver, at(restart), ANN, &frames(restart as u8, 0, 5)), [[restart as u8; 200]]);
    }
    assert_eq!((receiver.stats().messages, receiver.stats().contradictions), (10, 9));
}

/// A slot that remembered a delivered message began the next one of the same id without asking for the quota. So a peer
/// had as many unfinished messages as it had delivered and then contradicted, and pushed others out of their slots.
#[test]
fn a_restarted_sender_stays_within_its_quota() {
    let mut receiver = small::<4>(1);
    for id in 0..3 {
        give(&mut receiver, at(0), ANN, &frames(1, id, 0));
    }
    give(&mut receiver, at(1), BOB, &frames(9, 0, 0)[..1]);
    for id in 0..3 {
        give(&mut receiver, at(2), ANN, &frames(2, id, 0)[..2]);
    }
    assert_eq!((receiver.unfinished(), receiver.stats().over_quota), (2, 2));
    assert_eq!(give(&mut receiver, at(3), BOB, &frames(9, 0, 0)[1..]), [[9; 200]]);
    assert_eq!(give(&mut receiver, at(3), ANN, &frames(2, 2, 0)[2..]), [[2; 200]]);
}

#[test]
fn refuses_what_no_slot_holds_and_says_how_much_it_needs() {
    let mut receiver = Receiver::<1, 211>::new(ReceiverConfig::default());
    let frame = &frames(1, 0, 0)[0];
    let needed = 12 * (frame.len() - 2 + 1);
    let error = receiver.handle_frame(START, ANN, frame).unwrap_err();
    assert_eq!(error, ReceiveError::TooLong { needed, available: 211 });
    assert_eq!((receiver.stats().too_long, receiver.unfinished()), (1, 0));
}

#[test]
fn can_stand_in_a_static_and_refuses_a_quota_of_none() {
    static EMPTY: Receiver<2, 100> = Receiver::new(ReceiverConfig::DEFAULT);
    assert_eq!(EMPTY.unfinished(), 0);
    assert_eq!(ReceiverConfig::default().quota(0).unwrap_err().min, 1);
    assert!(ReceiverConfig::default().lifetime(Duration::ZERO).is_err());
}
