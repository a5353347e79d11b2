//! Mirroring into a nats-server that this test starts, kills and starts again.
//!
//! The environment says how much is done. A million messages, 50 kills of the gateway and 10 of the server:
//!
//! ```text
//! IOT_NATS_MESSAGES=1000000 IOT_NATS_KILLS=50 IOT_NATS_SERVER_KILLS=10 \
//!     cargo test -p iot-queue-nats --test jetstream -- --ignored --nocapture --test-threads 1
//! ```
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, stream::Stream};
use futures_util::StreamExt as _;
use iot_queue::mirror::{Mirror, MirrorConfig};
use iot_queue::shared::{SharedQueue, SharedSettings};
use iot_queue::{Backoff, Durability, Epoch, FileStorage, MaxLag, Message, Queue, QueueConfig, Seek};
use iot_queue_driven::{forward, hexadecimal};
use iot_queue_nats::{nats_sink, published};

use self::server::{Server, connect, make_stream};

const CHILD: &str = "IOT_NATS_CHILD";
const STREAM: &str = "READINGS";
/// Octets of a payload.
const LEN: usize = 100;
/// What may be under way, for the mirror and for the client that it is measured against.
const WINDOW: usize = 512;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Of 4 MiB each: for a million messages of this length 64, and with less to fill where there are fewer.
fn segments() -> u32 {
    if setting("IOT_NATS_MESSAGES", 0) > 200_000 { 64 } else { 12 }
}

fn open(path: &Path) -> Queue<FileStorage> {
    let config = QueueConfig::default().segments(segments()).unwrap().durability(Durability::Manual);
    // Two queues that one process makes are two.
    static OPENED: AtomicU32 = AtomicU32::new(0);
    let opened = OPENED.fetch_add(1, Ordering::Relaxed);
    let mut random = [0; 8];
    random[..4].copy_from_slice(&std::process::id().to_le_bytes());
    random[4..].copy_from_slice(&opened.to_le_bytes());
    Queue::open(FileStorage::create(path).unwrap(), config, random).unwrap()
}

fn payload(gateway: &str, number: u64) -> Vec<u8> {
    let mut payload = format!("{gateway} {number} ").into_bytes();
    payload.resize(LEN, b'.');
    payload
}

/// A gateway's queue with a backlog, and the epoch of its log.
fn fill(path: &Path, gateway: &str, messages: u64) -> Epoch {
    let mut queue = open(path);
    let payloads: Vec<_> = (0..messages).map(|number| payload(gateway, number)).collect();
    for batch in payloads.chunks(500) {
        let messages: Vec<_> = batch.iter().map(|payload| Message::new(payload)).collect();
        queue.append_batch(&messages).unwrap();
    }
    let epoch = queue.epoch();
    queue.close().unwrap();
    epoch
}

/// Forwards the queue at `path` for ever.
async fn run_gateway(path: &Path, url: &str, prefix: &str, config: MirrorConfig) {
    let mut queue = open(path);
    let cursor = queue.open_cursor("nats", Seek::Oldest, MaxLag::UNLIMITED).unwrap();
    let mut mirror = Mirror::new(config, &queue, cursor, std::process::id().into()).unwrap();
    let start = Instant::now();
    let clock = move || iot_core::Instant::from_micros(start.elapsed().as_micros() as u64);
    let settings = SharedSettings::default().flush_after(Some(Duration::from_millis(50)));
    let queue = SharedQueue::new(queue, clock, settings);
    let upkeep = queue.clone();
    std::thread::spawn(move || upkeep.run());
    let (mut sink, driver) = nats_sink(connect(url).await, STREAM, prefix);
    tokio::spawn(driver.run());
    forward(&queue, &mut mirror, &mut sink, |error| eprintln!("{error}")).await.unwrap();
}

fn config() -> MirrorConfig {
    let backoff = Backoff::new(Duration::from_millis(40), Duration::from_millis(400));
    let config = MirrorConfig::default().window(WINDOW).unwrap().backoff(backoff);
    config.answer_within(Duration::from_secs(2)).settle_after(Duration::from_secs(1))
}

fn run_async<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// A gateway in a process of its own, which is killed with signal 9 when this goes.
struct Gateway(Child);

