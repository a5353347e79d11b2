//! A node of the DHT among strangers, for the target that plays them and for its seeds; and the datagrams of the page.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use iot_codec::cbor::List;
use iot_core::{Instant, Timestamp};
use iot_crypto::SigningKey;
use iot_dht::subscription::is_subscription;
use iot_dht::wire::proof::Signed;
use iot_dht::wire::{
    Ask, Body, Challenge, Compare, Cookie, Data, Decline, Declined, Empty, Endpoint, FindNode, Get, Held, Holdings,
    Introduced, MAX_AMPLIFICATION, MAX_DATAGRAM_LEN, Message, Nodes, Probed, Put, Refused, Reply, Reserve, Reserved,
    Role, Token, Value, Word,
};
use iot_dht::{Event, GetMode, Id, Job, Node, NodeConfig, NodeId, Peer, Record, Rejection, Service, Verification};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// What the node's user puts and gets: the only record that its owner signs. It is between three and four times as long as
/// the question for it.
///
/// A corpus outlives what stands here, and keeps records that were signed before: another value takes another key.
pub static RECORD: LazyLock<Record> = LazyLock::new(|| {
    let value =
        b"what the owner says, at such length that whoever asks must show first that it receives what it is sent";
    Record::sign(&key(33), b"feed/head", 7, Timestamp::from_secs(1_000_000), value).expect("within limits")
});

/// How many signatures a node leaves to others at a time.
const VERIFICATIONS: usize = 8;

/// Whoever has asked waits no longer for a verdict than this.
const VERDICT: Duration = Duration::from_secs(10);

/// The verdicts that a step asks for come after the next step without this.
pub const LATER: u8 = 0x80;

/// The verdicts that a step asks for never come.
pub const NEVER: u8 = 0x40;

/// The key of the node, or of one of those around it: the octet that its seed consists of.
fn key(octet: u8) -> SigningKey {
    SigningKey::from_seed(&[octet; 32])
}

/// A node, and what it said last.
pub struct Harness {
    node: Node,
    now: Duration,
    /// What the node asked last, and whom.
    asked: Option<(SocketAddr, Vec<u8>)>,
    /// The last cookie that it gave, and to whom.
    given: Option<(SocketAddr, Cookie)>,
    /// What it gave to those who have keys.
    known: HashMap<SocketAddr, Given>,
    /// Those who have proved to it who they are.
    proved: HashSet<SocketAddr>,
    /// The signatures that it has others verify, and when it asked for that.
    jobs: Vec<(Duration, Job)>,
    /// How many octets those may still be sent of whom it does not know yet that they receive anything; nothing of those
    /// who have shown it.
    credit: HashMap<SocketAddr, Option<usize>>,
}

/// What a node gives to one who asks.
#[derive(Default)]
struct Given {
    cookie: Option<Cookie>,
    token: Option<Token>,
    challenge: Option<Challenge>,
}

impl Harness {
    /// A node that asks the strangers at one address to let it join.
    pub fn new(service: Service, verification: Verification) -> Self {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let config = NodeConfig::default().overlay(1).service(service).relays(2).links(4);
        let config = config.verification(verification).verifications(VERIFICATIONS);
        let mut node = Node::new(config, key(1), Instant::from_micros(0), &mut rng);
        node.bootstrap(Instant::from_micros(0), &[address(1)]);
        let mut harness = Self {
            node,
            now: Duration::ZERO,
            asked: None,
            given: None,
            known: HashMap::new(),
            proved: HashSet::new(),
            jobs: Vec::new(),
            credit: HashMap::new(),
        };
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
        if self.jobs.is_empty() {
            self.credit.clear();
        }
        let from = self.act(what & !(LATER | NEVER), datagram, choice);
        self.drain(from);
        while let Some(job) = self.node.poll_job() {
            self.jobs.push((self.now, job));
        }
        let waiting = self.jobs.iter().filter(|(asked, _)| self.now - *asked < VERDICT).count();
        assert!(waiting <= VERIFICATIONS, "{waiting} signatures wait");
        if what & NEVER != 0 {
            self.jobs.clear();
        }
        // In another order than they were asked for.
        while let Some((_, job)) = (what & LATER == 0).then(|| self.jobs.pop()).flatten() {
            self.node.handle_verdict(self.now(), self.wall(), job.verify());
            self.drain(None);
        }
    }

