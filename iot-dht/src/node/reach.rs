use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::{Instant, Timestamp};

use crate::id::{Id, NodeId};
use crate::node::Node;
use crate::node::answer::Answer;
use crate::node::config::{NodeConfig, Service};
use crate::node::event::Event;
use crate::node::limiter::Limiter;
use crate::node::operation::Kind;
use crate::node::request::{Purpose, Recipient};
use crate::node::verification::Arrival;
use crate::peer::{Address, Peer, Scope, Subnet};
use crate::table::Entry;
use crate::wire::{
    Ask, Body, Decline, Declined, Empty, Endpoint, Message, Probed, Reply, Role, Transaction, Tried, Try, Word,
};

#[cfg(test)]
mod tests;

/// How long a node waits for somebody to send to it, once it was told that somebody will.
const TRIAL: Duration = Duration::from_secs(2);
/// How many trials in a row must fail before a node takes it that strangers do not reach it: any of them may have been
/// lost, or have met a liar.
const FAILURES: u8 = 3;
/// How long a node that has not learned anything waits before it asks again.
const PAUSE: Duration = Duration::from_secs(15);
/// After how many trials that tell nothing a node looks for relays all the same.
const DOUBTS: u8 = 2;
/// The most clients that are remembered because they could send to others.
const MAX_VISITORS: usize = 16;
/// For how long a client is taken to be reached where it asked from (RFC 4787 §4.3 asks NATs for twice as much).
const VISIT: Duration = Duration::from_secs(60);
/// Below how many entries of the table clients are preferred to send to others: the entries are whom a newcomer of a
/// small network has sent to itself.
const FEW: usize = 8;
/// How many probes a second a node passes on or carries out, and how many at once after a pause.
const TRIES: (u32, u32) = (10, 50);
/// How long a generation of addresses lasts that were sent to; they count in their own and in the next. RFC 4787 §4.3 lets
/// a NAT keep a mapping for longer than two minutes, and five is what it recommends.
const GENERATION: Duration = Duration::from_secs(300);
/// How often a node finds out anew in its first generation. A node that has started again does not know to whom it had sent
/// before, and what a NAT lets in for that proves nothing: until the NAT has forgotten it, what was found is provisional.
const PROVISIONAL: Duration = Duration::from_secs(60);
/// Bits of a generation.
const BITS: usize = 4096;
/// How many witnesses in a row, each of another subnet, must see a node elsewhere before it has itself tried again.
const MOVED: usize = 3;

/// What a node believes of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reachability {
    /// It has not found out.
    #[default]
    Unknown,
    /// Somebody to whom it had not sent anything has reached it there.
    Reachable {
        /// The address that others see.
        address: SocketAddr,
    },
    /// Several times nobody came through: there is a NAT or a filter before it.
    Unreachable {
        /// The address that others see, or the last of them.
        seen: Option<SocketAddr>,
    },
}

/// How a node finds out whether it is reached by strangers, and helps others to.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    belief: Reachability,
    /// Where others say that they see this node, the last word.
    seen: Option<SocketAddr>,
    /// Whom it has sent to of late; nothing, if it does not want to know.
    contacts: Option<Box<Contacts>>,
    trial: Option<Trial>,
    failures: u8,
    doubts: u8,
    next: Option<Instant>,
    started: Instant,
    /// The node joins when this trial is over.
    joins: bool,
    /// Those who have seen the node elsewhere since it was tried.
    elsewhere: VecDeque<Subnet>,
    visitors: VecDeque<(Peer<32>, Instant)>,
    tries: Limiter,
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    nonce: Transaction,
    /// Where who was asked says that it sees this node.
    seen: Option<SocketAddr>,
    until: Instant,
}

/// What came of a trial.
enum Outcome {
    Reached(SocketAddr),
    Silence,
    /// Nobody could be asked, or who came was known already.
    Nothing,
}

/// A set that forgets, and now and then takes a stranger for known: two generations of bits.
#[derive(Clone, Debug)]
struct Contacts {
    bits: [[u64; BITS / 64]; 2],
    since: Instant,
}

impl Contacts {
    fn places(hash: usize) -> [usize; 2] {
        [hash % BITS, hash / BITS % BITS]
    }

    fn add(&mut self, hash: usize) {
        Self::places(hash).into_iter().for_each(|place| self.bits[0][place / 64] |= 1 << (place % 64));
    }