impl Gateway {
    fn start(test: &str, path: &Path, url: &str, prefix: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--include-ignored", "--nocapture"]);
        command.env(CHILD, format!("{url}|{prefix}|{}", path.display()));
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Takes the part of the gateway, in a process that was started for that.
    fn is_this() -> bool {
        let Ok(words) = std::env::var(CHILD) else { return false };
        let mut words = words.splitn(3, '|');
        let (url, prefix, path) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        run_async(run_gateway(Path::new(path), url, prefix, config()));
        true
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many messages the stream has; fewer than it had while the server is down.
async fn stored(stream: &Stream) -> u64 {
    let asked = tokio::time::timeout(Duration::from_millis(500), stream.get_info()).await;
    asked.ok().and_then(Result::ok).map_or(0, |info| info.state.messages)
}

async fn wait_for(stream: &Stream, messages: u64) {
    let start = Instant::now();
    while stored(stream).await < messages {
        assert!(start.elapsed() < Duration::from_secs(300), "{} of {messages}", stored(stream).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads the whole stream, and holds each subject to the log that it is of.
async fn check(stream: &Stream, logs: &[(Epoch, &str, u64)]) {
    let config = pull::Config { ack_policy: AckPolicy::None, deliver_policy: DeliverPolicy::All, ..Default::default() };
    let mut messages = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    let mut next: HashMap<String, u64> = HashMap::new();
    let total = logs.iter().map(|(_, _, count)| count).sum::<u64>();
    assert_eq!(stored(stream).await, total, "messages in the stream");
    for _ in 0..total {
        let message = tokio::time::timeout(Duration::from_secs(20), messages.next()).await.unwrap().unwrap().unwrap();
        let (epoch, gateway) = logs
            .iter()
            .map(|(epoch, gateway, _)| (hexadecimal(epoch.as_bytes()), *gateway))
            .find(|(epoch, _)| message.subject.ends_with(epoch.as_str()))
            .unwrap();
        let due = next.entry(epoch).or_default();
        let entry = published(&message.subject, message.headers.as_ref(), &message.payload).unwrap().entry;
        assert_eq!(entry.start().number(), *due, "of {gateway}, one is missing, or twice, or out of order");
        assert_eq!(message.payload[..], payload(gateway, *due)[..]);
        *due += 1;
    }
    for (epoch, _, count) in logs {
        assert_eq!(next.get(&hexadecimal(epoch.as_bytes())), Some(count));
    }
}

/// What happens while gateways drain their backlogs into one stream.
struct Trouble {
    messages: u64,
    kills: u64,
    server_kills: u64,
}

/// Gateways with a backlog each on one stream are killed again and again, and so is the server; in the middle
/// everything rests for longer than the stream's window for duplicates, with messages under way.
fn drain_through(test: &str, names: &[&str], trouble: &Trouble) {
    let Trouble { messages, kills, server_kills } = *trouble;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let logs: Vec<_> = names.iter().map(|&name| (fill(&path(name), name, messages), name, messages)).collect();
    let mut server = Server::start();
    let total = messages * names.len() as u64;
    let start = Instant::now();
    run_async(async {
        let stream = make_stream(&server.client().await, STREAM, "readings").await;
        let url = server.url();
        let begin = |name: &str| Gateway::start(test, &path(name), &url, &format!("readings.{name}"));
        let mut gateways: Vec<_> = names.iter().map(|name| begin(name)).collect();
        let events = kills + server_kills + 1;
        let mut servers_killed = 0;
        for event in 0..events {
            wait_for(&stream, (event + 1) * total / (events + 1)).await;
            if event == events / 2 {
                gateways.clear();
                tokio::time::sleep(Duration::from_millis(2500)).await;
                gateways = names.iter().map(|name| begin(name)).collect();
            } else if servers_killed * events < event * server_kills {
                server.kill();
                servers_killed += 1;
            } else {
                let victim = event as usize % names.len();
                drop(gateways.remove(victim));
                gateways.insert(victim, begin(names[victim]));
            }
        }
        wait_for(&stream, total).await;
        let seconds = start.elapsed().as_secs_f64();
        // Whoever would send something twice does it now.
        tokio::time::sleep(Duration::from_millis(1000)).await;
        let fresh = jetstream::new(server.client().await).get_stream(STREAM).await.unwrap();
        check(&fresh, &logs).await;
        let gateways = names.len();
        println!(
            "{total} messages, {gateways} gateways killed {kills} times, the server {servers_killed}: {seconds:.1} s"
        );
    });
}

#[test]
#[ignore = "needs nats-server"]
fn nothing_is_missing_or_twice_or_out_of_order_whoever_is_killed() {
    if Gateway::is_this() {
        return;
    }
    let (messages, kills) = (setting("IOT_NATS_MESSAGES", 30_000), setting("IOT_NATS_KILLS", 12));
    let trouble = Trouble { messages, kills, server_kills: setting("IOT_NATS_SERVER_KILLS", 5) };
    drain_through("nothing_is_missing_or_twice_or_out_of_order_whoever_is_killed", &["a"], &trouble);
}

/// Two gateways on one stream, each with a subject of its own: whoever writes takes the sequence that the other foretold.
#[test]
#[ignore = "needs nats-server"]
fn two_gateways_share_a_stream_whoever_is_killed() {
    const TEST: &str = "two_gateways_share_a_stream_whoever_is_killed";
    if Gateway::is_this() {
        return;
    }
    let (messages, kills) = (setting("IOT_NATS_SHARED_MESSAGES", 10_000), setting("IOT_NATS_KILLS", 12));
    let trouble = Trouble { messages, kills, server_kills: setting("IOT_NATS_SERVER_KILLS", 5) };
    drain_through(TEST, &["a", "b"], &trouble);
}

/// Two gateways forward copies of one log at once: the stream takes each place once.
#[test]
#[ignore = "needs nats-server"]
fn a_second_writer_of_the_same_log_is_fenced() {
    const TEST: &str = "a_second_writer_of_the_same_log_is_fenced";
    if Gateway::is_this() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("log"), folder.path().join("copy")];
    let epoch = fill(&paths[0], "a", 10_000);
    std::fs::create_dir(&paths[1]).unwrap();
    for file in std::fs::read_dir(&paths[0]).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), paths[1].join(file.file_name())).unwrap();
    }
    let server = Server::start();
    run_async(async {
        let client = server.client().await;
        let stream = make_stream(&client, STREAM, "readings").await;
        let _gateways = paths.each_ref().map(|path| Gateway::start(TEST, path, &server.url(), "readings.a"));
        wait_for(&stream, 10_000).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        check(&stream, &[(epoch, "a", 10_000)]).await;
    });
}

/// How fast a backlog drains, beside the same client library with as many messages under way and nothing to remember.
#[test]
#[ignore = "needs nats-server; prints the drain rate"]
fn drain_rate() {
    let messages = setting("IOT_NATS_MESSAGES", 20_000);
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let (mut raw, mut mirrored) = (Vec::new(), Vec::new());
    for round in 0..3 {
        run_async(async {
            let client = server.client().await;
            let stream = make_stream(&client, STREAM, "readings").await;
            let start = Instant::now();
            publish_raw(&client, messages).await;
            raw.push(messages as f64 / start.elapsed().as_secs_f64());
            assert_eq!(stored(&stream).await, messages);
            jetstream::new(client.clone()).delete_stream(STREAM).await.unwrap();

            let path = folder.path().join(format!("queue-{round}"));
            let epoch = fill(&path, "a", messages);
            let stream = make_stream(&client, STREAM, "readings").await;
            let url = server.url();
            let start = Instant::now();
            let gateway = tokio::spawn(async move { run_gateway(&path, &url, "readings.a", config()).await });
            wait_for(&stream, messages).await;
            mirrored.push(messages as f64 / start.elapsed().as_secs_f64());
            gateway.abort();
            check(&stream, &[(epoch, "a", messages)]).await;
            jetstream::new(client).delete_stream(STREAM).await.unwrap();
        });
    }
    let best = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
    let (raw, mirrored) = (best(&raw), best(&mirrored));
    let share = mirrored / raw;
    println!("{messages} messages of {LEN} octets, {WINDOW} under way, best of 3:");
    println!("mirror {mirrored:.0}/s, raw client {raw:.0}/s, {share:.2} of it");
}

async fn publish_raw(client: &async_nats::Client, messages: u64) {
    let context = jetstream::new(client.clone());
    let mut under_way = VecDeque::new();
    for number in 0..messages {
        if under_way.len() == WINDOW {
            let oldest: jetstream::context::PublishAckFuture = under_way.pop_front().unwrap();
            oldest.await.unwrap();
        }
        under_way.push_back(context.publish("readings.raw", payload("a", number).into()).await.unwrap());
    }
    for ack in under_way {
        ack.await.unwrap();
    }
}
