use core::hash::Hasher as _;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::Instant;
use rand_core::CryptoRng;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::id::{Key, NodeId};
use crate::peer::Address;
use crate::wire::{Cookie, Nonce, Token, Transaction};

/// How long one period of write tokens lasts; a token is good in its own and the next.
const TOKEN_PERIOD: Duration = Duration::from_secs(5 * 60);

/// How long one period of cookies lasts; a cookie is good in its own and the next.
pub(super) const COOKIE_PERIOD: Duration = Duration::from_secs(60 * 60);

/// What a node must be able to make up and nobody else to guess, all from one key that the caller's generator drew:
/// transaction identifiers, write tokens, cookies, challenges, the points of refresh lookups, and where an address is
/// counted.
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
    Cookie = 4,
    Nonce = 5,
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

    /// What shows that `sender` receives what is sent to this address.
    pub(super) fn cookie(&self, now: Instant, address: SocketAddr, sender: &NodeId) -> Cookie {
        self.of_sender(Purpose::Cookie, cookie_period(now), address, sender)
    }

    /// How old a cookie is, if it is one that still counts.
    pub(super) fn age(&self, now: Instant, cookie: &Cookie, address: SocketAddr, sender: &NodeId) -> Option<Age> {
        let cookie = u64::from_be_bytes(*cookie);
        let matches = |period| {
            let of_period = u64::from_be_bytes(self.of_sender(Purpose::Cookie, period, address, sender));
            core::hint::black_box(of_period ^ cookie) == 0
        };
        let period = cookie_period(now);
        if matches(period) {
            return Some(Age::Fresh);
        }
        period.checked_sub(1).filter(|period| matches(*period)).map(|_| Age::Stale)
    }

    /// What a node at this address must prove itself for, when nothing is kept of it until it does.
    pub(super) fn nonce(&self, now: Instant, address: SocketAddr, sender: &NodeId) -> Nonce {
        self.nonce_of(cookie_period(now), address, sender)
    }

    pub(super) fn has_challenged(&self, now: Instant, nonce: &Nonce, address: SocketAddr, sender: &NodeId) -> bool {
        let period = cookie_period(now);
        let periods = [Some(period), period.checked_sub(1)];
        periods.into_iter().flatten().any(|period| self.nonce_of(period, address, sender) == *nonce)
    }

    /// Which of `slots` counters an address belongs to.
    pub(super) fn slot(&self, address: SocketAddr, slots: usize) -> usize {
        let mut hasher = self.hasher(Purpose::Slot);
        hasher.write(&Address::from(address).to_octets());
        (hasher.finish128().as_u128() % slots as u128) as usize
    }

    fn token_of(&self, period: u64, address: SocketAddr, sender: &NodeId, key: &Key) -> u128 {
        let mut hasher = self.hasher(Purpose::Token);
        hasher.write(&period.to_be_bytes());
        hasher.write(&Address::from(address).to_octets());
        hasher.write(sender.as_bytes());
        hasher.write(key.as_bytes());
        hasher.finish128().as_u128()
    }

    fn nonce_of(&self, period: u64, address: SocketAddr, sender: &NodeId) -> Nonce {
        self.of_sender(Purpose::Nonce, period, address, sender)
    }

    fn of_sender(&self, purpose: Purpose, period: u64, address: SocketAddr, sender: &NodeId) -> [u8; 8] {
        let mut hasher = self.hasher(purpose);
        hasher.write(&period.to_be_bytes());
        hasher.write(&Address::from(address).to_octets());
        hasher.write(sender.as_bytes());
        (hasher.finish128().as_u128() as u64).to_be_bytes()
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

/// Of which of the two periods in which it counts a cookie is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// Of the present one.
    Fresh,
    /// Of the one before.
    Stale,
}

fn cookie_period(now: Instant) -> u64 {
    now.as_micros() / COOKIE_PERIOD.as_micros() as u64
}

fn period(now: Instant) -> u64 {
    now.as_micros() / TOKEN_PERIOD.as_micros() as u64
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
    fn a_cookie_is_good_for_its_address_node_and_two_periods() {
        let secrets = Secrets::new(&mut ChaCha20Rng::seed_from_u64(1));
        let at = |secs: u64| Instant::from_micros(secs * 1_000_000);
        let (here, there): (SocketAddr, SocketAddr) = (([10, 0, 0, 1], 7).into(), ([10, 0, 0, 2], 7).into());
        let (a, b) = (NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32]));
        let cookie = secrets.cookie(at(3599), here, &a);
        assert_eq!(secrets.age(at(3599), &cookie, here, &a), Some(Age::Fresh));
        assert_eq!(secrets.age(at(7199), &cookie, here, &a), Some(Age::Stale));
        assert_eq!(secrets.age(at(7200), &cookie, here, &a), None);
        assert_eq!(secrets.age(at(3599), &cookie, there, &a), None);
        assert_eq!(secrets.age(at(3599), &cookie, here, &b), None);
        let nonce = secrets.nonce(at(3599), here, &a);
        assert!(
            secrets.has_challenged(at(7199), &nonce, here, &a) && !secrets.has_challenged(at(7200), &nonce, here, &a)
        );
        assert!(!secrets.has_challenged(at(0), &nonce, there, &a) && !secrets.has_challenged(at(0), &nonce, here, &b));
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
