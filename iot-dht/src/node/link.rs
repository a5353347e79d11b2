use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::Instant;

use crate::contact::Contact;
use crate::id::NodeId;
use crate::node::Node;
use crate::node::answer::Answer;
use crate::node::config::NodeConfig;
use crate::node::event::Event;
use crate::node::limiter::Limiter;
use crate::node::request::{Purpose, Request};
use crate::node::verification::Arrival;
use crate::peer::Peer;
use crate::wire::{Ask, Body, Data, Empty, Introduce, MAX_PAYLOAD_LEN, Meet, Pass, Reply, Word};

#[cfg(test)]
mod tests;

/// How often a node tries to come through to an address that it was told: together, five punches are no longer than three
/// times what made it send them.
const PUNCHES: u8 = 5;
/// The pause between them.
const PUNCH_INTERVAL: Duration = Duration::from_millis(250);
/// How long a node waits for a direct path before the relay carries what is said.
const PATIENCE: Duration = Duration::from_millis(1500);
/// After what silence of its own a node keeps a path open.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// After what silence of the other a link is over.
const SILENCE: Duration = Duration::from_secs(50);
/// For how long a link that is over can be [rerouted](crate::Node::reroute).
const RECOURSE: Duration = Duration::from_secs(60);
/// The longest that both wait to send at one moment.
const LONGEST_WAIT: u16 = 2000;
/// How many meetings a second a node lets itself be called to, and how many at once after a pause.
const CALLS: (u32, u32) = (2, 8);

/// Names a link until it is parted, and never another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    /// The number of the link, counted from 0 at each node.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// How the two ends of a link reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// They send to each other; this is where the other end is.
    Direct(SocketAddr),
    /// This relay carries what they say, slowly and not much of it ([`RelayConfig`](crate::RelayConfig)).
    Relayed(SocketAddr),
}

/// Whose wish a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// This node's: [`Node::meet`](crate::Node::meet).
    Asked,
    /// The other's, who was introduced to this node.
    Introduced,
}

/// A path to the other end of a link was found, or another than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The link.
    pub link: LinkId,
    /// Who the other end claims to be. Nobody has proved it: what matters is proved by who uses the link.
    pub peer: NodeId,
    /// Whose wish it is.
    pub opening: Opening,
    /// How the two reach each other.
    pub path: Path,
}

/// Why a link is over. One that this node has asked for may have ways left, which [`Node::reroute`](crate::Node::reroute) tries
/// if it is called within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// None of the ways to the other end led there.
    Unmet,
    /// The other end has fallen silent.
    Silent,
    /// The relay carries no more: a limit is reached, or it says so.
    Closed,
    /// The other end has asked for another link, and there was room for one of them.
    Replaced,
}

/// Why nothing is sent or nobody asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// There are as many links as configured.
    #[error("there are {limit} links already")]
    Full {
        /// The configured bound.
        limit: usize,
    },
    /// The link is over, or never was.
    #[error("there is no link {}", .0.0)]
    Unknown(LinkId),
    /// No path has been found yet.
    #[error("link {} has no path yet", .0.0)]
    Pending(LinkId),
    /// The other end has asked for the link, and only that end knows other ways.
    #[error("link {} was asked for by the other end", .0.0)]
    Introduced(LinkId),
    /// The octets do not fit a datagram.
    #[error("{len} octets are more than a link carries at once")]
    TooLong {
        /// How many.
        len: usize,
    },
    /// As many datagrams as configured wait to be sent.
    #[error("too many datagrams wait to be sent")]
    Busy,
}

/// All links of a node.
#[derive(Clone, Debug)]
pub(super) struct Links {
    next: u64,
    links: BTreeMap<LinkId, Link>,
    calls: Limiter,
}

#[derive(Clone, Debug)]
struct Link {
    peer: NodeId,
    opening: Opening,
    /// Whom to ask next for whom, until a path is found, and if that is given up.
    ways: VecDeque<(NodeId, Peer<32>)>,
    /// None until somebody has introduced the two.
    pass: Option<Pass>,
    relay: Option<SocketAddr>,
    /// Where the other end may be reached.
    other: Option<SocketAddr>,
    path: Option<Path>,
    /// From where the other end of a direct path speaks now, of which it has yet to show that it hears there, too.
    moved: Option<SocketAddr>,
    punches: u8,
    punch_at: Option<Instant>,
    /// When to give up a direct path; none while somebody is being asked.
    give_up_at: Option<Instant>,
    heard: Instant,
    keep_at: Instant,
    /// It is over, and that was told. Until then its ways are kept.
    over_until: Option<Instant>,
}

