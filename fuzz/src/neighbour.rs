//! A node of the DHT among strangers, for the target that plays them and for its seeds; and the datagrams of the page.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use iot_codec::cbor::List;
use iot_core::{Instant, Timestamp};
use iot_crypto::{Signature, Signer, SignerError, SigningKey, VerifyingKey};
use iot_dht::subscription::is_subscription;
use iot_dht::wire::proof::Signed;
use iot_dht::wire::{
    Ask, Body, Compare, Cookie, Data, Decline, Declined, Empty, Endpoint, Held, Holdings, Introduced,
    MAX_AMPLIFICATION, MAX_DATAGRAM_LEN, Message, Nodes, Probed, Refused, Reply, Reserved, Role, Value, Word,
};
use iot_dht::{GetMode, Id, Node, NodeConfig, NodeId, Peer, Record, Rejection, Service};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// What the node's user puts and gets.
pub static RECORD: LazyLock<Record> = LazyLock::new(|| {
    let owner = SigningKey::from_seed(&[3; 32]);
    Record::sign(&owner, b"feed/head", 7, Timestamp::from_secs(1_000_000), b"what the owner says")
        .expect("within limits")
});

/// The keys of the node and of those around it, by the octet that their seeds consist of.
static KEYS: LazyLock<Vec<SigningKey>> =
    LazyLock::new(|| (0..=u8::MAX).map(|octet| SigningKey::from_seed(&[octet; 32])).collect());

/// What was signed, by whom.
type Signatures = HashMap<(u8, Vec<u8>), Signature>;

static SIGNATURES: LazyLock<Mutex<Signatures>> = LazyLock::new(Mutex::default);

/// How many signatures are kept before all are forgotten.
const REMEMBERED: usize = 10_000;

/// Signs with one of the keys, and remembers it: a signature follows from its key and message, and most executions sign what
/// those before have signed.
#[derive(Clone, Copy)]
struct Neighbour(u8);

impl Signer for Neighbour {
    fn verifying_key(&self) -> VerifyingKey {
        KEYS[usize::from(self.0)].verifying_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        let mut signatures = SIGNATURES.lock().unwrap_or_else(PoisonError::into_inner);
        if signatures.len() >= REMEMBERED {
            signatures.clear();
        }
        let place = (self.0, message.to_vec());
        if let Some(signature) = signatures.get(&place) {
            return Ok(*signature);
        }
        let signature = Signer::sign(&KEYS[usize::from(self.0)], message)?;
        signatures.insert(place, signature);
        Ok(signature)
    }
}

/// A node, and what it said last.
pub struct Harness {
    node: Node,
    now: Duration,
    /// What the node asked last, and whom.
    asked: Option<(SocketAddr, Vec<u8>)>,
    /// The last cookie that it gave, and to whom.
    given: Option<(SocketAddr, Cookie)>,
}

