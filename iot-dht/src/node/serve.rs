use alloc::vec::Vec;
use core::net::SocketAddr;

use iot_codec::cbor::List;
use iot_core::{Instant, Timestamp};

use crate::id::{Id, Key, NodeId};
use crate::node::Node;
use crate::node::event::Side;
use crate::node::secrets::Age;
use crate::node::verification::{Arrival, Verdict};
use crate::peer::Peer;
use crate::record::{Record, UnverifiedRecord};
use crate::rejection::Rejection;
use crate::store::Inventory;
use crate::table::Entry;
use crate::wire::proof::Signed;
use crate::wire::{
    self, Ask, Body, Challenge, Compare, Cookie, Empty, Endpoint, Holdings, MAX_AMPLIFICATION, MAX_DATAGRAM_LEN,
    Message, Nodes, Refused, Role, Value,
};

/// Who asks, and what it gets beside its answer.
struct Asker {
    from: SocketAddr,
    id: NodeId,
    /// Octets that an answer may have.
    budget: usize,
    cookie: Option<Cookie>,
    challenge: Option<Challenge>,
    proof: Option<Signed>,
}

impl Asker {
    /// The message with all that this asker gets.
    fn complete<'a>(&'a self, message: Message<'a>) -> Message<'a> {
        let proof = self.proof.as_ref().map(Signed::proof);
        Message { cookie: self.cookie, challenge: self.challenge, proof, ..message }
    }
}

impl Node {
    /// Answers a request, unless its address has sent too many.
    pub(super) fn handle_request(&mut self, now: Instant, wall: Timestamp, arrival: Arrival<'_>) {
        if self.role() == Role::Client {
            self.note_request(now, wall, &arrival);
        }
        if self.role() == Role::Client {
            self.stats.ignored += 1;
            return;
        }
        let slot = self.secrets.slot(arrival.from, self.limiter.slots());
        if !self.limiter.admit(now, slot) {
            self.stats.rate_limited += 1;
            return;
        }
        let (from, message) = (arrival.from, &arrival.message);
        if let Body::Put(put) = &message.body {
            // The token is checked before the signature, because it costs a hundredth.
            if let Err((key, reason)) = self.check_put(now, from, &message.sender, put) {
                let asker = self.asker(now, from, message, arrival.len);
                return self.refuse(wall, &asker, message, key, reason);
            }
            return self.verify(now, wall, arrival, None);
        }
        if let Body::Ask(ask) = message.body {
            return self.serve_ask(now, wall, arrival, ask);
        }
        self.serve(now, wall, arrival, Verdict::NONE);
    }

    /// Answers a request whose signatures were verified.
    pub(super) fn serve(&mut self, now: Instant, wall: Timestamp, arrival: Arrival<'_>, verdict: Verdict) {
        let Arrival { from, message, len, .. } = arrival;
        let mut asker = self.asker(now, from, &message, len);
        if matches!(message.body, Body::Put(_)) {
            // Its token was good, which shows what a cookie would: a short record may be answered by the long one in its place.
            asker.budget = MAX_DATAGRAM_LEN;
        }
        let datagram = match &message.body {
            Body::Ping(_) => self.answer(&asker, &message, Body::Pong(Empty {})),
            Body::FindNode(find) => {
                let key = find.key.unwrap_or(find.target);
                self.nodes(now, &asker, &message, &find.target, &key)
            }
            Body::Get(get) => match self.store.get(wall, &get.key) {
                Some(record) => self.value(&asker, &message, record, get.near.as_ref()),
                None => self.nodes(now, &asker, &message, &get.near.unwrap_or(get.key), &get.key),
            },
            Body::Put(put) => match self.store_for(wall, from, put, verdict) {
                Ok(()) => self.answer(&asker, &message, Body::Stored(Empty {})),
                Err((key, reason)) => return self.refuse(wall, &asker, &message, key, reason),
            },
            Body::Compare(compare) => self.holdings(wall, &asker, &message, compare),
            Body::Ask(Ask::Reserve(reserve)) => {
                let reply = self.serve_reserve(now, Peer { id: message.sender, address: from }, reserve);
                self.answer(&asker, &message, Body::Reply(reply))
            }
            Body::Pong(_)
            | Body::Nodes(_)
            | Body::Value(_)
            | Body::Stored(_)
            | Body::Refused(_)
            | Body::Retry(_)
            | Body::Holdings(_)
            | Body::Ask(_)
            | Body::Reply(_)
            | Body::Word(_) => return,
        };
        self.stats.served += 1;
        self.transmit(from, datagram);
    }

