use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::hash::Hasher as _;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::{Instant, Timestamp};
use rand_core::CryptoRng;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::id::Key;
use crate::node::Transmit;
use crate::peer::Address;
use crate::setters::setters;
use crate::store::Store;
use crate::subscription::wire::{Body, Challenge, Changed, Cookie, Granted, LeaseId, Message, Refused, Subscribe};
use crate::wire::MAX_DATAGRAM_LEN;

/// How many leases a node gives, and how it pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeasesConfig {
    leases: usize,
    key: usize,
    subnet: usize,
    longest: Duration,
    delay: Duration,
    retry: Duration,
    attempts: u8,
}

impl LeasesConfig {
    setters! {
        /// How many leases there are in all, at least 1; 1,024 by default. At the bound a subscriber is refused.
        leases: usize, |count| count > 0, "at least one lease";
        /// How many there are of one record, at least 1; 64 by default. At the bound a subscriber is refused.
        key: usize, |count| count > 0, "at least one lease of a record";
        /// How many there are of one subnet (/24, /64), at least 1; 32 by default. At the bound a subscriber is refused.
        subnet: usize, |count| count > 0, "at least one lease of a subnet";
        /// For how long a lease is given at most, 1 second to a day; 1 hour by default.
        longest: Duration, |time| (1..=86_400).contains(&time.as_secs()), "a lease of 1 second to a day";
        /// How often the store is looked at for what has changed, at least 10 ms; 250 ms by default. Of several changes in
        /// that time the last is pushed.
        delay: Duration, |time| time >= Duration::from_millis(10), "a delay of at least 10 ms";
        /// How long a push may go unanswered before it is repeated, at least 100 ms; 2 s by default.
        retry: Duration, |time| time >= Duration::from_millis(100), "a pause of at least 100 ms";
        /// How often a push is sent before the lease is over, at least 1; 3 by default.
        attempts: u8, |count| count > 0, "at least one attempt";
    }
}

impl Default for LeasesConfig {
    fn default() -> Self {
        Self {
            leases: 1024,
            key: 64,
            subnet: 32,
            longest: Duration::from_secs(3600),
            delay: Duration::from_millis(250),
            retry: Duration::from_secs(2),
            attempts: 3,
        }
    }
}

/// What [`Leases`] have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeasesStats {
    /// Leases that were given or prolonged.
    pub granted: u64,
    /// Subscribers that were refused at a bound.
    pub refused: u64,
    /// Subscribers that were sent a cookie first.
    pub challenged: u64,
    /// Versions of records that were pushed, repeats included.
    pub pushed: u64,
    /// Leases that ended because a push was not answered.
    pub unanswered: u64,
    /// Datagrams that were none of these, or belong to no lease.
    pub ignored: u64,
    /// Answers that were dropped because too many waited to be sent.
    pub dropped: u64,
}

/// The leases that a node has given.
///
/// Hand it the datagrams of which [`is_subscription`](super::is_subscription) says so, with the node's
/// [`store`](crate::Node::store); after each call drain [`poll_transmit`](Self::poll_transmit), and call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says.
///
/// # Work and memory
///
/// A datagram costs a walk over the leases, to count those of its subnet, and at most one answer. A time-out costs one
/// look into the store for each lease. No more is pushed at once than there are leases.
#[derive(Debug)]
pub struct Leases {
    config: LeasesConfig,
    secret: (u64, u64),
    leases: BTreeMap<(SocketAddr, LeaseId), Lease>,
    /// When the store is looked at next.
    look_at: Instant,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
    stats: LeasesStats,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    key: Key,
    until: Instant,
    /// The newest version that the subscriber has.
    seen: Option<u64>,
    push: Option<Push>,
}

#[derive(Clone, Copy, Debug)]
struct Push {
    sequence: u64,
    attempts: u8,
    retry_at: Instant,
}

/// The most answers that wait to be sent.
const MAX_ANSWERS: usize = 256;

/// How long a cookie is good: in the period in which it was made, and in the next.
const PERIOD: Duration = Duration::from_secs(300);

impl Leases {
    /// No lease yet. Draws its secret from `rng`, and nothing later.
    pub fn new(config: LeasesConfig, rng: &mut impl CryptoRng) -> Self {
        Self {
            config,
            secret: (rng.next_u64(), rng.next_u64()),
            leases: BTreeMap::new(),
            look_at: Instant::START,
            transmits: VecDeque::new(),
            stats: LeasesStats::default(),
        }
    }