impl Link {
    fn new(now: Instant, peer: NodeId, opening: Opening) -> Self {
        Self {
            peer,
            opening,
            ways: VecDeque::new(),
            pass: None,
            relay: None,
            other: None,
            path: None,
            moved: None,
            punches: 0,
            punch_at: None,
            give_up_at: None,
            heard: now,
            keep_at: now.saturating_add(KEEPALIVE),
            over_until: None,
        }
    }

    /// The two were introduced.
    fn begin(&mut self, now: Instant, pass: Pass, relay: Option<SocketAddr>, other: Option<SocketAddr>, after: u16) {
        let start = now.saturating_add(Duration::from_millis(after.min(LONGEST_WAIT).into()));
        (self.pass, self.relay, self.other) = (Some(pass), relay, other);
        (self.punches, self.punch_at) = (PUNCHES, other.map(|_| start));
        self.give_up_at = Some(start.saturating_add(PATIENCE));
        self.heard = now;
    }

    fn next_deadline(&self) -> Option<Instant> {
        let kept = self.path.map(|_| self.keep_at.min(self.heard.saturating_add(SILENCE)));
        let given_up = self.give_up_at.filter(|_| self.path.is_none());
        [self.punch_at, given_up, kept, self.over_until].into_iter().flatten().min()
    }
}

impl Links {
    pub(super) fn new() -> Self {
        Self { next: 0, links: BTreeMap::new(), calls: Limiter::new(CALLS.0, CALLS.1, 1) }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.links.values().filter_map(Link::next_deadline).min()
    }

    /// How many are not over.
    fn live(&self) -> usize {
        self.links.values().filter(|link| link.over_until.is_none()).count()
    }

    fn has_room(&self, config: &NodeConfig, link: &Link) -> bool {
        let (limit, ip) = (config.links, link.other.map(|other| other.ip()));
        let is_like = |of: &&Link| of.opening == Opening::Introduced && of.other.map(|other| other.ip()) == ip;
        // Whoever asks under many names from one address leaves room for others.
        let has_share =
            link.opening == Opening::Asked || self.links.values().filter(is_like).count() < limit.div_ceil(2);
        self.live() < limit && has_share
    }

    fn add(&mut self, config: &NodeConfig, link: Link) -> Result<LinkId, LinkError> {
        if !self.has_room(config, &link) {
            return Err(LinkError::Full { limit: config.links });
        }
        // Those that are over are kept as long as nobody wants their places.
        while self.links.len() >= config.links {
            let over = self.links.iter().find(|(_, link)| link.over_until.is_some()).map(|(id, _)| *id);
            let Some(over) = over else { break };
            self.links.remove(&over);
        }
        Ok(self.insert(link))
    }

    fn insert(&mut self, link: Link) -> LinkId {
        let id = LinkId(self.next);
        self.next += 1;
        self.links.insert(id, link);
        id
    }

    /// That which the other end of a link had asked for before from the same IP address: of several the one that was not
    /// heard of for the longest time.
    fn earlier(&self, link: &Link) -> Option<LinkId> {
        let ip = |of: &Link| of.other.map(|other| other.ip());
        let is_of_peer = |(_, of): &(&LinkId, &Link)| {
            of.opening == Opening::Introduced && of.peer == link.peer && ip(of) == ip(link)
        };
        self.links.iter().filter(is_of_peer).min_by_key(|(_, of)| of.heard).map(|(id, _)| *id)
    }

    /// One that somebody else asked for, and that has no path.
    fn idlest(&self) -> Option<LinkId> {
        let is_idle = |(_, link): &(&LinkId, &Link)| link.opening == Opening::Introduced && link.path.is_none();
        self.links.iter().find(is_idle).map(|(id, _)| *id)
    }

    fn of_pass(&mut self, pass: &Pass) -> Option<(LinkId, &mut Link)> {
        self.links.iter_mut().find(|(_, link)| link.pass.as_ref() == Some(pass)).map(|(id, link)| (*id, link))
    }
}