    /// Tells from whom a datagram came.
    fn act(&mut self, what: u8, datagram: &[u8], choice: u8) -> Option<SocketAddr> {
        let (now, wall) = (self.now(), self.wall());
        match what {
            0 => {
                self.now += Duration::from_secs(choice.into());
                self.node.handle_timeout(self.now(), self.wall());
                None
            }
            2 | 6 => {
                let (mut message, (from, asked)) = (Message::decode(datagram).ok()?, self.asked.clone()?);
                let question = Message::decode(&asked).ok()?;
                message.transaction = question.transaction;
                let prove = |challenge| Signed::answer(&key(choice), &question, &challenge, address(0)).ok();
                let signed = question.challenge.filter(|_| what == 6).and_then(prove);
                if what == 6 {
                    message.sender = NodeId::of_node(&key(choice).verifying_key());
                    message.proof = signed.as_ref().map(Signed::proof);
                }
                (message.padding, message.cookie, message.challenge) = (None, None, None);
                self.send_verified(from, &message)
            }
            3 => {
                let _ = self.node.get(now, wall, *RECORD.key(), GetMode::Newest);
                None
            }
            4 => {
                let _ = self.node.put(now, wall, RECORD.clone());
                None
            }
            5 => {
                let (mut message, (from, cookie)) = (Message::decode(datagram).ok()?, self.given?);
                (message.cookie, message.padding, message.challenge, message.proof) = (Some(cookie), None, None, None);
                self.send_verified(from, &message)
            }
            7 | 8 => self.send_as(Message::decode(datagram).ok()?, choice, what == 8),
            _ => {
                let from = address(choice);
                if let Some(credit) = self.credit.entry(from).or_insert(Some(0)) {
                    *credit += MAX_AMPLIFICATION * datagram.len();
                }
                self.node.handle_datagram(now, wall, from, datagram);
                Some(from)
            }
        }
    }

    /// Sends a datagram as one that has a key, with all that the node has given it; or as one that knows all of this but the
    /// key, and forges a signature.
    fn send_as(&mut self, message: Message<'_>, choice: u8, is_forged: bool) -> Option<SocketAddr> {
        let (from, own) = (address(choice), key(choice));
        let given = self.known.entry(from).or_default();
        let node = Message::new(1, [0; 8], *self.node.id(), Role::Server, Body::Pong(Empty {}));
        let prove = |challenge: Challenge| Signed::answer(&own, &node, &challenge, address(0)).ok();
        let mut signed = given.challenge.and_then(prove);
        signed.iter_mut().for_each(|signed| signed.signature[63] ^= u8::from(is_forged));
        let (sender, proof) = (NodeId::of_node(&own.verifying_key()), signed.as_ref().map(Signed::proof));
        let mut message = Message { sender, cookie: given.cookie, padding: None, proof, ..message };
        if let Some(challenge) = given.challenge {
            message.transaction = challenge.nonce;
            if !is_forged {
                self.proved.insert(from);
            }
        }
        if let (Body::Put(put), Some(token)) = (&mut message.body, given.token) {
            put.token = token;
        }
        self.send_verified(from, &message)
    }

    /// Sends what shows that its sender receives what it is sent, unless there was no room for that.
    fn send_verified(&mut self, from: SocketAddr, message: &Message<'_>) -> Option<SocketAddr> {
        if !fits(message) {
            return None;
        }
        self.credit.insert(from, None);
        self.node.handle_datagram(self.now(), self.wall(), from, &message.encode());
        Some(from)
    }

