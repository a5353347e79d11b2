use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::id::Id;

/// A node and where it can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer<const N: usize> {
    /// Who it is.
    pub id: Id<N>,
    /// Where its datagrams go.
    pub address: SocketAddr,
}

impl<const N: usize> Peer<N> {
    /// The peer with its address in canonical form, unless nothing can be sent there: a stranger's claim.
    pub(crate) fn usable(self) -> Option<Self> {
        let address = SocketAddr::from(Address::from(self.address));
        let ip = address.ip();
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        let usable = address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast;
        usable.then_some(Self { address, ..self })
    }

    /// The same of a peer that somebody at `witness` has named: nobody far away knows who is in this node's own network, and
    /// nobody may make it send there.
    pub(crate) fn usable_from(self, witness: SocketAddr) -> Option<Self> {
        self.usable().filter(|peer| Scope::of(&peer.address.ip()) >= Scope::of(&witness.ip()))
    }
}

/// A socket address in 24 octets: IPv4 as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2).
///
/// An IPv4-mapped IPv6 address comes back as the IPv4 address that it means. A flow label is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    ip: [u8; 16],
    scope: u32,
    port: u16,
}

impl Address {
    /// Octets of [`to_octets`](Self::to_octets).
    pub(crate) const LEN: usize = 18;

    /// The address and the port, always as many octets, so that what follows cannot be shifted.
    pub(crate) fn to_octets(self) -> [u8; Self::LEN] {
        let mut octets = [0; Self::LEN];
        octets[..16].copy_from_slice(&self.ip);
        octets[16..].copy_from_slice(&self.port.to_be_bytes());
        octets
    }

    /// The network that a limit counts by: an IPv4 /24 or an IPv6 /64.
    pub(crate) fn subnet(&self) -> Subnet {
        let (ip, host_bits) = (u128::from_be_bytes(self.ip), self.host_bits());
        Subnet(ip >> host_bits << host_bits)
    }

    /// Whether both are of one [`subnet`](Self::subnet).
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        let differ = u128::from_be_bytes(self.ip) ^ u128::from_be_bytes(other.ip);
        let host_bits = other.host_bits();
        // The network of an IPv6 address may hold the IPv4-mapped ones, which are of other networks.
        differ >> host_bits == 0 && (host_bits == IPV4_HOST_BITS || self.host_bits() == host_bits)
    }

    fn host_bits(&self) -> u32 {
        if u128::from_be_bytes(self.ip) >> 32 == IPV4_MAPPED { IPV4_HOST_BITS } else { 64 }
    }
}

/// Bits that tell the hosts of one network apart.
const IPV4_HOST_BITS: u32 = 8;

/// The first 96 bits of an IPv4-mapped address.
const IPV4_MAPPED: u128 = 0xffff;

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self { ip: v4.ip().to_ipv6_mapped().octets(), scope: 0, port: v4.port() },
            SocketAddr::V6(v6) => Self { ip: v6.ip().octets(), scope: v6.scope_id(), port: v6.port() },
        }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        let ip = Ipv6Addr::from(address.ip);
        match ip.to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), address.port),
            None => SocketAddrV6::new(ip, address.port, 0, address.scope).into(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subnet(u128);

impl Subnet {
    /// The same number for the same subnet, and for few others.
    pub(crate) fn tag(self) -> u16 {
        // Of an IPv4 subnet one half is zero, of an IPv6 subnet the other. The factor is that of Fibonacci hashing (Knuth,
        // The Art of Computer Programming, volume 3, §6.4).
        let half = (self.0 >> 64) as u64 ^ self.0 as u64;
        (half.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16
    }

    pub(crate) fn to_octets(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(crate) fn from_octets(octets: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(octets))
    }
}

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Within a machine.
    Loopback,
    /// Within a link (RFC 3927, RFC 4291 §2.5.6).
    Link,
    /// Within a site (RFC 1918, RFC 4193).
    Site,
    /// Everywhere.
    Global,
}

impl Scope {
    pub(crate) fn of(ip: &IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self::Loopback,
            IpAddr::V4(ip) if ip.is_link_local() => Self::Link,
            IpAddr::V4(ip) if ip.is_private() => Self::Site,
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Self::Link,
            IpAddr::V6(ip) if ip.is_unique_local() => Self::Site,
            IpAddr::V4(_) | IpAddr::V6(_) => Self::Global,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_its_compact_form() {
        for text in ["127.0.0.1:4000", "255.1.2.3:65535", "[2001:db8::7]:1", "[fe80::1%3]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddr::from(Address::from(address)), address, "{text}");
        }
        assert!(size_of::<Address>() <= 24);
    }

    #[test]
    fn nothing_is_sent_where_nobody_can_be() {
        let usable = |text: &str| {
            let peer = Peer { id: Id::from_bytes([0; 4]), address: text.parse().unwrap() };
            peer.usable().map(|peer| peer.address)
        };
        for nowhere in ["10.0.0.1:0", "0.0.0.0:7", "255.255.255.255:7", "224.0.0.1:7", "[::]:7", "[ff02::1]:7"] {
            assert_eq!(usable(nowhere), None, "{nowhere}");
        }
        assert_eq!(usable("10.0.0.1:7"), Some("10.0.0.1:7".parse().unwrap()));
        assert_eq!(usable("[::ffff:10.0.0.1]:7"), Some("10.0.0.1:7".parse().unwrap()));
    }

    #[test]
    fn nobody_far_away_names_addresses_of_the_own_network() {
        let named = |named: &str, witness: &str| {
            let peer = Peer { id: Id::from_bytes([0; 4]), address: named.parse().unwrap() };
            peer.usable_from(witness.parse().unwrap()).is_some()
        };
        for inside in ["127.0.0.1:7", "[::1]:7", "192.168.0.1:7", "169.254.0.1:7", "[fe80::1]:7", "[fd00::1]:7"] {
            assert!(!named(inside, "20.0.0.1:7") && named(inside, "127.0.0.1:9"), "{inside}");
            assert!(named("20.0.0.1:7", inside));
        }
        assert!(named("10.0.0.1:7", "192.168.0.1:7") && !named("127.0.0.1:7", "10.0.0.1:7"));
    }

    #[test]
    fn neighbours_of_a_subnet_are_one() {
        let subnet = |text: &str| Address::from(text.parse::<SocketAddr>().unwrap()).subnet();
        assert_eq!(subnet("10.1.2.3:1"), subnet("10.1.2.200:9"));
        assert_ne!(subnet("10.1.2.3:1"), subnet("10.1.3.3:1"));
        let addresses =
            ["10.1.2.3:1", "10.1.2.200:9", "10.1.3.3:1", "[::7]:1", "[2001:db8:0:1::7]:1", "[2001:db8:0:1:f::]:1"];
        let addresses = addresses.map(|text| Address::from(text.parse::<SocketAddr>().unwrap()));
        for (a, b) in addresses.iter().flat_map(|a| addresses.iter().map(move |b| (a, b))) {
            assert_eq!(a.is_beside(b), a.subnet() == b.subnet(), "{a:?} {b:?}");
        }
        assert_eq!(subnet("[2001:db8:0:1::7]:1"), subnet("[2001:db8:0:1:ffff::7]:1"));
        assert_ne!(subnet("[2001:db8:0:1::7]:1"), subnet("[2001:db8:0:2::7]:1"));
    }
}
