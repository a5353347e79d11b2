use core::net::SocketAddr;

use iot_core::Instant;

use crate::id::Id;
use crate::peer::{Address, Peer};

/// A node of the table: 72 octets for a 32-octet identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<const N: usize> {
    pub(super) id: Id<N>,
    pub(super) address: Address,
    pub(super) failures: u8,
    pub(super) seen: Instant,
}

impl<const N: usize> Entry<N> {
    /// Who it is.
    pub fn id(&self) -> &Id<N> {
        &self.id
    }

    /// Where it answered.
    pub fn address(&self) -> SocketAddr {
        self.address.into()
    }

    /// Its identifier and address.
    pub fn peer(&self) -> Peer<N> {
        Peer { id: self.id, address: self.address() }
    }

    /// When it last answered.
    pub fn seen(&self) -> Instant {
        self.seen
    }

    /// Requests that it left unanswered since it last answered, at most 255.
    pub fn failures(&self) -> u8 {
        self.failures
    }
}