    fn has(&self, hash: usize) -> bool {
        let has = |bits: &[u64]| Self::places(hash).into_iter().all(|place| bits[place / 64] >> (place % 64) & 1 == 1);
        self.bits.iter().any(|bits| has(bits))
    }

    fn rotate(&mut self, now: Instant) {
        if now.saturating_since(self.since) >= GENERATION {
            self.bits[1] = core::mem::replace(&mut self.bits[0], [0; BITS / 64]);
            self.since = now;
        }
    }
}

impl Reach {
    pub(super) fn new(config: &NodeConfig, now: Instant) -> Self {
        let wants_to_know = config.service == Service::WhenReachable;
        let contacts = wants_to_know.then(|| Box::new(Contacts { bits: [[0; BITS / 64]; 2], since: now }));
        Self {
            belief: Reachability::Unknown,
            seen: None,
            contacts,
            trial: None,
            failures: 0,
            doubts: 0,
            next: None,
            started: now,
            joins: false,
            elsewhere: VecDeque::new(),
            visitors: VecDeque::new(),
            tries: Limiter::new(TRIES.0, TRIES.1, 1),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let trial = self.trial.map(|trial| trial.until);
        let rotation = self.contacts.as_ref().map(|contacts| contacts.since.saturating_add(GENERATION));
        // One trial at a time.
        [trial.or(self.next), rotation].into_iter().flatten().min()
    }

    /// Whether the node has reason to think that others do not reach it.
    pub(super) fn lacks_reach(&self, service: Service) -> bool {
        match (service, self.belief) {
            (Service::Always, _) | (_, Reachability::Reachable { .. }) => false,
            (Service::Never, _) | (_, Reachability::Unreachable { .. }) => true,
            (Service::WhenReachable, Reachability::Unknown) => self.doubts >= DOUBTS,
        }
    }
}

impl Node {
    /// What it believes of itself. [`Event::Reachability`] tells when that changes. A node with [`Service::Never`] or
    /// [`Service::Always`] does not ask, and does not know.
    pub fn reachability(&self) -> Reachability {
        self.reach.belief
    }

    /// Where others say that they see this node: the last word of one of them, which may be a lie, until it was reached
    /// there ([`Reachability::Reachable`]).
    pub fn observed_address(&self) -> Option<SocketAddr> {
        match self.reach.belief {
            Reachability::Reachable { address } => Some(address),
            Reachability::Unknown | Reachability::Unreachable { .. } => self.reach.seen,
        }
    }

    /// Whether it answers others just now.
    pub fn role(&self) -> Role {
        match (self.config.service, self.reach.belief) {
            (Service::Always, _) | (Service::WhenReachable, Reachability::Reachable { .. }) => Role::Server,
            (Service::Never | Service::WhenReachable, _) => Role::Client,
        }
    }

    /// The first bootstrap address has answered. A node that does not know whether it is reached finds out before it joins:
    /// so its neighbours hear at once what it is, and it has not sent to those yet who could reach it.
    pub(super) fn try_before_join(&mut self, now: Instant) -> bool {
        let is_due = self.reach.contacts.is_some()
            && self.reach.belief == Reachability::Unknown
            && self.reach.trial.is_none()
            && self.reach.next.is_none();
        self.reach.joins = is_due && self.begin_trial(now);
        self.reach.joins
    }

    /// Does what is due.
    pub(super) fn handle_reach_timeout(&mut self, now: Instant, wall: Timestamp) {
        self.reach.contacts.iter_mut().for_each(|contacts| contacts.rotate(now));
        if self.reach.trial.is_some_and(|trial| trial.until <= now) {
            self.end_trial(now, wall, Outcome::Silence);
        }
        if self.reach.trial.is_none() && self.reach.next.is_some_and(|at| at <= now) && !self.begin_trial(now) {
            self.end_trial(now, wall, Outcome::Nothing);
        }
    }

    /// Remembers whom the node has sent to: it can be reached by those whatever stands before it.
    pub(super) fn note_contact(&mut self, to: SocketAddr) {
        if self.reach.contacts.is_some() {
            let hash = self.contact_hash(to);
            self.reach.contacts.iter_mut().for_each(|contacts| contacts.add(hash));
        }
    }

