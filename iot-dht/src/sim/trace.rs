use core::fmt;
use core::hash::Hasher as _;

use iot_core::Instant;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::sim::Host;
use crate::wire;

/// What happened, as one number: the sum of a hash of every datagram that came to its end, with the time, both hosts and
/// all octets but signatures. A sum does not depend on the order in which hosts that do not meet are simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    sum: u128,
    datagrams: u64,
}

impl Trace {
    /// How many datagrams are in it.
    pub fn datagrams(&self) -> u64 {
        self.datagrams
    }

    pub(super) fn add(&mut self, at: Instant, from: Host, to: Host, datagram: &[u8]) {
        let mut hasher = SipHasher13::new();
        hasher.write(&at.as_micros().to_le_bytes());
        hasher.write(&from.0.to_le_bytes());
        hasher.write(&to.0.to_le_bytes());
        wire::without_signatures(datagram, |part| hasher.write(part));
        self.sum = self.sum.wrapping_add(hasher.finish128().as_u128());
        self.datagrams += 1;
    }

    pub(super) fn merge(self, other: Self) -> Self {
        Self { sum: self.sum.wrapping_add(other.sum), datagrams: self.datagrams + other.datagrams }
    }
}

impl fmt::Display for Trace {
    /// Hexadecimal, 32 digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}
