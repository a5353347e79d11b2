use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::id::{Key, NodeId};
use crate::lookup::Lookup;
use crate::node::event::GetMode;
use crate::record::Record;
use crate::rejection::Rejection;
use crate::wire::Token;

/// Something that takes a lookup, and perhaps a question to the closest nodes after it.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    pub(super) lookup: Lookup<32>,
    pub(super) phase: Phase,
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
    pub(super) origin: Origin,
    pub(super) tokens: Vec<(NodeId, Token)>,
    pub(super) asked: usize,
    pub(super) stored: usize,
    pub(super) refused: usize,
    pub(super) reason: Option<Rejection>,
}

#[derive(Clone, Debug)]
pub(super) struct Get {
    pub(super) key: Key,
    pub(super) mode: GetMode,
    pub(super) best: Option<Record>,
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
    pub(super) fn new(kind: Kind, lookup: Lookup<32>) -> Self {
        Self { kind, lookup, phase: Phase::Searching }
    }

    pub(super) fn origin(&self) -> Origin {
        match &self.kind {
            Kind::Join | Kind::Refresh => Origin::Upkeep,
            Kind::Put(put) => put.origin,
            Kind::Get(_) | Kind::Find => Origin::Command,
        }
    }

    pub(super) fn has_record(&self) -> bool {
        matches!(&self.kind, Kind::Get(Get { best: Some(_), .. }))
    }

    /// Whether its lookup asks for the record itself, because the first that matches ends it.
    pub(super) fn searches_for_value(&self) -> bool {
        matches!(&self.kind, Kind::Get(Get { mode: GetMode::Matching(_), .. }))
    }
}

impl Put {
    pub(super) fn new(record: Record, origin: Origin) -> Self {
        Self { record, origin, tokens: Vec::new(), asked: 0, stored: 0, refused: 0, reason: None }
    }
}

impl Get {
    pub(super) fn new(key: Key, mode: GetMode) -> Self {
        Self { key, mode, best: None, copies: Vec::new(), asked: 0, answered: 0, rejected: 0 }
    }

    /// Takes in a valid record. Of two with one sequence the first stands.
    pub(super) fn take(&mut self, from: SocketAddr, record: Record) {
        self.copies.push(Copy { from, sequence: record.sequence(), value_hash: record.value_hash() });
        if self.best.as_ref().is_none_or(|best| best.sequence() < record.sequence()) {
            self.best = Some(record);
        }
    }
}
