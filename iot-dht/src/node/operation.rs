use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::fork::Fork;
use crate::id::{Key, NodeId};
use crate::lookup::Lookup;
use crate::node::event::GetMode;
use crate::node::region::Region;
use crate::peer::Peer;
use crate::record::Record;
use crate::rejection::Rejection;
use crate::store::Part;
use crate::wire::{Cookie, Token};

#[cfg(test)]
mod tests;

/// Something that takes a lookup, and perhaps a question to the closest nodes after it.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    /// One, or one for each part of the region that was reached.
    pub(super) lookups: Vec<Lookup<32>>,
    /// What is searched, if it is more than the closest nodes.
    pub(super) region: Option<Region>,
    pub(super) phase: Phase,
    /// Who has proved itself in its course and is no entry of the table, and what it gave for the next request.
    pub(super) proven: Vec<(Peer<32>, Cookie)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Searching,
    /// The closest nodes were asked, and so many have neither answered nor failed.
    Asking(usize),
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The first lookup of the node's own identifier.
    Join,
    /// A lookup that only fills the table.
    Refresh,
    /// A lookup for nodes of a part that this node holds records of.
    Sweep(Part),
    /// A lookup that the user asked for.
    Find,
    Put(Put),
    Get(Get),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The user waits for the result.
    Command,
    /// The node puts again what it stores.
    Upkeep,
}

#[derive(Clone, Debug)]
pub(super) struct Put {
    pub(super) record: Record,
    /// Which sequence it may replace, if not any.
    pub(super) replaces: Option<u64>,
    pub(super) origin: Origin,
    pub(super) tokens: Vec<(NodeId, Token)>,
    pub(super) asked: usize,
    pub(super) stored: usize,
    pub(super) refused: usize,
    pub(super) reason: Option<Rejection>,
    /// The newest record that a node has in its place.
    pub(super) newer: Option<Record>,
    pub(super) fork: Option<Fork>,
}

#[derive(Clone, Debug)]
pub(super) struct Get {
    pub(super) key: Key,
    pub(super) mode: GetMode,
    pub(super) best: Option<Record>,
    pub(super) fork: Option<Fork>,
    /// Who brought a valid record, and what told it apart.
    pub(super) copies: Vec<Copy>,
    pub(super) asked: usize,
    pub(super) answered: usize,
    pub(super) rejected: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Copy {
    pub(super) from: SocketAddr,
    pub(super) sequence: u64,
    pub(super) value_hash: [u8; 32],
}

impl Operation {
    pub(super) fn new(kind: Kind, lookup: Lookup<32>, region: Option<Region>) -> Self {
        Self { kind, lookups: vec![lookup], region, phase: Phase::Searching, proven: Vec::new() }
    }

    /// The lookup that all operations begin with.
    pub(super) fn lookup(&self) -> &Lookup<32> {
        &self.lookups[0]
    }

    /// Requests that its lookups have made.
    pub(super) fn searched(&self) -> usize {
        self.lookups.iter().map(|lookup| lookup.summary().asked).sum()
    }

    pub(super) fn origin(&self) -> Origin {
        match &self.kind {
            Kind::Join | Kind::Refresh | Kind::Sweep(_) => Origin::Upkeep,
            Kind::Put(put) => put.origin,
            Kind::Get(_) | Kind::Find => Origin::Command,
        }
    }

    /// Nobody is asked any more.
    pub(super) fn stop(&mut self) {
        self.lookups.iter_mut().for_each(Lookup::stop);
    }

    /// Takes in a valid record, which may be the end of it.
    pub(super) fn take(&mut self, from: SocketAddr, record: Record) {
        if let Kind::Get(get) = &mut self.kind {
            get.answered += 1;
            get.take(from, record);
            if get.is_settled() {
                self.stop();
            }
        }
    }

    /// Whether its lookups ask for the record itself: the first that matches ends them, and in a region all are asked.
    pub(super) fn searches_for_value(&self) -> bool {
        match &self.kind {
            Kind::Get(get) => self.region.is_some() || get.is_matching(),
            Kind::Join | Kind::Refresh | Kind::Sweep(_) | Kind::Find | Kind::Put(_) => false,
        }
    }
}

impl Put {
    pub(super) fn new(record: Record, origin: Origin) -> Self {
        let (tokens, replaces, reason, newer, fork) = (Vec::new(), None, None, None, None);
        Self { record, replaces, origin, tokens, asked: 0, stored: 0, refused: 0, reason, newer, fork }
    }

    /// A node does not store it, and has this in its place.
    pub(super) fn refuse(&mut self, reason: Rejection, stored: Option<Record>) {
        self.refused += 1;
        self.reason = Some(reason);
        let Some(stored) = stored else { return };
        if self.fork.is_none() {
            self.fork = Fork::of(&self.record, &stored);
        }
        let newest = self.newer.as_ref().unwrap_or(&self.record);
        if newest.sequence() < stored.sequence() {
            self.newer = Some(stored);
        }
    }
}

impl Get {
    pub(super) fn new(key: Key, mode: GetMode) -> Self {
        Self { key, mode, best: None, fork: None, copies: Vec::new(), asked: 0, answered: 0, rejected: 0 }
    }

    /// Whether the first record that matches ends it.
    pub(super) fn is_matching(&self) -> bool {
        matches!(self.mode, GetMode::Matching(_))
    }

    /// Whether nothing better can be found than what was.
    pub(super) fn is_settled(&self) -> bool {
        self.best.is_some() && self.is_matching()
    }

    /// Takes in a valid record. Of two with one sequence the first stands.
    pub(super) fn take(&mut self, from: SocketAddr, record: Record) {
        // A node of two parts of a region was asked twice.
        if self.copies.iter().any(|copy| copy.from == from) {
            return;
        }
        self.copies.push(Copy { from, sequence: record.sequence(), value_hash: record.value_hash() });
        match &self.best {
            Some(best) if best.sequence() >= record.sequence() => {
                self.fork = self.fork.take().or_else(|| Fork::of(best, &record));
            }
            _ => {
                self.best = Some(record);
                // What lies behind it no longer counts.
                self.fork = None;
            }
        }
    }
}
