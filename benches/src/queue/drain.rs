//! How fast a backlog goes into NATS JetStream, beside the client that the sink is built on.
//!
//! It takes a nats-server, which the row starts. Where there is none the row says so, and is not judged.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream::{self, context::PublishAckFuture, stream};
use iot_queue::mirror::Mirror;
use iot_queue::shared::{SharedQueue, SharedSettings};
use iot_queue::{Durability, FileStorage, MaxLag, Message, Queue, QueueConfig, Seek};
use iot_queue_driven::forward;
use iot_queue_nats::{mirror_config, nats_sink};

use super::{PAYLOADS, Place};
use crate::measure::{Effort, Samples};
use crate::report::{Failure, Row};

const STREAM: &str = "READINGS";
const PREFIX: &str = "readings";
const RAW: &str = "readings.raw";
/// Messages under way at once: what [`mirror_config`] has.
const WINDOW: usize = 512;
/// Messages that the backlog is filled with at a time.
const BATCH: u64 = 500;
/// How long the server may take to come up, and a backlog to drain.
const PATIENCE: Duration = Duration::from_secs(60);

/// 100,000 messages a second, on a machine on which the client alone manages 119,000.
pub(super) fn row(effort: Effort) -> Result<Row, Failure> {
    let place = Place::new()?;
    let Some(server) = Server::start(&place.fresh("nats")?)? else {
        return Ok(Row::skipped("no nats-server is installed"));
    };
    let messages = effort.choose(100_000, 2_000);
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let client = server.connect().await?;
        for _ in 0..effort.choose(15, 1) {
            for (seconds, publisher) in [(&mut ours, Publisher::Mirror), (&mut raw, Publisher::Client)] {
                let stream = make_stream(&client).await?;
                let spent = match publisher {
                    Publisher::Mirror => {
                        drain(server.connect().await?, &stream, &place.fresh("queue")?, messages).await?
                    }
                    Publisher::Client => publish(&client, messages).await?,
                };
                if stored(&stream).await? != messages {
                    return Err("the stream holds another number of messages".into());
                }
                jetstream::new(client.clone()).delete_stream(STREAM).await?;
                seconds.push(spent.as_secs_f64() / messages as f64);
            }
        }
        Ok::<_, Failure>(())
    })?;
    let samples = [Samples::new("ours", ours), Samples::new("async-nats", raw)];
    let note = format!("{:.0} a second", 1.0 / samples[0].median());
    Ok(Row::scaled(&samples, 1e-5, &[1.0 / 119_000.0]).with_note(&note))
}

enum Publisher {
    Mirror,
    Client,
}

/// From the moment when the mirror starts, with a backlog of so many messages, until the stream has them all.
async fn drain(client: Client, stream: &stream::Stream, path: &Path, messages: u64) -> Result<Duration, Failure> {
    let mut queue = fill(path, messages)?;
    let cursor = queue.open_cursor("nats", Seek::Oldest, MaxLag::UNLIMITED)?;
    let mut mirror = Mirror::new(mirror_config(), &queue, cursor, 1)?;
    let start = Instant::now();
    let clock = move || iot_core::Instant::from_micros(start.elapsed().as_micros() as u64);
    let queue = SharedQueue::new(queue, clock, SharedSettings::default());
    let (mut sink, driver) = nats_sink(client, STREAM, PREFIX);
    let driver = tokio::spawn(driver.run());
    let start = Instant::now();
    let forwarded = tokio::select! {
        failed = forward(&queue, &mut mirror, &mut sink, |error| eprintln!("{error}")) => failed.map_err(Failure::from),
        arrived = arrive(stream, messages) => arrived,
    };
    let spent = start.elapsed();
    driver.abort();
    forwarded.map(|()| spent)
}

/// A queue with a backlog of so many messages.
fn fill(path: &Path, messages: u64) -> Result<Queue<FileStorage>, Failure> {
    let config = QueueConfig::default().durability(Durability::Manual);
    let mut queue = Queue::open(FileStorage::open(path)?, config, *b"drawn it")?;
    let batch = vec![Message::new(&PAYLOADS[0]); BATCH as usize];
    for _ in 0..messages / BATCH {
        queue.append_batch(&batch)?;
    }
    queue.commit()?;
    Ok(queue)
}

async fn arrive(stream: &stream::Stream, messages: u64) -> Result<(), Failure> {
    let arriving = async {
        while stored(stream).await? < messages {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, arriving).await?
}

/// As many messages with nothing to remember, and the answers awaited in the same window.
async fn publish(client: &Client, messages: u64) -> Result<Duration, Failure> {
    let context = jetstream::new(client.clone());
    let mut under_way: VecDeque<PublishAckFuture> = VecDeque::with_capacity(WINDOW);
    let start = Instant::now();
    for _ in 0..messages {
        if under_way.len() == WINDOW
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.await?;
        }
        under_way.push_back(context.publish(RAW, PAYLOADS[0].to_vec().into()).await?);
    }
    for answer in under_way {
        answer.await?;
    }
    Ok(start.elapsed())
}

async fn make_stream(client: &Client) -> Result<stream::Stream, Failure> {
    let config = stream::Config { name: STREAM.into(), subjects: vec![format!("{PREFIX}.>")], ..Default::default() };
    Ok(jetstream::new(client.clone()).create_stream(config).await?)
}

async fn stored(stream: &stream::Stream) -> Result<u64, Failure> {
    Ok(stream.get_info().await?.state.messages)
}

/// A server of our own, on a free loopback port; it ends with this.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Nothing where none is installed.
    fn start(store: &Path) -> Result<Option<Self>, Failure> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        // Debian keeps it where only administrators look.
        for program in ["nats-server", "/usr/sbin/nats-server"] {
            let mut command = Command::new(program);
            command.args(["-a", "127.0.0.1", "-js", "-p", &port.to_string(), "-sd"]).arg(store);
            match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
                Ok(child) => return Ok(Some(Self { child, url: format!("nats://127.0.0.1:{port}") })),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    async fn connect(&self) -> Result<Client, Failure> {
        let start = Instant::now();
        loop {
            match async_nats::connect(&self.url).await {
                Ok(client) => return Ok(client),
                Err(error) if start.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
