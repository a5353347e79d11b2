//! Mirroring through `RabbitMQ`, which these tests start, kill and start again.
//!
//! The environment says how much is done:
//!
//! ```text
//! IOT_AMQP_MESSAGES=100000 IOT_AMQP_KILLS=30 \
//!     cargo test -p iot-queue-amqp --test rabbitmq -- --ignored --nocapture --test-threads 1
//! ```
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use amqprs::BasicProperties;
use amqprs::channel::{
    BasicConsumeArguments, BasicGetArguments, BasicPublishArguments, Channel, QueueDeclareArguments,
    QueueDeleteArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use iot_core::DeviceId;
use iot_queue::mirror::{Mirror, MirrorError};
use iot_queue::{Durability, Entry, MaxLag, MemoryStorage, Message, Offset, Queue, QueueConfig, Seek};
use iot_queue_amqp::{AmqpError, QueueReader, Route, amqp_sink, mirror_config};
use iot_queue_driven::{DrivenError, DrivenSink, Inbound as _, PropertyError, Reception, ReceptionError, SINCE};
use iot_trial::{Forwarder, Kills, Program, Rabbitmq, forward_for_ever, free_port, receive_for_ever, survives_kills};
use tempfile::TempDir;

/// What each user may do, as the front page says it, and one who may do everything.
const USERS: &str = r#"{
    "vhosts": [{"name": "/"}],
    "users": [
        {"name": "gateway", "password": "g", "tags": ""},
        {"name": "receiver", "password": "r", "tags": ""},
        {"name": "operator", "password": "o", "tags": ""}
    ],
    "permissions": [
        {"user": "gateway", "vhost": "/", "configure": "^amq\\.gen.*$",
            "write": "^(amq\\.gen.*|[a-z]+\\.entries)$", "read": "^(amq\\.gen.*|[a-z]+\\.receipts)$"},
        {"user": "receiver", "vhost": "/", "configure": "^[a-z]+\\..*$", "write": "^[a-z]+\\..*$", "read": "^[a-z]+\\..*$"},
        {"user": "operator", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    ]
}"#;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn route(port: u16, name: &str) -> Route {
    Route::new("127.0.0.1", port, name).unwrap()
}

fn as_gateway(route: Route) -> Route {
    route.login("gateway", "g")
}

fn as_receiver(route: Route) -> Route {
    route.login("receiver", "r")
}

fn prepare(port: u16) -> (TempDir, Rabbitmq) {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.json");
    std::fs::write(&users, USERS).unwrap();
    let rabbitmq = Rabbitmq::prepare(folder.path(), port, &format!("load_definitions = {}\n", users.display()));
    (folder, rabbitmq)
}

fn run_async<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

/// Whether this process is a gateway or a receiver, as long as it lives.
fn takes_part() -> bool {
    let Some(words) = Forwarder::part() else { return false };
    let [role, path, port] = words.split(' ').collect::<Vec<_>>()[..] else { panic!("{words}") };
    let route = route(port.parse().unwrap(), "plant");
    run_async(async {
        if role == "receiver" {
            return receive_for_ever(Path::new(path), QueueReader::new(as_receiver(route))).await;
        }
        let (sink, driver) = amqp_sink(as_gateway(route));
        tokio::spawn(driver.run());
        forward_for_ever(Path::new(path), mirror_config().answer_within(Duration::from_secs(1)), sink).await;
    });
    true
}

#[test]
#[ignore = "needs rabbitmq-server"]
fn nothing_is_missing_or_twice_or_out_of_order_whoever_is_killed() {
    const TEST: &str = "nothing_is_missing_or_twice_or_out_of_order_whoever_is_killed";
    if takes_part() {
        return;
    }
    let port = free_port();
    let (_folder, rabbitmq) = prepare(port);
    let kills = setting("IOT_AMQP_KILLS", 6);
    let kills = Kills { gateway: kills, broker: kills / 3, receiver: kills };
    survives_kills(TEST, &port.to_string(), setting("IOT_AMQP_MESSAGES", 12_000), kills, || rabbitmq.start());
}