    /// Takes in a datagram.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let from = Address::from(from).into();
        let Ok(Message { lease, body }) = Message::decode(datagram) else {
            self.stats.ignored += 1;
            return;
        };
        match body {
            Body::Subscribe(subscribe) => self.handle_subscribe(now, from, lease, &subscribe),
            Body::Seen(seen) => match self.leases.get_mut(&(from, lease)) {
                Some(lease) => {
                    // No later push can be taken for seen already.
                    let pushed = lease.push.map_or(lease.seen, |push| Some(push.sequence));
                    lease.seen = lease.seen.max(Some(seen.sequence).min(pushed));
                    lease.push = lease.push.filter(|push| push.sequence > seen.sequence);
                }
                None => self.stats.ignored += 1,
            },
            Body::Challenge(_) | Body::Granted(_) | Body::Refused(_) | Body::Changed(_) => self.stats.ignored += 1,
        }
    }

    /// Ends leases whose time is over, and pushes what has changed.
    pub fn handle_timeout(&mut self, now: Instant, wall: Timestamp, store: &Store) {
        if now < self.look_at {
            return;
        }
        self.look_at = now.saturating_add(self.config.delay);
        let mut pushes = Vec::new();
        let (config, stats) = (&self.config, &mut self.stats);
        self.leases.retain(|(to, id), lease| {
            if lease.until <= now {
                return false;
            }
            let newer = store.get(wall, &lease.key).filter(|record| Some(record.sequence()) > lease.seen);
            let Some(record) = newer else {
                lease.push = None;
                return true;
            };
            let sequence = record.sequence();
            let attempts = match lease.push {
                // Of what changes faster than its subscriber answers, the last is pushed with the next.
                Some(push) if push.retry_at > now => return true,
                Some(push) => push.attempts,
                None => 0,
            };
            if attempts >= config.attempts {
                stats.unanswered += 1;
                return false;
            }
            lease.push = Some(Push { sequence, attempts: attempts + 1, retry_at: now.saturating_add(config.retry) });
            stats.pushed += 1;
            let body = Body::Changed(Changed { record: record.as_bytes() });
            pushes.push((*to, Message { lease: *id, body }.encode()));
            true
        });
        self.transmits.extend(pushes);
    }

    /// The next datagram to send, written to the front of `buffer`.
    pub fn poll_transmit(&mut self, buffer: &mut [u8; MAX_DATAGRAM_LEN]) -> Option<Transmit> {
        let (to, datagram) = self.transmits.pop_front()?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Some(Transmit { to, len: datagram.len() })
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` while there is no lease.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.leases.is_empty()).then_some(self.look_at)
    }

    /// How many leases there are, those included whose time is over until the next time-out.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// What it has counted.
    pub fn stats(&self) -> LeasesStats {
        self.stats
    }

    fn handle_subscribe(&mut self, now: Instant, from: SocketAddr, id: LeaseId, subscribe: &Subscribe) {
        let Subscribe { key, seconds, known, cookie } = *subscribe;
        let period = now.as_micros() / PERIOD.as_micros() as u64;
        let is_good = |period| {
            // One comparison of the whole difference tells an attacker nothing by its time.
            cookie.is_some_and(|cookie| {
                let good = u128::from_be_bytes(self.cookie(period, from, &key));
                core::hint::black_box(u128::from_be_bytes(cookie) ^ good) == 0
            })
        };
        if !is_good(period) && !period.checked_sub(1).is_some_and(is_good) {
            self.stats.challenged += 1;
            let cookie = self.cookie(period, from, &key);
            self.answer(from, id, Body::Challenge(Challenge { cookie }));
            return;
        }
        if seconds == 0 {
            self.leases.remove(&(from, id));
            self.answer(from, id, Body::Granted(Granted { seconds }));
            return;
        }
        let is_new = !self.leases.contains_key(&(from, id));
        if is_new && !self.has_room(from, &key) {
            self.stats.refused += 1;
            self.answer(from, id, Body::Refused(Refused {}));
            return;
        }
        let seconds = seconds.min(u32::try_from(self.config.longest.as_secs()).unwrap_or(u32::MAX));
        let until = now.saturating_add(Duration::from_secs(seconds.into()));
        let lease = self.leases.entry((from, id)).or_insert(Lease { key, until, seen: known, push: None });
        (lease.key, lease.until, lease.seen) = (key, until, known);
        self.stats.granted += 1;
        self.answer(from, id, Body::Granted(Granted { seconds }));
    }

    fn has_room(&self, from: SocketAddr, key: &Key) -> bool {
        let subnet = Address::from(from).subnet();
        let of_key = self.leases.values().filter(|lease| lease.key == *key).count();
        let of_subnet = self.leases.keys().filter(|(other, _)| Address::from(*other).subnet() == subnet).count();
        self.leases.len() < self.config.leases && of_key < self.config.key && of_subnet < self.config.subnet
    }

    /// A keyed hash of the address, the record's key and the period.
    fn cookie(&self, period: u64, to: SocketAddr, key: &Key) -> Cookie {
        let mut hasher = SipHasher24::new_with_keys(self.secret.0, self.secret.1);
        hasher.write(&period.to_be_bytes());
        match to {
            SocketAddr::V4(v4) => hasher.write(&v4.ip().to_ipv6_mapped().octets()),
            SocketAddr::V6(v6) => hasher.write(&v6.ip().octets()),
        }
        hasher.write(&to.port().to_be_bytes());
        hasher.write(key.as_bytes());
        hasher.finish128().as_bytes()
    }

    #[cfg(test)]
    pub(super) fn cookie_for(&self, now: Instant, to: SocketAddr, key: &Key) -> Cookie {
        self.cookie(now.as_micros() / PERIOD.as_micros() as u64, to, key)
    }

    #[cfg(test)]
    pub(super) fn lease_of(&self, address: SocketAddr) -> Option<LeaseId> {
        self.leases.keys().find(|(of, _)| *of == address).map(|(_, id)| *id)
    }

    fn answer(&mut self, to: SocketAddr, lease: LeaseId, body: Body<'_>) {
        if self.transmits.len() < MAX_ANSWERS + self.config.leases {
            self.transmits.push_back((to, Message { lease, body }.encode()));
        } else {
            self.stats.dropped += 1;
        }
    }
}
