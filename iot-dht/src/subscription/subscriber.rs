use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::Hasher as _;
use core::net::SocketAddr;
use core::time::Duration;

use iot_core::{Instant, Timestamp};
use rand_core::CryptoRng;
use siphasher::sip::SipHasher24;

use crate::id::Key;
use crate::node::Transmit;
use crate::peer::{Address, Peer};
use crate::record::{Record, UnverifiedRecord};
use crate::subscription::wire::{Body, Cookie, LeaseId, Message, Seen, Subscribe};
use crate::wire::MAX_DATAGRAM_LEN;

/// For how long a [`Subscription`] asks, and whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionConfig {
    lease: Duration,
    holders: usize,
    retry: Duration,
    attempts: u8,
}

impl SubscriptionConfig {
    /// How long a lease it asks for, 10 seconds to a day; 10 minutes by default. It asks for more time after half of what
    /// it got.
    ///
    /// # Panics
    /// When the duration is out of range.
    pub fn lease(mut self, lease: Duration) -> Self {
        assert!((10..=86_400).contains(&lease.as_secs()), "a lease of 10 seconds to a day");
        self.lease = lease;
        self
    }

    /// At how many nodes, 1 to 20; 3 by default. One of them that tells the truth is enough.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn holders(mut self, holders: usize) -> Self {
        assert!((1..=20).contains(&holders), "1 to 20 holders, not {holders}");
        self.holders = holders;
        self
    }

    /// How long an answer may take before the question is sent again, at least 100 ms; 1 s by default.
    ///
    /// # Panics
    /// When the duration is shorter.
    pub fn retry(mut self, retry: Duration) -> Self {
        assert!(retry >= Duration::from_millis(100), "a pause of at least 100 ms");
        self.retry = retry;
        self
    }

    /// How often a question is sent before its node is given up, at least 1; 3 by default.
    ///
    /// # Panics
    /// When the number is 0.
    pub fn attempts(mut self, attempts: u8) -> Self {
        assert!(attempts > 0, "at least one attempt");
        self.attempts = attempts;
        self
    }
}

impl Default for SubscriptionConfig {
    fn default() -> Self {
        Self { lease: Duration::from_secs(600), holders: 3, retry: Duration::from_secs(1), attempts: 3 }
    }
}

/// What a [`Subscription`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// Changes that were pushed, those included that were known.
    pub pushed: u64,
    /// Pushes that were refused: no such record, or its owner did not sign it.
    pub refused: u64,
    /// Nodes that were given up: they did not answer, or had no room.
    pub given_up: u64,
    /// Datagrams that belong to no lease.
    pub ignored: u64,
}

/// Wants to be told when one record changes.
///
/// It says when to search for the nodes closest to the record ([`poll_search`](Self::poll_search)), takes what was found
/// ([`handle_found`](Self::handle_found)), and then keeps its leases by itself. Drive it as [`Leases`](super::Leases), and
/// give its datagrams the same socket.
#[derive(Debug)]
pub struct Subscription {
    key: Key,
    config: SubscriptionConfig,
    secret: (u64, u64),
    drawn: u64,
    known: Option<u64>,
    holders: Vec<Holder>,
    search_at: Instant,
    changes: VecDeque<Record>,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
    stats: SubscriptionStats,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    address: SocketAddr,
    id: LeaseId,
    cookie: Option<Cookie>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Asking { attempts: u8, retry_at: Instant },
    Held { until: Instant, renew_at: Instant },
}

/// The most changes that wait to be fetched: of more, the oldest, which the newer ones make obsolete, are dropped.
const MAX_CHANGES: usize = 4;

impl Subscription {
    /// Asks for changes of the record under `key` beyond the sequence `known`. Draws its secret from `rng`, and nothing
    /// later.
    pub fn new(key: Key, known: Option<u64>, config: SubscriptionConfig, rng: &mut impl CryptoRng) -> Self {
        Self {
            key,
            config,
            secret: (rng.next_u64(), rng.next_u64()),
            drawn: 0,
            known,
            holders: Vec::new(),
            search_at: Instant::START,
            changes: VecDeque::new(),
            transmits: VecDeque::new(),
            stats: SubscriptionStats::default(),
        }
    }

    /// The point to search for now ([`Node::find`](crate::Node::find)): at first, once a lease, and sooner when a node was
    /// given up.
    pub fn poll_search(&mut self, now: Instant) -> Option<Key> {
        if now < self.search_at {
            return None;
        }
        self.search_at = now.saturating_add(self.config.lease);
        Some(self.key)
    }

    /// Takes in the nodes that were found, the closest first. If there are none, the search is repeated soon.
    pub fn handle_found(&mut self, now: Instant, closest: &[Peer<32>]) {
        if closest.is_empty() {
            self.search_soon(now);
        }
        let wanted: Vec<SocketAddr> =
            closest.iter().take(self.config.holders).map(|peer| Address::from(peer.address).into()).collect();
        self.holders.retain(|holder| wanted.contains(&holder.address));
        for address in wanted {
            if self.holders.iter().all(|holder| holder.address != address) {
                let id = self.draw();
                let state = State::Asking { attempts: 0, retry_at: now };
                self.holders.push(Holder { address, id, cookie: None, state });
            }
        }
        self.handle_timeout(now);
    }

