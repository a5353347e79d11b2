use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use iot_core::{Instant, Timestamp};

use crate::id::{Key, NodeId};
use crate::lookup::Lookup;
use crate::node::Node;
use crate::node::event::{Event, FindDone, GetDone, GetMode, OperationId, PutDone, Side};
use crate::node::operation::{Get, Kind, Operation, Origin, Phase};
use crate::node::region::MAX_COPIES;
use crate::node::request::{Purpose, Question, Recipient, Request, Standing};
use crate::node::verification::{Arrival, Verdict};
use crate::peer::Peer;
use crate::record::{Record, UnverifiedRecord};
use crate::rejection::Rejection;
use crate::store::Inventory;
use crate::wire::{self, Body, Cookie, FindNode, MAX_NODES, Message, Nodes, Reply, Role};

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
        request.standing = Standing::Proven;
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

    /// Gives every operation the chance to go on.
    pub(super) fn drive_all(&mut self, now: Instant, wall: Timestamp) {
        let ids: Vec<_> = self.operations.keys().copied().collect();
        ids.into_iter().for_each(|id| self.drive(now, wall, id));
    }

    /// Takes an operation as far as it goes without another answer.
    pub(super) fn drive(&mut self, now: Instant, wall: Timestamp, id: OperationId) {
        let Some(mut operation) = self.operations.remove(&id) else { return };
        while operation.phase == Phase::Searching {
            for part in 0..operation.lookups.len() {
                self.ask_next(now, id, &mut operation, part);
            }
            if !operation.lookups.iter().all(|lookup| lookup.is_done(now)) {
                break;
            }
            if !self.widen(now, &mut operation) {
                self.stats.lookups += operation.lookups.len() as u64;
                let of_search = |of| matches!(of, Purpose::Search(of, _) | Purpose::Final(of) if of == id);
                self.requests.abandon(of_search);
                operation.phase = Phase::Asking(self.ask_closest(now, wall, id, &mut operation));
            }
        }
        if operation.phase == Phase::Asking(0) {
            self.finish(now, *operation, id);
        } else {
            self.operations.insert(id, operation);
        }
    }

    /// Asks whom one of the lookups wants to be asked.
    fn ask_next(&mut self, now: Instant, id: OperationId, operation: &mut Operation, part: usize) {
        operation.lookups[part].look_at(now);
        while self.requests.len() < self.config.requests {
            let next = operation.lookups[part].next(now, |peer| self.patience(Some(&peer.id)));
            let Some(peer) = next else { return };
            let body = question(operation, part, &peer.id);
            let recipient = self.recipient(now, &peer, &operation.proven);
            self.request(now, recipient, Purpose::Search(id, part as u8), body);
        }
    }

    /// Asks the closest nodes what the lookup was for, and returns how many were asked.
    fn ask_closest(&mut self, now: Instant, wall: Timestamp, id: OperationId, operation: &mut Operation) -> usize {
        let closest = closest_of(operation);
        let in_region = operation.region.as_ref().is_some_and(|region| region.holds(self.id()));
        let purpose = Purpose::Final(id);
        let proven = &operation.proven;
        match &mut operation.kind {
            Kind::Join | Kind::Refresh | Kind::Sweep(_) | Kind::Find => 0,
            Kind::Get(_) if operation.region.is_some() => 0,
            Kind::Get(Get { mode: GetMode::Matching(_), .. }) => 0,
            Kind::Get(get) => {
                get.asked = closest.len();
                let body = Body::Get(wire::Get { key: get.key, near: None });
                for peer in &closest {
                    let recipient = self.recipient(now, peer, proven);
                    self.request(now, recipient, purpose, body.clone());
                }
                closest.len()
            }
            Kind::Put(put) => {
                let mut peers: Vec<_> = closest.iter().map(|peer| (peer.id, Some(peer.address))).collect();
                if self.role() == Role::Server && operation.region.is_some() {
                    peers.truncate(MAX_COPIES - 1);
                    peers.extend(in_region.then_some((*self.id(), None)));
                } else if self.role() == Role::Server {
                    let target = put.record.key();
                    let own = (*self.id(), None);
                    let place = peers.partition_point(|(id, _)| id.distance(target) < own.0.distance(target));
                    peers.insert(place, own);
                    peers.truncate(self.config.replicas);
                }
                put.asked = peers.len();
                let mut waiting = 0;
                for (peer, address) in peers {
                    let token = put.tokens.iter().find(|(of, _)| *of == peer).map(|(_, token)| *token);
                    match (address, token) {
                        (None, _) => match self.store.put_by(wall, put.record.clone(), None, put.replaces) {
                            Ok(_) => put.stored += 1,
                            Err(reason) => {
                                let stored = self.store.get(wall, put.record.key()).cloned();
                                put.refuse(reason, stored);
                            }
                        },
                        (Some(address), Some(token)) => {
                            let body =
                                Body::Put(wire::Put { token, record: put.record.as_bytes(), replaces: put.replaces });
                            // It has proved who it is when it gave the token.
                            let (standing, cookie) = (Standing::Proven, None);
                            let recipient = Recipient { address, id: Some(peer), standing, cookie };
                            self.request(now, recipient, purpose, body);
                            waiting += 1;
                        }
                        // It answered the lookup with something else than nodes; that it does not store is counted.
                        (Some(_), None) => {}
                    }
                }
                waiting
            }
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
            Purpose::Bootstrap => self.settle_bootstrap(now, wall, matches!(answer, Answer::Nodes(_))),
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

    fn finish(&mut self, now: Instant, operation: Operation, id: OperationId) {
        let searched = operation.searched();
        match operation.kind {
            Kind::Refresh => self.note_hearsay(operation.lookup()),
            Kind::Sweep(part) => self.finish_sweep(part, operation.lookup()),
            Kind::Join => {
                self.note_hearsay(operation.lookup());
                self.finish_join(now, operation.lookup().summary().answered);
            }
            Kind::Find => {
                self.results += 1;
                self.events.push_back(Event::FindDone(FindDone {
                    operation: id,
                    target: *operation.lookup().target(),
                    closest: operation.lookup().closest().collect(),
                    summary: operation.lookup().summary(),
                }));
            }
            Kind::Put(put) if put.origin == Origin::Upkeep => {}
            Kind::Put(put) => {
                self.results += 1;
                self.events.push_back(Event::PutDone(PutDone {
                    operation: id,
                    key: *put.record.key(),
                    stored: put.stored,
                    refused: put.refused,
                    asked: put.asked,
                    requests: searched + put.asked,
                    reason: put.reason,
                    newer: put.newer.map(Box::new),
                    fork: put.fork.map(Box::new),
                }));
            }
            Kind::Get(get) => {
                // Those that were asked for the record after the search, or during it.
                let asked_after = if operation.region.is_none() && !get.is_matching() { get.asked } else { 0 };
                let done = self.conclude_get(get, id, searched + asked_after);
                self.results += 1;
                self.events.push_back(Event::GetDone(done));
            }
        }
    }

    fn conclude_get(&mut self, get: Get, operation: OperationId, requests: usize) -> GetDone {
        let (mut agreed, mut superseded, mut conflicting) = (0, 0, 0);
        if let Some(best) = &get.best {
            let value_hash = best.value_hash();
            for copy in &get.copies {
                let reason = if copy.sequence < best.sequence() {
                    superseded += 1;
                    Rejection::Superseded
                } else if copy.value_hash != value_hash {
                    conflicting += 1;
                    Rejection::Conflict
                } else {
                    agreed += 1;
                    continue;
                };
                self.reject(copy.from, Some(get.key), Side::Reader, reason);
            }
        }
        GetDone {
            operation,
            key: get.key,
            record: get.best,
            asked: get.asked,
            requests,
            answered: get.answered,
            rejected: get.rejected,
            agreed,
            superseded,
            conflicting,
            fork: get.fork.map(Box::new),
        }
    }
}

/// What a lookup of an operation asks a node.
fn question(operation: &mut Operation, part: usize, peer: &NodeId) -> Body<'static> {
    let lookup = &operation.lookups[part];
    let target = lookup.point_for(peer);
    let is_beside = target != *lookup.target();
    let in_region = operation.region.is_some();
    let searches_for_value = operation.searches_for_value();
    match &mut operation.kind {
        Kind::Get(get) if searches_for_value => {
            get.asked += 1;
            Body::Get(wire::Get { key: get.key, near: (in_region || is_beside).then_some(target) })
        }
        Kind::Put(put) if in_region || is_beside => Body::FindNode(FindNode { target, key: Some(*put.record.key()) }),
        Kind::Put(_) | Kind::Get(_) | Kind::Join | Kind::Refresh | Kind::Sweep(_) | Kind::Find => {
            Body::FindNode(FindNode { target, key: None })
        }
    }
}

/// Whom the lookups of an operation have found, each once.
fn closest_of(operation: &Operation) -> Vec<Peer<32>> {
    let mut closest: Vec<Peer<32>> = Vec::new();
    for peer in operation.lookups.iter().flat_map(Lookup::closest) {
        if closest.iter().all(|known| known.id != peer.id) {
            closest.push(peer);
        }
    }
    closest
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
