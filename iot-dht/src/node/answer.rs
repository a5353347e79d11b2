use alloc::vec::Vec;
use core::net::SocketAddr;

use iot_core::{Instant, Timestamp};

use crate::id::{Key, NodeId};
use crate::node::Node;
use crate::node::event::{GetMode, Side};
use crate::node::operation::{Kind, Operation, Phase};
use crate::node::request::{Purpose, Question, Request, Standing};
use crate::node::verification::{Arrival, Verdict};
use crate::peer::Peer;
use crate::record::{Record, UnverifiedRecord};
use crate::rejection::Rejection;
use crate::store::Inventory;
use crate::wire::{Body, Cookie, MAX_NODES, Message, Nodes, Reply, Role};

/// How often a request may be answered by the word that it is to be asked again.
const MAX_RETRIES: u8 = 2;
/// The most requests that one time-out gives up or sends again.
const MAX_OVERDUE: usize = 64;

/// What came of a question.
pub(super) enum Answer {
    Nodes(Nodes),
    /// A record, and nodes beside it.
    Record(Result<Record, Rejection>, Vec<Peer<32>>),
    Stored,
    /// And what is stored in its place.
    Refused(Rejection, Option<Record>),
    /// To what those ask who may be behind a NAT.
    Reply(Reply),
    Holdings(Inventory),
    None,
}

impl Node {
    /// Takes in an answer, if it was asked for.
    pub(super) fn handle_answer(&mut self, now: Instant, wall: Timestamp, arrival: Arrival<'_>) {
        let message = &arrival.message;
        let Some(request) = self.requests.take(&message.transaction, arrival.from) else {
            return self.handle_introduction(now, wall, arrival);
        };
        if request.id.is_some_and(|id| id != message.sender) {
            self.stats.impostors += 1;
            self.settle(now, wall, &request, Answer::None);
            return;
        }
        if !request.question.fits(&message.body) {
            self.stats.mismatched += 1;
            self.settle(now, wall, &request, Answer::None);
            return;
        }
        if request.standing == Standing::Stranger && message.proof.is_none() {
            // It signs no more proofs for addresses that are not verified, or none of what it serves has room for one.
            return match message.cookie {
                Some(cookie) => self.ask_again(now, wall, request, cookie),
                None => {
                    self.stats.unproven += 1;
                    self.settle(now, wall, &request, Answer::None);
                }
            };
        }
        self.verify(now, wall, arrival, Some(request));
    }

    /// A pong that answers no ping may answer the challenge that stood in an answer.
    fn handle_introduction(&mut self, now: Instant, wall: Timestamp, arrival: Arrival<'_>) {
        let (message, from) = (&arrival.message, arrival.from);
        let peer = Peer { id: message.sender, address: from };
        let is_introduction = matches!(message.body, Body::Pong(_))
            && message.proof.is_some()
            && message.role == Role::Server
            && self.secrets.has_challenged(now, &message.transaction, from, &message.sender);
        if !is_introduction {
            self.stats.unsolicited += 1;
        } else if self.table.has_room(&peer) {
            let slot = self.secrets.slot(from, self.limiter.slots());
            if self.limiter.admit(now, slot) {
                self.verify(now, wall, arrival, None);
            } else {
                self.stats.rate_limited += 1;
            }
        }
    }

    /// Sends a question again at once, with a cookie.
    fn ask_again(&mut self, now: Instant, wall: Timestamp, mut request: Request, cookie: Cookie) {
        if request.retries == MAX_RETRIES || request.purpose == Purpose::Abandoned {
            self.stats.unproven += u64::from(request.standing == Standing::Stranger);
            return self.settle(now, wall, &request, Answer::None);
        }
        let Ok(mut message) = Message::decode(&request.datagram) else { return };
        message.cookie = Some(cookie);
        message.padding = None;
        if request.standing == Standing::Proven {
            message.challenge = None;
        }
        let datagram = message.encode();
        self.stats.retries += 1;
        self.transmit(request.to, datagram.clone());
        request.datagram = datagram;
        request.retries += 1;
        // It is not sent for the first time, so that nothing is measured.
        request.attempt = request.attempt.max(2);
        request.deadline = now.saturating_add(request.timeout);
        self.requests.push(request);
    }

