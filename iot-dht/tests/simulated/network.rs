use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_crypto::{SigningKey, VerifyingKey};
use iot_dht::wire::proof::Signed;
use iot_dht::wire::{MAX_DATAGRAM_LEN, Message, Role};
use iot_dht::{
    Admission, Busy, Event, GetDone, GetMode, Key, Node, NodeConfig, NodeId, OperationId, Placement, PutDone, Record,
    SubnetLimit, TableConfig,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

/// The wall clock at the start of every test: 2026-01-01T00:00:00Z.
pub const EPOCH: Timestamp = Timestamp::from_secs(1_767_225_600);

pub const REPLICAS: usize = 8;

/// What an attacker answers instead of the honest node that it runs on: nothing, or a datagram.
pub type Lie = Box<dyn FnMut(&Message<'_>, NodeId) -> Option<Vec<u8>>>;

/// A datagram under way: when it arrives, how many were sent before it, from where, to where, what.
type Flight = (Instant, u64, SocketAddr, SocketAddr, Vec<u8>);

pub struct Member {
    pub node: Node,
    pub key: SigningKey,
    pub events: Vec<Event>,
    lie: Option<Lie>,
    deadline: Option<Instant>,
}

/// Who verifies the signatures that nodes hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verifiers {
    /// All at once, the last first.
    AtWork,
    Gone,
}

/// A network with latency and loss, driven by one seeded generator.
pub struct Network {
    pub now: Instant,
    pub loss_permille: u64,
    members: BTreeMap<SocketAddr, Member>,
    in_flight: BinaryHeap<Reverse<Flight>>,
    /// Octets that came to addresses where nobody is.
    pub astray: BTreeMap<SocketAddr, usize>,
    /// What becomes of signatures that nodes hand out.
    pub verifiers: Verifiers,
    deadlines: BTreeSet<(Instant, SocketAddr)>,
    sent: u64,
    rng: ChaCha20Rng,
    trace: Sha256,
    next_port: u16,
    pub config: NodeConfig,
    /// What those who come from now on admit others by, and are admitted by.
    pub admission: Gate,
}

/// How the node of a key admits others.
pub type Gate = Box<dyn Fn(&VerifyingKey) -> Admission>;

pub fn test_config() -> NodeConfig {
    NodeConfig::default()
        .replicas(REPLICAS)
        .placement(Placement::Closest)
        .table(TableConfig::default().bucket_size(REPLICAS).subnets(SubnetLimit::Off))
        .request_timeout(Duration::from_millis(300))
        .liveness_interval(Duration::from_millis(500))
        .refresh_interval(Duration::from_secs(20))
        .comparison_interval(Duration::from_secs(5))
        .replication_interval(Duration::from_secs(20))
}

impl Network {
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::from_micros(7_000_000),
            loss_permille: 0,
            members: BTreeMap::new(),
            in_flight: BinaryHeap::new(),
            astray: BTreeMap::new(),
            verifiers: Verifiers::AtWork,
            deadlines: BTreeSet::new(),
            sent: 0,
            rng: ChaCha20Rng::seed_from_u64(seed),
            trace: Sha256::new(),
            next_port: 1000,
            config: test_config(),
            admission: Box::new(|_| Admission::Open),
        }
    }

    /// A network of `count` servers that joined through the first, ten at a time.
    pub fn joined(seed: u64, count: usize) -> (Self, Vec<SocketAddr>) {
        Self::with_config(seed, count, test_config())
    }

    pub fn with_config(seed: u64, count: usize, config: NodeConfig) -> (Self, Vec<SocketAddr>) {
        Self { config, ..Self::new(seed) }.grown(count)
    }

    /// The same, in an overlay to which not everybody belongs.
    pub fn with_admission(seed: u64, count: usize, config: NodeConfig, admission: Gate) -> (Self, Vec<SocketAddr>) {
        Self { config, admission, ..Self::new(seed) }.grown(count)
    }

    fn grown(self, count: usize) -> (Self, Vec<SocketAddr>) {
        let mut network = self;
        let first = network.add(Role::Server);
        let mut all = vec![first];
        while all.len() < count {
            let wave: Vec<_> = (0..10.min(count - all.len())).map(|_| network.add(Role::Server)).collect();
            wave.iter().for_each(|address| network.bootstrap(*address, &[first]));
            network.run_for(Duration::from_secs(2));
            all.extend(wave);
        }
        network.run_for(Duration::from_secs(5));
        (network, all)
    }

    pub fn wall(&self) -> Timestamp {
        EPOCH.saturating_add(self.now.saturating_since(Instant::START))
    }

    pub fn key(&mut self) -> SigningKey {
        SigningKey::generate(&mut self.rng)
    }

    pub fn add(&mut self, role: Role) -> SocketAddr {
        // An attacker of a test needs the key, too.
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let (key, own) = (SigningKey::from_seed(&seed), SigningKey::from_seed(&seed));
        let address = SocketAddr::from(([127, 0, 0, 1], self.next_port));
        self.next_port += 1;
        self.add_at(address, role, key, own)
    }

    /// A node with the role of the network's configuration.
    pub fn add_as_configured(&mut self) -> SocketAddr {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let node = Node::new(self.config, SigningKey::from_seed(&seed), self.now, &mut self.rng);
        let address = SocketAddr::from(([127, 0, 0, 1], self.next_port));
        self.next_port += 1;
        let key = SigningKey::from_seed(&seed);
        self.members.insert(address, Member { node, key, events: Vec::new(), lie: None, deadline: None });
        self.pump(address);
        address
    }

    /// Gives a member another address, without a word to it.
    pub fn relocate(&mut self, address: SocketAddr) -> SocketAddr {
        let member = self.members.remove(&address).expect("a member");
        if let Some(at) = member.deadline {
            self.deadlines.remove(&(at, address));
        }
        let moved = SocketAddr::from(([127, 0, 0, 1], self.next_port));
        self.next_port += 1;
        self.members.insert(moved, Member { deadline: None, ..member });
        self.pump(moved);
        moved
    }

    /// Starts the node of an address anew: with its key, and without anything else that it had.
    pub fn restart(&mut self, address: SocketAddr, seed: &[u8; 32]) {
        self.remove(address);
        self.add_at(address, Role::Server, SigningKey::from_seed(seed), SigningKey::from_seed(seed));
    }

    pub fn add_at(&mut self, address: SocketAddr, role: Role, key: SigningKey, own: SigningKey) -> SocketAddr {
        let admission = (self.admission)(&own.verifying_key());
        let node = Node::new(self.config.service(role), own, self.now, &mut self.rng).with_admission(admission);
        self.members.insert(address, Member { node, key, events: Vec::new(), lie: None, deadline: None });
        self.pump(address);
        address
    }

    pub fn corrupt(&mut self, address: SocketAddr, lie: Lie) {
        self.member(address).lie = Some(lie);
    }

    pub fn remove(&mut self, address: SocketAddr) {
        let member = self.members.remove(&address).expect("a member");
        if let Some(at) = member.deadline {
            self.deadlines.remove(&(at, address));
        }
    }

    pub fn member(&mut self, address: SocketAddr) -> &mut Member {
        self.members.get_mut(&address).expect("a member")
    }

    pub fn nodes(&self) -> impl Iterator<Item = (SocketAddr, &Node)> + '_ {
        self.members.iter().map(|(address, member)| (*address, &member.node))
    }

    pub fn bootstrap(&mut self, address: SocketAddr, through: &[SocketAddr]) {
        let now = self.now;
        self.member(address).node.bootstrap(now, through);
        self.pump(address);
    }

    /// Sends octets as if from an address that need not exist.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let at = self.now.saturating_add(Duration::from_millis(1));
        self.sent += 1;
        self.in_flight.push(Reverse((at, self.sent, from, to, datagram)));
    }

    pub fn put(&mut self, address: SocketAddr, record: Record) -> PutDone {
        let (now, wall) = (self.now, self.wall());
        let operation = self.member(address).node.put(now, wall, record).expect("not busy");
        self.pump(address);
        self.wait(address, |event| match event {
            Event::PutDone(done) if done.operation == operation => Some(done.clone()),
            _ => None,
        })
    }

    pub fn put_replacing(&mut self, address: SocketAddr, record: Record, replaces: u64) -> PutDone {
        let (now, wall) = (self.now, self.wall());
        let operation = self.member(address).node.put_replacing(now, wall, record, replaces).expect("not busy");
        self.pump(address);
        self.wait(address, |event| match event {
            Event::PutDone(done) if done.operation == operation => Some(done.clone()),
            _ => None,
        })
    }

    pub fn get(&mut self, address: SocketAddr, key: Key, mode: GetMode) -> GetDone {
        let (now, wall) = (self.now, self.wall());
        let operation = self.member(address).node.get(now, wall, key, mode).expect("not busy");
        self.pump(address);
        self.wait(address, |event| match event {
            Event::GetDone(done) if done.operation == operation => Some(done.clone()),
            _ => None,
        })
    }

    /// Starts a put without waiting for its end.
    pub fn start_put(&mut self, address: SocketAddr, record: Record) -> Result<OperationId, Busy> {
        let (now, wall) = (self.now, self.wall());
        let operation = self.member(address).node.put(now, wall, record);
        self.pump(address);
        operation
    }

    pub fn start_get(&mut self, address: SocketAddr, key: Key, mode: GetMode) -> OperationId {
        let (now, wall) = (self.now, self.wall());
        let operation = self.member(address).node.get(now, wall, key, mode).expect("not busy");
        self.pump(address);
        operation
    }

    /// Runs until an event of a node is what is waited for, at most a virtual minute.
    pub fn wait<T>(&mut self, address: SocketAddr, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let limit = self.now.saturating_add(Duration::from_secs(60));
        loop {
            if let Some(found) = self.member(address).events.iter().find_map(&mut wanted) {
                return found;
            }
            assert!(self.now < limit && self.step(limit), "nothing came within a minute");
        }
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now.saturating_add(duration);
        while self.step(end) {}
        self.now = end;
    }

    /// What happened so far, as one number.
    pub fn trace(&self) -> [u8; 32] {
        self.trace.clone().finalize().into()
    }

    /// The servers closest to a key, by looking at all of them.
    pub fn truly_closest(&self, key: &Key, count: usize) -> Vec<NodeId> {
        let mut ids: Vec<_> = self.members.values().map(|member| *member.node.id()).collect();
        ids.sort_by_key(|id| id.distance(key));
        ids.truncate(count);
        ids
    }

    pub fn holders(&self, key: &Key) -> usize {
        let wall = self.wall();
        self.members.values().filter(|member| member.node.store().get(wall, key).is_some()).count()
    }

    /// Does the next thing that is due before `end`; tells whether there was one.
    fn step(&mut self, end: Instant) -> bool {
        let arrival = self.in_flight.peek().map(|Reverse((at, ..))| *at);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let next = [arrival, deadline].into_iter().flatten().min();
        let Some(at) = next.filter(|at| *at <= end) else { return false };
        self.now = self.now.max(at);
        let (now, wall) = (self.now, self.wall());
        if arrival == Some(at) {
            let Some(Reverse((_, _, from, to, datagram))) = self.in_flight.pop() else { return false };
            self.trace.update(now.as_micros().to_be_bytes());
            self.trace.update(&datagram);
            if !self.members.contains_key(&to) {
                *self.astray.entry(to).or_default() += datagram.len();
            }
            if let Some(member) = self.members.get_mut(&to) {
                let lie = member.lie.as_mut().zip(Message::decode(&datagram).ok());
                match lie.and_then(|(lie, message)| lie(&message, *member.node.id())) {
                    Some(answer) => {
                        let answer = proven(&answer, &datagram, from, &member.key);
                        self.send(to, from, answer);
                    }
                    None => member.node.handle_datagram(now, wall, from, &datagram),
                }
                self.pump(to);
            }
        } else if let Some((_, address)) = self.deadlines.pop_first() {
            let member = self.member(address);
            member.deadline = None;
            member.node.handle_timeout(now, wall);
            self.pump(address);
        }
        true
    }

    fn pump(&mut self, address: SocketAddr) {
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        let (now, wall) = (self.now, self.wall());
        if self.verifiers == Verifiers::AtWork {
            let node = &mut self.member(address).node;
            loop {
                let jobs: Vec<_> = std::iter::from_fn(|| node.poll_job()).collect();
                if jobs.is_empty() {
                    break;
                }
                jobs.iter().rev().for_each(|job| node.handle_verdict(now, wall, job.verify()));
            }
        }
        while let Some(transmit) = self.member(address).node.poll_transmit(&mut buffer) {
            assert!(transmit.len < 1232);
            self.send(address, transmit.to, buffer[..transmit.len].to_vec());
        }
        let member = self.member(address);
        while let Some(event) = member.node.poll_event() {
            member.events.push(event);
        }
        let before = member.deadline;
        member.deadline = member.node.poll_timeout(now);
        let after = member.deadline;
        if let Some(at) = before {
            self.deadlines.remove(&(at, address));
        }
        if let Some(at) = after {
            self.deadlines.insert((at, address));
        }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let latency = Duration::from_micros(5_000 + self.rng.next_u64() % 40_000);
        let lost = self.rng.next_u64() % 1000 < self.loss_permille;
        self.sent += 1;
        if !lost {
            self.in_flight.push(Reverse((self.now.saturating_add(latency), self.sent, from, to, datagram)));
        }
    }
}

/// The answer of an attacker to a question, with the proof that the question asks for, unless it claims to be somebody
/// else.
fn proven(answer: &[u8], question: &[u8], from: SocketAddr, key: &SigningKey) -> Vec<u8> {
    let (Ok(mut answer), Ok(question)) = (Message::decode(answer), Message::decode(question)) else {
        return answer.to_vec();
    };
    if answer.sender != NodeId::of_node(&key.verifying_key()) {
        return answer.encode();
    }
    let signed = question.challenge.map(|challenge| Signed::answer(key, &question, &challenge, from).unwrap());
    answer.proof = signed.as_ref().map(Signed::proof);
    answer.encode()
}
