use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_crypto::SigningKey;

use crate::admission::{Admission, AdmissionKey};
use crate::contact::Contact;
use crate::id::{Key, NodeId};
use crate::node::{Event, GetMode, Glance, LinkId, Node, NodeConfig, OperationId};
use crate::record::Record;
use crate::signatures::Signatures;
use crate::sim::adversary::{Adversary, Conduct};
use crate::sim::host::Member;
use crate::sim::noise::{Noise, hash};
use crate::sim::queue::{self, Queue};
use crate::sim::{EPOCH, Host, Link, Reach, SimulatedSigner, Trace};
use crate::wire::{Body, MAX_DATAGRAM_LEN, Message, Role};

/// A node that has nothing to do for now is looked at again after this time at the earliest.
const LEAST_TIMER: Duration = Duration::from_millis(1);

/// Some of the hosts, with all that is under way to them: what one thread simulates on its own for as long as no datagram
/// can come from another shard.
pub struct Shard {
    number: usize,
    count: usize,
    seed: u64,
    pub(super) link: Link,
    config: NodeConfig,
    signatures: Signatures,
    /// The key that hosts which do not infiltrate show.
    pub(super) admission: Option<[u8; 32]>,
    /// By the host's number, divided by the number of shards.
    members: Vec<Option<Box<Member>>>,
    there: usize,
    queue: Queue<Item>,
    /// What goes to each of the shards, and what came from each and is not in the queue yet.
    pub(super) out: Vec<Parcel>,
    pub(super) arrived: Vec<Parcel>,
    pub(super) happenings: Vec<Happening>,
    pub(super) trace: Trace,
    pub(super) counts: Counts,
}

/// What a host does at a moment that was planned.
#[derive(Clone)]
#[non_exhaustive]
pub enum Action {
    /// It comes to be.
    Join {
        /// Whether it answers others.
        role: Role,
        /// Who can reach it.
        reach: Reach,
        /// The one host that it knows; nobody, if it is the first.
        through: Option<Host>,
    },
    /// It comes to be, and behaves as it is configured, unlike the others.
    Enter {
        /// How.
        node: Box<NodeConfig>,
        /// Who can reach it.
        reach: Reach,
        /// The one host that it knows.
        through: Host,
    },
    /// It comes to be as a server of an attacker, who is taken to have found a key with this identifier. Nobody believes
    /// that where signatures are real.
    Infiltrate {
        /// Who it claims to be.
        id: NodeId,
        /// The one host that it knows.
        through: Host,
        /// What it does.
        adversary: Arc<dyn Adversary>,
    },
    /// Its node starts again, with its key and without anything else that it had. The NAT before it forgets nothing.
    Restart {
        /// How the node is configured now.
        node: Box<NodeConfig>,
        /// The one host that it knows.
        through: Host,
    },
    /// An attacker takes it over.
    Turn(Arc<dyn Adversary>),
    /// Its user names hosts through which it joins, in place of those named before.
    Bootstrap(Vec<Host>),
    /// It sends this datagram to another, whatever its node thinks of it.
    Say(Host, Box<[u8]>),
    /// It is gone, without a word.
    Leave,
    /// Its user puts a record.
    Put(Record),
    /// It holds a record from now on, as if somebody had put it there.
    Hold(Record),
    /// Its user asks for a record.
    Get(Key, GetMode),
    /// Its user searches for the nodes closest to a point.
    Find(Key),
    /// Its user wants to meet the device of a contact.
    Meet(Box<Contact>),
    /// Its user gives up the path of a link for another.
    Reroute(LinkId),
    /// Its user sends this over a link.
    Send(LinkId, Box<[u8]>),
}

/// Names an [`Action`] that was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(pub(super) u32);

/// Something that happened at a host.
#[derive(Clone, Debug)]
pub struct Happening {
    /// When.
    pub at: Instant,
    /// Where.
    pub host: Host,
    /// What.
    pub what: What,
}

