use core::hash::Hasher as _;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::Instant;
use rand_core::CryptoRng;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::id::{Key, NodeId};
use crate::wire::{Token, Transaction};

/// How long one period of write tokens lasts; a token is good in its own and the next.
const TOKEN_PERIOD: Duration = Duration::from_secs(5 * 60);

/// What a node must be able to make up and nobody else to guess, all from one key that the caller's generator drew:
/// transaction identifiers, write tokens, the points of refresh lookups, and where an address is counted.
#[derive(Clone)]
pub(super) struct Secrets {
    key: (u64, u64),
    drawn: u64,
}

#[derive(Clone, Copy)]
enum Purpose {
    Draw = 1,
    Token = 2,
    Slot = 3,
}

impl Secrets {
    pub(super) fn new(rng: &mut impl CryptoRng) -> Self {
        Self { key: (rng.next_u64(), rng.next_u64()), drawn: 0 }
    }

    pub(super) fn transaction(&mut self) -> Transaction {
        (self.draw() as u64).to_be_bytes()
    }

    pub(super) fn octets(&mut self) -> [u8; 32] {
        let mut octets = [0; 32];
        octets.chunks_exact_mut(16).for_each(|half| half.copy_from_slice(&self.draw().to_be_bytes()));
        octets
    }

    /// Between three and five quarters of a duration.
    pub(super) fn about(&mut self, duration: Duration) -> Duration {
        let quarters = 768 + (self.draw() % 513) as u32;
        duration.saturating_mul(quarters) / 1024
    }

    /// What lets whoever receives datagrams at this address put the record at `key` here.
    pub(super) fn token(&self, now: Instant, address: SocketAddr, sender: &NodeId, key: &Key) -> Token {
        self.token_of(period(now), address, sender, key).to_be_bytes()
    }

    pub(super) fn accepts(&self, now: Instant, token: &Token, address: SocketAddr, sender: &NodeId, key: &Key) -> bool {
        let token = u128::from_be_bytes(*token);
        let matches = |period| {
            // One comparison of the whole difference tells an attacker nothing by its time.
            core::hint::black_box(self.token_of(period, address, sender, key) ^ token) == 0
        };
        let period = period(now);
        matches(period) || period.checked_sub(1).is_some_and(matches)
    }

    /// Which of `slots` counters an address belongs to.
    pub(super) fn slot(&self, address: SocketAddr, slots: usize) -> usize {
        let mut hasher = self.hasher(Purpose::Slot);
        write_address(&mut hasher, address);
        (hasher.finish128().as_u128() % slots as u128) as usize
    }

    fn token_of(&self, period: u64, address: SocketAddr, sender: &NodeId, key: &Key) -> u128 {
        let mut hasher = self.hasher(Purpose::Token);
        hasher.write(&period.to_be_bytes());
        write_address(&mut hasher, address);
        hasher.write(sender.as_bytes());
        hasher.write(key.as_bytes());
        hasher.finish128().as_u128()
    }

    fn draw(&mut self) -> u128 {
        self.drawn += 1;
        let mut hasher = self.hasher(Purpose::Draw);
        hasher.write(&self.drawn.to_be_bytes());
        hasher.finish128().as_u128()
    }

    fn hasher(&self, purpose: Purpose) -> SipHasher24 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        hasher.write(&[purpose as u8]);
        hasher
    }
}

fn period(now: Instant) -> u64 {
    now.as_micros() / TOKEN_PERIOD.as_micros() as u64
}

/// Always 18 octets, so that what follows cannot be shifted.
fn write_address(hasher: &mut SipHasher24, address: SocketAddr) {
    let ip = match address {
        SocketAddr::V4(v4) => v4.ip().to_ipv6_mapped(),
        SocketAddr::V6(v6) => *v6.ip(),
    };
    hasher.write(&ip.octets());
    hasher.write(&address.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn a_token_is_good_for_its_address_node_key_and_two_periods() {
        let secrets = Secrets::new(&mut ChaCha20Rng::seed_from_u64(1));
        let other_node = Secrets::new(&mut ChaCha20Rng::seed_from_u64(2));
        let at = |secs: u64| Instant::from_micros(secs * 1_000_000);
        let (here, there): (SocketAddr, SocketAddr) = (([10, 0, 0, 1], 7).into(), ([10, 0, 0, 1], 8).into());
        let (a, b) = (NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32]));
        let token = secrets.token(at(299), here, &a, &b);
        assert!(secrets.accepts(at(299), &token, here, &a, &b));
        assert!(secrets.accepts(at(599), &token, here, &a, &b), "the next period");
        assert!(!secrets.accepts(at(600), &token, here, &a, &b), "the one after");
        assert!(!secrets.accepts(at(299), &token, there, &a, &b));
        assert!(!secrets.accepts(at(299), &token, here, &b, &b));
        assert!(!secrets.accepts(at(299), &token, here, &a, &a));
        assert!(!other_node.accepts(at(299), &token, here, &a, &b));
    }

    #[test]
    fn draws_do_not_repeat() {
        let mut secrets = Secrets::new(&mut ChaCha20Rng::seed_from_u64(1));
        let drawn: std::collections::BTreeSet<_> = (0..1000).map(|_| secrets.transaction()).collect();
        assert_eq!(drawn.len(), 1000);
        let spread = secrets.about(Duration::from_secs(4));
        assert!((3000..=5000).contains(&spread.as_millis()));
    }
}
