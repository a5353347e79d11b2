//! Sealed readings through an AMQP 0-9-1 broker: the device publishes into one durable queue, the receiver into
//! another. What the broker confirms says only that the broker has it; what the receiver refuses, it keeps as dead letters.

mod confirms;

use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::time::Duration;

use amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicPublishArguments, BasicQosArguments, BasicRejectArguments, Channel,
    ConfirmSelectArguments, ConsumerMessage, QueueDeclareArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{BasicProperties, FieldTable, FieldValue};
use iot_exchange::label;
use iot_link::{Application, Dialer, Feedback, Link, Options, invalid, runtime};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::confirms::Confirms;

const APPLICATION: Application = Application {
    name: "amqp",
    about: "Sends sealed readings through an AMQP broker until the receiver has verified and kept them.",
    server: "127.0.0.1:5672",
    hint: "is a broker there? `rabbitmq-server` starts one; trying again",
    options: &[
        ("name", "NAME         the broker's queues are NAME.readings, NAME.commands and NAME.dead, by default iot.1"),
        ("user", "NAME         the user that the broker knows, by default guest with that user's password"),
        ("password", "FILE     a file with the user's password"),
        ("host", "NAME         the virtual host, by default /"),
    ],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(10) },
    dialer,
    sink: None,
};

/// How long the broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Messages that the broker hands out before the first is acknowledged.
const PREFETCH: u16 = 128;

/// How AMQP calls a message that is to survive a restart of the broker.
const PERSISTENT: u8 = 2;

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let address = options.address("amqp")?;
    let (host, port) = address.rsplit_once(':').ok_or_else(|| invalid(format!("{address} is not HOST:PORT")))?;
    let port = port.parse().map_err(|error| invalid(format!("{address}: {error}")))?;
    let (user, password) = options.login()?.unwrap_or_else(|| ("guest".into(), "guest".into()));
    let mut arguments = OpenConnectionArguments::new(host, port, &user, &password);
    arguments.virtual_host(options.own("host").unwrap_or("/")).heartbeat(10);
    let name = options.own("name").unwrap_or("iot.1").to_owned();
    if name.len() > 200 {
        return Err(invalid(format!("--name takes at most 200 octets, not {}", name.len())));
    }
    let role = options.role;
    let runtime = runtime()?;
    Ok(Box::new(move || {
        let [ours, theirs] = [role, role.peer()].map(|role| format!("{name}.{}", role.topic()));
        let opened = runtime.block_on(async {
            tokio::time::timeout(PATIENCE, open(&arguments, [&ours, &theirs], &format!("{name}.dead"))).await
        });
        let (connection, channel, arriving, confirms) = opened.map_err(|_| ErrorKind::TimedOut)??;
        Ok(Box::new(Broker { runtime, connection, channel, arriving, confirms, to: ours, handed_out: None }))
    }))
}

type Opened = (Connection, Channel, UnboundedReceiver<ConsumerMessage>, Confirms);

/// Opens a channel, and makes the queues that are not there yet.
async fn open(arguments: &OpenConnectionArguments, queues: [&str; 2], dead: &str) -> io::Result<Opened> {
    let connection = Connection::open(arguments).await.map_err(|error| match error {
        // A broker says nothing to a client that it does not know.
        amqprs::error::Error::NetworkError(words) if words.contains("shutdown") || words.contains("reset") => {
            let words = "the broker hung up: wrong --user or --password, or it wants TLS there";
            io::Error::new(ErrorKind::PermissionDenied, words)
        }
        error => io::Error::other(error.to_string()),
    })?;
    let channel = connection.open_channel(None).await.map_err(io::Error::other)?;
    let confirms = Confirms::default();
    channel.register_callback(confirms.clone()).await.map_err(io::Error::other)?;
    channel.confirm_select(ConfirmSelectArguments::default()).await.map_err(io::Error::other)?;
    channel.basic_qos(BasicQosArguments::new(0, PREFETCH, false)).await.map_err(io::Error::other)?;
    let mut letters = FieldTable::new();
    let text = |text: &str| text.try_into().map(FieldValue::S).map_err(io::Error::other);
    letters.insert("x-dead-letter-exchange".try_into().map_err(io::Error::other)?, text("")?);
    letters.insert("x-dead-letter-routing-key".try_into().map_err(io::Error::other)?, text(dead)?);
    // A second receiver stands by: two at once would each see half.
    letters.insert("x-single-active-consumer".try_into().map_err(io::Error::other)?, true.into());
    for (queue, arguments) in [(dead, FieldTable::new()), (queues[0], letters.clone()), (queues[1], letters)] {
        let declare = QueueDeclareArguments::durable_client_named(queue).arguments(arguments).finish();
        channel.queue_declare(declare).await.map_err(io::Error::other)?;
    }
    let (_, arriving) =
        channel.basic_consume_rx(BasicConsumeArguments::new(queues[1], "")).await.map_err(io::Error::other)?;
    Ok((connection, channel, arriving, confirms))
}

/// A connection to the broker.
struct Broker {
    runtime: &'static Runtime,
    connection: Connection,
    channel: Channel,
    arriving: UnboundedReceiver<ConsumerMessage>,
    confirms: Confirms,
    to: String,
    /// What the broker keeps until this end says what became of it.
    handed_out: Option<u64>,
}

impl Link for Broker {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.confirms.begin(PATIENCE)?;
        let mut properties = BasicProperties::default();
        properties.with_delivery_mode(PERSISTENT);
        properties.with_message_id(&label(packet).unwrap_or_default());
        let arguments = BasicPublishArguments::new("", &self.to).mandatory(true).finish();
        let published = self.channel.basic_publish(properties.finish(), packet.to_vec(), arguments);
        self.runtime.block_on(published).map_err(io::Error::other)
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        if let Some(tag) = self.handed_out.take() {
            let acknowledged = self.channel.basic_ack(BasicAckArguments::new(tag, false));
            self.runtime.block_on(acknowledged).map_err(io::Error::other)?;
        }
        let arriving = self.arriving.recv();
        let Ok(arrived) = self.runtime.block_on(async { tokio::time::timeout(patience, arriving).await }) else {
            return if self.connection.is_open() { Ok(None) } else { Err(ErrorKind::ConnectionAborted.into()) };
        };
        let message = arrived.ok_or(ErrorKind::ConnectionAborted)?;
        self.handed_out = message.deliver.map(|deliver| deliver.delivery_tag());
        Ok(message.content)
    }

    fn refuse(&mut self) -> io::Result<()> {
        let Some(tag) = self.handed_out.take() else { return Ok(()) };
        let rejected = self.channel.basic_reject(BasicRejectArguments::new(tag, false));
        self.runtime.block_on(rejected).map_err(io::Error::other)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // What was handed over goes first. Whoever has hung up need not be told.
        let closed = self.connection.clone().close();
        let _ = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, closed).await });
    }
}