/// What happened at a host.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "nearly all that happens is told, and is taken at once")]
pub enum What {
    /// An action has started this operation, whose result follows.
    Started(ActionId, OperationId),
    /// An action has asked for this link, of which the node will tell.
    Meeting(ActionId, LinkId),
    /// An action came to nothing: the host is not there, or busy, or the link has no path.
    Refused(ActionId),
    /// The node told its user.
    Told(Event),
}

/// What became of datagrams and for how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that were sent.
    pub sent: u64,
    /// Octets of them.
    pub octets: u64,
    /// Lost, or between two parts of a partitioned network.
    pub lost: u64,
    /// Held off by the filter of a NAT.
    pub filtered: u64,
    /// Sent to a host that is not there.
    pub astray: u64,
}

pub(super) struct Item {
    pub(super) at: Instant,
    pub(super) to: Host,
    /// What is due to one host in one microsecond has an order of its own: datagrams by sender and number first.
    rank: (u32, u32),
    due: Due,
}

enum Due {
    /// The ports that it left from and comes to.
    Datagram(u16, u16, Box<[u8]>),
    Action(ActionId, Box<Action>),
    Timer,
}

/// The datagrams that go from one shard to another within a window.
///
/// Their octets lie one after the other, and the receiver copies them: memory that one thread takes and another gives back
/// ends up in both threads' hosts side by side, and each then waits for what the other has written next to its own.
#[derive(Default)]
pub(super) struct Parcel {
    datagrams: Vec<Parcelled>,
    octets: Vec<u8>,
    /// When the first of it is due.
    first: Option<Instant>,
}

struct Parcelled {
    at: Instant,
    to: Host,
    rank: (u32, u32),
    left: u16,
    port: u16,
    len: u16,
}

impl Parcel {
    fn push(&mut self, datagram: Parcelled, octets: &[u8]) {
        self.first = Some(self.first.map_or(datagram.at, |first| first.min(datagram.at)));
        self.datagrams.push(datagram);
        self.octets.extend_from_slice(octets);
    }

    fn open(&mut self, mut take: impl FnMut(Item)) {
        let mut octets = &self.octets[..];
        for Parcelled { at, to, rank, left, port, len } in self.datagrams.drain(..) {
            let (datagram, rest) = octets.split_at(len.into());
            octets = rest;
            take(Item { at, to, rank, due: Due::Datagram(left, port, datagram.into()) });
        }
        self.octets.clear();
        self.first = None;
    }
}

impl Item {
    pub(super) fn action(at: Instant, to: Host, id: ActionId, action: Action) -> Self {
        Self { at, to, rank: (u32::MAX - 1, id.0), due: Due::Action(id, Box::new(action)) }
    }
}

impl Shard {
    pub(super) fn new(
        number: usize,
        count: usize,
        seed: u64,
        link: Link,
        config: NodeConfig,
        signatures: Signatures,
    ) -> Self {
        Self {
            signatures,
            number,
            count,
            seed,
            link,
            config,
            admission: None,
            members: Vec::new(),
            there: 0,
            queue: Queue::new(),
            out: (0..count).map(|_| Parcel::default()).collect(),
            arrived: (0..count).map(|_| Parcel::default()).collect(),
            happenings: Vec::new(),
            trace: Trace::default(),
            counts: Counts::default(),
        }
    }

    /// Does all that is due before `end`.
    pub fn run_until(&mut self, end: Instant) {
        for parcel in &mut self.arrived {
            parcel.open(|item| self.queue.push(item));
        }
        loop {
            self.glance_ahead(end);
            let Some(item) = self.queue.pop(end) else { return };
            self.handle(item);
        }
    }

