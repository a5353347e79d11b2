//! Who may send how much.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use iot_core::limits::OutOfRange;
use iot_core::{Instant, Rate, RateLimit};

use crate::recent::Recent;

/// Senders whose packets are counted. Beyond, the one that was silent longest is forgotten.
const MAX_SENDERS: usize = 4096;

/// Packets that a sender may send at once, in seconds of its rate.
const BURST: u64 = 4;

/// Who is counted as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// An address of IPv4, or a network of 64 bits of IPv6, whose addresses one host can all have.
    Network(IpAddr),
    /// Whoever writes to a topic of a broker: the first octets of the digest of its name.
    Topic([u8; 8]),
}

impl From<IpAddr> for Sender {
    fn from(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
            v4 => v4,
        })
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => write!(f, "{address}"),
            Self::Topic(digest) => write!(f, "topic {:016x}", u64::from_be_bytes(*digest)),
        }
    }
}

/// The limit of each sender.
pub struct Limits {
    rate: Rate,
    burst: u64,
    senders: Mutex<Recent<Sender, RateLimit>>,
}

impl Limits {
    /// Each sender may send so many packets a second, in the long run.
    ///
    /// # Errors
    ///
    /// For a rate of 0.
    pub fn new(a_second: u32) -> Result<Self, OutOfRange> {
        let (rate, burst) = (Rate::per_second(a_second.into())?, u64::from(a_second) * BURST);
        Ok(Self { rate, burst, senders: Mutex::new(Recent::new(MAX_SENDERS)) })
    }

    /// Whether this sender may send a packet now, which counts then.
    pub fn admits(&self, now: Instant, sender: Sender) -> bool {
        let full = || RateLimit::new(self.rate, self.burst, now).expect("a rate and a burst above 0 are possible");
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let mut limit = senders.get(&sender).cloned().unwrap_or_else(full);
        let taken = limit.try_take(now, 1);
        senders.enter(sender, limit);
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_a_host_are_one_sender() {
        let sender = |text: &str| Sender::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(sender("2001:db8::1"), sender("2001:db8::ffff:1"));
        assert_ne!(sender("2001:db8::1"), sender("2001:db8:0:1::1"));
        assert_eq!(sender("::ffff:192.0.2.1"), sender("192.0.2.1"));
        assert_ne!(sender("192.0.2.2"), sender("192.0.2.1"));
    }

    #[test]
    fn each_sender_has_a_burst_of_its_own() {
        let limits = Limits::new(1).unwrap();
        let admitted = |now, sender| (0..10).filter(|_| limits.admits(now, Sender::Topic([sender; 8]))).count();
        let later = Instant::from_micros(2_000_000);
        assert_eq!([1, 2, 1].map(|sender| admitted(Instant::START, sender)), [4, 4, 0]);
        assert_eq!([1, 3].map(|sender| admitted(later, sender)), [2, 4]);
    }
}
