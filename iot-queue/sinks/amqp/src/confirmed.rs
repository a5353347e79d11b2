//! A connection to a broker, and what the broker says on it unasked.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use amqprs::callbacks::ChannelCallback;
use amqprs::channel::{BasicPublishArguments, Channel, ConfirmSelectArguments};
use amqprs::connection::Connection;
use amqprs::error::Error;
use amqprs::{Ack, BasicProperties, Cancel, CloseChannel, Nack, Return};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::ANSWER_WITHIN;
use crate::broker::Broker;
use crate::error::AmqpError;

/// How long a connection may take to make: `RabbitMQ` waits three seconds before it hangs up on a wrong password.
const CONNECT_WITHIN: Duration = Duration::from_secs(6);

/// AMQP: there is no such queue, or no such exchange.
const NOT_FOUND: u16 = 404;

/// What a broker says unasked.
pub(crate) enum Said {
    /// It has the message with this number on the channel, or all up to it.
    Confirmed { number: u64, and_before: bool },
    /// It did not take a message.
    NotTaken,
    /// It has no queue for a message, or ours is gone.
    NoQueue,
    /// It closed the channel.
    Closed { code: u16, reason: String },
}

/// A connection that a broker has accepted, with one channel, on which it confirms what is published.
///
/// A confirm says that the broker has a message, as safely as the message and its queue ask for, and nothing of whoever
/// is to have it. After an error the connection is of no more use, and what was not confirmed is to be published
/// over another one. It has to be used in a runtime of tokio, and is closed when it is dropped there.
///
/// ```no_run
/// use iot_queue_amqp::amqprs::BasicProperties;
/// use iot_queue_amqp::amqprs::channel::{BasicPublishArguments, QueueDeclareArguments};
/// use iot_queue_amqp::{Broker, ConfirmedChannel};
///
/// async fn run(readings: Vec<Vec<u8>>) -> Result<(), Box<dyn std::error::Error>> {
///     let broker = Broker::new("amqp.example.org", 5672).login("gateway", "secret");
///     let mut publisher = ConfirmedChannel::open(&broker, "readings").await?;
///     publisher.channel().queue_declare(QueueDeclareArguments::durable_client_named("readings")).await?;
///     // What finds no queue is to come back: that is an error then.
///     let to = BasicPublishArguments::new("", "readings").mandatory(true).finish();
///     for reading in readings {
///         let persistent = BasicProperties::default().with_persistence(true).finish();
///         publisher.publish(persistent, reading, to.clone()).await?;
///         publisher.wait_until_fewer_than(128).await?;
///     }
///     // The broker has all of them.
///     publisher.wait_until_fewer_than(1).await?;
///     publisher.close().await;
///     Ok(())
/// }
/// ```
pub struct ConfirmedChannel {
    /// There until this is closed or dropped.
    open: Option<(Channel, Connection)>,
    said: UnboundedReceiver<Said>,
    /// The queue without which nothing works.
    queue: String,
    /// How many were published on the channel, and the numbers of those that the broker has not confirmed.
    published: u64,
    unconfirmed: BTreeSet<u64>,
    /// The client tells the broker by a task that a connection ends, wherever this is dropped.
    runtime: Handle,
}

impl ConfirmedChannel {
    /// Connects, to publish into `queue` or to take out of it: errors name it, and nothing else depends on it.
    ///
    /// # Errors
    /// When the broker is not there, does not admit this user, or does not answer.
    pub async fn open(broker: &Broker, queue: impl Into<String>) -> Result<Self, AmqpError> {
        let address = broker.address();
        let unreachable = |reason| AmqpError::Unreachable { address: address.clone(), reason };
        let opened = timeout(CONNECT_WITHIN, Connection::open(&broker.connection())).await;
        let connection = match opened.map_err(|_| AmqpError::Unanswered)? {
            Ok(connection) => connection,
            // A broker says nothing to a client that it does not know.
            Err(Error::NetworkError(words)) if words.contains("shutdown") || words.contains("reset") => {
                return Err(AmqpError::NotAdmitted { address });
            }
            Err(error) => return Err(unreachable(error.to_string())),
        };
        let opened = timeout(ANSWER_WITHIN, connection.open_channel(None)).await;
        let channel = opened.map_err(|_| AmqpError::Unanswered)?.map_err(|_| AmqpError::Disconnected)?;
        let (tell, said) = unbounded_channel();
        channel.register_callback(Listener(tell)).await.map_err(|_| AmqpError::Disconnected)?;
        let (open, queue, runtime) = (Some((channel.clone(), connection)), queue.into(), Handle::current());
        let mut session = Self { open, said, queue, published: 0, unconfirmed: BTreeSet::new(), runtime };
        session.call("to confirm", channel.confirm_select(ConfirmSelectArguments::default())).await?;
        Ok(session)
    }

