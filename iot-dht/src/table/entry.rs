use core::net::SocketAddr;
use core::time::Duration;

use iot_core::Instant;

use crate::id::Id;
use crate::peer::{Address, Peer};
use crate::rtt::Rtt;
use crate::wire::Cookie;

/// A node of the table: 80 octets for a 32-octet identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<const N: usize> {
    pub(super) id: Id<N>,
    pub(super) address: Address,
    pub(super) seen: Instant,
    /// What it gave to show that this node receives what is sent to its address; zeros, if it gave nothing.
    pub(super) cookie: Cookie,
    pub(super) rtt: Rtt,
    pub(super) failures: u8,
    /// The last eight requests, the most recent in the lowest bit; 1 is one without an answer.
    pub(super) outcomes: u8,
}

impl<const N: usize> Entry<N> {
    pub(super) fn new(now: Instant, peer: &Peer<N>) -> Self {
        let address = Address::from(peer.address);
        Self { id: peer.id, address, seen: now, cookie: [0; 8], rtt: Rtt::default(), failures: 0, outcomes: 0 }
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.seen = now;
        self.failures = 0;
        self.outcomes <<= 1;
    }

    pub(super) fn left_unanswered(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.outcomes = self.outcomes << 1 | 1;
    }

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

    /// The cookie that it gave, if it did.
    pub(crate) fn cookie(&self) -> Option<Cookie> {
        (self.cookie != [0; 8]).then_some(self.cookie)
    }

    /// When it last answered.
    pub fn seen(&self) -> Instant {
        self.seen
    }

    /// Requests that it left unanswered since it last answered, at most 255.
    pub fn failures(&self) -> u8 {
        self.failures
    }

    /// How many of the last eight requests it left unanswered.
    pub fn lost_of_eight(&self) -> u32 {
        self.outcomes.count_ones()
    }

    /// Its smoothed round-trip time (RFC 6298 §2), once one was measured.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt.smoothed()
    }
}
