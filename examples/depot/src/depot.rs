//! The queue, and what waits in it.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use iot_core::{Instant, Position};
use iot_crypto::SigningKey;
use iot_link::invalid;
use iot_link::process::{now, rng};
use iot_queue::shared::{SharedQueue, SharedSettings};
use iot_queue::{
    AppendError, CommitError, Consumers, Durability, FileStorage, MaxLag, Message, Offset, Queue, QueueConfig, Seek,
    WhenFull,
};
use iot_status::Figure;
use rand_core::Rng as _;
use sha2::{Digest as _, Sha256};

use crate::keeper::Claims;

/// The queue in files, shared by all threads.
pub type Files = SharedQueue<FileStorage, fn() -> Instant>;

/// The cursor that holds what the receiver has not confirmed.
pub const CURSOR: &str = "receiver";

/// Octets of a segment of the queue.
const SEGMENT: u32 = 2 << 20;

/// How long packets wait for a sync that makes them durable together. Only then they go on.
const FLUSH_AFTER: Duration = Duration::from_millis(20);

/// How soon the queue is closed when everything is to end.
const TICK: Duration = Duration::from_millis(100);

/// Packets that are recognised while they wait: the windows of 128 devices.
const MAX_WAITING: usize = 16_384;

type Digest = [u8; 32];

/// How a queue is made of so many MiB, 16 to 65,536, which takes at least as many octets on the disk.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for another number; a program has it from its option `--capacity`.
pub fn queue_config(capacity: u32) -> io::Result<QueueConfig> {
    if !(16..=65_536).contains(&capacity) {
        return Err(invalid(format!("--capacity takes a number from 16 to 65536, not {capacity}")));
    }
    let config = QueueConfig::default().segment_len(SEGMENT).and_then(|it| it.segments(capacity / (SEGMENT >> 20)));
    let config = config.map_err(invalid)?;
    Ok(config.consumers(Consumers::CursorsOnly).durability(Durability::Manual).when_full(WhenFull::DropOldest))
}

/// Packets that wait; see [the crate](crate).
pub struct Depot {
    queue: Files,
    waiting: Mutex<Waiting>,
    is_storing: AtomicBool,
    taken: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
}

/// Packets that wait, in their order, and by their digest.
#[derive(Default)]
struct Waiting {
    order: VecDeque<(Offset, Digest)>,
    known: BTreeSet<Digest>,
}

impl Depot {
    /// Opens the queue in `folder`, or makes it. What is dropped there `key` signs.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, or another process uses it.
    pub fn open(folder: &Path, config: QueueConfig, key: SigningKey) -> io::Result<Self> {
        let fail = |error: &dyn std::error::Error| io::Error::other(format!("{}: {error}", folder.display()));
        let storage = FileStorage::create(folder).map_err(|error| fail(&error))?;
        let random = rng()?.next_u64().to_be_bytes();
        let mut queue = Queue::open(storage, config, random).map_err(|error| fail(&error))?;
        queue.sign_gaps_with(Box::new(Claims(key)));
        // Before the first packet, so that none is without a reader.
        queue.open_cursor(CURSOR, Seek::Oldest, MaxLag::UNLIMITED).map_err(|error| fail(&error))?;
        let settings = SharedSettings::default().flush_after(Some(FLUSH_AFTER));
        let (waiting, is_storing) = (Mutex::default(), AtomicBool::new(true));
        let [taken, repeated, refused] = [const { AtomicU64::new(0) }; 3];
        let queue = SharedQueue::new(queue, now as fn() -> Instant, settings);
        Ok(Self { queue, waiting, is_storing, taken, repeated, refused })
    }