    /// Looks at what the next hosts will need, all of it side by side. Each host lies somewhere else in memory, and is
    /// visited a few times a second at most, so that nearly all that it needs has left the processor's caches since.
    fn glance_ahead(&mut self, end: Instant) {
        let ahead = self.queue.look_ahead(end);
        let mut glanced = 0_u64;
        for at in Glance::ALL {
            for item in ahead.clone() {
                if let Some(member) = self.members.get(item.to.0 as usize / self.count).and_then(Option::as_ref) {
                    glanced = glanced.wrapping_add(member.node.glance(at));
                }
                if let (Glance::Tables, Due::Datagram(_, _, datagram)) = (at, &item.due) {
                    glanced += datagram.iter().step_by(64).map(|octet| u64::from(*octet)).sum::<u64>();
                }
            }
        }
        core::hint::black_box(glanced);
    }

    /// How many hosts are there.
    pub fn hosts(&self) -> usize {
        self.there
    }

    pub(super) fn push(&mut self, item: Item) {
        self.queue.push(item);
    }

    pub(super) fn next(&mut self) -> Option<Instant> {
        let arrived = self.arrived.iter().filter_map(|parcel| parcel.first).min();
        self.queue.next().into_iter().chain(arrived).min()
    }

    pub(super) fn member(&self, host: Host) -> Option<&Member> {
        self.members.get(host.0 as usize / self.count)?.as_deref()
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (Host, &Node)> + '_ {
        let there = self.members.iter().enumerate().filter_map(|(place, member)| Some((place, member.as_deref()?)));
        there.map(|(place, member)| (Host((place * self.count + self.number) as u32), &member.node))
    }

