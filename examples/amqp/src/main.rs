//! Sealed readings through an AMQP 0-9-1 broker: the device publishes into one durable queue, the receiver into
//! another. What the broker confirms says only that the broker has it; what the receiver refuses, it keeps as dead letters.

use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::time::Duration;

use iot_exchange::label;
use iot_link::{Application, Dialer, Feedback, Link, Options, invalid, runtime};
use iot_queue_amqp::amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicPublishArguments, BasicQosArguments, BasicRejectArguments,
    ConsumerMessage, QueueDeclareArguments,
};
use iot_queue_amqp::amqprs::{BasicProperties, FieldTable, FieldValue};
use iot_queue_amqp::{AmqpError, ConfirmedChannel};
use iot_tls::{Scheme, Server};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

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
        iot_tls::CA,
        iot_tls::CERTIFICATE,
        iot_tls::KEY,
    ],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(10) },
    dialer,
    sink: None,
};

/// How long the broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Messages that are on their way to the broker, and that it hands out before the first is acknowledged.
const WINDOW: u16 = 128;

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let server = Server::of(options, Scheme("amqp", 5672), Scheme("amqps", 5671))?;
    let (host, port) = server.address().rsplit_once(':').expect("it has a port");
    let port = port.parse().expect("it is one");
    let (user, password) = options.login()?.unwrap_or_else(|| ("guest".into(), "guest".into()));
    let mut broker = iot_queue_amqp::Broker::new(host, port).login(user, password);
    if let Some(config) = server.config() {
        broker = broker.tls(config.clone());
    }
    let broker = broker.virtual_host(options.own("host").unwrap_or("/")).map_err(invalid)?;
    let name = options.own("name").unwrap_or("iot.1").to_owned();
    if name.len() > 200 {
        return Err(invalid(format!("--name takes at most 200 octets, not {}", name.len())));
    }
    let role = options.role;
    let runtime = runtime()?;
    Ok(Box::new(move || {
        let [ours, theirs] = [role, role.peer()].map(|role| format!("{name}.{}", role.topic()));
        let opened = runtime.block_on(async {
            let channel = ConfirmedChannel::open(&broker, &ours).await?;
            let arriving = timeout(PATIENCE, take(&channel, [&ours, &theirs], &format!("{name}.dead"))).await;
            Ok::<_, AmqpError>((channel, arriving))
        });
        let (channel, arriving) = opened.map_err(|error| refused(error, &server))?;
        let arriving = arriving??;
        Ok(Box::new(Ends { runtime, channel, arriving, to: ours, handed_out: None }))
    }))
}

/// Why there is no connection. The client tells little of it.
fn refused(error: AmqpError, server: &Server) -> io::Error {
    let is_hung_up = matches!(error, AmqpError::NotAdmitted { .. });
    let doubted = server.doubt(failed(error), PATIENCE);
    if !is_hung_up || doubted.kind() == ErrorKind::PermissionDenied {
        return doubted;
    }
    io::Error::new(ErrorKind::PermissionDenied, "the broker hung up: wrong --user or --password")
}

fn failed(error: AmqpError) -> io::Error {
    match error {
        // Whoever says it names the address.
        AmqpError::Unreachable { reason, .. } => io::Error::other(reason),
        AmqpError::Unanswered => ErrorKind::TimedOut.into(),
        error => io::Error::other(error),
    }
}

/// Makes the queues that are not there yet, and begins to take messages out of the second.
async fn take(
    channel: &ConfirmedChannel,
    queues: [&str; 2],
    dead: &str,
) -> io::Result<UnboundedReceiver<ConsumerMessage>> {
    let channel = channel.channel();
    channel.basic_qos(BasicQosArguments::new(0, WINDOW, false)).await.map_err(io::Error::other)?;
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
    let arriving = channel.basic_consume_rx(BasicConsumeArguments::new(queues[1], "")).await;
    arriving.map(|(_, arriving)| arriving).map_err(io::Error::other)
}

/// A connection to the broker, and the ends of two queues there.
struct Ends {
    runtime: &'static Runtime,
    channel: ConfirmedChannel,
    arriving: UnboundedReceiver<ConsumerMessage>,
    to: String,
    /// What the broker keeps until this end says what became of it.
    handed_out: Option<u64>,
}

impl Link for Ends {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        let id = label(packet).unwrap_or_default();
        let properties = BasicProperties::default().with_persistence(true).with_message_id(&id).finish();
        let to = BasicPublishArguments::new("", &self.to).mandatory(true).finish();
        self.runtime.block_on(async {
            timeout(PATIENCE, self.channel.wait_until_fewer_than(WINDOW.into())).await?.map_err(failed)?;
            self.channel.publish(properties, packet.to_vec(), to).await.map_err(failed)
        })
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        if let Some(tag) = self.handed_out.take() {
            let acknowledged = self.channel.channel().basic_ack(BasicAckArguments::new(tag, false));
            self.runtime.block_on(acknowledged).map_err(io::Error::other)?;
        }
        let arriving = self.arriving.recv();
        let Ok(arrived) = self.runtime.block_on(async { timeout(patience, arriving).await }) else {
            return if self.channel.is_open() { Ok(None) } else { Err(ErrorKind::ConnectionAborted.into()) };
        };
        let message = arrived.ok_or(ErrorKind::ConnectionAborted)?;
        self.handed_out = message.deliver.map(|deliver| deliver.delivery_tag());
        Ok(message.content)
    }

    fn refuse(&mut self) -> io::Result<()> {
        let Some(tag) = self.handed_out.take() else { return Ok(()) };
        let rejected = self.channel.channel().basic_reject(BasicRejectArguments::new(tag, false));
        self.runtime.block_on(rejected).map_err(io::Error::other)
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        // What was handed over goes first.
        self.runtime.block_on(self.channel.close());
    }
}