    /// Takes all that the node has to say, after a datagram from this address.
    fn drain(&mut self, from: Option<SocketAddr>) {
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        let mut datagrams = 0;
        while let Some(transmit) = self.node.poll_transmit(&mut buffer) {
            let message = Message::decode(&buffer[..transmit.len]).expect("a node writes what nodes read");
            let is_word = matches!(message.body, Body::Word(_));
            if message.body.is_answer() {
                self.note_answer(transmit.to, &message);
            } else if !is_word {
                self.asked = Some((transmit.to, buffer[..transmit.len].to_vec()));
            }
            let credit = self.credit.get_mut(&transmit.to).and_then(Option::as_mut);
            if let Some(credit) = credit.filter(|_| message.body.is_answer() || is_word && from == Some(transmit.to)) {
                let left = credit.checked_sub(transmit.len);
                *credit = left.expect("at most three times as much goes to an address that is not verified");
            }
            datagrams += 1;
        }
        assert!(datagrams <= 4096, "{datagrams} datagrams after one step");
        let events: Vec<_> = std::iter::from_fn(|| self.node.poll_event()).collect();
        assert!(events.len() <= 4096, "{} events after one step", events.len());
        let found = events.iter().filter_map(|event| match event {
            Event::GetDone(done) => done.record.as_ref(),
            _ => None,
        });
        let (table, store) = (self.node.table(), self.node.store());
        for record in store.records().chain(found).filter(|record| record.owner() == RECORD.owner()) {
            assert_eq!(record, &*RECORD, "held what its owner did not sign");
        }
        assert!(table.allocated() <= 1 << 20 && store.octets() <= 4 << 20, "{} octets", table.allocated());
        let _ = self.node.poll_timeout(self.now());
    }

    /// Remembers what an answer gives; a lease and a record's place are given to those who have shown what they must.
    fn note_answer(&mut self, to: SocketAddr, message: &Message<'_>) {
        let known = self.known.entry(to).or_default();
        if let Some(cookie) = message.cookie {
            self.given = Some((to, cookie));
            known.cookie = Some(cookie);
        }
        known.challenge = message.challenge.or(known.challenge);
        match &message.body {
            Body::Nodes(nodes) => known.token = Some(nodes.token),
            Body::Reply(Reply::Reserved(_)) => assert!(self.proved.contains(&to), "a lease for the stranger at {to}"),
            Body::Stored(_) => assert!(known.token.is_some(), "a record of the stranger at {to}"),
            _ => {}
        }
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

/// The seeds of `dht_record` that are values of records, which are those of the page; a record that is good, and the same with
/// what its signature does not cover: a tag, and an unprotected header.
pub fn values() -> Vec<(String, Vec<u8>)> {
    let names = ["segment", "head", "contact", "mail", "receipt", "roster"];
    let values = vectors().filter(|(name, octets)| {
        !is_subscription(octets) && names.iter().any(|kind| name.contains(kind)) && name != "roster-name"
    });
    let values = values.map(|(name, octets)| (name, [&[2], &octets[..]].concat()));
    let (protected, rest) = RECORD.as_bytes().split_at(15);
    let (b"\xa0", rest) = rest.split_at(1) else { unreachable!("the unprotected header of a record is empty") };
    let good = [protected, b"\xa0", rest].concat();
    let records = [
        ("good", good.clone()),
        ("good-with-a-tag", [b"\xd2", &good[..]].concat()),
        ("good-with-an-unsigned-header", [protected, b"\xa1\x18\x63\x00", rest].concat()),
    ];
    let records = records.map(|(name, octets)| (name.to_owned(), [&[1], &octets[..]].concat()));
    values.chain(records).collect()
}

/// The seeds of `dht_node`: each datagram of the page from a stranger who has shown that it receives what it is sent; what a
/// neighbour may ask for that has proved who it is; and two minutes of a node of each service whose only neighbour answers
/// every question.
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
            is_about(&mut story, (Service::Always, Verification::Inline));
            (format!("from-a-stranger-{name}"), story)
        })
        .collect();
    for (how, verification) in [("inline", Verification::Inline), ("handed-out", Verification::HandedOut)] {
        for (what, mut story) in [("lease", leased()), ("record", stored()), ("crowd", crowded())] {
            is_about(&mut story, (Service::Always, verification));
            stories.push((format!("{what}-{how}"), story));
        }
    }
    for (name, service) in
        [("always", Service::Always), ("when-reachable", Service::WhenReachable), ("never", Service::Never)]
    {
        for commands in [&[][..], &[3], &[4]] {
            let mut story = answered(service, commands);
            is_about(&mut story, (service, Verification::Inline));
            stories.push((format!("answered-{name}-{}", commands.first().unwrap_or(&0)), story));
        }
    }
    stories
}

