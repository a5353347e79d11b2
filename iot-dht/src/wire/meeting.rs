//! What nodes say to learn whether they can be reached, and to meet where they cannot.

use iot_codec::record;

use crate::id::NodeId;
use crate::wire::{Empty, Endpoint};

/// The most octets that one datagram carries for the users of two nodes.
pub const MAX_PAYLOAD_LEN: usize = 1_100;

/// Names the meeting of two nodes, and permits to send in its course: eight random octets, drawn by who introduced them.
/// It stands where the transaction of a request stands.
pub type Pass = [u8; 8];

record! {
    /// What a node is asked to do for one that may not be reachable.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Ask {
        /// To have somebody else send to the asker, under the transaction of this request.
        0 => Probe(Empty),
        /// To pass on what is meant for the asker.
        1 => Reserve(Reserve),
        /// To introduce the asker to a node.
        2 => Introduce(Introduce),
    }
}

record! {
    /// The answers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Reply {
        /// Somebody was told to send to the asker.
        0 => Probed(Probed),
        /// The asker has a lease.
        1 => Reserved(Reserved),
        /// The other one was told, too.
        2 => Introduced(Introduced),
        /// It is not done.
        3 => Declined(Declined),
    }
}

record! {
    /// What is neither asked nor answered.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Word<'b> {
        /// To somebody who knows the sender: to send [`Tried`](Self::Tried) to an address.
        0 => Try(Try),
        /// To a node that wants to know whether strangers reach it.
        1 => Tried(Tried),
        /// To the holder of a lease: somebody wants to meet it.
        2 => Meet(Meet),
        /// To the other end of a meeting: opens the sender's NAT, asks whether it comes through.
        3 => Punch(Empty),
        /// Answers a punch.
        4 => Punched(Empty),
        /// To the other end: octets of its user.
        5 => Data(Data<'b>),
        /// To a relay: octets for the other end.
        6 => Carry(Data<'b>),
        /// From a relay: octets of the other end.
        7 => Carried(Data<'b>),
        /// From a relay: it carries nothing more, or knows of no such meeting.
        8 => Closed(Empty),
    }
}

record! {
    /// Asks for a lease, or for more time.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Reserve {
        /// For how long; 0 ends the lease.
        0 => pub seconds: u32,
        /// The round-trip time to the receiver in milliseconds, as far as it is known.
        1 => pub rtt: Option<u16>,
    }
}

record! {
    /// Asks for an introduction.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Introduce {
        /// Whom the asker wants to meet: the receiver, or a node that has a lease there.
        0 => pub to: NodeId,
        /// The round-trip time to the receiver in milliseconds, as far as it is known.
        1 => pub rtt: Option<u16>,
    }
}

record! {
    /// Says that somebody was told to send to the asker.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Probed {
        /// Where the asker is seen.
        0 => pub seen: Endpoint,
    }
}

record! {
    /// Gives a lease.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Reserved {
        /// For how long, at most what was asked for.
        0 => pub seconds: u32,
        /// Where the asker is seen.
        1 => pub seen: Endpoint,
    }
}

record! {
    /// Introduces the asker.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Introduced {
        /// Where the other one is seen.
        0 => pub address: Endpoint,
        /// Names the meeting.
        1 => pub pass: Pass,
        /// After how many milliseconds both send.
        2 => pub after: u16,
    }
}

record! {
    /// Says why it is not done.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Declined {
        /// Why.
        0 => pub reason: Decline,
    }
}

record! {
    /// Why a node does not do what it was asked to.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Decline {
        /// It does so for as many as it can.
        0 => Full,
        /// It does so for as many of this subnet as it will.
        1 => Quota,
        /// It knows nobody who could: no node to send a probe, none with this lease.
        2 => Nobody,
    }
}

record! {
    /// Has somebody send to an address.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Try {
        /// Where: the address from which the sender was asked.
        0 => pub address: Endpoint,
    }
}

record! {
    /// Reaches a node that may have thought that nobody can.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Tried {
        /// Where this was sent to.
        0 => pub address: Endpoint,
    }
}

record! {
    /// Introduces somebody to the holder of a lease, under the pass of the meeting.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Meet {
        /// Who it claims to be.
        0 => pub peer: NodeId,
        /// Where it is seen.
        1 => pub address: Endpoint,
        /// After how many milliseconds both send.
        2 => pub after: u16,
    }
}

record! {
    /// Octets of a user, which mean nothing to nodes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Data<'b> {
        /// At most [`MAX_PAYLOAD_LEN`]; none from who only wants to keep a path open.
        0 => pub payload: &'b [u8],
    }
}
