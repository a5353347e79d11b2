use alloc::vec::Vec;
use core::net::SocketAddr;

use iot_core::{Instant, Timestamp};

use crate::id::NodeId;
use crate::lookup::Lookup;
use crate::node::Node;
use crate::node::event::{Event, FindDone, GetDone, GetMode, OperationId, PutDone, Side};
use crate::node::operation::{Get, Kind, Operation, Origin, Phase};
use crate::node::region::MAX_COPIES;
use crate::node::request::{Purpose, Request};
use crate::peer::Peer;
use crate::record::{Record, UnverifiedRecord};
use crate::rejection::Rejection;
use crate::wire::{self, Body, FindNode, MAX_NODES, Message, Nodes, Role};

/// The most requests that one time-out gives up or sends again.
const MAX_OVERDUE: usize = 64;

/// What came of a question.
enum Answer {
    Nodes(Nodes),
    /// A record, and nodes beside it.
    Record(Result<Record, Rejection>, Vec<Peer<32>>),
    Stored,
    Refused(Rejection),
    None,
}

impl Node {
    /// Takes in an answer, if it was asked for.
    pub(super) fn handle_answer(&mut self, now: Instant, wall: Timestamp, from: SocketAddr, message: Message<'_>) {
        let Some(request) = self.requests.take(&message.transaction, from) else {
            self.stats.unsolicited += 1;
            return;
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
        if message.role == Role::Server {
            self.learn(now, wall, Peer { id: message.sender, address: from });
        }
        if request.attempt == 1 {
            self.table.measured(&message.sender, now.saturating_since(request.sent));
        }
        let answer = match message.body {
            Body::Nodes(nodes) => Answer::Nodes(nodes),
            Body::Value(value) => Answer::Record(
                self.check(wall, &request, value.record),
                value.nodes.map_or(Vec::new(), |nodes| nodes.0),
            ),
            Body::Stored(_) => Answer::Stored,
            Body::Refused(refused) => Answer::Refused(refused.reason),
            Body::Pong(_) | Body::Ping(_) | Body::FindNode(_) | Body::Get(_) | Body::Put(_) => Answer::None,
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
                self.requests.abandon(id);
                operation.phase = Phase::Asking(self.ask_closest(now, wall, id, &mut operation));
            }
        }
        if operation.phase == Phase::Asking(0) {
            self.finish(now, operation, id);
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
            let body = question(operation, part);
            self.request(now, peer.address, Some(peer.id), Purpose::Search(id, part as u8), body);
        }
    }

    /// Asks the closest nodes what the lookup was for, and returns how many were asked.
    fn ask_closest(&mut self, now: Instant, wall: Timestamp, id: OperationId, operation: &mut Operation) -> usize {
        let closest = closest_of(operation);
        let in_region = operation.region.as_ref().is_some_and(|region| region.holds(self.id()));
        let purpose = Purpose::Final(id);
        match &mut operation.kind {
            Kind::Join | Kind::Refresh | Kind::Find => 0,
            Kind::Get(_) if operation.region.is_some() => 0,
            Kind::Get(Get { mode: GetMode::Matching(_), .. }) => 0,
            Kind::Get(get) => {
                get.asked = closest.len();
                let body = Body::Get(wire::Get { key: get.key, near: None });
                closest.iter().for_each(|peer| self.request(now, peer.address, Some(peer.id), purpose, body.clone()));
                closest.len()
            }
            Kind::Put(put) => {
                let mut peers: Vec<_> = closest.iter().map(|peer| (peer.id, Some(peer.address))).collect();
                if self.config.role == Role::Server && operation.region.is_some() {
                    peers.truncate(MAX_COPIES - 1);
                    peers.extend(in_region.then_some((*self.id(), None)));
                } else if self.config.role == Role::Server {
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
                        (None, _) => match self.store.put(wall, put.record.clone()) {
                            Ok(_) => {
                                put.stored += 1;
                                let interval = self.secrets.about(self.config.replication_interval);
                                self.upkeep.replicate_at(*put.record.key(), now.saturating_add(interval));
                            }
                            Err(reason) => {
                                put.refused += 1;
                                put.reason = Some(reason);
                            }
                        },
                        (Some(address), Some(token)) => {
                            let body = Body::Put(wire::Put { token, record: put.record.as_bytes() });
                            self.request(now, address, Some(peer), purpose, body);
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
    fn check(&mut self, wall: Timestamp, request: &Request, octets: &[u8]) -> Result<Record, Rejection> {
        let (Purpose::Search(id, _) | Purpose::Final(id)) = request.purpose else { return Err(Rejection::WrongKey) };
        let Some(Kind::Get(get)) = self.operations.get(&id).map(|operation| &operation.kind) else {
            return Err(Rejection::WrongKey);
        };
        let (key, mode) = (get.key, get.mode);
        let verified =
            UnverifiedRecord::parse(octets).and_then(|record| record.verify_for_by(&key, self.config.signatures, wall));
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

    /// Tells whoever asked what came of it.
    fn settle(&mut self, now: Instant, wall: Timestamp, request: &Request, answer: Answer) {
        match request.purpose {
            Purpose::Abandoned => {}
            Purpose::Liveness => self.settle_liveness(now, wall),
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
        }
    }
}

/// What a lookup of an operation asks.
fn question(operation: &mut Operation, part: usize) -> Body<'static> {
    let target = *operation.lookups[part].target();
    let in_region = operation.region.is_some();
    let searches_for_value = operation.searches_for_value();
    match &mut operation.kind {
        Kind::Get(get) if searches_for_value => {
            get.asked += 1;
            Body::Get(wire::Get { key: get.key, near: in_region.then_some(target) })
        }
        Kind::Put(put) if in_region => Body::FindNode(FindNode { target, key: Some(*put.record.key()) }),
        Kind::Put(_) | Kind::Get(_) | Kind::Join | Kind::Refresh | Kind::Find => {
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
                Kind::Get(_) | Kind::Join | Kind::Refresh | Kind::Find => {}
            }
            lookup.handle_response(peer, named(nodes.nodes.0));
        }
        (Answer::Record(Ok(record), nodes), Kind::Get(_)) => {
            lookup.handle_response(peer, named(nodes));
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
fn named(nodes: Vec<Peer<32>>) -> impl Iterator<Item = Peer<32>> {
    nodes.into_iter().take(MAX_NODES).filter_map(Peer::usable)
}

/// An answer, or none, of one of the closest.
fn conclude(operation: &mut Operation, from: SocketAddr, answer: Answer) {
    if let Phase::Asking(waiting) = &mut operation.phase {
        *waiting = waiting.saturating_sub(1);
    }
    match (answer, &mut operation.kind) {
        (Answer::Stored, Kind::Put(put)) => put.stored += 1,
        (Answer::Refused(reason), Kind::Put(put)) => {
            put.refused += 1;
            put.reason = Some(reason);
        }
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