    /// Publishes a message. It is unconfirmed until the broker has said that it has it.
    ///
    /// # Errors
    /// When the broker has refused or returned an earlier one, or closed the channel.
    pub async fn publish(
        &mut self,
        properties: BasicProperties,
        payload: Vec<u8>,
        to: BasicPublishArguments,
    ) -> Result<(), AmqpError> {
        self.take_notes()?;
        self.published += 1;
        self.unconfirmed.insert(self.published);
        self.channel().basic_publish(properties, payload, to).await.map_err(|_| AmqpError::Disconnected)
    }

    /// Waits until fewer than `count` messages are unconfirmed. May be given up at any time.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn wait_until_fewer_than(&mut self, count: usize) -> Result<(), AmqpError> {
        while self.unconfirmed.len() >= count.max(1) {
            let said = self.hear().await?;
            self.take_note(said)?;
        }
        Ok(())
    }

    /// How many messages the broker has not confirmed.
    pub fn unconfirmed(&self) -> usize {
        self.unconfirmed.len()
    }

    /// The channel, to make queues and to take messages out of them. Who publishes on it himself mixes up what is confirmed.
    ///
    /// # Panics
    /// When this is [closed](Self::close).
    pub fn channel(&self) -> &Channel {
        &self.open.as_ref().expect("it is not closed").0
    }

    /// Whether anything may still come.
    pub fn is_open(&self) -> bool {
        self.open.as_ref().is_some_and(|(channel, connection)| channel.is_open() && connection.is_open())
    }

    /// Ends the connection when what was handed over before is on its way, for which the broker has three seconds.
    pub async fn close(&mut self) {
        if let Some((_, connection)) = self.open.take() {
            // Whoever has hung up need not be told.
            let _ = timeout(ANSWER_WITHIN, connection.close()).await;
        }
    }

    /// Waits until the broker has done what it is asked.
    pub(crate) async fn call<T>(
        &mut self,
        request: &'static str,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, AmqpError> {
        match timeout(ANSWER_WITHIN, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(self.why_closed(request)),
            Err(_) => Err(AmqpError::Unanswered),
        }
    }

    /// What the broker says next. May be given up at any time.
    pub(crate) async fn hear(&mut self) -> Result<Said, AmqpError> {
        self.said.recv().await.ok_or(AmqpError::Disconnected)
    }

    /// Takes note of what it has said so far.
    pub(crate) fn take_notes(&mut self) -> Result<(), AmqpError> {
        while let Ok(said) = self.said.try_recv() {
            self.take_note(said)?;
        }
        Ok(())
    }

    /// Takes note of what it said of messages.
    pub(crate) fn take_note(&mut self, said: Said) -> Result<(), AmqpError> {
        match said {
            Said::Confirmed { number, and_before: true } => {
                self.unconfirmed = self.unconfirmed.split_off(&(number + 1));
                Ok(())
            }
            Said::Confirmed { number, and_before: false } => {
                self.unconfirmed.remove(&number);
                Ok(())
            }
            Said::NotTaken => Err(AmqpError::Refused { request: "a message", reason: "the queue is full".into() }),
            Said::NoQueue => Err(self.no_queue()),
            Said::Closed { code, reason } => Err(self.closed("a message", code, reason)),
        }
    }

    /// What it means that the broker closed the channel at a request.
    pub(crate) fn closed(&self, request: &'static str, code: u16, reason: String) -> AmqpError {
        if code == NOT_FOUND { self.no_queue() } else { AmqpError::Refused { request, reason } }
    }

    pub(crate) fn no_queue(&self) -> AmqpError {
        AmqpError::NoQueue { queue: self.queue.clone() }
    }

    fn why_closed(&mut self, request: &'static str) -> AmqpError {
        while let Ok(said) = self.said.try_recv() {
            if let Said::Closed { code, reason } = said {
                return self.closed(request, code, reason);
            }
        }
        AmqpError::Disconnected
    }
}

impl Drop for ConfirmedChannel {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.open = None;
    }
}

/// Hears what the client hears on its channel.
struct Listener(UnboundedSender<Said>);

impl Listener {
    fn tell(&self, said: Said) {
        // Whoever dropped the other half wants to hear no more.
        let _ = self.0.send(said);
    }
}

#[async_trait::async_trait]
impl ChannelCallback for Listener {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), Error> {
        self.tell(Said::Closed { code: close.reply_code(), reason: close.reply_text().clone() });
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), Error> {
        self.tell(Said::NoQueue);
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.tell(Said::Confirmed { number: ack.delivery_tag(), and_before: ack.mutiple() });
    }

    async fn publish_nack(&mut self, _: &Channel, _: Nack) {
        self.tell(Said::NotTaken);
    }

    async fn publish_return(&mut self, _: &Channel, _: Return, _: BasicProperties, _: Vec<u8>) {
        self.tell(Said::NoQueue);
    }
}