    pub(super) fn honest(&self) -> impl Iterator<Item = Host> + '_ {
        let honest =
            |(place, member): (usize, &Option<Box<Member>>)| member.as_ref()?.adversary.is_none().then_some(place);
        self.members.iter().enumerate().filter_map(honest).map(|place| Host((place * self.count + self.number) as u32))
    }

    fn handle(&mut self, item: Item) {
        let (now, wall) = (item.at, EPOCH.saturating_add(item.at.saturating_since(Instant::START)));
        let place = item.to.0 as usize / self.count;
        if let Due::Action(id, action) = item.due {
            return self.act(now, wall, item.to, id, *action);
        }
        let member = self.members.get_mut(place).and_then(Option::take);
        if let Due::Datagram(_, _, datagram) = &item.due {
            self.trace.add(now, Host(item.rank.0), item.to, datagram);
            self.counts.astray += u64::from(member.is_none());
        }
        let Some(mut member) = member else { return };
        match item.due {
            Due::Datagram(left, port, datagram) => {
                let from = Host(item.rank.0).at_port(left);
                if member.lets_in(now, from, port) {
                    match lie(now, &mut member, from, &datagram) {
                        Lie::None => member.node.handle_datagram(now, wall, from, &datagram),
                        Lie::Silence => {}
                        Lie::Datagram(lie) => self.send(now, item.to, &mut member, from, &lie),
                    }
                } else {
                    self.counts.filtered += 1;
                }
            }
            Due::Timer if member.timer == Some(now) && member.deadline.is_some_and(|at| at <= now) => {
                member.timer = None;
                member.node.handle_timeout(now, wall);
            }
            // Nothing has happened to the node since it was looked at.
            Due::Timer | Due::Action(..) => {
                if member.timer == Some(now) {
                    member.timer = None;
                    self.rearm(item.to, &mut member);
                }
                self.members[place] = Some(member);
                return;
            }
        }
        self.pump(now, item.to, &mut member);
        self.members[place] = Some(member);
    }

    fn act(&mut self, now: Instant, wall: Timestamp, host: Host, id: ActionId, action: Action) {
        let place = host.0 as usize / self.count;
        if self.members.len() <= place {
            self.members.resize_with(place + 1, || None);
        }
        let member = self.members[place].take();
        let (member, started) = match (action, member) {
            (Action::Join { role, reach, through }, None) => {
                self.there += 1;
                let node = self.start(now, host, self.config.service(role), through, Life::First);
                (Some(Box::new(Member::new(node, reach))), None)
            }
            (Action::Enter { node, reach, through }, None) => {
                self.there += 1;
                let node = self.start(now, host, node.signatures(self.signatures), Some(through), Life::First);
                (Some(Box::new(Member::new(node, reach))), None)
            }
            (Action::Restart { node, through }, Some(mut member)) => {
                member.node = self.start(now, host, node.signatures(self.signatures), Some(through), Life::Later);
                (Some(member), None)
            }
            (Action::Meet(contact), Some(mut member)) => {
                let met = member.node.meet(now, &contact);
                let what = met.map_or(What::Refused(id), |link| What::Meeting(id, link));
                self.happenings.push(Happening { at: now, host, what });
                (Some(member), None)
            }
            (Action::Reroute(link), Some(mut member)) => {
                let rerouted = member.node.reroute(now, link);
                let what = rerouted.map_or(What::Refused(id), |link| What::Meeting(id, link));
                self.happenings.push(Happening { at: now, host, what });
                (Some(member), None)
            }
            (Action::Send(link, payload), Some(mut member)) => {
                if member.node.send(now, link, &payload).is_err() {
                    self.happenings.push(Happening { at: now, host, what: What::Refused(id) });
                }
                (Some(member), None)
            }
            (Action::Infiltrate { id, through, adversary }, None) => {
                self.there += 1;
                let mut noise = noise_of(self.seed, host);
                let mut node = Node::found(self.config.service(Role::Server), id, now, &mut noise);
                node.bootstrap(now, &[through.address()]);
                let mut member = Box::new(Member::new(node, Reach::Open));
                member.adversary = Some(adversary);
                (Some(member), None)
            }
            (Action::Turn(adversary), Some(mut member)) => {
                member.adversary = Some(adversary);
                (Some(member), None)
            }
            (Action::Bootstrap(hosts), Some(mut member)) => {
                let addresses: Vec<_> = hosts.into_iter().map(Host::address).collect();
                member.node.bootstrap(now, &addresses);
                (Some(member), None)
            }
            (Action::Say(to, datagram), Some(mut member)) => {
                self.send(now, host, &mut member, to.address(), &datagram);
                (Some(member), None)
            }
            (Action::Leave, Some(_)) => {
                self.there -= 1;
                return;
            }
            (Action::Put(record), Some(mut member)) => {
                let started = member.node.put(now, wall, record).ok();
                (Some(member), Some(started))
            }
            (Action::Hold(record), Some(mut member)) => {
                if member.node.keep(wall, record).is_err() {
                    self.happenings.push(Happening { at: now, host, what: What::Refused(id) });
                }
                (Some(member), None)
            }
            (Action::Get(key, mode), Some(mut member)) => {
                let started = member.node.get(now, wall, key, mode).ok();
                (Some(member), Some(started))
            }
            (Action::Find(target), Some(mut member)) => {
                let started = member.node.find(now, wall, target).ok();
                (Some(member), Some(started))
            }
            (_, member) => (member, Some(None)),
        };
        if let Some(started) = started {
            let what = started.map_or(What::Refused(id), |operation| What::Started(id, operation));
            self.happenings.push(Happening { at: now, host, what });
        }
        if let Some(mut member) = member {
            self.pump(now, host, &mut member);
            self.members[place] = Some(member);
        }
    }

    fn start(&self, now: Instant, host: Host, config: NodeConfig, through: Option<Host>, life: Life) -> Node {
        let mut noise = noise_of(self.seed, host);
        let key = SigningKey::from_seed(&noise.octets());
        if life == Life::Later {
            noise = Noise::new(hash(self.seed, &[u64::from(host.0) << 8 | 1, now.as_micros()]));
        }
        let node = match self.signatures {
            Signatures::Real => Node::new(config, key, now, &mut noise),
            Signatures::Simulated => Node::new(config, SimulatedSigner::new(&key), now, &mut noise),
        };
        let admission = self.admission.map_or(Admission::Open, |key| Admission::Key(AdmissionKey::new(&key)));
        let mut node = node.with_admission(admission);
        if let Some(through) = through {
            node.bootstrap(now, &[through.address()]);
        }
        node
    }

    /// Puts a datagram on its way.
    fn send(&mut self, now: Instant, host: Host, member: &mut Member, address: SocketAddr, datagram: &[u8]) {
        self.counts.sent += 1;
        self.counts.octets += datagram.len() as u64;
        let Some(to) = Host::at(address) else {
            self.counts.astray += 1;
            return;
        };
        member.sent += 1;
        let port = member.port_to(now, address);
        let Some(delay) = self.link.delay(self.seed, now, host, to, member.sent) else {
            self.counts.lost += 1;
            return;
        };
        let (at, rank) = (now.saturating_add(delay), (host.0, member.sent));
        let shard = to.0 as usize % self.count;
        if shard == self.number {
            let due = Due::Datagram(port, address.port(), datagram.into());
            return self.push(Item { at, to, rank, due });
        }
        let len = u16::try_from(datagram.len()).expect("a datagram has no more octets");
        self.out[shard].push(Parcelled { at, to, rank, left: port, port: address.port(), len }, datagram);
    }

    /// Sends what a node has to send, notes what it tells, and plans when to look at it again.
    fn pump(&mut self, now: Instant, host: Host, member: &mut Member) {
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        while let Some(transmit) = member.node.poll_transmit(&mut buffer) {
            if let Some(adversary) = &member.adversary {
                if is_comparison(&buffer[..transmit.len]) {
                    continue;
                }
                adversary.alter(&mut buffer[..transmit.len]);
            }
            self.send(now, host, member, transmit.to, &buffer[..transmit.len]);
        }
        while let Some(event) = member.node.poll_event() {
            self.happenings.push(Happening { at: now, host, what: What::Told(event) });
        }
        member.deadline = member.node.poll_timeout(now).map(|at| at.max(now.saturating_add(LEAST_TIMER)));
        self.rearm(host, member);
    }

    fn rearm(&mut self, host: Host, member: &mut Member) {
        if let Some(at) = member.deadline {
            if member.timer.is_none_or(|timer| at < timer) {
                member.timer = Some(at);
                self.push(Item { at, to: host, rank: (u32::MAX, 0), due: Due::Timer });
            }
        }
    }
}

