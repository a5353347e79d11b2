use alloc::collections::BTreeMap;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use iot_core::Instant;

use crate::sim::Host;

/// A NAT before one host, by the behaviour that RFC 4787 §4.1 and §5 tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat {
    /// For which of those to whom the host sends its packets leave from one port.
    pub mapping: Dependence,
    /// Who is let in to such a port.
    pub filtering: Dependence,
    /// How long both last after the host last sent. RFC 4787 §4.3 asks for at least two minutes.
    pub lifetime: Duration,
}

/// What a NAT looks at of those to whom its host sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependence {
    /// Nothing: one port for all, open for all.
    EndpointIndependent,
    /// Their address.
    AddressDependent,
    /// Their address and their port.
    AddressAndPortDependent,
}

impl Nat {
    /// One port for all, and open for all as long as the host sends to anybody: a full cone.
    pub const OPEN_CONE: Self = Self::cone(Dependence::EndpointIndependent);
    /// One port for all, open for whoever shares an address with those to whom the host has sent.
    pub const ADDRESS_CONE: Self = Self::cone(Dependence::AddressDependent);
    /// One port for all, open for those to whom the host has sent: most NATs.
    pub const PORT_CONE: Self = Self::cone(Dependence::AddressAndPortDependent);
    /// A port for each to whom the host sends, open for it alone.
    pub const SYMMETRIC: Self =
        Self { mapping: Dependence::AddressAndPortDependent, ..Self::cone(Dependence::AddressAndPortDependent) };

    const fn cone(filtering: Dependence) -> Self {
        Self { mapping: Dependence::EndpointIndependent, filtering, lifetime: Duration::from_secs(120) }
    }
}

/// What a NAT remembers.
#[derive(Clone, Debug)]
pub(super) struct Translator {
    nat: Nat,
    next_port: u16,
    ports: BTreeMap<Key, u16>,
    /// To whom was sent from each port, and when.
    sent: BTreeMap<(u16, Key), Instant>,
    /// When was sent last from each port.
    used: BTreeMap<u16, Instant>,
}

type Key = (Option<IpAddr>, Option<u16>);

impl Dependence {
    fn key(self, address: SocketAddr) -> Key {
        match self {
            Self::EndpointIndependent => (None, None),
            Self::AddressDependent => (Some(address.ip()), None),
            Self::AddressAndPortDependent => (Some(address.ip()), Some(address.port())),
        }
    }
}

impl Translator {
    pub(super) fn new(nat: Nat) -> Self {
        Self { nat, next_port: Host::PORT, ports: BTreeMap::new(), sent: BTreeMap::new(), used: BTreeMap::new() }
    }

    /// From which port a packet leaves.
    pub(super) fn send(&mut self, now: Instant, to: SocketAddr) -> u16 {
        if self.sent.len() >= 1024 {
            self.forget(now);
        }
        let key = self.nat.mapping.key(to);
        let fresh = |port: &u16| self.used.get(port).is_some_and(|at| now.saturating_since(*at) <= self.nat.lifetime);
        let port = match self.ports.get(&key).copied().filter(fresh) {
            Some(port) => port,
            None => {
                let port = self.next_port;
                self.next_port = self.next_port.checked_add(1).unwrap_or(Host::PORT);
                port
            }
        };
        self.ports.insert(key, port);
        self.used.insert(port, now);
        self.sent.insert((port, self.nat.filtering.key(to)), now);
        port
    }

    /// Whether what comes from there to this port reaches the host.
    pub(super) fn lets_in(&self, now: Instant, from: SocketAddr, port: u16) -> bool {
        let sent = self.sent.get(&(port, self.nat.filtering.key(from)));
        sent.is_some_and(|at| now.saturating_since(*at) <= self.nat.lifetime)
    }

    fn forget(&mut self, now: Instant) {
        let lifetime = self.nat.lifetime;
        self.sent.retain(|_, at| now.saturating_since(*at) <= lifetime);
        self.used.retain(|_, at| now.saturating_since(*at) <= lifetime);
        let used = &self.used;
        self.ports.retain(|_, port| used.contains_key(port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_micros(secs * 1_000_000)
    }

    #[test]
    fn each_kind_maps_and_filters_by_what_it_looks_at() {
        let [there, same_address, elsewhere]: [SocketAddr; 3] =
            [([2, 0, 0, 1], 7).into(), ([2, 0, 0, 1], 8).into(), ([3, 0, 0, 1], 7).into()];
        let let_in = |nat: Nat| {
            let mut translator = Translator::new(nat);
            let port = translator.send(at(1), there);
            let let_in = [there, same_address, elsewhere].map(|from| translator.lets_in(at(100), from, port));
            assert!(!translator.lets_in(at(122), there, port), "the mapping is over");
            assert!(!translator.lets_in(at(100), there, port + 1), "nothing was sent from there");
            (let_in, [there, same_address, elsewhere].map(|to| translator.send(at(2), to) == port))
        };
        assert_eq!(let_in(Nat::OPEN_CONE), ([true; 3], [true; 3]));
        assert_eq!(let_in(Nat::ADDRESS_CONE), ([true, true, false], [true; 3]));
        assert_eq!(let_in(Nat::PORT_CONE), ([true, false, false], [true; 3]));
        assert_eq!(let_in(Nat::SYMMETRIC), ([true, false, false], [true, false, false]));
        let by_address = Nat { mapping: Dependence::AddressDependent, ..Nat::PORT_CONE };
        assert_eq!(let_in(by_address), ([true, false, false], [true, true, false]));
    }

    #[test]
    fn what_a_nat_remembers_is_bounded_and_a_mapping_ends() {
        let mut translator = Translator::new(Nat::SYMMETRIC);
        let to = |n: u64| SocketAddr::from(([2, 0, (n >> 8) as u8, n as u8], 7));
        let first = translator.send(at(0), to(0));
        for n in 0..5000 {
            translator.send(at(n), to(n));
        }
        assert!(translator.sent.len() <= 1025 && translator.ports.len() <= 1025, "{}", translator.sent.len());
        assert_ne!(translator.send(at(5000), to(0)), first, "the old mapping was over");
    }
}
