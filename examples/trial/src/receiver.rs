//! A queue that is forwarded through a broker into another one, where all three are killed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use iot_core::DeviceId;
use iot_queue::shared::{SharedQueue, SharedSettings};
use iot_queue::{Entry, Offset};
use iot_queue_driven::{Inbound, Reception, receive};

use crate::forwarder::payload;
use crate::{Forwarder, Program, fill, open_queue};

/// Messages that a receiver takes without a receipt.
const PENDING: usize = 4096;

/// How long a receiver may be without news.
const PATIENCE: Duration = Duration::from_secs(300);

/// Receives into the queue in the folder `path` for as long as this process lives, and says what fails.
///
/// # Panics
///
/// If it ends.
pub async fn receive_for_ever<I: Inbound>(path: &Path, mut inbound: I) {
    let queue = open_queue(path);
    let mut reception = Reception::new(8, DeviceId::from_bytes([9; 32])).max_pending(PENDING);
    reception.recover(&queue).expect("the disk works");
    let start = Instant::now();
    let clock = move || iot_core::Instant::from_micros(start.elapsed().as_micros() as u64);
    let queue = SharedQueue::new(queue, clock, SharedSettings::default());
    let (looked_at, progress) = (queue.clone(), progress_of(path));
    std::thread::spawn(move || {
        let temporary = progress.with_extension("next");
        loop {
            let count = looked_at.with(|queue, _| queue.durable().number());
            std::fs::write(&temporary, count.to_string()).expect("there is room");
            std::fs::rename(&temporary, &progress).expect("it is there");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let ended = receive(&queue, &mut reception, &mut inbound, |failure| eprintln!("{failure:?}")).await;
    panic!("{ended}");
}

/// How often each is killed while messages go through.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    /// The process that forwards.
    pub gateway: u64,
    /// The broker.
    pub broker: u64,
    /// The process that receives.
    pub receiver: u64,
}

/// Sends so many messages through a broker, which `start` starts, while everything is killed; holds what the receiver has
/// to what was sent. The test `test` is started once more as `gateway PATH WORDS` and `receiver PATH WORDS`.
///
/// # Panics
///
/// If a message is missing, twice or out of order, or does not arrive.
pub fn survives_kills(test: &str, words: &str, messages: u64, kills: Kills, mut start: impl FnMut() -> Program) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
    fill(&from, messages);
    let begin_gateway = || Forwarder::start(test, &format!("gateway {} {words}", from.display()));
    let begin_receiver = || Forwarder::start(test, &format!("receiver {} {words}", to.display()));
    let (mut broker, begun) = (Some(start()), Instant::now());
    let (mut gateway, mut receiver) = (Some(begin_gateway()), Some(begin_receiver()));
    let total = kills.gateway + kills.broker + kills.receiver;
    let mut done = [0; 3];
    for event in 0..total {
        wait_for(&to, (event + 1) * messages / (total + 1));
        // Whoever is furthest behind is next.
        let due = [kills.gateway, kills.broker, kills.receiver];
        let next =
            (0..3).filter(|&which| done[which] < due[which]).min_by_key(|&which| done[which] * total / due[which]);
        let next = next.expect("there are as many as that");
        done[next] += 1;
        match next {
            0 => {
                drop(gateway.take());
                gateway = Some(begin_gateway());
            }
            1 => {
                broker.take().expect("it runs").kill();
                std::thread::sleep(Duration::from_millis(300));
                broker = Some(start());
            }
            _ => {
                drop(receiver.take());
                receiver = Some(begin_receiver());
            }
        }
    }
    wait_for(&to, messages);
    let seconds = begun.elapsed().as_secs_f64();
    // Whoever would send something twice does it now.
    std::thread::sleep(Duration::from_millis(1000));
    drop((gateway, receiver, broker));
    verify(&to, messages);
    let Kills { gateway, broker, receiver } = kills;
    println!(
        "{messages} messages, gateway killed {gateway} times, broker {broker}, receiver {receiver}: {seconds:.1} s"
    );
}

/// Waits until the receiver in the folder `path` has stored so many messages.
fn wait_for(path: &Path, messages: u64) {
    let (mut last, mut heard) = (0, Instant::now());
    while last < messages {
        let said = std::fs::read_to_string(progress_of(path)).ok().and_then(|said| said.parse().ok()).unwrap_or(last);
        if said != last {
            (last, heard) = (said, Instant::now());
        }
        assert!(heard.elapsed() < PATIENCE, "{last} of {messages} have arrived");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Each message is there once, and in its place.
fn verify(path: &Path, messages: u64) {
    let queue = open_queue(path);
    let mut next = 0;
    for entry in queue.entries_from(Offset::START) {
        let Entry::Message(stored) = entry.expect("the disk works") else { panic!("nothing was lost") };
        assert_eq!(stored.payload, payload(next), "one is missing, or twice, or out of order");
        next += 1;
    }
    assert_eq!(next, messages);
}

fn progress_of(path: &Path) -> PathBuf {
    path.with_extension("progress")
}
