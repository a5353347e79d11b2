//! The publisher: one queue, and a cursor and a thread for each subscriber.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iot_core::{Incarnation, Instant, Position, Topic};
use iot_crypto::{Heading, KeyBundle, MultiSealer};
use iot_link::Failure;
use iot_link::process::{now, rng, wall};
use iot_queue::shared::{SharedQueue, SharedSettings};
use iot_queue::{
    Backoff, Consumers, CursorId, Durability, Entry, FileStorage, MaxLag, Message, Offset, Queue, QueueConfig, Seek,
};
use iot_readings::Readings;
use rand_core::Rng as _;
use tiny_http::Server;
use ureq::Agent;

use crate::keys::{Keys, Other};
use crate::page::Page;
use crate::{MESSAGES, OLDEST, Options, READINGS, receipt};

/// The queue, shared by all threads.
pub type Files = SharedQueue<FileStorage, fn() -> Instant>;

/// How long a subscriber may take for an answer, and how long a thread waits for messages.
const PATIENCE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(100);

/// In place of the address of a subscriber that comes itself.
const PULL: &str = "pull";

/// Readings in a message.
const BATCH: usize = 10;

/// Octets of the longest answer.
const MAX_ANSWER: u64 = 4096;

/// How it is with a subscriber.
#[derive(Clone, Default)]
pub struct State {
    /// Its name.
    pub name: String,
    /// Messages that it took from this process.
    pub delivered: u64,
    /// Tries in a row that failed.
    pub failures: u32,
    /// How long it is left alone after that.
    pub waits: Duration,
    /// What the last one said.
    pub complaint: String,
}

/// Posts to one subscriber.
struct Poster<'p> {
    queue: &'p Files,
    keys: &'p Keys,
    bundles: &'p [KeyBundle],
    subscriber: &'p Other,
    cursor: CursorId,
    url: &'p str,
    agent: Agent,
}

/// Runs the publisher until every subscriber has everything, or somebody stops it.
pub fn run(folder: &Path, options: &Options, stop: &AtomicBool) -> Result<(), Failure> {
    let folder = folder.join("publisher");
    let keys = Keys::load(&folder, wall())?;
    let bundles: Vec<_> = keys.others.iter().map(|other| other.bundle).collect();
    let random = rng()?.next_u64().to_be_bytes();
    let config = QueueConfig::default().segment_len(1 << 20)?.segments(32)?;
    let config = config.consumers(Consumers::CursorsOnly).durability(Durability::Manual);
    let mut queue = Queue::open(FileStorage::create(folder.join("queue"))?, config, random)?;
    let max_lag = MaxLag::UNLIMITED.messages(options.max_lag.unwrap_or(50_000));
    let mut posters = Vec::new();
    for (name, url) in &options.subscribers {
        let subscriber = keys.others.iter().find(|other| other.name == *name);
        let subscriber = subscriber.ok_or_else(|| format!("there are no keys of a subscriber {name}"))?;
        posters.push((subscriber, queue.open_cursor(name, Seek::Oldest, max_lag)?, url));
    }
    let settings = SharedSettings::default().flush_after(Some(Duration::from_millis(100)));
    let queue: Files = SharedQueue::new(queue, now as fn() -> Instant, settings);
    let states: Vec<_> = posters.iter().map(|(it, ..)| State { name: it.name.clone(), ..State::default() }).collect();
    let states: Vec<_> = states.into_iter().map(Mutex::new).collect();
    let agent = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build();
    let page = options
        .page
        .as_ref()
        .map(|address| Server::http(address).map_err(|error| io::Error::other(format!("{address}: {error}"))));
    let page = page.transpose()?;
    println!("push publisher: {} subscribers", posters.len());
    std::thread::scope(|threads| {
        let upkeep = threads.spawn(|| queue.run());
        for ((subscriber, cursor, url), state) in posters.into_iter().zip(&states).filter(|((.., url), _)| *url != PULL)
        {
            let (queue, keys, bundles, agent) = (&queue, &keys, &bundles[..], agent.clone().into());
            let poster = Poster { queue, keys, bundles, subscriber, cursor, url, agent };
            threads.spawn(move || {
                if let Err(failure) = poster.run(state, stop) {
                    eprintln!("push publisher: {}: {failure}", poster.subscriber.name);
                    stop.store(true, Ordering::Relaxed);
                }
            });
        }
        if let Some(server) = &page {
            let page = Page { queue: &queue, keys: &keys, bundles: &bundles, states: &states };
            threads.spawn(move || page.keep(server, stop));
        }
        let outcome = publish(&queue, &keys, &bundles, options, stop);
        stop.store(true, Ordering::Relaxed);
        queue.close();
        let kept = upkeep.join().map_err(|_| "the thread of the queue panicked")?;
        outcome.and(kept.map_err(Failure::from))
    })?;
    println!("push publisher: ends after {} messages", queue.with(|queue, _| queue.next_offset()));
    Ok(())
}

