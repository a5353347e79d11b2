use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use crate::peer::{Address, Scope, Subnet};

/// How many witnesses are remembered, each of another subnet.
const WITNESSES: usize = 16;
/// How many of them must agree before they are believed.
const QUORUM: usize = 12;

/// Where others say that they see this node.
///
/// Whoever passes on the challenges of a node to another, to use its proofs for itself, is seen by it at an address that is
/// not this node's. So a proof that names another address than most witnesses do is worth nothing. Witnesses who do not
/// agree are not believed, and then all proofs count: liars cannot make a node refuse the others'.
#[derive(Clone, Debug, Default)]
pub(super) struct Sightings(VecDeque<(Subnet, Address)>);

impl Sightings {
    /// Takes in where a witness says that it saw this node, and tells whether that can be.
    pub(super) fn agree(&mut self, witness: SocketAddr, seen: SocketAddr) -> bool {
        let own = self.own(seen);
        let (subnet, seen) = (Address::from(witness).subnet(), Address::from(seen));
        self.0.retain(|(of, _)| *of != subnet);
        self.0.truncate(WITNESSES - 1);
        self.0.push_front((subnet, seen));
        own.is_none_or(|own| own == SocketAddr::from(seen).ip())
    }

    /// Where this node is on the Internet, if most agree; of the same family as `like`. Behind a NAT the port differs from
    /// witness to witness.
    fn own(&self, like: SocketAddr) -> Option<IpAddr> {
        if Scope::of(&like.ip()) != Scope::Global {
            return None;
        }
        let ips = || self.0.iter().map(|(_, seen)| SocketAddr::from(*seen).ip());
        let believed = |ip: &IpAddr| ips().filter(|other| other == ip).count() >= QUORUM;
        ips().find(believed).filter(|ip| ip.is_ipv4() == like.is_ipv4())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn witness(n: u8) -> SocketAddr {
        SocketAddr::from(([20, 0, n, 1], 7))
    }

    #[test]
    fn an_address_that_most_have_not_seen_is_refused_once_they_agree() {
        let (own, other) = (address("30.0.0.1:7"), address("30.0.0.2:7"));
        let mut sightings = Sightings::default();
        assert!((0..11).all(|n| sightings.agree(witness(n), own)));
        assert!(sightings.agree(witness(100), other), "eleven are too few");
        assert!(sightings.agree(witness(12), own));
        assert!(!sightings.agree(witness(101), other));
        assert!(sightings.agree(witness(13), address("30.0.0.1:9")), "behind a NAT the port differs");
        assert!(sightings.agree(witness(14), address("192.168.0.2:7")), "in the local network it has another address");
        assert!(sightings.agree(witness(15), address("[2600::1]:7")), "as in the other family");
    }

    #[test]
    fn one_subnet_is_one_witness_and_a_moved_node_is_seen_anew() {
        let (own, other) = (address("30.0.0.1:7"), address("30.0.0.2:7"));
        let mut sightings = Sightings::default();
        (0..100).for_each(|_| assert!(sightings.agree(witness(1), other)));
        assert!((2..20).all(|n| sightings.agree(witness(n), own)));
        let refused = (20..40).filter(|n| !sightings.agree(witness(*n), other)).count();
        assert!(refused <= 5, "{refused}");
    }
}