    /// Does what those need who may be behind a NAT, for whoever receives what is sent to its address. A lease is given under
    /// an identifier that its holder has proved.
    fn serve_ask(&mut self, now: Instant, wall: Timestamp, arrival: Arrival<'_>, ask: Ask) {
        let (from, message) = (arrival.from, &arrival.message);
        let mut asker = self.asker(now, from, message, arrival.len);
        let peer = Peer { id: message.sender, address: from };
        let has_cookie = message.cookie.is_some_and(|cookie| self.secrets.age(now, &cookie, from, &peer.id).is_some());
        let reply = match ask {
            _ if !has_cookie => None,
            Ask::Probe(_) => Some(self.serve_probe(now, from, message)),
            Ask::Introduce(introduce) => Some(self.serve_introduce(now, peer, &introduce)),
            Ask::Reserve(reserve) if self.has_lease(now, from, &peer.id) => {
                Some(self.serve_reserve(now, peer, &reserve))
            }
            Ask::Reserve(_) if self.is_proof_of_lease(now, from, message) => {
                return self.verify(now, wall, arrival, None);
            }
            Ask::Reserve(_) => None,
        };
        if reply.is_none() && matches!(ask, Ask::Reserve(_)) {
            let nonce = self.secrets.nonce(now, from, &peer.id);
            asker.challenge = Some(Challenge { nonce, asked: Endpoint(from) });
            asker.cookie = Some(self.secrets.cookie(now, from, &peer.id));
        }
        let datagram = self.answer(&asker, message, reply.map_or(Body::Retry(Empty {}), Body::Reply));
        self.stats.served += 1;
        self.transmit(from, datagram);
    }

    /// Whether a request for a lease brings a proof under the nonce that it was sent.
    pub(super) fn is_proof_of_lease(&self, now: Instant, from: SocketAddr, message: &Message<'_>) -> bool {
        matches!(message.body, Body::Ask(Ask::Reserve(_)))
            && message.proof.is_some()
            && self.secrets.has_challenged(now, &message.transaction, from, &message.sender)
    }

    /// Proves who this node is to one that asked for it in its answer; it needs to, because that node keeps nothing of who
    /// asked it.
    pub(super) fn introduce(&mut self, now: Instant, from: SocketAddr, message: &Message<'_>, challenge: &Challenge) {
        if self.role() == Role::Client {
            return;
        }
        let Some(signed) = self.prove(message, challenge, from) else { return };
        let mut pong = self.message(challenge.nonce, Body::Pong(Empty {}));
        pong.cookie = Some(self.secrets.cookie(now, from, &message.sender));
        pong.proof = Some(signed.proof());
        let datagram = pong.encode();
        self.transmit(from, datagram);
    }

    /// What an attacker's node says in answer to a request, with all that an honest one would add.
    #[cfg(feature = "sim")]
    pub(crate) fn say(&mut self, now: Instant, from: SocketAddr, request: &Message<'_>, body: Body<'_>) -> Vec<u8> {
        let mut asker = self.asker(now, from, request, MAX_DATAGRAM_LEN);
        let mut body = body;
        loop {
            let answer = asker.complete(self.message(request.transaction, body.clone()));
            if let Some(datagram) = answer.encode_within(asker.budget) {
                return datagram;
            }
            let shorter = match &mut body {
                _ if asker.challenge.take().is_some() => true,
                Body::Nodes(nodes) => nodes.nodes.0.pop().is_some(),
                _ => false,
            };
            if !shorter {
                return self.answer(&asker, request, Body::Retry(Empty {}));
            }
        }
    }

    /// What whoever sent a request gets beside the answer.
    fn asker(&mut self, now: Instant, from: SocketAddr, message: &Message<'_>, len: usize) -> Asker {
        let id = message.sender;
        let age = message.cookie.and_then(|cookie| self.secrets.age(now, &cookie, from, &id));
        let budget = match age {
            Some(_) => MAX_DATAGRAM_LEN,
            None => MAX_DATAGRAM_LEN.min(MAX_AMPLIFICATION * len),
        };
        let peer = Peer { id, address: from };
        let is_welcome = message.role == Role::Server && self.table.has_room(&peer) && !self.requests.asks(&id);
        let nonce = self.secrets.nonce(now, from, &id);
        let proof = message
            .challenge
            .filter(|_| age.is_some() || self.proofs.admit(now, 0))
            .and_then(|challenge| self.prove(message, &challenge, from));
        Asker {
            from,
            id,
            budget,
            cookie: (age != Some(Age::Fresh)).then(|| self.secrets.cookie(now, from, &id)),
            challenge: is_welcome.then_some(Challenge { nonce, asked: Endpoint(from) }),
            proof,
        }
    }

    /// The answer, or as much of it as is not too long: a challenge can wait, a cookie and a proof make the next answer
    /// longer.
    fn answer(&self, asker: &Asker, request: &Message<'_>, body: Body<'_>) -> Vec<u8> {
        let mut answer = asker.complete(self.message(request.transaction, body));
        let whole = answer.encode_within(asker.budget).or_else(|| {
            answer.challenge = None;
            answer.encode_within(asker.budget)
        });
        let retry = || {
            answer.body = Body::Retry(Empty {});
            answer.encode_within(asker.budget).unwrap_or_else(|| {
                answer.proof = None;
                answer.encode()
            })
        };
        whole.unwrap_or_else(retry)
    }