    /// Goes on with an answer of a node that has proved who it is.
    pub(super) fn take_answer(
        &mut self,
        now: Instant,
        wall: Timestamp,
        arrival: Arrival<'_>,
        mut request: Request,
        verdict: Verdict,
    ) {
        let Arrival { from, message, at, .. } = arrival;
        let peer = Peer { id: message.sender, address: from };
        (request.standing, request.id) = (Standing::Proven, Some(peer.id));
        if message.role == Role::Server {
            self.learn(now, peer, message.cookie);
        }
        if let (Some(cookie), Purpose::Search(id, _)) = (message.cookie, request.purpose) {
            if self.table.known(&peer.id).is_none() {
                self.operations.get_mut(&id).into_iter().for_each(|operation| operation.proven.push((peer, cookie)));
            }
        }
        if request.attempt == 1 {
            self.table.measured(&message.sender, at.saturating_since(request.sent));
        }
        if let Some(challenge) = &message.challenge {
            self.introduce(now, from, &message, challenge);
        }
        if let (Body::Retry(_), Some(cookie)) = (&message.body, message.cookie) {
            if request.question == Question::Reserve && message.challenge.is_some() && request.retries < MAX_RETRIES {
                return self.prove_reservation(now, request, &message, cookie);
            }
            return self.ask_again(now, wall, request, cookie);
        }
        let answer = match message.body {
            Body::Nodes(nodes) => Answer::Nodes(nodes),
            Body::Value(value) => Answer::Record(
                self.check(wall, &request, value.record, verdict),
                value.nodes.map_or(Vec::new(), |nodes| nodes.0),
            ),
            Body::Stored(_) => Answer::Stored,
            Body::Refused(refused) => {
                let stored = refused.record.and_then(|octets| self.stored_instead(wall, &request, octets, verdict));
                Answer::Refused(refused.reason, stored)
            }
            Body::Reply(reply) => Answer::Reply(reply),
            Body::Holdings(holdings) => Answer::Holdings(Inventory::of(holdings)),
            Body::Pong(_) | Body::Retry(_) | Body::Ping(_) | Body::FindNode(_) | Body::Get(_) => Answer::None,
            Body::Put(_) | Body::Compare(_) | Body::Ask(_) | Body::Word(_) => Answer::None,
        };
        self.settle(now, wall, &request, answer);
    }

    /// Sends again, or gives up, requests whose time is over.
    pub(super) fn handle_overdue_requests(&mut self, now: Instant, wall: Timestamp) {
        for _ in 0..MAX_OVERDUE {
            let Some(mut request) = self.requests.take_due(now) else { return };
            if request.purpose != Purpose::Abandoned && request.attempt < self.config.attempts {
                request.attempt += 1;
                // RFC 6298 §5.5.
                request.timeout = (request.timeout * 2).min(self.config.request_timeout);
                request.deadline = now.saturating_add(request.timeout);
                self.stats.retransmits += 1;
                self.transmit(request.to, request.datagram.clone());
                self.requests.push(request);
                continue;
            }
            self.stats.timeouts += 1;
            if let Some(id) = &request.id {
                self.table.failed(id);
            }
            self.settle(now, wall, &request, Answer::None);
        }
    }

    /// Verifies a record that came as an answer, against what its request asked for.
    fn check(
        &mut self,
        wall: Timestamp,
        request: &Request,
        octets: &[u8],
        verdict: Verdict,
    ) -> Result<Record, Rejection> {
        let get = match request.purpose {
            Purpose::Fetch(key) => Some((key, GetMode::Newest)),
            Purpose::Search(id, _) | Purpose::Final(id) => match self.operations.get(&id).map(|of| &of.kind) {
                Some(Kind::Get(get)) => Some((get.key, get.mode)),
                _ => None,
            },
            _ => None,
        };
        let Some((key, mode)) = get else { return Err(Rejection::WrongKey) };
        let verified = UnverifiedRecord::parse(octets).and_then(|record| {
            record.check_key(&key)?;
            record.verify_given(verdict.record, wall)
        });
        let result = match (verified, mode) {
            (Err(error), _) => Err(Rejection::from(&error)),
            (Ok(record), GetMode::Matching(hash)) if record.value_hash() != hash => Err(Rejection::WrongHash),
            (Ok(record), _) => Ok(record),
        };
        if let Err(reason) = result {
            self.reject(request.to, Some(key), Side::Reader, reason);
        }
        result
    }

    /// What a node says it has instead of a record that it refuses, if that is what it claims.
    fn stored_instead(&self, wall: Timestamp, request: &Request, octets: &[u8], verdict: Verdict) -> Option<Record> {
        let key = self.key_asked_for(request)?;
        let record = UnverifiedRecord::parse(octets).ok().filter(|record| record.check_key(&key).is_ok())?;
        record.verify_given(verdict.record, wall).ok()
    }

