//! What every door hands packets to: the queue, what waits in it, and the ways back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use iot_core::{DeviceId, Instant, Position};
use iot_crypto::{RoutingError, RoutingHeader};
use iot_exchange::frames::MAX_PACKET;
use iot_queue::shared::SharedQueue;
use iot_queue::{AppendError, FileStorage, Message, Offset};
use sha2::{Digest as _, Sha256};

use crate::limits::{Limits, Sender};
use crate::recent::Recent;

/// The queue in files, shared by all threads.
pub type Files = SharedQueue<FileStorage, fn() -> Instant>;

/// Sends a packet back to a device over the transport that it came by.
pub type Way = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// A packet of a source, or for it, that does not go on from here.
pub type Ending = (DeviceId, Vec<u8>);

/// Devices whose way is known. Beyond, the one that was silent longest is forgotten.
const MAX_WAYS: usize = 4096;

/// Packets that are recognised while they wait: the windows of 128 devices.
const MAX_WAITING: usize = 16_384;

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
    /// The sender sends more than it may.
    #[error("{sender} sends too much")]
    TooMuch {
        /// Which one.
        sender: Sender,
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
    /// Not taken because their readings end here.
    pub ended: AtomicU64,
    /// Refused for what they are.
    pub malformed: AtomicU64,
    /// Refused because their sender sends too much.
    pub limited: AtomicU64,
    /// Refused by the queue.
    pub refused: AtomicU64,
    /// Sent back to devices.
    pub returned: AtomicU64,
    /// Meant for devices whose way is not known.
    pub lost: AtomicU64,
    /// Readings that came too late for their minute.
    pub late: AtomicU64,
}

/// The queue and what stands in front of it.
pub struct Store {
    /// The queue.
    pub queue: Files,
    /// What happened at the doors.
    pub counts: Counts,
    limits: Limits,
    ways: Mutex<Recent<DeviceId, Way>>,
    /// Packets that wait, and where.
    waiting: Mutex<Recent<Digest, Offset>>,
    /// Everything before this place is at the receiver.
    forwarded: AtomicU64,
    /// Sources whose packets end in this gateway, and who takes them. It is bounded: what it has no room for is lost,
    /// and comes again.
    ends: BTreeMap<DeviceId, SyncSender<Ending>>,
}

impl Store {
    /// In front of `queue`, within these limits.
    pub fn new(queue: Files, limits: Limits) -> Self {
        Self {
            queue,
            counts: Counts::default(),
            limits,
            ways: Mutex::new(Recent::new(MAX_WAYS)),
            waiting: Mutex::new(Recent::new(MAX_WAITING)),
            forwarded: AtomicU64::new(0),
            ends: BTreeMap::new(),
        }
    }

    /// Packets of these sources, and what the receiver has for them, go to `taker`.
    #[must_use]
    pub fn ending(mut self, sources: impl IntoIterator<Item = DeviceId>, taker: &SyncSender<Ending>) -> Self {
        self.ends.extend(sources.into_iter().map(|source| (source, taker.clone())));
        self
    }

