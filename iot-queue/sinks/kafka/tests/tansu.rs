//! Mirroring into tansu, a broker of Kafka's protocol, which these tests start, kill and start again.
//!
//! The environment says how much is done:
//!
//! ```text
//! IOT_KAFKA_MESSAGES=100000 IOT_KAFKA_KILLS=50 IOT_KAFKA_SERVER_KILLS=10 \
//!     cargo test -p iot-queue-kafka --test tansu -- --ignored --nocapture --test-threads 1
//! ```
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use iot_queue::Epoch;
use iot_queue::mirror::MirrorConfig;
use iot_queue_kafka::{Consumed, Partition, PartitionReader, kafka_sink};
use iot_trial::{Forwarder, fill, forward_for_ever, free_port, make_topic, number_of, start_tansu};

const TOPIC: &str = "readings";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn partition(port: u16) -> Partition {
    Partition::new(format!("127.0.0.1:{port}"), TOPIC, 1)
}

fn config() -> MirrorConfig {
    MirrorConfig::default().answer_within(Duration::from_secs(30)).settle_after(Duration::from_secs(1))
}

fn run_async<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

/// Whether this process is a gateway, as long as it lives.
fn is_gateway() -> bool {
    let Some(words) = Forwarder::part() else { return false };
    let (port, path) = words.split_once(' ').unwrap();
    let (sink, driver) = kafka_sink(partition(port.parse().unwrap()));
    run_async(async {
        tokio::spawn(driver.run());
        forward_for_ever(Path::new(path), config(), sink).await;
    });
    true
}

/// Reads the partition on from where it was, through whatever happens to the server, and holds it to the log `feed`.
struct Checker {
    reader: PartitionReader,
    feed: Epoch,
    next: u64,
}

impl Checker {
    fn new(port: u16, feed: Epoch) -> Self {
        Self { reader: PartitionReader::new(partition(port), 0), feed, next: 0 }
    }

    async fn wait_for(&mut self, count: u64) {
        let start = Instant::now();
        while self.next < count {
            self.look().await;
            assert!(start.elapsed() < Duration::from_secs(300), "{} of {count}", self.next);
        }
    }

    /// Reads what there is.
    async fn look(&mut self) {
        let Ok(records) = self.reader.read(Duration::from_millis(20)).await else {
            return tokio::time::sleep(Duration::from_millis(20)).await;
        };
        for Consumed { offset, published } in records {
            let published = published.unwrap();
            assert_eq!(published.feed, self.feed);
            let number = number_of(&published.entry);
            assert_eq!(number, self.next, "one is missing, or twice, or out of order at {offset}");
            self.next += 1;
        }
    }
}

#[test]
#[ignore = "needs tansu"]
fn nothing_is_missing_or_twice_or_out_of_order_whoever_is_killed() {
    const TEST: &str = "nothing_is_missing_or_twice_or_out_of_order_whoever_is_killed";
    if is_gateway() {
        return;
    }
    let (messages, kills) = (setting("IOT_KAFKA_MESSAGES", 12_000), setting("IOT_KAFKA_KILLS", 8));
    let server_kills = setting("IOT_KAFKA_SERVER_KILLS", 3);
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let path = folder.path().join("queue");
    let feed = fill(&path, messages);
    let mut server = start_tansu(folder.path(), port);
    make_topic(port, TOPIC);
    let begin = || Forwarder::start(TEST, &format!("{port} {}", path.display()));
    let mut gateway = Some(begin());
    let begun = Instant::now();
    run_async(async {
        let mut checker = Checker::new(port, feed);
        let (events, mut servers_killed) = (kills + server_kills, 0);
        for event in 0..events {
            checker.wait_for((event + 1) * messages / (events + 1)).await;
            if servers_killed * events < event * server_kills {
                server.kill();
                // An outage, through one of which no gateway is there either.
                if servers_killed == 1 {
                    drop(gateway.take());
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
                server = start_tansu(folder.path(), port);
                servers_killed += 1;
            } else {
                drop(gateway.take());
            }
            gateway.get_or_insert_with(begin);
        }
        checker.wait_for(messages).await;
        let seconds = begun.elapsed().as_secs_f64();
        // Whoever would send something twice does it now.
        tokio::time::sleep(Duration::from_millis(1000)).await;
        checker.look().await;
        assert_eq!(checker.next, messages);
        println!("{messages} messages, gateway killed {kills} times, the server {servers_killed}: {seconds:.1} s");
        drop((gateway, server));
    });
}

/// Two gateways forward copies of one log at once: the partition takes each place once.
#[test]
#[ignore = "needs tansu"]
fn a_second_writer_of_the_same_log_is_fenced() {
    const TEST: &str = "a_second_writer_of_the_same_log_is_fenced";
    const MESSAGES: u64 = 5_000;
    if is_gateway() {
        return;
    }
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let paths = [folder.path().join("log"), folder.path().join("copy")];
    let feed = fill(&paths[0], MESSAGES);
    std::fs::create_dir(&paths[1]).unwrap();
    for file in std::fs::read_dir(&paths[0]).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), paths[1].join(file.file_name())).unwrap();
    }
    let server = start_tansu(folder.path(), port);
    make_topic(port, TOPIC);
    run_async(async {
        let _gateways = paths.each_ref().map(|path| Forwarder::start(TEST, &format!("{port} {}", path.display())));
        let mut checker = Checker::new(port, feed);
        checker.wait_for(MESSAGES).await;
        tokio::time::sleep(Duration::from_millis(1000)).await;
        checker.look().await;
        assert_eq!(checker.next, MESSAGES);
    });
    drop(server);
}
