use alloc::vec::Vec;
use core::net::SocketAddr;

use iot_codec::cbor::List;
use iot_core::{Instant, Timestamp};

use crate::id::{Id, Key};
use crate::node::event::Side;
use crate::node::request::Purpose;
use crate::node::{Node, upkeep};
use crate::peer::Peer;
use crate::record::UnverifiedRecord;
use crate::rejection::Rejection;
use crate::table::Entry;
use crate::wire::{self, Body, Empty, Message, Nodes, Refused, Role, Value};

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
            Body::FindNode(find) => self.nodes(now, from, &message, &find.target),
            Body::Get(get) => match self.store.get(wall, &get.key) {
                Some(record) => self.message(transaction, Body::Value(Value { record: record.as_bytes() })).encode(),
                None => self.nodes(now, from, &message, &get.key),
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

    fn nodes(&self, now: Instant, from: SocketAddr, message: &Message<'_>, target: &Id<32>) -> Vec<u8> {
        let token = self.secrets.token(now, from, &message.sender, target);
        let alive = self.table.closest(target).filter(|entry| entry.failures() == 0 && *entry.id() != message.sender);
        let nodes = List(alive.take(self.config.replicas).map(Entry::peer).collect());
        self.message(message.transaction, Body::Nodes(Nodes { token, nodes })).encode()
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
            self.store.put(wall, record)?;
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
