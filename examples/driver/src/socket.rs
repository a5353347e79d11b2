use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a process reaches a socket of its own that is bound to `local`.
pub fn own_address(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, local.port())
}

/// The form of an address that a socket bound to `local` sends to: nodes write an IPv4 address as such, and an IPv6
/// socket, which reaches IPv4 too where the system lets it, wants it mapped (RFC 4291 §2.5.5.2).
pub fn sendable(local: SocketAddr, to: SocketAddr) -> SocketAddr {
    match (local, to.ip()) {
        (SocketAddr::V6(_), IpAddr::V4(ip)) => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
        _ => to,
    }
}

/// Whether a socket that said this still works: nothing came in time, a signal came instead, or a datagram that was sent
/// earlier found nobody.
pub fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted | ConnectionReset | ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_socket_sends_to_mapped_ipv4_addresses() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let (v4, v6) = (address("10.0.0.1:4000"), address("[2001:db8::1]:4000"));
        assert_eq!(sendable(address("[::]:1"), v4), address("[::ffff:10.0.0.1]:4000"));
        assert_eq!(sendable(address("[::]:1"), v6), v6);
        assert_eq!(sendable(address("0.0.0.0:1"), v4), v4);
        assert_eq!(own_address(address("[::]:7")), address("[::1]:7"));
        assert_eq!(own_address(address("0.0.0.0:7")), address("127.0.0.1:7"));
        assert_eq!(own_address(v4), v4);
    }
}