    /// Where the record belongs that a request is about, if it is about one.
    pub(super) fn key_asked_for(&self, request: &Request) -> Option<Key> {
        let id = match request.purpose {
            Purpose::Search(id, _) | Purpose::Final(id) => id,
            Purpose::Fetch(key) => return Some(key),
            _ => return None,
        };
        match &self.operations.get(&id)?.kind {
            Kind::Get(get) => Some(get.key),
            Kind::Put(put) => Some(*put.record.key()),
            Kind::Join | Kind::Refresh | Kind::Sweep(_) | Kind::Find => None,
        }
    }

    /// Tells whoever asked what came of it.
    pub(super) fn settle(&mut self, now: Instant, wall: Timestamp, request: &Request, answer: Answer) {
        match request.purpose {
            Purpose::Abandoned => {}
            Purpose::Compare(part) => {
                let found = if let Answer::Holdings(found) = answer { Some(found) } else { None };
                self.handle_inventory(now, wall, part, found);
            }
            Purpose::Fetch(_) => {
                let record = if let Answer::Record(record, _) = answer { Some(record) } else { None };
                self.handle_fetched(now, wall, request.to, record);
            }
            Purpose::Liveness => self.settle_liveness(now, wall),
            Purpose::Probe => self.settle_probe(now, wall, &request.transaction, answer),
            Purpose::Lease => self.settle_lease(now, request, answer),
            Purpose::Introduction(link) => self.settle_introduction(now, link, request, answer),
            Purpose::Bootstrap => {
                let id = request.id.filter(|_| matches!(answer, Answer::Nodes(_)));
                self.settle_bootstrap(now, wall, id.map(|id| Peer { id, address: request.to }));
            }
            Purpose::Search(id, part) => {
                if let (Some(operation), Some(peer)) = (self.operations.get_mut(&id), &request.id) {
                    search(operation, part.into(), peer, request.to, answer);
                }
                self.drive(now, wall, id);
            }
            Purpose::Final(id) => {
                if let Some(operation) = self.operations.get_mut(&id) {
                    conclude(operation, request.to, answer);
                }
                self.drive(now, wall, id);
            }
        }
        if self.requests.len() + 1 >= self.config.requests {
            self.drive_all(now, wall);
        }
    }
}

/// An answer, or none, to a step of a lookup.
fn search(operation: &mut Operation, part: usize, peer: &NodeId, from: SocketAddr, answer: Answer) {
    let searches_for_value = operation.searches_for_value();
    let Some(lookup) = operation.lookups.get_mut(part) else { return };
    match (answer, &mut operation.kind) {
        (Answer::Nodes(nodes), kind) => {
            match kind {
                Kind::Put(put) => put.tokens.push((*peer, nodes.token)),
                Kind::Get(get) if searches_for_value => get.answered += 1,
                // To find the newest of the closest, the lookup only finds whom to ask.
                Kind::Get(_) | Kind::Join | Kind::Refresh | Kind::Sweep(_) | Kind::Find => {}
            }
            lookup.handle_response(peer, named(from, nodes.nodes.0));
        }
        (Answer::Record(Ok(record), nodes), Kind::Get(_)) => {
            lookup.handle_response(peer, named(from, nodes));
            operation.take(from, record);
        }
        (answer, kind) => {
            if let (Answer::Record(Err(_), _), Kind::Get(get)) = (answer, kind) {
                get.answered += 1;
                get.rejected += 1;
            }
            lookup.handle_failure(peer);
        }
    }
}

/// The nodes of an answer that something can be sent to, no more than an answer may name.
fn named(from: SocketAddr, nodes: Vec<Peer<32>>) -> impl Iterator<Item = Peer<32>> {
    nodes.into_iter().take(MAX_NODES).filter_map(move |peer| peer.usable_from(from))
}

/// An answer, or none, of one of the closest.
fn conclude(operation: &mut Operation, from: SocketAddr, answer: Answer) {
    if let Phase::Asking(waiting) = &mut operation.phase {
        *waiting = waiting.saturating_sub(1);
    }
    match (answer, &mut operation.kind) {
        (Answer::Stored, Kind::Put(put)) => put.stored += 1,
        (Answer::Refused(reason, stored), Kind::Put(put)) => put.refuse(reason, stored),
        (Answer::Nodes(_), Kind::Get(get)) => get.answered += 1,
        (Answer::Record(Ok(record), _), Kind::Get(get)) => {
            get.answered += 1;
            get.take(from, record);
        }
        (Answer::Record(Err(_), _), Kind::Get(get)) => {
            get.answered += 1;
            get.rejected += 1;
        }
        _ => {}
    }
}