    /// A request has come to a client that wants to know. If a stranger sent it, that answers the question.
    pub(super) fn note_request(&mut self, now: Instant, wall: Timestamp, arrival: &Arrival<'_>) {
        let Some(asked) = arrival.message.challenge.map(|challenge| challenge.asked.0) else { return };
        // Who is near may reach what nobody else can.
        let is_elsewhere = self.reach.seen.is_some_and(|seen| seen != asked);
        let is_usable = Peer { id: *self.id(), address: asked }.usable_from(arrival.from).is_some();
        if self.reach.trial.is_none() && !is_elsewhere && is_usable && self.is_stranger(arrival.from) {
            self.end_trial(now, wall, Outcome::Reached(asked));
        }
    }

    /// Takes in where a witness says that it saw this node.
    pub(super) fn note_sighting(&mut self, now: Instant, witness: SocketAddr, seen: SocketAddr) {
        self.reach.seen = Some(seen);
        let Reachability::Reachable { address } = self.reach.belief else { return };
        if address == seen {
            self.reach.elsewhere.clear();
        } else if address.is_ipv4() == seen.is_ipv4() && Scope::of(&seen.ip()) >= Scope::of(&address.ip()) {
            let subnet = Address::from(witness).subnet();
            self.reach.elsewhere.retain(|of| *of != subnet);
            self.reach.elsewhere.push_back(subnet);
            if self.reach.elsewhere.len() >= MOVED {
                self.reach.elsewhere.clear();
                self.reach.next = Some(now);
            }
        }
    }

    /// Has somebody send to the address from which the asker sends, and to no other.
    pub(super) fn serve_probe(&mut self, now: Instant, from: SocketAddr, message: &Message<'_>) -> Reply {
        let helper = self.reach.tries.admit(now, 0).then(|| self.helper(now, from)).flatten();
        if message.role == Role::Client {
            self.reach.visitors.retain(|(peer, at)| peer.address != from && now.saturating_since(*at) < VISIT);
            self.reach.visitors.truncate(MAX_VISITORS - 1);
            self.reach.visitors.push_front((Peer { id: message.sender, address: from }, now));
        }
        let Some(helper) = helper else { return Reply::Declined(Declined { reason: Decline::Nobody }) };
        let cookie = self.recipient(now, &helper, &[]).cookie;
        let mut order = self.message(message.transaction, Body::Word(Word::Try(Try { address: Endpoint(from) })));
        order.cookie = cookie;
        let order = order.encode();
        self.transmit(helper.address, order);
        Reply::Probed(Probed { seen: Endpoint(from) })
    }

    /// Sends one datagram, no longer than the one that asks for it, to an address that a node of the table names.
    pub(super) fn handle_try(&mut self, now: Instant, arrival: &Arrival<'_>, order: &Try) {
        let (message, from) = (&arrival.message, arrival.from);
        let known = self.table.known(&message.sender).is_some_and(|entry| entry.address() == from);
        let has_cookie =
            || message.cookie.is_some_and(|cookie| self.secrets.age(now, &cookie, from, &message.sender).is_some());
        let target = Peer { id: message.sender, address: order.address.0 }.usable_from(from);
        let Some(target) = target.filter(|target| target.address != from && (known || has_cookie())) else {
            self.stats.unsolicited += 1;
            return;
        };
        if self.reach.tries.admit(now, 0) {
            let word = Word::Tried(Tried { address: Endpoint(target.address) });
            let tried = self.message(message.transaction, Body::Word(word)).encode();
            self.transmit(target.address, tried);
        } else {
            self.stats.rate_limited += 1;
        }
    }

    /// Somebody has sent to this node because it asked for that.
    pub(super) fn handle_tried(&mut self, now: Instant, wall: Timestamp, arrival: &Arrival<'_>, tried: &Tried) {
        let Some(trial) = self.reach.trial.filter(|trial| trial.nonce == arrival.message.transaction) else {
            self.stats.unsolicited += 1;
            return;
        };
        let address = tried.address.0;
        let agrees = trial.seen.is_none_or(|seen| seen == address);
        let proves = agrees && self.is_stranger(arrival.from);
        self.end_trial(now, wall, if proves { Outcome::Reached(address) } else { Outcome::Nothing });
    }

    /// Whoever was asked to pass a probe on has answered, or has not.
    pub(super) fn settle_probe(&mut self, now: Instant, wall: Timestamp, nonce: &Transaction, answer: Answer) {
        let Some(trial) = self.reach.trial.as_mut().filter(|trial| trial.nonce == *nonce) else { return };
        match answer {
            Answer::Reply(Reply::Probed(probed)) => {
                (trial.seen, trial.until) = (Some(probed.seen.0), now.saturating_add(TRIAL));
                self.reach.seen = Some(probed.seen.0);
            }
            _ => self.end_trial(now, wall, Outcome::Nothing),
        }
    }