    /// Keeps a packet that has this position, unless it waits already. It does not wait until the packet is durable: only
    /// its receiver tells a device that it has it.
    ///
    /// # Errors
    ///
    /// When the queue does not take it.
    pub fn keep(&self, position: Position, packet: &[u8]) -> Result<(), AppendError> {
        let digest: Digest = Sha256::digest(packet).into();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.forget_before(self.forwarded());
        // Whoever sends again what has been forwarded has his reasons: it was lost behind this.
        if waiting.known.contains(&digest) {
            self.repeated.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let submitted = self.queue.submit(&Message::new(packet).at(position));
        let count = if submitted.is_ok() { &self.taken } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
        waiting.enter(submitted?.offset(), digest);
        Ok(())
    }

    /// Makes durable what is kept until `stop`, and closes the queue then.
    ///
    /// # Errors
    ///
    /// When the storage fails.
    pub fn run(&self, stop: &AtomicBool) -> Result<(), CommitError> {
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                }
                self.queue.close();
            });
            let outcome = self.queue.run();
            self.is_storing.store(false, Ordering::Relaxed);
            outcome
        })
    }

    /// The queue.
    pub fn queue(&self) -> &Files {
        &self.queue
    }

    /// Whether the queue and its medium work.
    pub fn is_storing(&self) -> bool {
        self.is_storing.load(Ordering::Relaxed)
    }

    /// What happened so far, and how it is with the queue.
    pub fn figures(&self) -> [Figure; 11] {
        let (stats, count) = (self.queue.stats(), |count: &AtomicU64| count.load(Ordering::Relaxed));
        let age = stats.oldest_age.unwrap_or_default().as_secs_f64();
        [
            Figure::counter("packets_taken_total", "Packets taken.", count(&self.taken)),
            Figure::counter("packets_repeated_total", "Packets that had been taken before.", count(&self.repeated)),
            Figure::counter("packets_refused_total", "Packets that the queue did not take.", count(&self.refused)),
            Figure::gauge("queue_messages", "Packets that wait for the receiver.", stats.depth as f64),
            Figure::gauge("queue_oldest_seconds", "How long the oldest of them has waited.", age),
            Figure::gauge("queue_octets", "Octets of the queue in use.", stats.octets as f64),
            Figure::gauge("queue_budget_octets", "Octets of the queue.", stats.budget as f64),
            Figure::counter("queue_dropped_total", "Packets dropped to make room.", stats.dropped),
            Figure::counter("queue_written_octets_total", "Octets handed to the disk.", stats.written),
            Figure::counter("queue_syncs_total", "Syncs of the disk.", stats.syncs),
            Figure::gauge("queue_storing", "Whether the storage works.", f64::from(u8::from(self.is_storing()))),
        ]
    }

    /// Everything before this place is at the receiver, or was dropped.
    fn forwarded(&self) -> Offset {
        let position = |queue: &Queue<FileStorage>| {
            let cursor = queue.cursors().find(|status| status.name == CURSOR);
            cursor.map_or(Offset::START, |cursor| cursor.position)
        };
        self.queue.with(|queue, _| position(queue))
    }
}

impl Waiting {
    /// What is before this place waits no more.
    fn forget_before(&mut self, place: Offset) {
        while let Some((_, digest)) = self.order.pop_front_if(|(offset, _)| *offset < place) {
            self.known.remove(&digest);
        }
    }

    fn enter(&mut self, offset: Offset, digest: Digest) {
        if self.order.len() == MAX_WAITING
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back((offset, digest));
        self.known.insert(digest);
    }
}

#[cfg(test)]
mod tests {
    use iot_core::{DeviceId, Incarnation, StreamId};

    use super::*;

    fn keep(depot: &Depot, number: usize) {
        let (source, incarnation) = (DeviceId::from_bytes([7; 32]), Incarnation::from_bytes([8; 8]));
        let position = Position { source, stream: StreamId::new(0), incarnation, sequence: 0 };
        depot.keep(position, &number.to_be_bytes()).unwrap();
    }

    fn counts(depot: &Depot) -> [u64; 2] {
        [&depot.taken, &depot.repeated].map(|count| count.load(Ordering::Relaxed))
    }

    #[test]
    fn a_packet_is_kept_again_once_it_was_forwarded() {
        let folder = tempfile::tempdir().unwrap();
        let depot =
            Depot::open(&folder.path().join("queue"), queue_config(16).unwrap(), SigningKey::from_seed(&[1; 32]));
        let depot = depot.unwrap();
        [1, 2, 1].into_iter().for_each(|number| keep(&depot, number));
        assert_eq!(counts(&depot), [2, 1]);
        depot.queue.with(|queue, _| {
            let cursor = queue.cursor(CURSOR).unwrap();
            queue.commit().unwrap();
            queue.advance_cursor(cursor, Offset::new(1)).unwrap();
        });
        [1, 2].into_iter().for_each(|number| keep(&depot, number));
        assert_eq!(counts(&depot), [3, 2], "its receiver may have lost it");
    }

    #[test]
    fn of_too_many_the_first_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let depot =
            Depot::open(&folder.path().join("queue"), queue_config(16).unwrap(), SigningKey::from_seed(&[1; 32]));
        let depot = depot.unwrap();
        (0..=MAX_WAITING).for_each(|number| keep(&depot, number));
        let waiting = depot.waiting.lock().unwrap();
        assert_eq!((waiting.order.len(), waiting.known.len()), (MAX_WAITING, MAX_WAITING));
        drop(waiting);
        [1, 0].into_iter().for_each(|number| keep(&depot, number));
        assert_eq!(counts(&depot), [MAX_WAITING as u64 + 2, 1]);
    }
}
