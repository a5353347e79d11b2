//! Senders and receivers of fragments, over links that lose, repeat, reorder, damage and forge.

mod delivery;
mod hostile;
mod loss;
mod model;
mod vectors;

use iot_codec::fec::Redundancy;
use iot_codec::fragment::{Peer, Received, Receiver, Sender, SenderConfig};
use iot_core::Instant;

const NOW: Instant = Instant::START;
const PEER: Peer = Peer(7);

/// A seeded generator (xorshift64*), so that every run is the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

fn sender(mtu: u16, redundancy: Redundancy, first_id: u16) -> Sender {
    Sender::new(SenderConfig::default().mtu(mtu).expect("an mtu in range").redundancy(redundancy), first_id)
}

/// All frames of a message.
fn frames(sender: &mut Sender, message: &[u8]) -> Vec<Vec<u8>> {
    let mut outgoing = sender.send(NOW, message).expect("a message that fits");
    let mut buffer = [0xee; 256];
    std::iter::from_fn(|| outgoing.next_frame(NOW, &mut buffer).expect("room and time").map(<[u8]>::to_vec)).collect()
}

/// Gives frames to a receiver, and returns every message that came of them.
fn give<'f, const S: usize, const B: usize>(
    receiver: &mut Receiver<S, B>,
    frames: impl IntoIterator<Item = &'f Vec<u8>>,
) -> Vec<Vec<u8>> {
    let received = frames.into_iter().filter_map(|frame| {
        let received = receiver.handle_frame(NOW, PEER, frame);
        received.ok().and_then(Received::message).map(<[u8]>::to_vec)
    });
    received.collect()
}
