//! Against `RabbitMQ`, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use amqprs::callbacks::ChannelCallback;
use amqprs::channel::{
    BasicConsumeArguments, BasicGetArguments, BasicPublishArguments, Channel, ConfirmSelectArguments,
    QueueDeclareArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{Ack, BasicProperties, Cancel, CloseChannel, Nack, Return};
use iot_trial::{Counts, Interference, Mischief, Ports, Rabbitmq, Trial, Validity, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_amqp");

/// The user that the broker knows.
const USER: &str = "default_user = plant\ndefault_pass = right\n";

#[test]
#[ignore = "needs rabbitmq-server"]
fn nothing_is_lost_through_kills_of_all_three_and_what_is_refused_is_a_dead_letter() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 2_000).with(&["--user", "plant", "--patience", "2"]);
    let rabbitmq = Rabbitmq::prepare(trial.folder(), port, USER);
    let _running = trial.survives_kills_of_all_three(|| rabbitmq.start());

    // Somebody whom the broker knows, but not the receiver.
    let [right, _] = trial.passwords();
    let receiver = trial.receiver(&["--password", &right]);
    let other = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 10).with(&["--user", "plant"]);
    let _forger = other.device(&["--password", &right]);
    receiver.wait_for(1, "refused");
    assert!(receiver.terminate().success());
    assert!(dead_letter(port).is_some_and(|letter| letter.len() > 100));
}

#[test]
#[ignore = "needs rabbitmq-server"]
fn nothing_is_lost_over_tls_and_no_broker_is_trusted_without_reason() {
    let [plain, port] = [free_port(), free_port()];
    let trial = Trial::new(PROGRAM, format!("amqps://127.0.0.1:{port}"), 2_000);
    let (plant, files) = trial.authorities();
    let [certificate, key] = plant.issue("broker", &["127.0.0.1"], Validity::Now);
    let listen = format!("listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\n", files[0]);
    let shown = format!("ssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\n");
    let rabbitmq = Rabbitmq::prepare(trial.folder(), plain, &[USER, &listen, &shown].concat());
    let trial = trial.with(&["--user", "plant", "--patience", "2", "--ca", &files[0]]);
    let _running = trial.survives_kills_of_all_three(|| rabbitmq.start());

    let other = Trial::new(PROGRAM, "", 10).with(&["--user", "plant"]);
    let [right, _] = other.passwords();
    let ports = Ports { plain: ("amqp", plain), secure: ("amqps", port) };
    other.trusts_no_server_without_reason(&ports, &files, &["--password", &right]);
}

/// The oldest of the messages that were refused.
#[tokio::main(flavor = "current_thread")]
async fn dead_letter(port: u16) -> Option<Vec<u8>> {
    let connection =
        Connection::open(&OpenConnectionArguments::new("127.0.0.1", port, "plant", "right")).await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    let letter = channel.basic_get(BasicGetArguments::new("iot.1.dead")).await.unwrap();
    letter.map(|(_, _, content)| content)
}

/// Takes what one end wrote out of the broker, and gives the other end what becomes of it.
#[tokio::main(flavor = "current_thread")]
async fn meddle(port: u16, from: &str, to: &str, mut interference: Interference) {
    let connection =
        Connection::open(&OpenConnectionArguments::new("127.0.0.1", port, "plant", "right")).await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    let consume = BasicConsumeArguments::new(from, "").auto_ack(true).finish();
    let (_, mut arriving) = channel.basic_consume_rx(consume).await.unwrap();
    while let Some(message) = arriving.recv().await {
        for packet in interference.interfere(&message.content.unwrap()) {
            let publish = BasicPublishArguments::new("", to);
            channel.basic_publish(BasicProperties::default(), packet, publish).await.unwrap();
        }
    }
}

