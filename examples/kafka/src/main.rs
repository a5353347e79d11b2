//! Sealed readings through Kafka: each end mirrors its outbox into a partition, and reads the other's.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::time::Duration;

use iot_core::Instant;
use iot_link::{Application, Dialer, Feedback, Link, Options, runtime};
use iot_queue::mirror::{Mirror, MirrorConfig};
use iot_queue::sink::Forwarded;
use iot_queue::{FileStorage, MaxLag, Queue, Seek};
use iot_queue_driven::{ConnectionError, DrivenSink, drive};
use iot_queue_kafka::{Consumed, KafkaError, Partition, PartitionReader, kafka_sink_over, mirror_config};
use iot_tls::{Scheme, Server};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const APPLICATION: Application = Application {
    name: "kafka",
    about: "Mirrors sealed readings into a partition of Kafka, where the receiver reads and verifies them.",
    server: "127.0.0.1:9092",
    hint: "is a broker there, with the topics? README.md starts one, tansu; trying again",
    options: &[
        ("name", "NAME         the topics are NAME-readings and NAME-commands, by default iot"),
        ("partition", "N       the partition of both that is this device's, by default 0"),
        ("settle", "S          seconds for which what the broker has is kept, by default 60, for its disk's sake"),
        iot_tls::CA,
        iot_tls::CERTIFICATE,
        iot_tls::KEY,
    ],
    feedback: Feedback::None,
    dialer,
    sink: None,
};

/// How long the broker may take to be connected to, when it is asked what was wrong.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the broker may wait for records before it says that there are none.
const WAIT: Duration = Duration::from_millis(250);

/// Answers of the broker that wait to be taken.
const BATCHES: usize = 2;

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let (server, role) = (Server::of(options, Scheme("kafka", 9092), Scheme("ssl", 9093))?, options.role);
    let partition = options.number("partition", 0)?;
    let config = mirror_config().settle_after(Duration::from_secs(options.number("settle", 60)?));
    let name = options.own("name").unwrap_or("iot").to_owned();
    let runtime = runtime()?;
    Ok(Box::new(move || {
        let [ours, theirs] = [role, role.peer()]
            .map(|role| Partition::new(server.address(), format!("{name}-{}", role.topic()), partition));
        // From its beginning: what is in the ledger already is passed over unopened.
        let mut reader = PartitionReader::over(server.clone(), theirs, 0);
        let (tell, arriving) = mpsc::channel(BATCHES);
        let first = runtime.block_on(reader.read(Duration::ZERO)).map_err(|error| failed(error, &server))?;
        tell.try_send(Ok(first)).map_err(io::Error::other)?;
        runtime.spawn(async move { while tell.send(reader.read(WAIT).await).await.is_ok() {} });
        let (sink, driver) = kafka_sink_over(server.clone(), ours);
        runtime.spawn(driver.run());
        Ok(Box::new(Broker { runtime, arriving, arrived: VecDeque::new(), sink, config, mirror: None }))
    }))
}

fn failed(error: KafkaError, server: &Server) -> io::Error {
    let error = match error {
        // Whoever says it names the address, but for that of another broker, to which this one sends us.
        KafkaError::Connection(ConnectionError::Unreachable { address, .. }) if address == server.address() => {
            return server.connect(PATIENCE).err().unwrap_or_else(|| ErrorKind::TimedOut.into());
        }
        error => io::Error::other(error),
    };
    server.doubt(error, PATIENCE)
}

/// What is read from the broker, and the way there.
struct Broker {
    runtime: &'static Runtime,
    arriving: mpsc::Receiver<Result<Vec<Consumed>, KafkaError>>,
    arrived: VecDeque<Vec<u8>>,
    sink: DrivenSink<KafkaError>,
    config: MirrorConfig,
    mirror: Option<Mirror>,
}

impl Link for Broker {
    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn forward(&mut self, now: Instant, outbox: &mut Queue<FileStorage>) -> io::Result<bool> {
        let mirror = match &mut self.mirror {
            Some(mirror) => mirror,
            none => {
                let seed = u64::from_be_bytes(*outbox.epoch().as_bytes());
                let cursor = outbox.open_cursor("kafka", Seek::Oldest, MaxLag::UNLIMITED).map_err(io::Error::other)?;
                none.insert(Mirror::new(self.config, outbox, cursor, seed).map_err(io::Error::other)?)
            }
        };
        // A server that cannot be reached is asked again when it is time.
        drive(now, outbox, mirror, &mut self.sink, drop).map_err(io::Error::other)?;
        outbox.ack_before(mirror.confirmed()).map_err(io::Error::other)?;
        Ok(true)
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        if self.arrived.is_empty() {
            let waited = self.runtime.block_on(async {
                tokio::select! {
                    records = self.arriving.recv() => Some(records),
                    () = self.sink.answered() => None,
                    () = tokio::time::sleep(patience) => None,
                }
            });
            let Some(records) = waited else { return Ok(None) };
            let records = records.ok_or(ErrorKind::ConnectionAborted)?.map_err(io::Error::other)?;
            // What the other end dropped unread is a gap, and no packet; nor is what another program wrote.
            self.arrived.extend(records.into_iter().filter_map(|record| match record.published.ok()?.entry {
                Forwarded::Message(message) => Some(message.payload),
                Forwarded::Gap(_) => None,
            }));
        }
        Ok(self.arrived.pop_front())
    }
}