impl Node {
    /// Meets one of a device's nodes, wherever it is: directly where that is possible, over a relay where it is not.
    /// [`Event::Linked`] follows, or [`Event::Parted`]. Asks the addresses of the contact one after the other, and then its
    /// relays. Where all places for links are taken, one that a stranger has asked for and that has no path yet makes room.
    ///
    /// # Errors
    ///
    /// [`LinkError::Full`].
    pub fn meet(&mut self, now: Instant, contact: &Contact) -> Result<LinkId, LinkError> {
        let direct = contact.peers().iter().map(|peer| (peer.id, *peer));
        let relayed =
            contact.relayed().into_iter().flat_map(|(node, relays)| relays.iter().map(|relay| (*node, *relay)));
        let own = *self.id();
        let ways: VecDeque<_> = direct.chain(relayed).filter(|(_, through)| through.id != own).collect();
        let peer = ways.front().map_or(own, |(peer, _)| *peer);
        let link = Link { ways, ..Link::new(now, peer, Opening::Asked) };
        // Strangers who only ask cannot keep the node from what its user wants.
        if let Some(idle) = self.links.idlest().filter(|_| self.links.live() >= self.config.links) {
            self.end_link(now, idle, Parting::Unmet);
        }
        let id = self.links.add(&self.config, link)?;
        self.ask_way(now, id);
        Ok(id)
    }

    /// Sends octets to the other end of a link: once, if at all, and in any order, as datagrams are.
    ///
    /// # Errors
    ///
    /// [`LinkError::Unknown`], [`LinkError::Pending`], [`LinkError::TooLong`], [`LinkError::Busy`].
    pub fn send(&mut self, now: Instant, link: LinkId, payload: &[u8]) -> Result<(), LinkError> {
        if payload.len() > MAX_PAYLOAD_LEN {
            return Err(LinkError::TooLong { len: payload.len() });
        }
        let found = self.links.links.get(&link).filter(|link| link.over_until.is_none());
        let found = found.ok_or(LinkError::Unknown(link))?;
        found.path.ok_or(LinkError::Pending(link))?;
        if self.transmits.len() >= self.config.transmits {
            return Err(LinkError::Busy);
        }
        self.send_over(now, link, payload);
        Ok(())
    }

    /// Gives up the path of a link that this node has asked for, and tries the next way of the same contact, as a new link:
    /// [`Event::Linked`] tells of that one, or [`Event::Parted`] once no way is left. Of the old link nothing more is told.
    ///
    /// It is for a relay that alters what it carries, or carries nothing, and for a path that leads to somebody else. The
    /// node cannot tell; who opens what comes over the link can. It is also for a link that is over, for a minute: a relay that
    /// says at once that it carries no more would say so again to whoever met anew. To the other end this is somebody new,
    /// so a session begins anew; it learns the end of the old link from its silence, or has no room for both and learns it at
    /// once ([`Parting::Replaced`]).
    ///
    /// # Errors
    ///
    /// [`LinkError::Unknown`], also of a link that is over and has no way left; [`LinkError::Introduced`].
    pub fn reroute(&mut self, now: Instant, link: LinkId) -> Result<LinkId, LinkError> {
        let given_up = self.links.links.get_mut(&link).ok_or(LinkError::Unknown(link))?;
        if given_up.opening == Opening::Introduced {
            return Err(LinkError::Introduced(link));
        }
        let ways = core::mem::take(&mut given_up.ways);
        let next = Link { ways, ..Link::new(now, given_up.peer, Opening::Asked) };
        // The next takes the place of this one.
        self.part(link);
        let id = self.links.insert(next);
        self.ask_way(now, id);
        Ok(id)
    }

    /// Ends a link, of which nothing more is told. The other end learns it from the silence.
    pub fn part(&mut self, link: LinkId) {
        self.links.links.remove(&link);
    }