    /// Asks an entry of the table, drawn at random, to have this node tried.
    fn begin_trial(&mut self, now: Instant) -> bool {
        let Some(peer) = self.any_entry(|_| true) else { return false };
        let recipient = Recipient { id: Some(peer.id), ..self.recipient(now, &peer, &[]) };
        let asked = self.request(now, recipient, Purpose::Probe, Body::Ask(Ask::Probe(Empty {})));
        let Some(nonce) = asked else { return false };
        // Who was asked may have to be asked again before the trial begins.
        let patience = self.config.request_timeout.saturating_mul(1 << self.config.attempts.min(6));
        self.reach.trial = Some(Trial { nonce, seen: None, until: now.saturating_add(patience).saturating_add(TRIAL) });
        true
    }

    fn end_trial(&mut self, now: Instant, wall: Timestamp, outcome: Outcome) {
        self.reach.trial = None;
        let (before, role) = (self.reach.belief, self.role());
        let is_provisional = now.saturating_since(self.reach.started) < GENERATION;
        let shortest = if is_provisional { PROVISIONAL } else { Duration::MAX };
        let interval = self.secrets.about(self.config.probe_interval.min(shortest));
        let pause = match (outcome, before) {
            (Outcome::Reached(address), _) => {
                (self.reach.failures, self.reach.doubts) = (0, 0);
                self.reach.belief = Reachability::Reachable { address };
                interval
            }
            (Outcome::Silence, _) if self.reach.failures + 1 < FAILURES => {
                self.reach.failures += 1;
                Duration::ZERO
            }
            (Outcome::Silence, _) => {
                self.reach.failures = 0;
                self.reach.belief = Reachability::Unreachable { seen: self.reach.seen };
                interval
            }
            (Outcome::Nothing, Reachability::Unknown) => {
                self.reach.doubts = self.reach.doubts.saturating_add(1);
                self.secrets.about(PAUSE)
            }
            (Outcome::Nothing, _) => interval,
        };
        self.reach.next = Some(now.saturating_add(pause));
        if self.reach.belief != before {
            self.notify(Event::Reachability(self.reach.belief));
        }
        if self.role() != role {
            self.change_role(now);
        }
        if self.reach.joins && !pause.is_zero() {
            self.reach.joins = false;
            let target = *self.id();
            self.start(now, wall, target, Kind::Join);
        }
    }

    /// Somebody who can send to this address, which has not sent anything to them as far as this node can know.
    fn helper(&mut self, now: Instant, asker: SocketAddr) -> Option<Peer<32>> {
        let differs = |address: SocketAddr| match Scope::of(&asker.ip()) {
            Scope::Loopback => address != asker,
            _ => address.ip() != asker.ip() && address.is_ipv4() == asker.is_ipv4(),
        };
        let is_fresh = |at: Instant| now.saturating_since(at) < VISIT;
        let mut visitors = self.reach.visitors.iter().filter(|(peer, at)| is_fresh(*at) && differs(peer.address));
        let visitor = visitors.next().map(|(peer, _)| *peer);
        match visitor {
            Some(visitor) if self.table.len() < FEW => Some(visitor),
            other => self.any_entry(|entry| differs(entry.address())).or(other),
        }
    }

    /// An entry of the table that has not failed of late, drawn at random.
    pub(super) fn any_entry(&mut self, wanted: impl Fn(&Entry<32>) -> bool) -> Option<Peer<32>> {
        let point: NodeId = Id::from_bytes(self.secrets.octets());
        self.table.closest(&point).find(|entry| entry.failures() == 0 && wanted(entry)).map(Entry::peer)
    }

    fn is_stranger(&self, from: SocketAddr) -> bool {
        self.reach.contacts.as_ref().is_some_and(|contacts| !contacts.has(self.contact_hash(from)))
    }

    /// Many NATs let in whoever shares an address with those who were sent to, so only the address counts; on one machine,
    /// where all share it, the port too.
    fn contact_hash(&self, address: SocketAddr) -> usize {
        let port = if Scope::of(&address.ip()) == Scope::Loopback { address.port() } else { 0 };
        self.secrets.slot(SocketAddr::new(address.ip(), port), BITS * BITS)
    }
}