    /// Takes in a datagram.
    pub fn handle_datagram(&mut self, now: Instant, wall: Timestamp, from: SocketAddr, datagram: &[u8]) {
        let from = Address::from(from).into();
        let message = Message::decode(datagram).ok();
        let place = |message: &Message<'_>| {
            self.holders.iter().position(|holder| holder.address == from && holder.id == message.lease)
        };
        let Some((place, message)) = message.and_then(|message| Some((place(&message)?, message))) else {
            self.stats.ignored += 1;
            return;
        };
        match message.body {
            Body::Challenge(challenge) => {
                let holder = &mut self.holders[place];
                // One cookie is as good as another: a second challenge is answered when the time for it has come.
                if holder.cookie != Some(challenge.cookie) {
                    holder.cookie = Some(challenge.cookie);
                    self.ask(now, place);
                }
            }
            Body::Granted(granted) => {
                let time = Duration::from_secs(granted.seconds.into()).min(self.config.lease);
                let (until, renew_at) = (now.saturating_add(time), now.saturating_add(time / 2));
                self.holders[place].state = State::Held { until, renew_at };
            }
            Body::Refused(_) => self.give_up(now, place),
            Body::Changed(changed) => self.handle_changed(now, wall, place, changed.record),
            Body::Subscribe(_) | Body::Seen(_) => self.stats.ignored += 1,
        }
    }

    /// Asks again, asks for more time, and gives up nodes that do not answer.
    pub fn handle_timeout(&mut self, now: Instant) {
        for place in (0..self.holders.len()).rev() {
            match self.holders[place].state {
                State::Asking { attempts, retry_at } if retry_at <= now => {
                    if attempts < self.config.attempts {
                        self.ask(now, place);
                    } else {
                        self.give_up(now, place);
                    }
                }
                State::Held { renew_at, .. } if renew_at <= now => {
                    self.holders[place].state = State::Asking { attempts: 0, retry_at: now };
                    self.ask(now, place);
                }
                State::Asking { .. } | State::Held { .. } => {}
            }
        }
    }

    /// The next datagram to send, written to the front of `buffer`.
    pub fn poll_transmit(&mut self, buffer: &mut [u8; MAX_DATAGRAM_LEN]) -> Option<Transmit> {
        let (to, datagram) = self.transmits.pop_front()?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Some(Transmit { to, len: datagram.len() })
    }

    /// The next version of the record: verified, and newer than those before.
    pub fn poll_change(&mut self) -> Option<Record> {
        self.changes.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and [`poll_search`](Self::poll_search) next.
    pub fn poll_timeout(&self) -> Instant {
        let holders = self.holders.iter().map(|holder| match holder.state {
            State::Asking { retry_at, .. } => retry_at,
            State::Held { renew_at, .. } => renew_at,
        });
        holders.fold(self.search_at, Instant::min)
    }

    /// At how many nodes there is a lease now.
    pub fn leases(&self, now: Instant) -> usize {
        self.holders.iter().filter(|holder| matches!(holder.state, State::Held { until, .. } if until > now)).count()
    }

    /// What it has counted.
    pub fn stats(&self) -> SubscriptionStats {
        self.stats
    }

    fn handle_changed(&mut self, now: Instant, wall: Timestamp, place: usize, octets: &[u8]) {
        self.stats.pushed += 1;
        let verified = UnverifiedRecord::parse(octets).and_then(|record| record.verify_for(&self.key, wall));
        let Ok(record) = verified else {
            self.stats.refused += 1;
            self.give_up(now, place);
            return;
        };
        let sequence = record.sequence();
        let Holder { address, id, .. } = self.holders[place];
        if self.known < Some(sequence) {
            self.known = Some(sequence);
            self.changes.push_back(record);
            if self.changes.len() > MAX_CHANGES {
                self.changes.pop_front();
            }
        }
        self.transmits.push_back((address, Message { lease: id, body: Body::Seen(Seen { sequence }) }.encode()));
    }

    fn ask(&mut self, now: Instant, place: usize) {
        let holder = &mut self.holders[place];
        let attempts = match holder.state {
            State::Asking { attempts, .. } => attempts,
            State::Held { .. } => 0,
        };
        holder.state =
            State::Asking { attempts: attempts.saturating_add(1), retry_at: now.saturating_add(self.config.retry) };
        let seconds = u32::try_from(self.config.lease.as_secs()).unwrap_or(u32::MAX);
        let subscribe = Subscribe { key: self.key, seconds, known: self.known, cookie: holder.cookie };
        let datagram = Message { lease: holder.id, body: Body::Subscribe(subscribe) }.encode();
        self.transmits.push_back((holder.address, datagram));
    }

    /// Lets go of a node, and searches for another soon.
    fn give_up(&mut self, now: Instant, place: usize) {
        self.holders.swap_remove(place);
        self.stats.given_up += 1;
        self.search_soon(now);
    }

    fn search_soon(&mut self, now: Instant) {
        self.search_at = self.search_at.min(now.saturating_add(self.config.retry * 4));
    }

    fn draw(&mut self) -> LeaseId {
        let mut hasher = SipHasher24::new_with_keys(self.secret.0, self.secret.1);
        hasher.write_u64(self.drawn);
        self.drawn += 1;
        hasher.finish().to_be_bytes()
    }
}