    /// Takes a packet that came from `sender`, and learns that its source is reached by `way`. It does not wait until
    /// the packet is durable: only its receiver tells a device that it has it.
    ///
    /// # Errors
    ///
    /// [`Refusal`]. A packet that waits already is none.
    pub fn take(&self, sender: impl Into<Sender>, packet: &[u8], way: Way) -> Result<(), Refusal> {
        let sender = sender.into();
        let outcome = match self.limits.admits(sender) {
            true => position_of(packet).and_then(|position| {
                self.ways.lock().unwrap_or_else(PoisonError::into_inner).enter(position.source, way);
                if self.end(&position.source, packet) {
                    return Ok(&self.counts.ended);
                }
                self.keep(packet, position)
            }),
            false => Err(Refusal::TooMuch { sender }),
        };
        let (count, outcome) = match outcome {
            Ok(count) => (count, Ok(())),
            Err(refusal @ Refusal::Queue(_)) => (&self.counts.refused, Err(refusal)),
            Err(refusal @ Refusal::TooMuch { .. }) => (&self.counts.limited, Err(refusal)),
            Err(refusal) => (&self.counts.malformed, Err(refusal)),
        };
        count.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    /// Forwards a packet of this gateway's own, unless it waits already. Whoever made it repeats it.
    pub fn forward(&self, packet: &[u8]) {
        let kept = position_of(packet).and_then(|position| self.keep(packet, position));
        kept.unwrap_or(&self.counts.refused).fetch_add(1, Ordering::Relaxed);
    }

    /// The receiver has everything before `offset`.
    pub fn note_forwarded(&self, offset: Offset) {
        self.forwarded.store(offset.number(), Ordering::Relaxed);
    }

    /// Takes what the receiver has for a device.
    pub fn send_back(&self, device: &DeviceId, packet: &[u8]) {
        if !self.end(device, packet) {
            self.send_to(device, packet);
        }
    }

    /// Sends a packet to a device. If nobody knows where it is, the packet is lost; its sender repeats it.
    pub fn send_to(&self, device: &DeviceId, packet: &[u8]) {
        let way = self.ways.lock().unwrap_or_else(PoisonError::into_inner).get(device).cloned();
        let count = if way.is_some() { &self.counts.returned } else { &self.counts.lost };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(way) = way {
            way(packet);
        }
    }

    /// Hands a packet to whoever takes those of `source` here; `false` if nobody does.
    fn end(&self, source: &DeviceId, packet: &[u8]) -> bool {
        let taker = self.ends.get(source);
        taker.inspect(|taker| drop(taker.try_send((*source, packet.to_vec())))).is_some()
    }

    /// Puts a packet into the queue, unless it waits there. Gives what counts it.
    fn keep(&self, packet: &[u8], position: Position) -> Result<&AtomicU64, Refusal> {
        let digest: Digest = Sha256::digest(packet).into();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let known = waiting.get(&digest).map(|offset| offset.number());
        // Whoever sends again what has been forwarded has his reasons: it was lost behind the gateway.
        if known.is_some_and(|known| known >= self.forwarded.load(Ordering::Relaxed)) {
            return Ok(&self.counts.repeated);
        }
        let ticket = self.queue.submit(&Message::new(packet).at(position))?;
        waiting.enter(digest, ticket.offset());
        Ok(&self.counts.taken)
    }
}

/// What a packet's header says.
fn position_of(packet: &[u8]) -> Result<Position, Refusal> {
    if packet.len() > MAX_PACKET {
        return Err(Refusal::TooLong { len: packet.len() });
    }
    let (header, _) = RoutingHeader::parse(packet)?;
    let source = header.source.ok_or(Refusal::Nameless)?;
    let RoutingHeader { stream, incarnation, sequence, .. } = header;
    Ok(Position { source, stream, incarnation, sequence })
}

#[cfg(test)]
mod tests {
    use iot_core::{Incarnation, StreamId};
    use iot_link::process::now;
    use iot_queue::shared::SharedSettings;

    use super::*;

    fn store(folder: &std::path::Path) -> Store {
        let storage = FileStorage::create(folder.join("queue")).unwrap();
        let queue = iot_queue::Queue::open(storage, crate::queue_config(16).unwrap(), [1; 8]).unwrap();
        let queue = SharedQueue::new(queue, now as fn() -> Instant, SharedSettings::default());
        Store::new(queue, Limits::new(1_000).unwrap())
    }

    fn take(store: &Store, source: u8) {
        let source = Some(DeviceId::from_bytes([source; 32]));
        let (stream, incarnation) = (StreamId::new(0), Incarnation::from_bytes([8; 8]));
        let mut packet = [0; 100];
        RoutingHeader { source, topic: None, stream, incarnation, sequence: 0 }.encode(&mut packet).unwrap();
        store.take(std::net::IpAddr::from([127, 0, 0, 1]), &packet, Arc::new(|_: &[u8]| {})).unwrap();
    }

    #[test]
    fn a_packet_is_taken_again_once_it_was_forwarded() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let counts = || [&store.counts.taken, &store.counts.repeated].map(|count| count.load(Ordering::Relaxed));
        take(&store, 7);
        take(&store, 7);
        assert_eq!(counts(), [1, 1]);
        store.note_forwarded(Offset::new(1));
        take(&store, 7);
        assert_eq!(counts(), [2, 1], "its receiver may have lost it");
    }

    #[test]
    fn packets_that_end_here_do_not_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let (taker, ended) = std::sync::mpsc::sync_channel(1);
        let (here, elsewhere) = (DeviceId::from_bytes([7; 32]), DeviceId::from_bytes([6; 32]));
        let store = store(folder.path()).ending([here], &taker);
        [7, 6, 7].into_iter().for_each(|source| take(&store, source));
        let counts = [&store.counts.ended, &store.counts.taken].map(|count| count.load(Ordering::Relaxed));
        let kept = store.queue.with(|queue, _| queue.next_offset());
        assert_eq!((counts, kept), ([2, 1], Offset::new(1)));
        assert_eq!(ended.try_iter().map(|(source, _)| source).collect::<Vec<_>>(), [here], "there is room for one");
        store.send_back(&here, b"for it");
        store.send_back(&elsewhere, b"for the other");
        assert_eq!(ended.try_iter().collect::<Vec<_>>(), [(here, b"for it".to_vec())]);
        assert_eq!(store.counts.returned.load(Ordering::Relaxed), 1);
    }
}