    /// The links that have a path.
    pub fn links(&self) -> impl Iterator<Item = Linked> + '_ {
        let linked = |(id, link): (&LinkId, &Link)| {
            link.path.map(|path| Linked { link: *id, peer: link.peer, opening: link.opening, path })
        };
        self.links.links.iter().filter_map(linked)
    }

    /// Punches, gives up, and keeps open what is due.
    pub(super) fn handle_link_timeout(&mut self, now: Instant) {
        let due = |(id, link): (&LinkId, &Link)| link.next_deadline().is_some_and(|at| at <= now).then_some(*id);
        let due: Vec<_> = self.links.links.iter().filter_map(due).collect();
        for id in due {
            let Some(link) = self.links.links.get_mut(&id) else { continue };
            if let (Some(_), Some(other), Some(pass)) = (link.punch_at.filter(|at| *at <= now), link.other, link.pass) {
                link.punches = link.punches.saturating_sub(1);
                link.punch_at = (link.punches > 0).then(|| now.saturating_add(PUNCH_INTERVAL));
                self.speak(other, pass, Word::Punch(Empty {}));
            }
            self.look_at_link(now, id);
        }
    }

    fn look_at_link(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.links.get(&id) else { return };
        if link.over_until.is_some_and(|at| at <= now) {
            self.links.links.remove(&id);
        } else if link.path.is_some() && now.saturating_since(link.heard) >= SILENCE {
            self.end_link(now, id, Parting::Silent);
        } else if link.path.is_some() && link.keep_at <= now {
            self.keep_open(now, id);
        } else if link.path.is_none() && link.give_up_at.is_some_and(|at| at <= now) {
            match link.relay {
                Some(relay) => {
                    self.find_path(id, Path::Relayed(relay));
                    self.keep_open(now, id);
                }
                None => self.ask_way(now, id),
            }
        }
    }

    /// Another asks to meet this node, and receives what is sent to its address.
    pub(super) fn expect_visitor(&mut self, now: Instant, asker: Peer<32>) -> Option<Pass> {
        let is_known = |link: &&Link| {
            link.opening == Opening::Introduced
                && (link.peer, link.other, link.relay) == (asker.id, Some(asker.address), None)
        };
        if let Some(known) = self.links.links.values().find(is_known) {
            return known.pass;
        }
        let pass = self.secrets.transaction();
        let mut link = Link::new(now, asker.id, Opening::Introduced);
        link.begin(now, pass, None, Some(asker.address), 0);
        self.admit(now, link).ok()?;
        Some(pass)
    }

    /// Adds a link that the other end has asked for. Whoever asks anew has given up what it had asked for before, and that
    /// makes room where there is none. So does what a neighbour behind the same NAT asks for under its name, or a relay that
    /// has introduced it before; either could keep the two apart without that.
    fn admit(&mut self, now: Instant, link: Link) -> Result<LinkId, LinkError> {
        let earlier = self.links.earlier(&link).filter(|_| !self.links.has_room(&self.config, &link));
        earlier.into_iter().for_each(|earlier| self.end_link(now, earlier, Parting::Replaced));
        self.links.add(&self.config, link)
    }

    /// A relay that this node has a lease of has introduced somebody.
    pub(super) fn handle_meet(&mut self, now: Instant, arrival: &Arrival<'_>, meet: &Meet) {
        let (pass, from) = (arrival.message.transaction, arrival.from);
        if !self.rendezvous.holds(now, from) {
            self.stats.unsolicited += 1;
            return;
        }
        if self.links.of_pass(&pass).is_some() {
            return;
        }
        if !self.links.calls.admit(now, 0) {
            self.stats.rate_limited += 1;
            return;
        }
        let other = Peer { id: meet.peer, address: meet.address.0 }.usable_from(from).map(|peer| peer.address);
        let mut link = Link::new(now, meet.peer, Opening::Introduced);
        link.begin(now, pass, Some(from), other, meet.after);
        if self.admit(now, link).is_err() {
            self.stats.rate_limited += 1;
        }
        self.handle_link_timeout(now);
    }

    /// What comes from the other end of a link, or from its relay.
    pub(super) fn handle_link_word(&mut self, now: Instant, arrival: &Arrival<'_>, word: &Word<'_>) {
        let (pass, from) = (arrival.message.transaction, arrival.from);
        let Some((id, link)) = self.links.of_pass(&pass) else {
            self.stats.unsolicited += 1;
            return;
        };
        let (is_other, is_direct) = (link.other == Some(from), matches!(link.path, Some(Path::Direct(_))));
        match word {
            Word::Punch(_) => {
                link.heard = now;
                if is_direct && !is_other {
                    link.moved = Some(from);
                    self.speak(from, pass, Word::Punch(Empty {}));
                } else if !is_direct {
                    // It may be seen here at another address than the relay saw.
                    link.other = Some(from);
                    link.punches = link.punches.max(1);
                    link.punch_at = Some(now);
                }
                self.speak(from, pass, Word::Punched(Empty {}));
                self.handle_link_timeout(now);
            }
            Word::Punched(_) if is_other || link.moved == Some(from) => {
                (link.heard, link.other, link.moved) = (now, Some(from), None);
                self.find_path(id, Path::Direct(from));
            }
            // Its NAT has forgotten it, or it has another address: it is asked whether it hears there.
            Word::Data(_) if is_direct && !is_other => {
                link.moved = Some(from);
                self.speak(from, pass, Word::Punch(Empty {}));
            }
            Word::Data(data) if is_other => {
                // It sends this way only after a punch of this node has come through.
                link.heard = now;
                self.find_path(id, Path::Direct(from));
                self.deliver(id, data);
            }
            Word::Carried(data) if link.relay == Some(from) => {
                link.heard = now;
                if link.path.is_none() {
                    self.find_path(id, Path::Relayed(from));
                }
                self.deliver(id, data);
            }
            Word::Closed(_) if link.relay == Some(from) => {
                link.relay = None;
                if matches!(link.path, Some(Path::Relayed(_))) {
                    self.end_link(now, id, Parting::Closed);
                }
            }
            _ => self.stats.unsolicited += 1,
        }
    }

    /// Whoever was asked for an introduction has answered, or has not.
    pub(super) fn settle_introduction(&mut self, now: Instant, id: LinkId, request: &Request, answer: Answer) {
        let Some(link) = self.links.links.get_mut(&id) else { return };
        let Answer::Reply(Reply::Introduced(introduced)) = answer else { return self.ask_way(now, id) };
        let through = (request.id != Some(link.peer)).then_some(request.to);
        let told = Peer { id: link.peer, address: introduced.address.0 };
        let other = match through {
            Some(relay) => told.usable_from(relay).map(|peer| peer.address),
            None => Some(request.to),
        };
        link.begin(now, introduced.pass, through, other, introduced.after);
        self.handle_link_timeout(now);
    }

    /// Asks for an introduction on the next way, or gives up.
    fn ask_way(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.links.get_mut(&id) else { return };
        let Some((peer, through)) = link.ways.pop_front() else { return self.end_link(now, id, Parting::Unmet) };
        (link.peer, link.pass, link.punch_at, link.give_up_at) = (peer, None, None, None);
        let introduce = Introduce { to: peer, rtt: self.rtt_to(&through.id) };
        let recipient = self.recipient(now, &through, &[]);
        self.request(now, recipient, Purpose::Introduction(id), Body::Ask(Ask::Introduce(introduce)));
    }

    fn find_path(&mut self, id: LinkId, path: Path) {
        let Some(link) = self.links.links.get_mut(&id).filter(|link| link.path != Some(path)) else { return };
        link.path = Some(path);
        if matches!(path, Path::Direct(_)) {
            link.punch_at = None;
        }
        let linked = Linked { link: id, peer: link.peer, opening: link.opening, path };
        self.notify(Event::Linked(linked));
    }

    fn end_link(&mut self, now: Instant, link: LinkId, reason: Parting) {
        if let Some(mut over) = self.links.links.remove(&link).filter(|link| !link.ways.is_empty()) {
            let ways = core::mem::take(&mut over.ways);
            let until = Some(now.saturating_add(RECOURSE));
            over = Link { ways, over_until: until, ..Link::new(now, over.peer, over.opening) };
            self.links.links.insert(link, over);
        }
        self.notify(Event::Parted { link, reason });
    }

    fn deliver(&mut self, link: LinkId, data: &Data<'_>) {
        if !data.payload.is_empty() {
            self.notify(Event::Datagram { link, payload: data.payload.to_vec() });
        }
    }

    /// Says something over the path, so that no NAT forgets it; of a direct one it is answered.
    fn keep_open(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.links.get_mut(&id) else { return };
        link.keep_at = now.saturating_add(KEEPALIVE);
        match (link.path, link.pass) {
            (Some(Path::Direct(other)), Some(pass)) => self.speak(other, pass, Word::Punch(Empty {})),
            (Some(Path::Relayed(_)), _) => self.send_over(now, id, &[]),
            _ => {}
        }
    }

    fn send_over(&mut self, now: Instant, id: LinkId, payload: &[u8]) {
        let Some(link) = self.links.links.get_mut(&id) else { return };
        let data = Data { payload };
        match (link.path, link.pass) {
            (Some(Path::Direct(other)), Some(pass)) => self.speak(other, pass, Word::Data(data)),
            (Some(Path::Relayed(relay)), Some(pass)) => {
                // Whoever sends this way has not fallen silent for the relay or its NAT.
                link.keep_at = now.saturating_add(KEEPALIVE);
                self.speak(relay, pass, Word::Carry(data));
            }
            _ => {}
        }
    }

    fn speak(&mut self, to: SocketAddr, pass: Pass, word: Word<'_>) {
        let datagram = self.message(pass, Body::Word(word)).encode();
        self.transmit(to, datagram);
    }
}