/// Which node an input is about: its length says.
pub fn node_of(input: &[u8]) -> (Service, Verification) {
    let service = [Service::Always, Service::WhenReachable, Service::Never][input.len() % 3];
    (service, [Verification::Inline, Verification::HandedOut][input.len() / 3 % 2])
}

/// Makes a story as long as one about such a node is.
fn is_about(story: &mut Vec<u8>, node: (Service, Verification)) {
    while node_of(story) != node {
        story.push(0);
    }
}

/// A neighbour asks for a lease until it has one, and for a longer one; the verdict on a second one's proof comes too late,
/// and the proof of a third is forged.
fn leased() -> Vec<u8> {
    let reserve = ask(Body::Ask(Ask::Reserve(Reserve { seconds: 120, rtt: Some(20) })));
    let mut story = Vec::new();
    for (what, choice) in [(7, 5), (7, 5), (7, 5), (7, 6), (7 | LATER, 6), (8, 7), (8, 7)] {
        tell(&mut story, what, &reserve, choice);
    }
    tell(&mut story, LATER, &[], 20);
    story
}

/// More neighbours prove who they are than there is room for verdicts.
fn crowded() -> Vec<u8> {
    let reserve = ask(Body::Ask(Ask::Reserve(Reserve { seconds: 120, rtt: None })));
    let mut story = Vec::new();
    for what in [7, 7 | LATER] {
        (0..=VERIFICATIONS as u8).for_each(|choice| tell(&mut story, what, &reserve, choice));
    }
    story
}

/// A neighbour puts a record, gets it, and compares what it has; a second one's verdict never comes.
fn stored() -> Vec<u8> {
    let key = *RECORD.key();
    let put = ask(Body::Put(Put { token: [0; 16], record: RECORD.as_bytes(), replaces: None }));
    let find = ask(Body::FindNode(FindNode { target: key, key: None }));
    let get = ask(Body::Get(Get { key, near: None }));
    let compare = ask(Body::Compare(Compare { point: key, bits: 0, nonce: [7; 8], digest: [0; 8] }));
    let mut story = Vec::new();
    for (what, datagram, choice) in
        [(7, &find, 5), (7, &put, 5), (7, &get, 5), (7, &compare, 5), (1, &get, 6), (7, &find, 6), (7 | NEVER, &put, 6)]
    {
        tell(&mut story, what, datagram, choice);
    }
    story
}

/// A question as a neighbour asks it.
fn ask(body: Body<'_>) -> Vec<u8> {
    Message::new(1, [5; 8], Id::from_bytes([9; 32]), Role::Server, body).encode()
}

fn tell(story: &mut Vec<u8>, what: u8, datagram: &[u8], choice: u8) {
    story.push(what);
    story.extend_from_slice(&(datagram.len() as u16).to_le_bytes());
    story.extend_from_slice(datagram);
    story.push(choice);
}

/// A node whose only neighbour answers whatever it asks, while its user gives commands now and then.
fn answered(service: Service, commands: &[u8]) -> Vec<u8> {
    let mut harness = Harness::new(service, Verification::Inline);
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