fn open(payload: u32) -> Queue<MemoryStorage> {
    let config = QueueConfig::default().max_payload(payload).and_then(|config| config.segment_len(4096)).unwrap();
    let config = config.segments(8).unwrap().durability(Durability::Manual);
    Queue::open(MemoryStorage::new(), config, u64::from(payload).to_le_bytes()).unwrap()
}

/// A gateway with messages to send, whose mirror is driven by hand.
struct Gateway {
    queue: Queue<MemoryStorage>,
    mirror: Mirror,
    sink: DrivenSink<AmqpError>,
    started: Instant,
}

impl Gateway {
    /// It waits so long for receipts that a test does not see it send again.
    fn start(route: Route, messages: u64) -> Self {
        Self::start_with(route, messages, Duration::from_secs(300))
    }

    fn start_with(route: Route, messages: u64, patience: Duration) -> Self {
        let mut queue = open(256);
        let cursor = queue.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED).unwrap();
        let mirror = Mirror::new(mirror_config().answer_within(patience), &queue, cursor, 1).unwrap();
        let (sink, driver) = amqp_sink(route);
        tokio::spawn(driver.run());
        let mut gateway = Self { queue, mirror, sink, started: Instant::now() };
        gateway.write(messages);
        gateway
    }

    fn write(&mut self, messages: u64) {
        for number in 0..messages {
            self.queue.append(&Message::new(&number.to_le_bytes())).unwrap();
        }
        self.queue.commit().unwrap();
    }

    /// Drives the mirror until something is said about it; what fails, or nothing once `until` is so.
    async fn drive(&mut self, until: impl Fn(&Mirror) -> bool) -> Option<AmqpError> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let now = iot_core::Instant::from_micros(self.started.elapsed().as_micros() as u64);
            match self.mirror.drive(now, &mut self.queue, &mut self.sink) {
                Ok(()) => {}
                Err(MirrorError::Sink(DrivenError::Server(error))) => return Some(error),

                Err(error) => panic!("{error:?}"),
            }
            if until(&self.mirror) {
                return None;
            }
            assert!(Instant::now() < end, "nothing fails, and nothing arrives: {:?}", self.mirror.stats());
            let _ = tokio::time::timeout(Duration::from_millis(20), self.sink.answered()).await;
        }
    }

    /// What fails next.
    async fn failure(&mut self) -> AmqpError {
        self.drive(|_| false).await.expect("it ends by a failure alone")
    }
}

/// A receiver that is driven by hand.
struct Receiver {
    queue: Queue<MemoryStorage>,
    reception: Reception,
    reader: QueueReader,
}

impl Receiver {
    /// Connects, and makes the queues; nothing is to be in them. Its own queue takes so many octets.
    async fn start(port: u16, name: &str, payload: u32) -> Self {
        Self::start_over(port, name, as_receiver(route(port, name)), payload).await
    }

    async fn start_over(port: u16, name: &str, route: Route, payload: u32) -> Self {
        let reception = Reception::new(4, DeviceId::from_bytes([9; 32]));
        let mut receiver = Self { queue: open(payload), reception, reader: QueueReader::new(route) };
        tokio::select! {
            came = receiver.reader.read() => panic!("{came:?}"),
            () = consumed_by(1, port, name) => {}
        }
        receiver
    }

    /// Takes what comes first, and stores it; gives what was of no log.
    async fn take(&mut self) -> Result<Vec<PropertyError>, ReceptionError> {
        let came = tokio::time::timeout(Duration::from_secs(30), self.reader.read()).await.expect("something comes");
        let mut foreign = Vec::new();
        for delivery in came.unwrap() {
            match delivery {
                Ok(delivery) => self.reception.handle(delivery),
                Err(error) => foreign.push(error),
            }
        }
        let receipts = self.reception.store(&mut self.queue)?;
        self.reader.answer(&receipts).await.unwrap();
        Ok(foreign)
    }
}

/// Somebody else at the broker.
async fn operator(port: u16) -> (Connection, Channel) {
    let connection = Connection::open(&OpenConnectionArguments::new("127.0.0.1", port, "operator", "o")).await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    (connection, channel)
}

/// How many messages wait in a queue, and how many take them out; nothing if there is no such queue.
async fn look(port: u16, queue: &str) -> Option<(u32, u32)> {
    let (_connection, channel) = operator(port).await;
    let asked = channel.queue_declare(QueueDeclareArguments::new(queue).passive(true).finish()).await;
    asked.ok().flatten().map(|(_, messages, consumers)| (messages, consumers))
}

