use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use iot_core::Instant;

use crate::node::Node;
use crate::sim::adversary::Adversary;

/// A machine of the simulated network, by its number. Its address follows from it, and has a /24 of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub(super) u32);

impl Host {
    /// The most hosts of a simulation: so many /24 fit below the multicast addresses.
    pub const MAX: u32 = 14_000_000;

    const FIRST: u32 = 0x0100_0001;
    const PORT: u16 = 4000;

    /// Its number, counted from 0 in the order in which hosts were made.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Where it is.
    pub fn address(self) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::from(Self::FIRST + (self.0 << 8)).into(), Self::PORT)
    }

    /// Whose address it is, whether that host was made or not.
    pub fn at(address: SocketAddr) -> Option<Self> {
        let IpAddr::V4(ip) = address.ip() else { return None };
        let offset = u32::from(ip).checked_sub(Self::FIRST)?;
        let host = Self(offset >> 8);
        (offset & 0xff == 0 && host.0 < Self::MAX && address.port() == Self::PORT).then_some(host)
    }
}

/// Who can reach a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody.
    Open,
    /// A host behind a NAT that filters by address and port (RFC 4787 §5): only those to whom it has sent within this
    /// time. RFC 4787 §4.3 asks for at least two minutes.
    Filtered {
        /// How long an answer is let in.
        lifetime: Duration,
    },
}

/// A host that is there.
pub(super) struct Member {
    pub(super) node: Node,
    /// Who answers in the node's place.
    pub(super) adversary: Option<Arc<dyn Adversary>>,
    reach: Reach,
    /// To whom a filtered host has sent, and when.
    sent_to: BTreeMap<Host, Instant>,
    /// Datagrams that it has sent.
    pub(super) sent: u32,
    /// When its node wants to be looked at.
    pub(super) deadline: Option<Instant>,
    /// The earliest moment for which a timer is queued.
    pub(super) timer: Option<Instant>,
}

impl Member {
    pub(super) fn new(node: Node, reach: Reach) -> Self {
        Self { node, adversary: None, reach, sent_to: BTreeMap::new(), sent: 0, deadline: None, timer: None }
    }

    pub(super) fn note_sent(&mut self, now: Instant, to: Host) {
        if let Reach::Filtered { lifetime } = self.reach {
            self.sent_to.insert(to, now);
            if self.sent_to.len() > 1024 {
                self.sent_to.retain(|_, at| now.saturating_since(*at) <= lifetime);
            }
        }
    }

    pub(super) fn lets_in(&self, now: Instant, from: Host) -> bool {
        match self.reach {
            Reach::Open => true,
            Reach::Filtered { lifetime } => {
                self.sent_to.get(&from).is_some_and(|at| now.saturating_since(*at) <= lifetime)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_the_host() {
        for host in [Host(0), Host(1), Host(99_999), Host(Host::MAX - 1)] {
            assert_eq!(Host::at(host.address()), Some(host));
            assert!(
                u32::from_be_bytes(match host.address().ip() {
                    IpAddr::V4(ip) => ip.octets(),
                    IpAddr::V6(_) => [0; 4],
                }) < 0xe000_0000
            );
        }
        for foreign in ["1.0.0.2:4000", "1.0.0.1:4001", "0.0.0.1:4000", "239.0.0.1:4000", "[::1]:4000"] {
            assert_eq!(Host::at(foreign.parse().unwrap()), None, "{foreign}");
        }
    }
}
