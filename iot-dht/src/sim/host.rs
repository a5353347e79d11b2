use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use iot_core::Instant;

use crate::node::Node;
use crate::sim::adversary::Adversary;
use crate::sim::nat::{Nat, Translator};

/// A machine of the simulated network, by its number. Its address follows from it, and has a /24 of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub(super) u32);

impl Host {
    /// The most hosts of a simulation: so many /24 fit below the multicast addresses.
    pub const MAX: u32 = 14_000_000;

    const FIRST: u32 = 0x0100_0001;
    pub(super) const PORT: u16 = 4000;

    /// Its number, counted from 0 in the order in which hosts were made.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Where it is.
    pub fn address(self) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::from(Self::FIRST + (self.0 << 8)).into(), Self::PORT)
    }

    /// Whose address it is, whether that host was made or not, and whatever the port: a NAT before a host may have many.
    pub fn at(address: SocketAddr) -> Option<Self> {
        let IpAddr::V4(ip) = address.ip() else { return None };
        let offset = u32::from(ip).checked_sub(Self::FIRST)?;
        let host = Self(offset >> 8);
        (offset & 0xff == 0 && host.0 < Self::MAX).then_some(host)
    }

    pub(super) fn at_port(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address().ip(), port)
    }
}

/// Who can reach a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody.
    Open,
    /// Those whom the NAT before it lets in.
    Behind(Nat),
}

/// A host that is there.
pub(super) struct Member {
    pub(super) node: Node,
    /// Who answers in the node's place.
    pub(super) adversary: Option<Arc<dyn Adversary>>,
    /// The NAT before it.
    nat: Option<Box<Translator>>,
    /// Datagrams that it has sent.
    pub(super) sent: u32,
    /// When its node wants to be looked at.
    pub(super) deadline: Option<Instant>,
    /// The earliest moment for which a timer is queued.
    pub(super) timer: Option<Instant>,
}

impl Member {
    pub(super) fn new(node: Node, reach: Reach) -> Self {
        let nat = match reach {
            Reach::Open => None,
            Reach::Behind(nat) => Some(Box::new(Translator::new(nat))),
        };
        Self { node, adversary: None, nat, sent: 0, deadline: None, timer: None }
    }

    /// From which port what the host sends there leaves.
    pub(super) fn port_to(&mut self, now: Instant, to: SocketAddr) -> u16 {
        self.nat.as_mut().map_or(Host::PORT, |nat| nat.send(now, to))
    }

    pub(super) fn lets_in(&self, now: Instant, from: SocketAddr, port: u16) -> bool {
        match &self.nat {
            None => port == Host::PORT,
            Some(nat) => nat.lets_in(now, from, port),
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
        for foreign in ["1.0.0.2:4000", "0.0.0.1:4000", "239.0.0.1:4000", "[::1]:4000"] {
            assert_eq!(Host::at(foreign.parse().unwrap()), None, "{foreign}");
        }
    }
}
