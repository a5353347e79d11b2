//! Processes with producers and consumers in them, killed with signal 9 again and again on one queue.
#![cfg(all(feature = "std", any(unix, windows)))]

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use iot_core::Instant;
use iot_queue::shared::{SharedQueue, SharedSettings};
use iot_queue::{AppendError, Durability, FileStorage, Message, Queue, QueueConfig, Release};

const CHILD: &str = "IOT_QUEUE_KILL_CHILD";
const ROUND: &str = "IOT_QUEUE_KILL_ROUND";
/// Longer than any process here lives.
const HOUR: Duration = Duration::from_secs(3600);

fn open(path: &Path, durability: Durability) -> Queue<FileStorage> {
    let config = QueueConfig::default().max_payload(256).and_then(|config| config.segment_len(32 * 1024));
    let config = config.and_then(|config| config.segments(6)).expect("in range").durability(durability);
    let storage = FileStorage::open(path).expect("the directory is there and free");
    Queue::open(storage, config, *b"killed-9").expect("nothing is wrong with the files")
}

/// A line that the parent reads whole or not at all: one write, past the buffer of the test harness.
fn say(words: core::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@{words}\n").as_bytes()).and_then(|()| out.flush()).expect("the parent listens");
}

/// Two threads append, two reserve, and each says what it is about to do or has done. Every seventh message is given back
/// the first time, every eleventh is left to its lease, which no process outlives.
fn produce_and_consume_until_killed(path: &Path) {
    let round: u64 = std::env::var(ROUND).ok().and_then(|round| round.parse().ok()).expect("the parent says it");
    let durability = if round.is_multiple_of(4) { Durability::EachMessage } else { Durability::Manual };
    let start = std::time::Instant::now();
    let clock = move || Instant::from_micros(u64::try_from(start.elapsed().as_micros()).expect("a short life"));
    let queue = SharedQueue::new(open(path, durability), clock, SharedSettings::default());
    let name = AtomicU64::new(round << 32);
    say(format_args!("opened 0 0"));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                loop {
                    let name = name.fetch_add(1, Ordering::Relaxed);
                    let mut payload = name.to_le_bytes().to_vec();
                    payload.resize(20 + (name % 60) as usize, name as u8);
                    match queue.append(&Message::new(&payload)) {
                        Ok(_) => say(format_args!("appended {name} 0")),
                        // A name that is not used up by then would be one of the lost.
                        Err(AppendError::Full { .. }) => std::thread::sleep(Duration::from_millis(1)),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            threads.spawn(|| {
                loop {
                    for leased in queue.reserve_wait(HOUR, 5, HOUR).expect("the disk works") {
                        let name = u64::from_le_bytes(leased.payload[..8].try_into().expect("8 octets"));
                        assert!(leased.payload[8..].iter().all(|&octet| octet == name as u8), "a corrupt message");
                        say(format_args!("leased {name} {}", leased.attempts));
                        if name.is_multiple_of(11) && leased.attempts == 1 {
                            continue;
                        }
                        if name.is_multiple_of(7) && leased.attempts == 1 {
                            say(format_args!("releasing {name} 0"));
                            queue.release(leased.lease, Release::Back).expect("it is held");
                            continue;
                        }
                        say(format_args!("acking {name} 0"));
                        queue.ack(leased.lease).expect("it is held");
                        if name.is_multiple_of(3) {
                            queue.commit().expect("the disk works");
                            say(format_args!("acked {name} 0"));
                        }
                    }
                }
            });
        }
    });
}

/// What the children said, and what may be true of a message by that.
#[derive(Default)]
struct Witness {
    appended: BTreeSet<u64>,
    acking: BTreeSet<u64>,
    acked: BTreeSet<u64>,
    /// Attempts that are known of each message.
    attempts: BTreeMap<u64, u32>,
    /// Messages that the present process holds.
    held: BTreeSet<u64>,
    /// Kills so far; each may have hidden one attempt.
    kills: u32,
    redelivered: u64,
}

