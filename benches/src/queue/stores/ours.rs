use std::array;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use iot_queue::shared::{SharedQueue, SharedSettings};
use iot_queue::{Durability, FileStorage, Message, Queue, QueueConfig};

use super::{Concurrent, Contestant, FILL_BATCH, PAYLOAD, PAYLOADS, Reopen, Store, Unsynced};
use crate::report::Failure;

/// Octets of the budget that appends may use before old messages are acknowledged.
const ROOM: usize = 32 << 20;
/// What a caller draws for each opening.
const RANDOM: &[u8; 8] = b"drawn it";
/// What a record needs beside its payload, generously.
const RECORD_OVERHEAD: usize = 64;

/// `iot-queue`.
pub struct Ours {
    queue: Queue<FileStorage>,
    appended: usize,
}

impl Ours {
    fn open(directory: &Path, config: QueueConfig) -> Result<Self, Failure> {
        Ok(Self { queue: Queue::open(FileStorage::open(directory)?, config, *RANDOM)?, appended: 0 })
    }

    fn append_one_or_many(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        if let [message] = messages {
            self.queue.append(&Message::new(message))?;
        } else {
            let batch: [Message<'_>; 64] = array::from_fn(|at| Message::new(messages.get(at).copied().unwrap_or(&[])));
            self.queue.append_batch(&batch[..messages.len()])?;
        }
        self.appended += messages.len();
        Ok(())
    }

    fn acknowledge_all(&mut self) -> Result<(), Failure> {
        if is_past_room(self.appended) {
            self.queue.ack_before(self.queue.next_offset())?;
            self.queue.commit()?;
            self.appended = 0;
        }
        Ok(())
    }
}

fn is_past_room(messages: usize) -> bool {
    messages * (PAYLOAD + RECORD_OVERHEAD) > ROOM
}

impl Contestant for Ours {
    const NAME: &'static str = "ours";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Self::open(directory, QueueConfig::default())
    }
}

impl Store for Ours {
    fn append_durably(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        self.append_one_or_many(messages)
    }

    fn make_room(&mut self) -> Result<(), Failure> {
        self.acknowledge_all()
    }
}

/// `iot-queue` that hands each append to the system and does not wait for the disk.
pub struct UnsyncedOurs(Ours);

impl Contestant for UnsyncedOurs {
    const NAME: &'static str = "ours";

    fn create(directory: &Path) -> Result<Self, Failure> {
        Ok(Self(Ours::open(directory, QueueConfig::default().durability(Durability::Manual))?))
    }
}

impl Unsynced for UnsyncedOurs {
    fn append(&mut self, messages: &[&[u8]]) -> Result<(), Failure> {
        self.0.append_one_or_many(messages)
    }

    fn make_room(&mut self) -> Result<(), Failure> {
        self.0.acknowledge_all()
    }
}

/// The largest budget that a queue of the default's segments needs here: a million messages.
fn large() -> Result<QueueConfig, Failure> {
    Ok(QueueConfig::default().durability(Durability::Manual).segments(96)?)
}

impl Reopen for Ours {
    fn fill(directory: &Path, count: u64) -> Result<Self, Failure> {
        let mut ours = Self::open(directory, large()?)?;
        let batch = vec![Message::new(&PAYLOADS[0]); FILL_BATCH as usize];
        for from in (0..count).step_by(FILL_BATCH as usize) {
            ours.queue.append_batch(&batch[..FILL_BATCH.min(count - from) as usize])?;
        }
        ours.queue.commit()?;
        Ok(ours)
    }

    fn open_and_take(directory: &Path) -> Result<Vec<u8>, Failure> {
        let mut ours = Self::open(directory, large()?)?;
        let mut leased = ours.queue.reserve(iot_core::Instant::default(), Duration::from_secs(60), 1)?;
        Ok(leased.pop().ok_or("the queue is empty")?.payload)
    }
}

type Clock = fn() -> iot_core::Instant;

/// `iot-queue` between threads.
pub struct SharedOurs {
    queue: SharedQueue<FileStorage, Clock>,
    appended: AtomicUsize,
}

fn now() -> iot_core::Instant {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    iot_core::Instant::from_micros(START.elapsed().as_micros() as u64)
}

impl Contestant for SharedOurs {
    const NAME: &'static str = "ours";

    fn create(directory: &Path) -> Result<Self, Failure> {
        let queue = Ours::open(directory, QueueConfig::default())?.queue;
        Ok(Self {
            queue: SharedQueue::new(queue, now as Clock, SharedSettings::default()),
            appended: AtomicUsize::new(0),
        })
    }
}

impl Concurrent for SharedOurs {
    const MESSAGES: u32 = 100;

    fn append_one(&self, message: &[u8]) -> Result<(), Failure> {
        self.queue.append(&Message::new(message))?;
        self.appended.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn make_room(&self) -> Result<(), Failure> {
        if is_past_room(self.appended.load(Ordering::Relaxed)) {
            self.queue.with(|queue, _| queue.ack_before(queue.next_offset()))?;
            self.queue.commit()?;
            self.appended.store(0, Ordering::Relaxed);
        }
        Ok(())
    }
}