#[test]
#[ignore = "needs rabbitmq-server"]
fn whatever_a_broker_does_to_packets_is_refused_or_made_good() {
    let port = free_port();
    let common = ["--user", "plant", "--patience", "1"];
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 2_000).with(&common);
    let _running = Rabbitmq::prepare(trial.folder(), port, USER).start();
    let [right, _] = trial.passwords();
    // Each end has queues of its own, so everything goes through the one in the middle.
    let (near, far) = (["--password", &right, "--name", "near"], ["--password", &right, "--name", "far"]);
    let receiver = trial.receiver(&far);
    receiver.wait_for(1, "connected");
    let device = trial.device(&[&near[..], &["--rate", "0", "--batch", "4"]].concat());
    device.wait_for(1, "connected");
    let counts = [Arc::<Counts>::default(), Arc::default()];
    for (counts, (from, to)) in
        counts.iter().zip([("near.readings", "far.readings"), ("far.commands", "near.commands")])
    {
        let interference = Interference::new(Mischief::OF_EACH, 7, counts);
        std::thread::spawn(move || meddle(port, from, to, interference));
    }
    assert!(device.wait().success());
    assert!(receiver.count("refused") > 0 && receiver.count("missing") == 0, "{}", receiver.lines());
    assert!(receiver.terminate().success());
    assert!(counts.iter().all(|counts| counts.is_of_each()), "{counts:?}");
    trial.verify_all_arrived();
}

/// Up to which message a broker has confirmed.
struct Confirmed(Arc<AtomicU64>);

#[async_trait::async_trait]
impl ChannelCallback for Confirmed {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), amqprs::error::Error> {
        panic!("{close}")
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), amqprs::error::Error> {
        panic!("the queue is gone")
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, amqprs::error::Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        // They come in order where there is one queue.
        self.0.store(ack.delivery_tag(), Relaxed);
    }

    async fn publish_nack(&mut self, _: &Channel, _: Nack) {
        panic!("it is not taken")
    }

    async fn publish_return(&mut self, _: &Channel, _: Return, _: BasicProperties, _: Vec<u8>) {
        panic!("there is no queue")
    }
}

/// What a client without a queue, keys or positions publishes in a second: as many octets, as durable, confirmed by the
/// broker, and as many on their way.
#[tokio::main(flavor = "current_thread")]
async fn raw_rate(port: u16, messages: u64) -> f64 {
    let connection =
        Connection::open(&OpenConnectionArguments::new("127.0.0.1", port, "plant", "right")).await.unwrap();
    let (channel, confirmed) = (connection.open_channel(None).await.unwrap(), Arc::new(AtomicU64::new(0)));
    channel.register_callback(Confirmed(confirmed.clone())).await.unwrap();
    channel.confirm_select(ConfirmSelectArguments::default()).await.unwrap();
    channel.queue_declare(QueueDeclareArguments::durable_client_named("raw")).await.unwrap();
    let start = Instant::now();
    for number in 1..=messages {
        let mut properties = BasicProperties::default();
        let properties = properties.with_delivery_mode(2).finish();
        let publish = BasicPublishArguments::new("", "raw").mandatory(true).finish();
        channel.basic_publish(properties, vec![7; 176], publish).await.unwrap();
        let window = if number == messages { 0 } else { 128 };
        while number - confirmed.load(Relaxed) > window {
            tokio::task::yield_now().await;
        }
    }
    messages as f64 / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "needs rabbitmq-server"]
fn what_it_costs_beside_a_raw_client() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 2_000).with(&["--user", "plant"]);
    let _running = Rabbitmq::prepare(trial.folder(), port, USER).start();
    let [right, _] = trial.passwords();
    let receiver = trial.receiver(&["--password", &right]);
    receiver.wait_for(1, "connected");
    let (ours, raw) = (trial.rate(&["--password", &right]), raw_rate(port, 2_000));
    println!("amqp: {ours:.0} messages a second to the receiver and back, a raw client {raw:.0} to the broker");
    assert!(ours > raw / 200.0, "{ours} of {raw}");
}