impl Witness {
    fn hear(&mut self, what: &str, name: u64, attempts: u32) {
        match what {
            "appended" => drop(self.appended.insert(name)),
            "leased" => {
                assert!(!self.acked.contains(&name), "message {name} came back after its acknowledgement was durable");
                assert!(self.held.insert(name), "message {name} was handed out twice, and nobody had let go of it");
                let known = self.attempts.insert(name, attempts).unwrap_or(0);
                assert!(attempts > known, "attempt {attempts} at message {name} comes after attempt {known}");
                assert!(attempts - known <= 1 + self.kills, "attempt {attempts} at message {name} after {known}");
                self.redelivered += u64::from(attempts > 1);
            }
            "releasing" => drop(self.held.remove(&name)),
            "acking" => drop(self.acking.insert(name)),
            "acked" => drop(self.acked.insert(name)),
            _ => {}
        }
    }

    fn killed(&mut self) {
        self.kills += 1;
        self.held.clear();
    }
}

fn kill_again_and_again(test: &str, kills: u32) {
    if let Some(path) = std::env::var_os(CHILD) {
        return produce_and_consume_until_killed(Path::new(&path));
    }
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let mut witness = Witness::default();
    let mut seed = 7_u64;
    for round in 0..kills {
        let mut command = Command::new(std::env::current_exe().expect("the test runs from a file"));
        command.args(["--exact", test, "--nocapture", "--include-ignored"]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.env(CHILD, directory.path()).env(ROUND, (round + 1).to_string());
        let mut child = command.spawn().expect("a test can be started");
        let output = BufReader::new(child.stdout.take().expect("it was asked for"));
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut left = 1 + (seed >> 33) % 120;
        let mut killed = false;
        // What the child said before it died is read to the end.
        for line in output.lines() {
            let line = line.expect("the pipe works");
            let mut words = line.strip_prefix('@').unwrap_or_default().split(' ');
            let (Some(what), Some(name), Some(attempts)) = (words.next(), words.next(), words.next()) else { continue };
            witness.hear(what, name.parse().expect("a name"), attempts.parse().expect("a number"));
            left = left.saturating_sub(1);
            if left == 0 && !killed {
                child.kill().expect("it runs until it is killed");
                killed = true;
            }
        }
        assert!(killed, "round {round}: the child ended by itself");
        child.wait().expect("it was started here");
        witness.killed();
    }

    let mut queue = open(directory.path(), Durability::Manual);
    let mut found = BTreeSet::new();
    for leased in queue.reserve(Instant::START, HOUR, usize::MAX).expect("the disk works") {
        let name = u64::from_le_bytes(leased.payload[..8].try_into().expect("8 octets"));
        witness.hear("leased", name, leased.attempts);
        assert!(found.insert(name), "message {name} is there twice");
    }
    for name in &witness.appended {
        assert!(witness.acking.contains(name) || found.contains(name), "message {name} is lost");
    }
    assert_eq!(queue.stats().quarantined, 0);
    let (appended, acked, redelivered) = (witness.appended.len(), witness.acked.len(), witness.redelivered);
    println!("{kills} kills: {appended} messages, {acked} of them known to be done, {redelivered} redelivered");
    let least = kills as usize;
    assert!(appended > least && acked > least / 4 && redelivered > u64::from(kills) / 4, "too little happened");
}

#[test]
fn nothing_is_lost_and_every_redelivery_is_explained_after_20_kills() {
    kill_again_and_again("nothing_is_lost_and_every_redelivery_is_explained_after_20_kills", 20);
}

#[test]
#[ignore = "takes 20 s: 500 processes"]
fn nothing_is_lost_and_every_redelivery_is_explained_after_500_kills() {
    kill_again_and_again("nothing_is_lost_and_every_redelivery_is_explained_after_500_kills", 500);
}