/// Whether a node draws what it drew before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    First,
    Later,
}

/// What a host draws from, its key first.
pub(super) fn noise_of(seed: u64, host: Host) -> Noise {
    Noise::new(hash(seed, &[u64::from(host.0) << 8]))
}

enum Lie {
    None,
    Silence,
    Datagram(Vec<u8>),
}

/// What an attacker says in the node's place, if the host is one's and the datagram a request.
fn lie(now: Instant, member: &mut Member, from: SocketAddr, datagram: &[u8]) -> Lie {
    let Some(adversary) = &member.adversary else { return Lie::None };
    let Ok(request) = Message::decode(datagram) else { return Lie::None };
    if request.body.is_answer() {
        return Lie::None;
    }
    match adversary.answer(member.node.id(), &request) {
        Conduct::Honest => Lie::None,
        Conduct::Silent => Lie::Silence,
        Conduct::Say(body) => Lie::Datagram(member.node.say(now, from, &request, body)),
    }
}

/// Whether a node is about to fetch what it lacks. That of an attacker has what it is given and nothing else.
fn is_comparison(datagram: &[u8]) -> bool {
    Message::decode(datagram).is_ok_and(|message| matches!(message.body, Body::Compare(_)))
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl queue::Due for Item {
    fn at(&self) -> Instant {
        self.at
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.to, self.rank).cmp(&(other.at, other.to, other.rank))
    }
}
