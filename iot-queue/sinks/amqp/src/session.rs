//! A connection to a broker, and what the broker says on it unasked.

use std::future::Future;
use std::time::Duration;

use amqprs::callbacks::ChannelCallback;
use amqprs::channel::{Channel, ConfirmSelectArguments};
use amqprs::connection::Connection;
use amqprs::error::Error;
use amqprs::{Ack, BasicProperties, Cancel, CloseChannel, Nack, Return};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::ANSWER_WITHIN;
use crate::error::AmqpError;
use crate::route::Route;

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
pub(crate) struct Session {
    /// There until this is dropped.
    open: Option<(Channel, Connection)>,
    said: UnboundedReceiver<Said>,
    /// The queue without which nothing works.
    queue: String,
    /// The client tells the broker by a task that a connection ends, wherever this is dropped.
    runtime: Handle,
}

impl Session {
    /// Connects.
    pub(crate) async fn open(route: &Route) -> Result<Self, AmqpError> {
        let address = route.address();
        let unreachable = |reason| AmqpError::Unreachable { address: address.clone(), reason };
        let opened = timeout(CONNECT_WITHIN, Connection::open(&route.connection())).await;
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
        let (open, queue, runtime) = (Some((channel.clone(), connection)), route.entries(), Handle::current());
        let mut session = Self { open, said, queue, runtime };
        session.call("to confirm", channel.confirm_select(ConfirmSelectArguments::default())).await?;
        Ok(session)
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.open.as_ref().expect("it is there until this is dropped").0
    }

    /// Whether anything may still come.
    pub(crate) fn is_open(&self) -> bool {
        let (channel, connection) = self.open.as_ref().expect("it is there until this is dropped");
        channel.is_open() && connection.is_open()
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

    /// What it has said besides.
    pub(crate) fn heard(&mut self) -> Option<Said> {
        self.said.try_recv().ok()
    }

    /// What it means that the broker closed the channel at a request.
    pub(crate) fn closed(&self, request: &'static str, code: u16, reason: String) -> AmqpError {
        if code == NOT_FOUND { self.no_queue() } else { AmqpError::Refused { request, reason } }
    }

    pub(crate) fn no_queue(&self) -> AmqpError {
        AmqpError::NoQueue { queue: self.queue.clone() }
    }

    fn why_closed(&mut self, request: &'static str) -> AmqpError {
        while let Some(said) = self.heard() {
            if let Said::Closed { code, reason } = said {
                return self.closed(request, code, reason);
            }
        }
        AmqpError::Disconnected
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.open = None;
    }
}

/// Hears for a session what the client hears on its channel.
struct Listener(UnboundedSender<Said>);

impl Listener {
    fn tell(&self, said: Said) {
        // Whoever dropped the session wants to hear no more.
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
