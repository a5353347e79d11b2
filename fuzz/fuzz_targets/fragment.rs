//! A receiver of fragments, given anybody's frames, while an honest peer sends to it.
//!
//! The input is a sequence of events: a frame of one of six messages, the same with one octet changed, any octets, or
//! time that passes.
//!
//! - A message that is put together is one of which enough fragments, those of its code, came from this peer.
//! - The honest peer's messages arrive, whatever the others send.
//! - What is held, and what is counted, agrees with what was answered.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use iot_codec::fec::{Code, Redundancy};
use iot_codec::fragment::{Peer, ReceiveError, Received, Receiver, ReceiverConfig, Sender, SenderConfig};
use iot_codec::framing::Checksum;
use iot_core::Instant;
use libfuzzer_sys::fuzz_target;

const LIFETIME_MICROS: u64 = 60_000_000;
/// One more than the quotas of the three peers that the input speaks for, so that it cannot push the honest one out.
const SLOTS: usize = 7;
const HONEST: u64 = 100;

/// Two messages of each of three peers; the third restarts between them, and uses the same id again.
static SENT: LazyLock<Vec<Vec<Vec<u8>>>> =
    LazyLock::new(|| [0, 1, 0, 1, 0, 0].into_iter().zip(0..).map(|(id, number)| frames(number, id)).collect());

/// The honest peer's frames by the number of their message, which is also its id.
static HONEST_SENT: LazyLock<Vec<Vec<Vec<u8>>>> =
    LazyLock::new(|| (0..=200).map(|number| frames(number, number.into())).collect());

/// The header without its index, and the length of the shard.
type Key = (u64, Vec<u8>, usize);

fuzz_target!(|input: &[u8]| {
    let sent = &*SENT;
    let mut receiver = Receiver::<SLOTS, 120>::new(ReceiverConfig::default());
    let mut seen: BTreeMap<Key, BTreeSet<(u8, Vec<u8>)>> = BTreeMap::new();
    let mut answers = Answers::default();
    let mut honest = Honest { number: 50, next: 0, begun: 0 };
    let mut now = 0_u64;
    let mut rest = input;

    while let [kind, a, b, tail @ ..] = rest {
        rest = tail;
        let message = usize::from(a % 6);
        let mut frame = sent[message][usize::from(*b) % sent[message].len()].clone();
        let mut peer = message as u64 / 2;
        match kind % 4 {
            0 => {}
            1 => {
                let [place, change, tail @ ..] = rest else { return };
                rest = tail;
                let place = usize::from(*place) % frame.len();
                frame[place] ^= change;
            }
            2 => {
                peer = u64::from(a % 3);
                let (octets, tail) = rest.split_at(rest.len().min(usize::from(b % 32)));
                frame = octets.to_vec();
                rest = tail;
            }
            _ => {
                now = now.saturating_add(u64::from(*a) * LIFETIME_MICROS / 64);
                continue;
            }
        }

        let header = header(&frame);
        if let Some((head, index, _)) = &header {
            let shard = frame[head.len() + 1..].to_vec();
            seen.entry((peer, head.clone(), shard.len())).or_default().insert((*index, shard));
        }
        let received = receiver.handle_frame(Instant::from_micros(now), Peer(peer), &frame);
        answers.count(&received, header.is_some());
        if let (Ok(Received::Message(message)), Some((head, _, data))) = (received, header) {
            let len = frame.len() - head.len() - 1;
            let fragments = &seen[&(peer, head, len)];
            let block = block(message, data, len);
            let code = Code::new(data).expect("the receiver took it");
            let mut shard = vec![0; len];
            let agree = fragments.iter().filter(|(index, found)| {
                code.encode(&block, *index, &mut shard).expect("the receiver took it");
                shard == *found
            });
            assert!(agree.count() >= data, "a message of which too little came");
        }
        honest.step(now, &mut receiver, &mut answers);
        assert!(receiver.unfinished() <= SLOTS);
    }

    let stats = receiver.stats();
    assert_eq!([stats.fragments, stats.messages, stats.checksum_failures], answers.0);
    assert_eq!(stats.evicted, 0, "quotas leave room for everybody");
    receiver.handle_timeout(Instant::from_micros(now.saturating_add(LIFETIME_MICROS)));
    assert_eq!((receiver.unfinished(), receiver.poll_timeout()), (0, None));
});

