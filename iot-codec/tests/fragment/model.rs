use std::collections::BTreeMap;

use iot_codec::fec::Redundancy;
use iot_codec::fragment::{Peer, ReceiveError, Received, Receiver, ReceiverConfig};
use iot_core::Instant;
use proptest::prelude::*;

use super::{NOW, Random, frames, sender};

const LIFETIME_MICROS: u64 = 60_000_000;

/// What can happen on the link.
#[derive(Clone, Debug)]
enum Event {
    /// A frame of a message arrives, for the first time or again.
    Frame { message: usize, number: usize },
    /// It arrives with one bit of its shard changed.
    Forged { message: usize, number: usize, bit: usize },
    /// Time passes, in sixteenths of a lifetime.
    Wait { sixteenths: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        40 => (0..6_usize, 0..12_usize).prop_map(|(message, number)| Event::Frame { message, number }),
        2 => (0..6_usize, 0..12_usize, 0..64_usize)
            .prop_map(|(message, number, bit)| Event::Forged { message, number, bit }),
        1 => (0..6_u64).prop_map(|sixteenths| Event::Wait { sixteenths }),
    ]
}

/// What a receiver with memory without end knows of the fragments with one header, the index aside.
struct Collection {
    expires: u64,
    shards: BTreeMap<u8, Vec<u8>>,
    /// The number of the message that was handed out.
    delivered: Option<usize>,
}

/// The header of short ids, less the index; and the index.
fn split(frame: &[u8]) -> ([u8; 2], u8) {
    ([frame[0], frame[1] & 0xe0], frame[1] & 0x1f)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_receiver_with_room_does_as_the_model_does(events in proptest::collection::vec(event(), 1..200)) {
        // Three peers; each sends two messages, and the third peer restarts between them and uses the same id again.
        let mut random = Random(9);
        let messages: Vec<Vec<u8>> = (0..6).map(|_| random.octets(60)).collect();
        let sent: Vec<Vec<Vec<u8>>> = messages
            .iter()
            .zip([0, 1, 0, 1, 5, 5])
            .map(|(message, id)| frames(&mut sender(20, Redundancy::parity(4), id), message))
            .collect();
        let needed = sent[0].len() - 4;
        let mut receiver = Receiver::<8, 100>::new(ReceiverConfig::default().quota(8).unwrap());
        let mut model: BTreeMap<(u64, [u8; 2]), Collection> = BTreeMap::new();
        let mut now = 0;

        for event in events {
            let (message, number, bit) = match event {
                Event::Wait { sixteenths } => {
                    now += sixteenths * LIFETIME_MICROS / 16;
                    continue;
                }
                Event::Frame { message, number } => (message, number, None),
                Event::Forged { message, number, bit } => (message, number, Some(bit)),
            };
            let mut frame = sent[message][number % sent[message].len()].clone();
            if let Some(bit) = bit {
                let place = 2 + bit / 8 % (frame.len() - 2);
                frame[place] ^= 1 << (bit % 8);
            }
            let peer = message as u64 / 2;
            let (header, index) = split(&frame);

            let collection = model.entry((peer, header)).or_insert_with(|| fresh(now));
            let is_foreign = |of: usize| !sent[of].contains(&frame);
            if collection.expires <= now || collection.delivered.is_some_and(is_foreign) {
                *collection = fresh(now);
            }
            let expected = match collection.shards.get(&index) {
                _ if collection.delivered.is_some() => Ok(Received::Repeated),
                Some(first) if *first == frame => Ok(Received::Repeated),
                Some(_) => Err(ReceiveError::Contradiction { index }),
                None => {
                    collection.shards.insert(index, frame.clone());
                    let whole = |of: &usize| collection.shards.values().all(|shard| sent[*of].contains(shard));
                    if collection.shards.len() < needed {
                        Ok(Received::Kept { missing: (needed - collection.shards.len()) as u8 })
                    } else if let Some(of) = (0..6).find(whole) {
                        collection.delivered = Some(of);
                        Ok(Received::Message(&messages[of]))
                    } else {
                        model.remove(&(peer, header));
                        Err(ReceiveError::Checksum)
                    }
                }
            };
            prop_assert_eq!(receiver.handle_frame(Instant::from_micros(now), Peer(peer), &frame), expected);
            let unfinished = model.values().filter(|held| held.delivered.is_none() && held.expires > now);
            prop_assert_eq!(receiver.unfinished(), unfinished.clone().count());
            let timeout = unfinished.map(|held| Instant::from_micros(held.expires)).min();
            prop_assert_eq!(receiver.poll_timeout(), timeout);
        }
        prop_assert_eq!(receiver.stats().evicted + receiver.stats().over_quota, 0);
    }

    #[test]
    fn a_receiver_without_room_still_delivers_nothing_but_messages(
        order in proptest::collection::vec((0..6_usize, 0..12_usize), 1..300),
        quota in 1..4_u16,
    ) {
        let mut random = Random(10);
        let messages: Vec<Vec<u8>> = (0..6).map(|_| random.octets(60)).collect();
        let sent: Vec<Vec<Vec<u8>>> =
            messages.iter().zip(0..).map(|(m, id)| frames(&mut sender(20, Redundancy::parity(4), id), m)).collect();
        let mut receiver = Receiver::<2, 100>::new(ReceiverConfig::default().quota(quota).unwrap());
        let mut kept = 0;
        for (message, number) in order {
            let frame = &sent[message][number % sent[message].len()];
            match receiver.handle_frame(NOW, Peer(message as u64 / 3), frame) {
                Ok(Received::Message(found)) => prop_assert_eq!(found, &messages[message]),
                Ok(Received::Kept { .. }) => kept += 1,
                other => prop_assert_eq!(other, Ok(Received::Repeated)),
            }
        }
        let stats = receiver.stats();
        prop_assert_eq!(stats.fragments, kept + stats.repeated + stats.messages);
        prop_assert!(receiver.unfinished() <= 2);
    }
}

fn fresh(now: u64) -> Collection {
    Collection { expires: now + LIFETIME_MICROS, shards: BTreeMap::new(), delivered: None }
}
