use alloc::vec::Vec;
use core::net::SocketAddr;

use iot_codec::cbor::List;
use iot_core::{Instant, Timestamp};

use crate::id::{Id, Key, NodeId};
use crate::node::event::Side;
use crate::node::request::Purpose;
use crate::node::{Node, upkeep};
use crate::peer::Peer;
use crate::record::{Record, UnverifiedRecord};
use crate::rejection::Rejection;
use crate::table::Entry;
use crate::wire::{self, Body, Empty, MAX_DATAGRAM_LEN, Message, Nodes, Refused, Role, Value};

impl Node {
    /// Answers a request, unless its address has sent too many.
    pub(super) fn handle_request(&mut self, now: Instant, wall: Timestamp, from: SocketAddr, message: Message<'_>) {
        if self.config.role == Role::Client {
            self.stats.ignored += 1;
            return;
        }
        let slot = self.secrets.slot(from, self.limiter.slots());
        if !self.limiter.admit(now, slot) {
            self.stats.rate_limited += 1;
            return;
        }
        self.meet(now, from, &message);
        let transaction = message.transaction;
        let datagram = match &message.body {
            Body::Ping(_) => self.message(transaction, Body::Pong(Empty {})).encode(),
            Body::FindNode(find) => {
                let key = find.key.unwrap_or(find.target);
                self.nodes(now, from, &message, &find.target, &key)
            }
            Body::Get(get) => match self.store.get(wall, &get.key) {
                Some(record) => self.value(&message, record, get.near.as_ref()),
                None => self.nodes(now, from, &message, &get.near.unwrap_or(get.key), &get.key),
            },
            Body::Put(put) => {
                let body = match self.store_for(now, wall, from, &message, put) {
                    Ok(()) => Body::Stored(Empty {}),
                    Err(reason) => Body::Refused(Refused { reason }),
                };
                self.message(transaction, body).encode()
            }
            Body::Pong(_) | Body::Nodes(_) | Body::Value(_) | Body::Stored(_) | Body::Refused(_) => return,
        };
        self.stats.served += 1;
        self.transmit(from, datagram);
    }

    fn nodes(&self, now: Instant, from: SocketAddr, message: &Message<'_>, target: &Id<32>, key: &Key) -> Vec<u8> {
        let token = self.secrets.token(now, from, &message.sender, key);
        let nodes = List(self.alive(target, &message.sender).collect());
        self.message(message.transaction, Body::Nodes(Nodes { token, nodes })).encode()
    }

    /// A record, and as many nodes near a point as fit beside it.
    fn value(&self, message: &Message<'_>, record: &Record, near: Option<&Id<32>>) -> Vec<u8> {
        let value = |nodes| {
            let record = record.as_bytes();
            self.message(message.transaction, Body::Value(Value { record, nodes })).encode()
        };
        let Some(near) = near else { return value(None) };
        // The key of the field, and the head of a list of at most 20.
        let mut room = (MAX_DATAGRAM_LEN - 2).saturating_sub(value(None).len());
        let fitting = self.alive(near, &message.sender).take_while(|peer| {
            let len = wire::peer_len(peer);
            let fits = len <= room;
            room = room.saturating_sub(len);
            fits
        });
        value(Some(List(fitting.collect())))
    }

    /// Whom to name to a node that asks for a point.
    fn alive<'n>(&'n self, target: &'n Id<32>, asker: &'n NodeId) -> impl Iterator<Item = Peer<32>> + 'n {
        let alive = self.table.closest(target).filter(move |entry| entry.failures() == 0 && entry.id() != asker);
        alive.take(self.config.replicas).map(Entry::peer)
    }

    fn store_for(
        &mut self,
        now: Instant,
        wall: Timestamp,
        from: SocketAddr,
        message: &Message<'_>,
        put: &wire::Put<'_>,
    ) -> Result<(), Rejection> {
        let mut claimed: Option<Key> = None;
        let result = UnverifiedRecord::parse(put.record).map_err(|error| Rejection::from(&error)).and_then(|record| {
            let key = *record.key();
            claimed = Some(key);
            // The token is checked before the signature, because it costs a hundredth.
            if !self.secrets.accepts(now, &put.token, from, &message.sender, &key) {
                return Err(Rejection::Token);
            }
            let record = record.verify_by(self.config.signatures, wall).map_err(|error| Rejection::from(&error))?;
            if self.config.table.limits_subnets() {
                self.store.put_from(wall, record, from)?;
            } else {
                self.store.put(wall, record)?;
            }
            Ok(key)
        });
        match result {
            Ok(key) => {
                let interval = self.secrets.about(self.config.replication_interval);
                self.upkeep.replicate_at(key, now.saturating_add(interval));
                Ok(())
            }
            Err(reason) => {
                self.reject(from, claimed, Side::Store, reason);
                Err(reason)
            }
        }
    }

    /// Asks a server that this node does not know, and has room for, whether it is really there.
    fn meet(&mut self, now: Instant, from: SocketAddr, message: &Message<'_>) {
        let peer = Peer { id: message.sender, address: from };
        let pending = self.requests.count(Purpose::Liveness);
        if message.role == Role::Server
            && pending < upkeep::MAX_PINGS
            && self.table.has_room(&peer)
            && !self.requests.asks(&peer.id)
        {
            self.ping(now, peer);
        }
    }
}
