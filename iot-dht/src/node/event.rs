use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::fork::Fork;
use crate::id::Key;
use crate::lookup::Summary;
use crate::node::link::{LinkId, Linked, Parting};
use crate::node::reach::Reachability;
use crate::peer::Peer;
use crate::record::Record;
use crate::rejection::Rejection;

/// Names a command until its result is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub(super) u64);

impl OperationId {
    /// The number of the command, counted from 0 at each node.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What to accept as the answer to a get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetMode {
    /// Ask all of the closest nodes, and take the highest sequence: for records that change.
    Newest,
    /// Stop at the first record whose value has this SHA-256: for records that a signed index names.
    Matching([u8; 32]),
}

/// What a [`Node`](crate::Node) tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The node has found its neighbours; its table has so many entries.
    Bootstrapped {
        /// Entries of the table.
        nodes: usize,
    },
    /// None of the bootstrap addresses answered. The node asks them again after
    /// [`bootstrap_interval`](crate::NodeConfig::bootstrap_interval).
    BootstrapFailed {
        /// How many were asked.
        asked: usize,
    },
    /// A put is over.
    PutDone(PutDone),
    /// A get is over.
    GetDone(GetDone),
    /// A search is over.
    FindDone(FindDone),
    /// A record was refused.
    Rejected(Rejected),
    /// The node believes something else of itself than before.
    Reachability(Reachability),
    /// The node has so many leases now ([`Node::relays`](crate::Node::relays)): sign a new [`Contact`](crate::Contact).
    Relays {
        /// How many.
        count: usize,
    },
    /// A path to the other end of a link was found, or another than before.
    Linked(Linked),
    /// Octets came over a link. Nobody vouches for who sent them.
    Datagram {
        /// Which.
        link: LinkId,
        /// The octets.
        payload: Vec<u8>,
    },
    /// A link is over.
    Parted {
        /// Which.
        link: LinkId,
        /// Why.
        reason: Parting,
    },
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindDone {
    /// Which command it was.
    pub operation: OperationId,
    /// What was searched for.
    pub target: Key,
    /// The closest nodes that answered, in ascending distance.
    pub closest: Vec<Peer<32>>,
    /// How far that can be relied on.
    pub summary: Summary,
}

/// The result of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutDone {
    /// Which command it was.
    pub operation: OperationId,
    /// Where the record belongs.
    pub key: Key,
    /// Nodes that store it, this one included if it is one of the closest.
    pub stored: usize,
    /// Nodes that refused it.
    pub refused: usize,
    /// Nodes that were asked to store it.
    pub asked: usize,
    /// Requests that it took in all: to find the nodes, and to ask them.
    pub requests: usize,
    /// Why the last node that refused did so.
    pub reason: Option<Rejection>,
    /// The newest record that a node which refused has in its place.
    pub newer: Option<Box<Record>>,
    /// A record with the same sequence and another value, and this one.
    pub fork: Option<Box<Fork>>,
}

/// The result of a get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetDone {
    /// Which command it was.
    pub operation: OperationId,
    /// What was asked for.
    pub key: Key,
    /// The record: verified, and of all that came the one with the highest sequence.
    pub record: Option<Record>,
    /// How often nodes were asked for the record; one at the border of two parts of a region, twice.
    pub asked: usize,
    /// Requests that it took in all: to find the nodes, and to ask them.
    pub requests: usize,
    /// Nodes that answered, with a record or without.
    pub answered: usize,
    /// Answers that were refused.
    pub rejected: usize,
    /// Answers with just this record.
    pub agreed: usize,
    /// Answers with a valid record of a lower sequence than the best.
    pub superseded: usize,
    /// Answers with a valid record of the best sequence and another value: the owner signed one number twice.
    pub conflicting: usize,
    /// The record, and the first of those.
    pub fork: Option<Box<Fork>>,
}

/// A record that was refused, and who brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Who brought it.
    pub from: SocketAddr,
    /// What was asked for, or where the record claims to belong, as far as that is known.
    pub key: Option<Key>,
    /// In which of its roles the node met it.
    pub side: Side,
    /// Why.
    pub reason: Rejection,
}

/// In which of its roles a node met a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// As the answer to its own question.
    Reader,
    /// As a record that it should store.
    Store,
}

/// A datagram to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub to: SocketAddr,
    /// Octets of the buffer that it fills, from the first.
    pub len: usize,
}

/// A command was refused because as many operations as configured are under way. Fetch events, and try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} operations are under way")]
pub struct Busy {
    /// The configured bound.
    pub limit: usize,
}
