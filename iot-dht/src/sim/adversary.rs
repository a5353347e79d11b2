//! Attackers: what a host does instead of what an honest node would.
//!
//! An [`Adversary`] sits in front of an honest node and decides about each request that arrives: leave it to the node, say
//! nothing, or say something else. So it joins, answers pings and enters tables like any other, and lies where it pays. To try an
//! attack of your own, implement the trait, bring it into a network with [`Action::Turn`](crate::sim::Action::Turn) or
//! [`Action::Infiltrate`](crate::sim::Action::Infiltrate), and measure it with [`study::besiege`](crate::sim::study::besiege).
//!
//! ```
//! use iot_dht::NodeId;
//! use iot_dht::sim::adversary::{Adversary, Conduct};
//! use iot_dht::wire::{Body, Empty, Message};
//!
//! /// Claims to store everything, and stores nothing.
//! struct Thief;
//!
//! impl Adversary for Thief {
//!     fn answer<'a>(&'a self, _me: &NodeId, request: &Message<'_>) -> Conduct<'a> {
//!         match request.body {
//!             Body::Put(_) => Conduct::Say(Body::Stored(Empty {})),
//!             _ => Conduct::Honest,
//!         }
//!     }
//! }
//! ```

use alloc::sync::Arc;
use alloc::vec::Vec;

use iot_codec::cbor::List;

use crate::id::{Id, NodeId};
use crate::peer::Peer;
use crate::sim::Census;
use crate::wire::{Body, Empty, Holdings, MAX_NODES, Message, Nodes};

/// What a host of an attacker does with requests; of its own accord it fetches no records from its neighbours. It sees only what a real one would: its own identifier, the request, and
/// what it knows of its accomplices.
pub trait Adversary: Send + Sync {
    /// What becomes of a request.
    fn answer<'a>(&'a self, me: &NodeId, request: &Message<'_>) -> Conduct<'a>;

    /// Changes what the honest node is about to send, such as what it carries between two others. Nothing, by default.
    fn alter(&self, _datagram: &mut [u8]) {}
}

/// What becomes of a request that reached an attacker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conduct<'a> {
    /// The honest node answers it.
    Honest,
    /// Nobody does.
    Silent,
    /// This is the answer.
    Say(Body<'a>),
}

/// Makes the leader of attackers from who all of them are: what a study needs to know of an attack.
pub type Lead<'l> = &'l dyn Fn(Vec<Peer<32>>) -> Arc<dyn Adversary>;

/// Hosts that know of each other: each names only the others, claims to store what it is given, and has never heard of any
/// record. Placed on a key they are Sybils, spread over the network they are colluders.
#[derive(Clone, Debug)]
pub struct Gang {
    members: Census,
}

impl Gang {
    /// The gang of these hosts.
    pub fn new(members: Vec<Peer<32>>) -> Self {
        Self { members: Census::new(members) }
    }

    fn name(&self, me: &NodeId, point: &Id<32>) -> Conduct<'static> {
        let mut closest = self.members.closest(point, MAX_NODES);
        closest.retain(|peer| peer.id != *me);
        Conduct::Say(Body::Nodes(Nodes { token: [0; 16], nodes: List(closest) }))
    }
}

impl Adversary for Gang {
    fn answer<'a>(&'a self, me: &NodeId, request: &Message<'_>) -> Conduct<'a> {
        match &request.body {
            Body::FindNode(find) => self.name(me, &find.target),
            Body::Get(get) => self.name(me, &get.near.unwrap_or(get.key)),
            Body::Put(_) => Conduct::Say(Body::Stored(Empty {})),
            // Whoever compares its records with these lacks nothing.
            Body::Compare(_) => Conduct::Say(Body::Holdings(Holdings::default())),
            _ => Conduct::Honest,
        }
    }
}

/// Names its neighbours like an honest node, and drops every record that it is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Withholder;

impl Adversary for Withholder {
    fn answer<'a>(&'a self, _me: &NodeId, request: &Message<'_>) -> Conduct<'a> {
        match &request.body {
            // The node behind it never gets anything to store, and answers gets with its neighbours.
            Body::Put(_) => Conduct::Say(Body::Stored(Empty {})),
            _ => Conduct::Honest,
        }
    }
}

/// Names twenty nodes near each point, of which none exists, at addresses where nobody is.
#[derive(Clone, Copy, Debug)]
pub struct Liar {
    bits: usize,
    agrees: bool,
}

impl Liar {
    /// A liar whose nodes share so many bits with the point: many, and they are the closest of all; about as many as the
    /// closest that exist, and nobody can tell them from these by where they are.
    ///
    /// # Panics
    /// When there are more than 256 bits.
    pub fn sharing(bits: usize) -> Self {
        assert!(bits <= 256, "an identifier has 256 bits, not {bits}");
        Self { bits, agrees: false }
    }

    /// One who names what all others of this kind name for the same point: whom many name need not be asked with care.
    pub fn agreeing(self) -> Self {
        Self { agrees: true, ..self }
    }
}

impl Adversary for Liar {
    fn answer<'a>(&'a self, me: &NodeId, request: &Message<'_>) -> Conduct<'a> {
        let point = match &request.body {
            Body::FindNode(find) => find.target,
            Body::Get(get) => get.near.unwrap_or(get.key),
            Body::Put(_) => return Conduct::Say(Body::Stored(Empty {})),
            _ => return Conduct::Honest,
        };
        let ghost = |n: u8| {
            let mut octets = if self.agrees { *point.as_bytes() } else { *me.as_bytes() };
            octets.rotate_left(usize::from(n) + 1);
            Peer { id: point.within(self.bits, octets), address: ([240, octets[0], octets[1], 1], 4000).into() }
        };
        let nodes = List((0..MAX_NODES as u8).map(ghost).collect());
        Conduct::Say(Body::Nodes(Nodes { token: [0; 16], nodes }))
    }
}

/// Takes part in everything but never answers a question: whoever waits for it loses time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mute;

impl Adversary for Mute {
    fn answer<'a>(&'a self, _me: &NodeId, request: &Message<'_>) -> Conduct<'a> {
        if matches!(request.body, Body::Ping(_)) { Conduct::Honest } else { Conduct::Silent }
    }
}
