use alloc::boxed::Box;
use alloc::vec::Vec;

use iot_core::{Instant, Timestamp};

use crate::id::{Key, NodeId};
use crate::lookup::Lookup;
use crate::node::Node;
use crate::node::event::{Busy, Event, FindDone, GetDone, GetMode, OperationId, PutDone, Side};
use crate::node::operation::{Get, Kind, Operation, Origin, Phase};
use crate::node::region::MAX_COPIES;
use crate::node::request::{Purpose, Recipient, Standing};
use crate::node::upkeep::{filling, narrow};
use crate::peer::Peer;
use crate::rejection::Rejection;
use crate::table::Entry;
use crate::wire::{self, Body, FindNode, Role};

impl Node {
    pub(super) fn check_operations(&self) -> Result<(), Busy> {
        let commands = self.operations.values().filter(|operation| operation.origin() == Origin::Command).count();
        let limit = self.config.operations;
        if commands + self.results < limit { Ok(()) } else { Err(Busy { limit }) }
    }

    pub(super) fn start(&mut self, now: Instant, wall: Timestamp, target: Key, kind: Kind) -> OperationId {
        let id = OperationId(self.next_operation);
        self.next_operation += 1;
        let region = match &kind {
            Kind::Get(get) if get.is_matching() => self.region_of(&target).map(|mut region| {
                region.begin_alike();
                region
            }),
            Kind::Put(_) | Kind::Get(_) => self.region_of(&target),
            Kind::Join | Kind::Refresh | Kind::Sweep(_) | Kind::Find => None,
        };
        let own = *self.id();
        let narrow = narrow(self.config.lookup);
        let lookup = match (&kind, &region) {
            (_, Some(region)) => self.first_of(region),
            (Kind::Refresh, None) if target != own => self.search_across(target),
            (Kind::Join, None) => Lookup::new(own, target, narrow, self.entrances()),
            (Kind::Refresh | Kind::Sweep(_), None) => Lookup::new(own, target, narrow, self.closest_hopeful(&target)),
            (Kind::Put(_) | Kind::Get(_) | Kind::Find, None) => {
                Lookup::new(own, target, self.config.lookup, self.closest_hopeful(&target))
            }
        };
        let mut operation = Box::new(Operation::new(kind, lookup, region));
        if matches!(&operation.kind, Kind::Get(get) if get.is_settled()) {
            operation.stop();
        }
        self.operations.insert(id, operation);
        self.drive(now, wall, id);
        id
    }

    /// The closest entries that have not failed of late, or, if all have, the closest.
    pub(super) fn closest_hopeful(&self, target: &Key) -> Vec<Peer<32>> {
        let start = self.hopeful(target, |_| true);
        let all = || self.table.closest(target).take(self.config.replicas).map(Entry::peer).collect();
        if start.is_empty() { all() } else { start }
    }

    /// A search for nodes of a bucket. It starts with entries that are no nearer to this node than the bucket, and goes by
    /// them alone; a node that knows nobody but its neighbours must ask those.
    fn search_across(&self, target: Key) -> Lookup<32> {
        let own = *self.id();
        let bucket = own.shared_prefix(&target);
        let config = filling(self.config.lookup, bucket);
        let across = self.hopeful(&target, |entry| own.shared_prefix(entry.id()) <= bucket);
        if across.is_empty() {
            Lookup::new(own, target, config, self.closest_hopeful(&target))
        } else {
            Lookup::across(own, target, config, across)
        }
    }

    /// Twice as many as a search ends with: where it ends among liars, those that they did not name are left to ask.
    pub(super) fn hopeful(&self, target: &Key, wanted: impl Fn(&Entry<32>) -> bool) -> Vec<Peer<32>> {
        let failures = self.config.table.failures_to_replace();
        let hopeful = self.table.closest(target).filter(|entry| entry.failures() < failures && wanted(entry));
        hopeful.take(2 * self.config.replicas).map(Entry::peer).collect()
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
                if operation.region.is_some() {
                    let own = in_region && self.role() == Role::Server;
                    peers.truncate(MAX_COPIES - usize::from(own));
                    peers.extend(own.then_some((*self.id(), None)));
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

    fn finish(&mut self, now: Instant, operation: Operation, id: OperationId) {
        let searched = operation.searched();
        let answered = operation.lookups.iter().map(|lookup| lookup.summary().answered).sum::<usize>();
        if searched > 0 && answered == 0 {
            self.doubt_table(now);
        }
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

/// Whom the lookups of an operation have found, each once; those first that were found last, because the first may have been
/// led astray.
fn closest_of(operation: &Operation) -> Vec<Peer<32>> {
    let mut closest: Vec<Peer<32>> = Vec::new();
    for peer in operation.lookups.iter().rev().flat_map(Lookup::closest) {
        if closest.iter().all(|known| known.id != peer.id) {
            closest.push(peer);
        }
    }
    closest
}
