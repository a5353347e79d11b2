//! What every door hands packets to: the queue, who may fill it how fast, and the ways back.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use iot_core::limits::OutOfRange;
use iot_core::{DeviceId, Instant, Position, Rate, RateLimit};
use iot_crypto::{RoutingError, RoutingHeader};
use iot_exchange::frames::MAX_PACKET;
use iot_link::process::now;
use iot_queue::shared::SharedQueue;
use iot_queue::{AppendError, FileStorage, Message, Offset};
use sha2::{Digest as _, Sha256};

/// The queue in files, shared by all threads.
pub type Files = SharedQueue<FileStorage, fn() -> Instant>;

/// Sends a packet back to a device over the transport that it came by.
pub type Way = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Devices whose way is known, and addresses whose packets are counted. Beyond, the one that was silent longest is
/// forgotten.
const MAX_KNOWN: usize = 4096;

/// Packets that are recognised while they wait: the windows of 128 devices.
const MAX_WAITING: usize = 16_384;

/// Packets that an address may send at once, in seconds of its rate.
const BURST: u64 = 4;

type Digest = [u8; 32];

/// Why a packet was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It has no routing header.
    #[error("the packet is malformed")]
    Malformed(#[from] RoutingError),
    /// Its header does not say who wrote it.
    #[error("the packet names no source")]
    Nameless,
    /// It is longer than [`MAX_PACKET`].
    #[error("the packet has {len} octets, more than {MAX_PACKET}")]
    TooLong {
        /// Its octets.
        len: usize,
    },
    /// The address sends more than it may.
    #[error("{address} sends too much")]
    TooMuch {
        /// Which address.
        address: IpAddr,
    },
    /// The queue does not take it.
    #[error("the queue does not take the packet")]
    Queue(#[from] AppendError),
}

/// How many packets there were.
#[derive(Debug, Default)]
pub struct Counts {
    /// Taken.
    pub taken: AtomicU64,
    /// Not taken because they wait already.
    pub repeated: AtomicU64,
    /// Refused for what they are.
    pub malformed: AtomicU64,
    /// Refused because their address sends too much.
    pub limited: AtomicU64,
    /// Refused by the queue.
    pub refused: AtomicU64,
    /// Sent back to devices.
    pub returned: AtomicU64,
    /// Meant for devices whose way is not known.
    pub lost: AtomicU64,
}

/// The queue and what stands in front of it.
pub struct Store {
    /// The queue.
    pub queue: Files,
    /// What happened at the doors.
    pub counts: Counts,
    rate: Rate,
    burst: u64,
    senders: Mutex<Recent<IpAddr, RateLimit>>,
    ways: Mutex<Recent<DeviceId, Way>>,
    /// Packets that wait, and where.
    waiting: Mutex<Recent<Digest, Offset>>,
    /// Everything before this place is at the receiver.
    forwarded: AtomicU64,
}

impl Store {
    /// In front of `queue`, where each address may send so many packets a second, in the long run.
    ///
    /// # Errors
    ///
    /// For a rate of 0.
    pub fn new(queue: Files, a_second: u32) -> Result<Self, OutOfRange> {
        let (rate, burst) = (Rate::per_second(a_second.into())?, u64::from(a_second) * BURST);
        Ok(Self {
            queue,
            counts: Counts::default(),
            rate,
            burst,
            senders: Mutex::new(Recent::new(MAX_KNOWN)),
            ways: Mutex::new(Recent::new(MAX_KNOWN)),
            waiting: Mutex::new(Recent::new(MAX_WAITING)),
            forwarded: AtomicU64::new(0),
        })
    }

    /// Takes a packet that came from `address`, and learns that its source is reached by `way`. It does not wait until
    /// the packet is durable: only its receiver tells a device that it has it.
    ///
    /// # Errors
    ///
    /// [`Refusal`]. A packet that waits already is none.
    pub fn take(&self, address: IpAddr, packet: &[u8], way: Way) -> Result<(), Refusal> {
        let outcome = self.check(address, packet).and_then(|position| {
            self.ways.lock().unwrap_or_else(PoisonError::into_inner).enter(position.source, way);
            let digest: Digest = Sha256::digest(packet).into();
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let known = waiting.get(&digest).map(|offset| offset.number());
            // Whoever sends again what has been forwarded has his reasons: it was lost behind the gateway.
            if known.is_some_and(|known| known >= self.forwarded.load(Ordering::Relaxed)) {
                return Ok(false);
            }
            let ticket = self.queue.submit(&Message::new(packet).at(position))?;
            waiting.enter(digest, ticket.offset());
            Ok(true)
        });
        let (count, outcome) = match outcome {
            Ok(true) => (&self.counts.taken, Ok(())),
            Ok(false) => (&self.counts.repeated, Ok(())),
            Err(refusal @ Refusal::Queue(_)) => (&self.counts.refused, Err(refusal)),
            Err(refusal @ Refusal::TooMuch { .. }) => (&self.counts.limited, Err(refusal)),
            Err(refusal) => (&self.counts.malformed, Err(refusal)),
        };
        count.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    /// The receiver has everything before `offset`.
    pub fn note_forwarded(&self, offset: Offset) {
        self.forwarded.store(offset.number(), Ordering::Relaxed);
    }

    /// Sends a packet back to a device. If nobody knows where it is, the packet is lost; its sender repeats it.
    pub fn send_back(&self, device: &DeviceId, packet: &[u8]) {
        let way = self.ways.lock().unwrap_or_else(PoisonError::into_inner).get(device).cloned();
        let count = if way.is_some() { &self.counts.returned } else { &self.counts.lost };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(way) = way {
            way(packet);
        }
    }

    fn check(&self, address: IpAddr, packet: &[u8]) -> Result<Position, Refusal> {
        let now = now();
        let full = || RateLimit::new(self.rate, self.burst, now).expect("a rate and a burst above 0 are possible");
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = network_of(address);
        let mut limit = senders.get(&sender).cloned().unwrap_or_else(full);
        let taken = limit.try_take(now, 1);
        senders.enter(sender, limit);
        drop(senders);
        taken.map_err(|_| Refusal::TooMuch { address })?;
        if packet.len() > MAX_PACKET {
            return Err(Refusal::TooLong { len: packet.len() });
        }
        let (header, _) = RoutingHeader::parse(packet)?;
        let source = header.source.ok_or(Refusal::Nameless)?;
        let RoutingHeader { stream, incarnation, sequence, .. } = header;
        Ok(Position { source, stream, incarnation, sequence })
    }
}

/// Who is counted as one: an address of IPv4, or a network of 64 bits of IPv6, whose addresses one host can all have.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 => v4,
    }
}