    fn nodes(&self, now: Instant, asker: &Asker, message: &Message<'_>, target: &Id<32>, key: &Key) -> Vec<u8> {
        let token = self.secrets.token(now, asker.from, &asker.id, key);
        let nodes = |nodes| Body::Nodes(Nodes { token, nodes: List(nodes) });
        let mut alive: Vec<_> = self.alive(target, &asker.id).collect();
        let count = self.fitting(asker, message, nodes(Vec::new()), &alive);
        // An address that is not verified is not told half of it.
        let is_whole = count == alive.len() || asker.budget == MAX_DATAGRAM_LEN;
        alive.truncate(count);
        self.answer(asker, message, if is_whole { nodes(alive) } else { Body::Retry(Empty {}) })
    }

    /// A record, and as many nodes near a point as fit beside it.
    fn value(&self, asker: &Asker, message: &Message<'_>, record: &Record, near: Option<&Id<32>>) -> Vec<u8> {
        let value = |nodes| Body::Value(Value { record: record.as_bytes(), nodes });
        let Some(near) = near else { return self.answer(asker, message, value(None)) };
        let mut alive: Vec<_> = self.alive(near, &asker.id).collect();
        alive.truncate(self.fitting(asker, message, value(Some(List(Vec::new()))), &alive));
        self.answer(asker, message, value(Some(List(alive))))
    }

    fn holdings(&self, wall: Timestamp, asker: &Asker, message: &Message<'_>, compare: &Compare) -> Vec<u8> {
        let nothing = Holdings::default();
        let answer = |holdings| self.answer(asker, message, Body::Holdings(holdings));
        match self.store.inventory(wall, compare) {
            Inventory::Same => answer(nothing),
            Inventory::Records(records) => answer(Holdings { records: Some(List(records)), ..nothing }),
            Inventory::Digests(digests) => answer(Holdings { digests: Some(&digests), ..nothing }),
        }
    }

    /// How many of these peers there is room for beside an answer.
    fn fitting(&self, asker: &Asker, request: &Message<'_>, body: Body<'_>, peers: &[Peer<32>]) -> usize {
        let empty = asker.complete(self.message(request.transaction, body)).encoded_len();
        let mut room = asker.budget.saturating_sub(empty);
        let fits = |peer: &&Peer<32>| {
            let len = wire::peer_len(peer);
            let fits = len <= room;
            room = room.saturating_sub(len);
            fits
        };
        peers.iter().take_while(fits).count()
    }

    /// Whom to name to a node that asks for a point.
    fn alive<'n>(&'n self, target: &'n Id<32>, asker: &'n NodeId) -> impl Iterator<Item = Peer<32>> + 'n {
        let alive = self.table.closest(target).filter(move |entry| entry.failures() == 0 && entry.id() != asker);
        alive.take(self.config.replicas).map(Entry::peer)
    }

    /// Whether this record may be put by whoever sends it, as far as that is to be told without a signature.
    fn check_put(
        &self,
        now: Instant,
        from: SocketAddr,
        sender: &NodeId,
        put: &wire::Put<'_>,
    ) -> Result<(), (Option<Key>, Rejection)> {
        let record = UnverifiedRecord::parse(put.record).map_err(|error| (None, Rejection::from(&error)))?;
        let key = *record.key();
        if self.secrets.accepts(now, &put.token, from, sender, &key) {
            Ok(())
        } else {
            Err((Some(key), Rejection::Token))
        }
    }

    fn store_for(
        &mut self,
        wall: Timestamp,
        from: SocketAddr,
        put: &wire::Put<'_>,
        verdict: Verdict,
    ) -> Result<(), (Option<Key>, Rejection)> {
        let refused = |error| (None, Rejection::from(&error));
        let record = UnverifiedRecord::parse(put.record).map_err(refused)?;
        let key = *record.key();
        let record = record.verify_given(verdict.record, wall).map_err(|error| (Some(key), Rejection::from(&error)))?;
        let stored = self.store.put_by(wall, record, self.source_of(from), put.replaces);
        stored.map(drop).map_err(|reason| (Some(key), reason))
    }

    /// Says why a record is not stored, and what is in its place.
    fn refuse(&mut self, wall: Timestamp, asker: &Asker, message: &Message<'_>, key: Option<Key>, reason: Rejection) {
        self.reject(asker.from, key, Side::Store, reason);
        let has_other = matches!(reason, Rejection::Superseded | Rejection::Conflict | Rejection::Changed);
        let stored = key.filter(|_| has_other).and_then(|key| self.store.get(wall, &key));
        let record = stored.map(Record::as_bytes);
        let datagram = self.answer(asker, message, Body::Refused(Refused { reason, record }));
        self.stats.served += 1;
        self.transmit(asker.from, datagram);
    }
}