impl Harness {
    /// A node that asks the strangers at one address to let it join.
    pub fn new(service: Service) -> Self {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let config = NodeConfig::default().overlay(1).service(service).relays(2).links(4);
        let mut node = Node::new(config, Neighbour(1), Instant::from_micros(0), &mut rng);
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

    /// Does what a step of the input says.
    ///
    /// # Panics
    ///
    /// When the node does not keep to its bounds.
    pub fn step(&mut self, what: u8, datagram: &[u8], choice: u8) {
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
                let key = Neighbour(choice);
                let prove = |challenge| Signed::answer(&key, &question, &challenge, address(0)).ok();
                let signed = question.challenge.filter(|_| what == 6).and_then(prove);
                if what == 6 {
                    message.sender = NodeId::of_node(&key.verifying_key());
                    message.proof = signed.as_ref().map(Signed::proof);
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

/// The seeds of `dht_wire`: every datagram of the page.
pub fn datagrams() -> Vec<(String, Vec<u8>)> {
    let is_datagram = |octets: &[u8]| is_subscription(octets) || Message::decode(octets).is_ok();
    vectors().filter(|(_, octets)| is_datagram(octets)).collect()
}

/// The seeds of `dht_record` that are values of records: those of the page.
pub fn values() -> Vec<(String, Vec<u8>)> {
    let names = ["segment", "head", "contact", "mail", "receipt", "roster"];
    let values = vectors().filter(|(name, octets)| {
        !is_subscription(octets) && names.iter().any(|kind| name.contains(kind)) && name != "roster-name"
    });
    values.map(|(name, octets)| (name, [&[2], &octets[..]].concat())).collect()
}

/// The seeds of `dht_node`: each datagram of the page from a stranger who has shown that it receives what it is sent, and
/// two minutes of a node of each service whose only neighbour answers every question.
pub fn stories() -> Vec<(String, Vec<u8>)> {
    let messages: Vec<_> = datagrams()
        .into_iter()
        .filter_map(|(name, octets)| {
            let mut message = Message::decode(&octets).ok()?;
            message.overlay = 1;
            Some((name, message.encode()))
        })
        .collect();
    let ping = &messages.iter().find(|(name, _)| name == "ping").expect("the page has a ping").1;
    let mut stories: Vec<_> = messages
        .iter()
        .map(|(name, datagram)| {
            let mut story = Vec::new();
            tell(&mut story, 1, ping, 5);
            tell(&mut story, 5, datagram, 5);
            tell(&mut story, 1, datagram, 5);
            served_by(&mut story, Service::Always);
            (format!("from-a-stranger-{name}"), story)
        })
        .collect();
    for (name, service) in
        [("always", Service::Always), ("when-reachable", Service::WhenReachable), ("never", Service::Never)]
    {
        for commands in [&[][..], &[3], &[4]] {
            let mut story = answered(service, commands);
            served_by(&mut story, service);
            stories.push((format!("answered-{name}-{}", commands.first().unwrap_or(&0)), story));
        }
    }
    stories
}

/// Which node an input is about: its length says.
pub fn service_of(input: &[u8]) -> Service {
    [Service::Always, Service::WhenReachable, Service::Never][input.len() % 3]
}

/// Makes a story as long as one about such a node is.
fn served_by(story: &mut Vec<u8>, service: Service) {
    while service_of(story) != service {
        story.push(0);
    }
}

fn tell(story: &mut Vec<u8>, what: u8, datagram: &[u8], choice: u8) {
    story.push(what);
    story.extend_from_slice(&(datagram.len() as u16).to_le_bytes());
    story.extend_from_slice(datagram);
    story.push(choice);
}

/// A node whose only neighbour answers whatever it asks, while its user gives commands now and then.
fn answered(service: Service, commands: &[u8]) -> Vec<u8> {
    let mut harness = Harness::new(service);
    let mut story = Vec::new();
    let mut answers = 0;
    for round in 0..24_u8 {
        let command = commands.get(usize::from(round) / 6 % 2).filter(|_| round % 6 == 3);
        let (what, datagram, choice) = match (harness.asked.take(), command) {
            (_, Some(command)) => (*command, Vec::new(), 0),
            (Some((_, asked)), None) => {
                answers += 1;
                let question = Message::decode(&asked).expect("a node writes what nodes read");
                let answer = answer_to(&question.body, answers).encode();
                harness.asked = Some((address(1), asked));
                (6, answer, 1)
            }
            (None, None) => (0, Vec::new(), 1 + round),
        };
        harness.step(what, &datagram, choice);
        tell(&mut story, what, &datagram, choice);
    }
    story
}

/// What a neighbour answers, another time something else where there is a choice.
fn answer_to(question: &Body<'_>, turn: usize) -> Message<'static> {
    let is_odd = turn % 2 == 1;
    let seen = Endpoint(address(0));
    let near = Peer { id: Id::from_bytes([2; 32]), address: address(2) };
    let held = Held { key: *RECORD.key(), sequence: RECORD.sequence() };
    let body = match question {
        Body::FindNode(_) => {
            Body::Nodes(Nodes { token: [4; 16], nodes: List(if is_odd { vec![] } else { vec![near] }) })
        }
        Body::Get(_) => Body::Value(Value { record: RECORD.as_bytes(), nodes: is_odd.then(|| List(vec![near])) }),
        Body::Put(_) if is_odd => Body::Stored(Empty {}),
        Body::Put(_) => Body::Refused(Refused { reason: Rejection::Superseded, record: Some(RECORD.as_bytes()) }),
        Body::Compare(Compare { .. }) if is_odd => {
            Body::Holdings(Holdings { records: Some(List(vec![held])), digests: None })
        }
        Body::Compare(_) => Body::Holdings(Holdings { records: None, digests: Some(&[9; 16]) }),
        Body::Ask(Ask::Probe(_)) => Body::Reply(Reply::Probed(Probed { seen })),
        Body::Ask(Ask::Reserve(_)) => Body::Reply(Reply::Reserved(Reserved { seconds: 120, seen })),
        Body::Ask(Ask::Introduce(_)) if is_odd => {
            Body::Reply(Reply::Introduced(Introduced { address: seen, pass: [6; 8], after: 40 }))
        }
        Body::Ask(Ask::Introduce(_)) => Body::Reply(Reply::Declined(Declined { reason: Decline::Nobody })),
        Body::Word(_) => Body::Word(Word::Data(Data { payload: b"sealed" })),
        _ => Body::Pong(Empty {}),
    };
    Message::new(1, [5; 8], Id::from_bytes([9; 32]), Role::Server, body)
}

/// What `docs/formats/dht.md` writes as `name: octets`.
fn vectors() -> impl Iterator<Item = (String, Vec<u8>)> {
    let page = include_str!("../../docs/formats/dht.md");
    let octets = |digits: &str| {
        let octet = |place| u8::from_str_radix(digits.get(place..place + 2)?, 16).ok();
        (0..digits.len()).step_by(2).map(octet).collect::<Option<Vec<u8>>>()
    };
    let vector = move |line: &str| {
        let (name, digits) = line.split_once(": ")?;
        Some((name.to_owned(), octets(digits).filter(|octets| !octets.is_empty())?))
    };
    page.lines().filter_map(vector)
}