/// A map that forgets what was entered longest ago.
struct Recent<K, V> {
    values: BTreeMap<K, (V, u64)>,
    entered: BTreeMap<u64, K>,
    turn: u64,
    max: usize,
}

impl<K: Ord + Copy, V> Recent<K, V> {
    const fn new(max: usize) -> Self {
        Self { values: BTreeMap::new(), entered: BTreeMap::new(), turn: 0, max }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(value, _)| value)
    }

    fn enter(&mut self, key: K, value: V) {
        self.turn += 1;
        if let Some((_, turn)) = self.values.insert(key, (value, self.turn)) {
            self.entered.remove(&turn);
        }
        self.entered.insert(self.turn, key);
        if self.values.len() > self.max
            && let Some((_, oldest)) = self.entered.pop_first()
        {
            self.values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_entered_longest_ago_is_forgotten() {
        let mut recent = Recent::new(3);
        [1, 2, 3, 1, 4].into_iter().for_each(|key| recent.enter(key, 10 * key));
        let known = [1, 2, 3, 4].map(|key| recent.get(&key).copied());
        assert_eq!(known, [Some(10), None, Some(30), Some(40)]);
        assert_eq!(recent.entered.len(), 3);
    }

    #[test]
    fn a_packet_is_taken_again_once_it_was_forwarded() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FileStorage::create(folder.path().join("queue")).unwrap();
        let queue = iot_queue::Queue::open(storage, crate::queue_config(16).unwrap(), [1; 8]).unwrap();
        let queue = SharedQueue::new(queue, now as fn() -> Instant, iot_queue::shared::SharedSettings::default());
        let store = Store::new(queue, 1_000).unwrap();
        let source = Some(DeviceId::from_bytes([7; 32]));
        let (stream, incarnation) = (iot_core::StreamId::new(0), iot_core::Incarnation::from_bytes([8; 8]));
        let mut packet = [0; 100];
        RoutingHeader { source, topic: None, stream, incarnation, sequence: 0 }.encode(&mut packet).unwrap();
        let take = || store.take([127, 0, 0, 1].into(), &packet, Arc::new(|_: &[u8]| {})).unwrap();
        let counts = || [&store.counts.taken, &store.counts.repeated].map(|count| count.load(Ordering::Relaxed));
        take();
        take();
        assert_eq!(counts(), [1, 1]);
        store.note_forwarded(Offset::new(1));
        take();
        assert_eq!(counts(), [2, 1], "its receiver may have lost it");
    }

    #[test]
    fn all_addresses_of_a_host_are_one_sender() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.2"), network("192.0.2.1"));
    }
}
