//! A node of the DHT among strangers: whatever they send, and whenever, it sends, holds and reports a bounded amount, and
//! sends at most three times as much to an address that has not shown that it receives anything, whether it serves, asks
//! whether it is reached, or never serves.
//!
//! The input is a list of steps: what happens (u8: 0 time passes, 1 a datagram comes, 2 an answer to what the node
//! asked last comes, 3 its user gets a key, 4 its user puts a record, 5 a datagram with the node's last cookie comes, 6 an
//! answer comes that proves who sent it), a length (u16, little endian), as many octets of datagram, and a byte that
//! chooses the sender or the seconds. The length of the input chooses when the node serves.

#![no_main]

use std::{net::SocketAddr, sync::LazyLock, time::Duration};

use iot_core::{Instant, Timestamp};
use iot_crypto::SigningKey;
use iot_dht::wire::proof::Signed;
use iot_dht::wire::{Body, Cookie, MAX_AMPLIFICATION, MAX_DATAGRAM_LEN, Message};
use iot_dht::{GetMode, Node, NodeConfig, NodeId, Record, Service};
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
    /// What the node asked last, and whom.
    asked: Option<(SocketAddr, Vec<u8>)>,
    /// The last cookie that it gave, and to whom.
    given: Option<(SocketAddr, Cookie)>,
}

impl Harness {
    fn new(service: Service) -> Self {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let config = NodeConfig::default().overlay(1).service(service).relays(2).links(4);
        let mut node = Node::new(config, SigningKey::from_seed(&[1; 32]), Instant::from_micros(0), &mut rng);
        node.bootstrap(Instant::from_micros(0), &[address(1)]);
        let mut harness = Self { node, now: Duration::ZERO, asked: None, given: None };
        harness.drain(None);
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
            2 | 6 => {
                let (Ok(mut message), Some((from, asked))) = (Message::decode(datagram), self.asked.clone()) else {
                    return;
                };
                let Ok(question) = Message::decode(&asked) else { return };
                message.transaction = question.transaction;
                let key = SigningKey::from_seed(&[choice; 32]);
                let challenge = question.challenge.filter(|_| what == 6);
                let signed =
                    challenge.and_then(|challenge| Signed::answer(&key, &question, &challenge, address(0)).ok());
                if let Some(signed) = &signed {
                    message.sender = NodeId::of_node(&key.verifying_key());
                    message.proof = Some(signed.proof());
                }
                (message.padding, message.cookie, message.challenge) = (None, None, None);
                if fits(&message) {
                    self.node.handle_datagram(now, wall, from, &message.encode());
                }
            }
            5 => {
                let (Ok(mut message), Some((from, cookie))) = (Message::decode(datagram), self.given) else {
                    return;
                };
                (message.cookie, message.padding, message.challenge, message.proof) = (Some(cookie), None, None, None);
                if fits(&message) {
                    self.node.handle_datagram(now, wall, from, &message.encode());
                }
            }
            3 => drop(self.node.get(now, wall, *RECORD.key(), GetMode::Newest)),
            4 => drop(self.node.put(now, wall, RECORD.clone())),
            _ => {
                self.node.handle_datagram(now, wall, address(choice), datagram);
                return self.drain(Some((address(choice), datagram.len())));
            }
        }
        self.drain(None);
    }

    /// Takes all that the node has to say, after a datagram of so many octets from an address that is not verified.
    fn drain(&mut self, unverified: Option<(SocketAddr, usize)>) {
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        let (mut datagrams, mut answered) = (0, 0);
        while let Some(transmit) = self.node.poll_transmit(&mut buffer) {
            let message = Message::decode(&buffer[..transmit.len]).expect("a node writes what nodes read");
            if !message.body.is_answer() && !matches!(message.body, Body::Word(_)) {
                self.asked = Some((transmit.to, buffer[..transmit.len].to_vec()));
            } else if let Some((from, len)) = unverified.filter(|(from, _)| *from == transmit.to) {
                answered += transmit.len;
                assert!(answered <= MAX_AMPLIFICATION * len, "{answered} octets to {from} for {len}");
            }
            if let Some(cookie) = message.cookie.filter(|_| message.body.is_answer()) {
                self.given = Some((transmit.to, cookie));
            }
            datagrams += 1;
        }
        assert!(datagrams <= 4096, "{datagrams} datagrams after one step");
        let events = std::iter::from_fn(|| self.node.poll_event()).count();
        assert!(events <= 4096, "{events} events after one step");
        let (table, store) = (self.node.table(), self.node.store());
        assert!(table.allocated() <= 1 << 20 && store.octets() <= 4 << 20, "{} octets", table.allocated());
        let _ = self.node.poll_timeout(self.now());
    }
}

/// Whether what was added leaves room in a datagram.
fn fits(message: &Message<'_>) -> bool {
    iot_codec::cbor::to_vec(message).len() <= MAX_DATAGRAM_LEN
}

fn address(choice: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, choice, 1], 7000 + u16::from(choice)))
}

fuzz_target!(|input: &[u8]| {
    let service = [Service::Always, Service::WhenReachable, Service::Never][input.len() % 3];
    let mut harness = Harness::new(service);
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