/// Reads, seals and keeps.
fn publish(
    queue: &Files,
    keys: &Keys,
    bundles: &[KeyBundle],
    options: &Options,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let readings = match &options.input {
        Some(path) => Readings::from_file(path).map_err(|error| format!("{}: {error}", path.display()))?,
        None => Readings::Thermometer(options.readings.unwrap_or(u64::MAX)),
    };
    let (mut rng, incarnation) = (rng()?, incarnation(queue));
    let sealer = MultiSealer::new(keys.signing.verifying_key().device_id(), &keys.signing, bundles)?;
    let started = now();
    let mut taken = 0;
    while !stop.load(Ordering::Relaxed) {
        let next = queue.with(|queue, _| queue.next_offset());
        let due = match options.rate.unwrap_or(10) {
            0 => u64::MAX,
            rate => (now().saturating_since(started).as_secs_f64() * f64::from(rate)) as u64,
        };
        let payload = (taken < due).then(|| readings.payload(next.number() * BATCH as u64, BATCH)).flatten();
        if let Some(payload) = payload {
            let position = position(keys, MESSAGES, incarnation, next.number());
            let message =
                sealer.seal(&Heading { topic: Topic::new(READINGS)?, position }, &payload, wall(), &mut rng)?;
            // When the queue is full, readings wait until the slowest subscriber has taken some, or is too far behind.
            queue.append_wait(&Message::new(&message).at(position), PATIENCE)?;
            taken += BATCH as u64;
            continue;
        }
        let everything = readings.count().div_ceil(BATCH as u64);
        let is_done = queue.with(|queue, _| queue.cursors().all(|cursor| cursor.position.number() >= everything));
        if is_done {
            return Ok(());
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}

impl Poster<'_> {
    fn run(&self, state: &Mutex<State>, stop: &AtomicBool) -> Result<(), Failure> {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        while !stop.load(Ordering::Relaxed) {
            let entries = self.queue.read_wait(self.cursor, 1, TICK)?;
            let Some(entry) = entries.first() else { continue };
            match self.deliver(entry) {
                Ok(count) => {
                    let mut state = lock(state);
                    (state.failures, state.delivered) = (0, state.delivered + count);
                }
                Err(failure) => {
                    let waits = {
                        let mut state = lock(state);
                        state.failures += 1;
                        state.complaint = failure.to_string();
                        state.waits = backoff.delay(state.failures, now().as_micros());
                        if state.failures == 1 {
                            eprintln!("push publisher: {}: {failure}; trying again", state.name);
                        }
                        state.waits
                    };
                    self.queue.with(|queue, _| queue.rewind_cursor(self.cursor))?;
                    let end = now().saturating_add(waits);
                    while now() < end && !stop.load(Ordering::Relaxed) {
                        std::thread::sleep(TICK.min(end.saturating_since(now())));
                    }
                }
            }
        }
        Ok(())
    }

    /// Posts an entry, and goes where the subscriber's receipt says. Returns how many messages it took.
    fn deliver(&self, entry: &Entry) -> Result<u64, Failure> {
        if entry.end() > self.queue.durable() {
            // Nobody sees a message that a power cut could still take back, or its number would be used again.
            self.queue.commit()?;
        }
        let next = match entry {
            Entry::Message(message) => self.post(&message.payload)?,
            Entry::Gap(gap) => self.post(&seal_oldest(self.queue, self.keys, self.bundles, gap.until)?)?,
        };
        let end = entry.end();
        if next == end {
            self.queue.with(|queue, _| queue.advance_cursor(self.cursor, end))?;
            return Ok(u64::from(matches!(entry, Entry::Message(_))));
        }
        // It has more than the cursor knows, because the publisher was killed; or less, because it lost something.
        let found = self.queue.with(|queue, _| queue.seek_cursor(self.cursor, Seek::Offset(next)))?;
        if found > next {
            self.post(&seal_oldest(self.queue, self.keys, self.bundles, found)?)?;
        }
        Ok(0)
    }

    /// Posts a message and reads the receipt.
    fn post(&self, message: &[u8]) -> Result<Offset, Failure> {
        let request = self.agent.post(self.url).content_type("application/octet-stream");
        let mut answer = request.send(message)?;
        if answer.status() != 200 {
            return Err(format!("{} answered {}", self.url, answer.status()).into());
        }
        let mut octets = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec()?;
        match receipt::open(self.keys, self.subscriber, &mut octets)? {
            (incarnation, next) if incarnation == self::incarnation(self.queue) => Ok(Offset::new(next)),
            _ => Err("it answered with a receipt for another queue's messages".into()),
        }
    }
}

/// "I have no messages before this number any more."
pub fn seal_oldest(queue: &Files, keys: &Keys, bundles: &[KeyBundle], offset: Offset) -> Result<Vec<u8>, Failure> {
    let sealer = MultiSealer::new(keys.signing.verifying_key().device_id(), &keys.signing, bundles)?;
    let position = position(keys, OLDEST, incarnation(queue), offset.number());
    Ok(sealer.seal(&Heading { topic: Topic::new(READINGS)?, position }, &[], wall(), &mut rng()?)?)
}

fn position(keys: &Keys, stream: iot_core::StreamId, incarnation: Incarnation, sequence: u64) -> Position {
    Position { source: keys.signing.verifying_key().device_id(), stream, incarnation, sequence }
}

/// The incarnation of the messages.
pub fn incarnation(queue: &Files) -> Incarnation {
    Incarnation::from_bytes(*queue.with(|queue, _| queue.epoch()).as_bytes())
}

/// Locks, whatever became of others who had the lock: nothing that is kept in one is ever half done.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