/// A peer that sends one frame after each of the others', and one message after the other.
struct Honest {
    number: u8,
    next: usize,
    begun: u64,
}

impl Honest {
    fn step(&mut self, now: u64, receiver: &mut Receiver<SLOTS, 120>, answers: &mut Answers) {
        if self.next == 0 || now >= self.begun + LIFETIME_MICROS {
            (self.next, self.begun) = (0, now);
        }
        let frames = &HONEST_SENT[usize::from(self.number)];
        let received = receiver.handle_frame(Instant::from_micros(now), Peer(HONEST), &frames[self.next]);
        answers.count(&received, true);
        self.next += 1;
        match received {
            Ok(Received::Message(found)) => {
                assert_eq!((found, self.next), (&message(self.number)[..], frames.len() - PARITY));
                self.number = self.number % 200 + 1;
                self.next = 0;
            }
            Ok(Received::Kept { missing }) => assert_eq!(usize::from(missing) + self.next + PARITY, frames.len()),
            other => panic!("an honest frame was {other:?}"),
        }
    }
}

/// Fragments, messages put together, and failed checksums, as the answers tell.
#[derive(Default)]
struct Answers([u64; 3]);

impl Answers {
    fn count(&mut self, received: &Result<Received<'_>, ReceiveError>, is_fragment: bool) {
        self.0[0] += u64::from(is_fragment);
        self.0[1] += u64::from(is_fragment && matches!(received, Ok(Received::Message(_))));
        self.0[2] += u64::from(*received == Err(ReceiveError::Checksum));
    }
}

const PARITY: usize = 4;

fn message(number: u8) -> [u8; 60] {
    let number = u32::from(number);
    core::array::from_fn(|at| ((at as u32 + 1).wrapping_mul(number.wrapping_mul(0x9e37_79b9) | 1) >> 13) as u8)
}

fn frames(number: u8, id: u16) -> Vec<Vec<u8>> {
    let message = message(number);
    let config = SenderConfig::default().mtu(20).expect("in range").redundancy(Redundancy::parity(PARITY as u8));
    let mut outgoing = Sender::new(config, id).send(Instant::START, &message).expect("it fits");
    let mut buffer = [0; 20];
    std::iter::from_fn(|| outgoing.next_frame(Instant::START, &mut buffer).expect("in time").map(<[u8]>::to_vec))
        .collect()
}

/// The header without its index, the index, and the number of data shards, of a frame that is a fragment.
fn header(frame: &[u8]) -> Option<(Vec<u8>, u8, usize)> {
    let (head, index, data, shard) = match *frame {
        [first @ 0xc0..=0xdf, second, ref shard @ ..] => {
            let data = usize::from(first & 3) << 3 | usize::from(second >> 5);
            // One octet, as the other forms have, so that the shard begins behind it and the index.
            (vec![first << 3 | second >> 5], second & 0x1f, data, shard)
        }
        [first @ 0xe0..=0xef, data, index, ref shard @ ..] => (vec![first, data], index, data.into(), shard),
        [first @ 0xf0..=0xf7, low, data, index, ref shard @ ..] => (vec![first, low, data], index, data.into(), shard),
        _ => return None,
    };
    (data > 0 && index < 255 && data * shard.len() >= 5).then_some((head, index, data))
}

/// The block of a message, as docs/formats/fragment.md draws it.
fn block(message: &[u8], data: usize, len: usize) -> Vec<u8> {
    let padding = data * len - 5 - message.len();
    assert!(padding < data, "shorter shards would do");
    let checksum = Checksum::Crc32.of(message).to_be_bytes();
    [message, &vec![0; padding], &[padding as u8], &checksum].concat()
}
