//! A node of the DHT among strangers: whatever they send, and whenever, it sends and reports a bounded amount.
//!
//! The input is a list of steps: what happens (u8: 0 time passes, 1 a datagram comes, 2 an answer to what the node
//! asked last comes, 3 its user gets a key, 4 its user puts a record), a length (u16, little endian), as many octets of
//! datagram, and a byte that chooses the sender or the seconds.

#![no_main]

use std::{net::SocketAddr, sync::LazyLock, time::Duration};

use iot_core::{Instant, Timestamp};
use iot_crypto::SigningKey;
use iot_dht::wire::{MAX_DATAGRAM_LEN, Message, Transaction};
use iot_dht::{GetMode, Node, NodeConfig, NodeId, Record};
use libfuzzer_sys::fuzz_target;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

static RECORD: LazyLock<Record> = LazyLock::new(|| {
    let owner = SigningKey::from_seed(&[3; 32]);
    Record::sign(&owner, b"feed/head", 7, Timestamp::from_secs(1_000_000), b"what the owner says")
        .expect("within limits")
});

struct Harness {
    node: Node,
    now: Duration,
    asked: Option<(SocketAddr, Transaction)>,
}

impl Harness {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let config = NodeConfig::default().overlay(1);
        let mut node = Node::new(config, NodeId::from_bytes([1; 32]), Instant::from_micros(0), &mut rng);
        node.bootstrap(Instant::from_micros(0), &[address(1)]);
        let mut harness = Self { node, now: Duration::ZERO, asked: None };
        harness.drain();
        harness
    }

    fn now(&self) -> Instant {
        Instant::from_micros(0).saturating_add(self.now)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_secs(1_000 + self.now.as_secs())
    }

    fn step(&mut self, what: u8, datagram: &[u8], choice: u8) {
        let (now, wall) = (self.now(), self.wall());
        match what {
            0 => {
                self.now += Duration::from_secs(choice.into());
                self.node.handle_timeout(self.now(), self.wall());
            }
            2 => {
                let (Ok(mut message), Some((from, transaction))) = (Message::decode(datagram), self.asked) else {
                    return;
                };
                message.transaction = transaction;
                self.node.handle_datagram(now, wall, from, &message.encode());
            }
            3 => drop(self.node.get(now, wall, *RECORD.key(), GetMode::Newest)),
            4 => drop(self.node.put(now, wall, RECORD.clone())),
            _ => self.node.handle_datagram(now, wall, address(choice), datagram),
        }
        self.drain();
    }

    fn drain(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        let mut datagrams = 0;
        while let Some(transmit) = self.node.poll_transmit(&mut buffer) {
            let message = Message::decode(&buffer[..transmit.len]).expect("a node writes what nodes read");
            if !message.body.is_answer() {
                self.asked = Some((transmit.to, message.transaction));
            }
            datagrams += 1;
        }
        assert!(datagrams <= 4096, "{datagrams} datagrams after one step");
        let events = std::iter::from_fn(|| self.node.poll_event()).count();
        assert!(events <= 4096, "{events} events after one step");
        let _ = self.node.poll_timeout(self.now());
    }
}

fn address(choice: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, choice, 1], 7000 + u16::from(choice)))
}

fuzz_target!(|input: &[u8]| {
    let mut harness = Harness::new();
    let mut rest = input;
    for _ in 0..64 {
        let [what, low, high, after @ ..] = rest else { break };
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (datagram, after) = after.split_at(len);
        let (&choice, after) = after.split_first().unwrap_or((&0, after));
        harness.step(*what, datagram, choice);
        rest = after;
    }
});