/// Waits until so many take entries out of their queue.
async fn consumed_by(count: u32, port: u16, name: &str) {
    while look(port, &format!("{name}.entries")).await.is_none_or(|(_, consumers)| consumers != count) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn publish(channel: &Channel, to: (&str, &str), payload: &str) {
    let to = BasicPublishArguments::new(to.0, to.1);
    channel.basic_publish(BasicProperties::default(), payload.as_bytes().to_vec(), to).await.unwrap();
}

/// The next message in a queue, as soon as there is one.
async fn next_in(channel: &Channel, queue: &str) -> Vec<u8> {
    for _ in 0..500 {
        let got = channel.basic_get(BasicGetArguments::new(queue).no_ack(true).finish()).await.unwrap();
        if let Some((_, _, payload)) = got {
            return payload;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing comes into {queue}");
}

#[test]
fn that_there_is_no_broker_is_said() {
    run_async(async {
        let mut gateway = Gateway::start(as_gateway(route(free_port(), "plant")), 1);
        let failure = gateway.failure().await;
        assert!(matches!(failure, AmqpError::Unreachable { .. }), "{failure:?}");
        assert!(failure.to_string().contains("refused"), "{failure}");
    });
}

#[test]
#[ignore = "needs rabbitmq-server"]
fn what_does_not_go_through_is_said_and_what_is_not_taken_is_kept() {
    let port = free_port();
    let (_folder, rabbitmq) = prepare(port);
    let _running: Program = rabbitmq.start();
    // It is dropped outside of the runtime that it was used in.
    let reader = run_async(async {
        a_wrong_password(port).await;
        no_queue(port).await;
        a_queue_that_goes(port).await;
        a_full_queue(port).await;
        one_window_while_nobody_receives(port).await;
        receipts_of_others(port).await;
        dead_letters(port).await;
        what_is_not_stored_comes_again(port).await
    });
    drop(reader);
}

async fn a_wrong_password(port: u16) {
    let failure = Gateway::start(route(port, "login").login("gateway", "wrong"), 1).failure().await;
    assert!(matches!(failure, AmqpError::NotAdmitted { .. }), "{failure:?}");
    let elsewhere = as_gateway(route(port, "login")).virtual_host("elsewhere").unwrap();
    let failure = Gateway::start(elsewhere, 1).failure().await;
    assert!(matches!(&failure, AmqpError::Unreachable { reason, .. } if reason.contains("elsewhere")), "{failure:?}");
}

async fn no_queue(port: u16) {
    let mut gateway = Gateway::start(as_gateway(route(port, "missing")), 3);
    let failure = gateway.failure().await;
    assert_eq!(failure, AmqpError::NoQueue { queue: "missing.entries".into() });
    // Once the receiver was there, it goes through.
    let mut receiver = Receiver::start(port, "missing", 256).await;
    let (arrived, taken) = tokio::join!(
        async { while gateway.drive(|mirror| mirror.confirmed() == Offset::new(3)).await.is_some() {} },
        async {
            while receiver.queue.durable() < Offset::new(3) {
                assert_eq!(receiver.take().await, Ok(Vec::new()));
            }
        },
    );
    assert_eq!((arrived, taken), ((), ()));
}

/// The broker returns what it has no queue for, also where there was one when the gateway asked.
async fn a_queue_that_goes(port: u16) {
    Receiver::start(port, "going", 256).await;
    let mut gateway = Gateway::start(as_gateway(route(port, "going")), 1);
    assert_eq!(gateway.drive(|mirror| mirror.stats().under_way == 1).await, None);
    let (_connection, channel) = operator(port).await;
    assert_eq!(next_in(&channel, "going.entries").await, 0_u64.to_le_bytes());
    channel.queue_delete(QueueDeleteArguments::new("going.entries")).await.unwrap();
    gateway.write(1);
    assert_eq!(gateway.failure().await, AmqpError::NoQueue { queue: "going.entries".into() });
    assert_eq!(gateway.mirror.confirmed(), Offset::START);
}

async fn a_full_queue(port: u16) {
    Receiver::start_over(port, "full", as_receiver(route(port, "full")).max_waiting(5), 256).await;
    consumed_by(0, port, "full").await;
    let mut gateway = Gateway::start(as_gateway(route(port, "full")), 50);
    let failure = gateway.failure().await;
    assert!(matches!(failure, AmqpError::Refused { request: "a message", .. }), "{failure:?}");
    // Whoever would make it otherwise is told.
    let failure = QueueReader::new(as_receiver(route(port, "full"))).read().await.unwrap_err();
    assert!(matches!(&failure, AmqpError::Refused { reason, .. } if reason.contains("x-max-length")), "{failure:?}");
}

/// A gateway that waits for receipts in vain leaves each message in the broker's queue once.
async fn one_window_while_nobody_receives(port: u16) {
    Receiver::start(port, "away", 256).await;
    let mut gateway = Gateway::start_with(as_gateway(route(port, "away")), 10, Duration::from_millis(500));
    for _ in 0..3 {
        assert_eq!(gateway.failure().await, AmqpError::NoReceiver { queue: "away.entries".into() });
    }
    assert_eq!(look(port, "away.entries").await, Some((10, 0)));
}

/// What is no receipt frees nothing, and who is no receiver can send none.
async fn receipts_of_others(port: u16) {
    Receiver::start(port, "forged", 256).await;
    let mut gateway = Gateway::start(as_gateway(route(port, "forged")), 3);
    assert_eq!(gateway.drive(|mirror| mirror.stats().under_way == 3).await, None);
    let feed: String = gateway.queue.epoch().as_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    let (_connection, channel) = operator(port).await;
    // Somebody takes the entries, and says nothing of them.
    let take = BasicConsumeArguments::new("forged.entries", "").auto_ack(true).finish();
    let (_, mut entries) = channel.basic_consume_rx(take).await.unwrap();
    for _ in 0..3 {
        entries.recv().await.unwrap();
    }
    for text in ["", "3", "0101010101010101 3", "x 3"] {
        publish(&channel, ("forged.receipts", &feed), text).await;
    }
    let other = Connection::open(&OpenConnectionArguments::new("127.0.0.1", port, "gateway", "g")).await.unwrap();
    let others = other.open_channel(None).await.unwrap();
    publish(&others, ("forged.receipts", &feed), &format!("{feed} 3")).await;
    publish(&channel, ("forged.receipts", &feed), &format!("{feed} 2")).await;
    assert_eq!(gateway.drive(|mirror| mirror.acknowledged() != Offset::START).await, None);
    assert_eq!(gateway.mirror.acknowledged(), Offset::new(2));
}

async fn dead_letters(port: u16) {
    let mut receiver = Receiver::start(port, "dead", 256).await;
    let (_connection, channel) = operator(port).await;
    for number in 0..3 {
        publish(&channel, ("dead.entries", "entries"), &format!("letter {number}")).await;
        assert_eq!(receiver.take().await, Ok(vec![PropertyError::Missing { name: SINCE }]));
    }
    let mut letters = Vec::new();
    for _ in 0..3 {
        letters.push(String::from_utf8(next_in(&channel, "dead.dead").await).unwrap());
    }
    assert_eq!(letters, ["letter 0", "letter 1", "letter 2"]);
}

/// A queue that takes no message of this length is replaced by one that does, and the broker hands out again what it has.
async fn what_is_not_stored_comes_again(port: u16) -> QueueReader {
    let mut receiver = Receiver::start(port, "again", 4).await;
    let mut gateway = Gateway::start(as_gateway(route(port, "again")), 1);
    assert_eq!(gateway.drive(|mirror| mirror.stats().under_way == 1).await, None);
    assert!(matches!(receiver.take().await, Err(ReceptionError::Intake(_))));
    // The gateway says nothing more: this is the broker's.
    (receiver.queue, receiver.reception) = (open(256), Reception::new(4, DeviceId::from_bytes([9; 32])));
    assert_eq!(receiver.take().await, Ok(Vec::new()));
    let first = receiver.queue.entries_from(Offset::START).next().unwrap().unwrap();
    assert!(matches!(first, Entry::Message(stored) if stored.payload == 0_u64.to_le_bytes()));
    receiver.reader
}
