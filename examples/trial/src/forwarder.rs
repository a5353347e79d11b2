//! A queue that is forwarded to a server, by a process that can be killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use iot_queue::mirror::{Mirror, MirrorConfig};
use iot_queue::shared::{SharedQueue, SharedSettings};
use iot_queue::sink::Forwarded;
use iot_queue::{Backoff, Durability, Epoch, FileStorage, MaxLag, Message, Queue, QueueConfig, Seek};
use iot_queue_driven::{DrivenSink, forward};

const CHILD: &str = "IOT_TRIAL_FORWARDER";

/// Octets of a message.
const LEN: usize = 100;

/// A process that forwards a queue, which is killed when this goes. It is the test that starts it, which is to begin by
/// [`part`](Self::part).
pub struct Forwarder(Child);

impl Forwarder {
    /// Starts the test `test` of this program once more, for the part that `words` say.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start(test: &str, words: &str) -> Self {
        let program = std::env::current_exe().expect("a test knows its program");
        let mut command = Command::new(program);
        command.args(["--exact", test, "--include-ignored", "--nocapture"]).env(CHILD, words);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the test starts once more"))
    }

    /// The words of the part that this process is to take, if a test has started it for one.
    pub fn part() -> Option<String> {
        std::env::var(CHILD).ok()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // On Unix this is SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes a queue in the folder `path` with messages that [`number_of`] knows; gives the epoch of its log.
///
/// # Panics
///
/// If that fails.
pub fn fill(path: &Path, messages: u64) -> Epoch {
    let mut queue = open_queue(path);
    let payloads: Vec<_> = (0..messages).map(payload).collect();
    for batch in payloads.chunks(500) {
        let messages: Vec<_> = batch.iter().map(|payload| Message::new(payload)).collect();
        queue.append_batch(&messages).expect("there is room");
    }
    let epoch = queue.epoch();
    queue.close().expect("the disk works");
    epoch
}

/// Opens a queue in the folder `path`, for some 150,000 messages.
///
/// # Panics
///
/// If that fails.
pub fn open_queue(path: &Path) -> Queue<FileStorage> {
    let config = QueueConfig::default().segments(12).expect("in range").durability(Durability::Manual);
    // Two queues that one process makes are two.
    static OPENED: AtomicU32 = AtomicU32::new(0);
    let mut random = [0; 8];
    random[..4].copy_from_slice(&std::process::id().to_le_bytes());
    random[4..].copy_from_slice(&OPENED.fetch_add(1, Relaxed).to_le_bytes());
    Queue::open(FileStorage::create(path).expect("there is room"), config, random).expect("the disk works")
}

/// Forwards the queue in the folder `path` to `sink` for as long as this process lives, and says what fails.
///
/// # Panics
///
/// If it ends.
pub async fn forward_for_ever<E: std::error::Error + 'static>(path: &Path, config: MirrorConfig, sink: DrivenSink<E>) {
    let (mut queue, mut sink) = (open_queue(path), sink);
    let backoff = Backoff::new(Duration::from_millis(40), Duration::from_millis(400));
    let cursor = queue.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    let seed = std::process::id().into();
    let mut mirror = Mirror::new(config.backoff(backoff), &queue, cursor, seed).expect("the cursor is there");
    let start = Instant::now();
    let clock = move || iot_core::Instant::from_micros(start.elapsed().as_micros() as u64);
    let settings = SharedSettings::default().flush_after(Some(Duration::from_millis(50)));
    let queue = SharedQueue::new(queue, clock, settings);
    let upkeep = queue.clone();
    std::thread::spawn(move || upkeep.run());
    forward(&queue, &mut mirror, &mut sink, |error| eprintln!("{error}")).await.expect("it does not end");
}

/// Which message of [`fill`] an entry is.
///
/// # Panics
///
/// If it is none.
pub fn number_of(entry: &Forwarded) -> u64 {
    let Forwarded::Message(message) = entry else { panic!("there are no gaps") };
    let number = message.offset.number();
    assert_eq!(message.payload, payload(number), "the message in place {number} is another");
    number
}

pub(crate) fn payload(number: u64) -> Vec<u8> {
    let mut payload = format!("{number} ").into_bytes();
    payload.resize(LEN, b'.');
    payload
}
