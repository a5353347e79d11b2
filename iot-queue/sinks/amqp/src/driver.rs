//! What publishes.

use std::collections::VecDeque;
use std::time::Duration;

use amqprs::channel::{BasicConsumeArguments, ConsumerMessage};
use iot_queue::mirror::MirrorConfig;
use iot_queue::sink::{Answer, Forwarded, ResumePoint};
use iot_queue::{Backoff, Epoch};
use iot_queue_driven::{DrivenSink, Link, Orders, Outbound, Server, driven, serve};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::confirmed::{ConfirmedChannel, Said};
use crate::error::AmqpError;
use crate::message::properties_of;
use crate::route::Route;

/// Messages that the broker has not confirmed, at the most. Those behind them wait.
const UNCONFIRMED: usize = 256;

/// Octets of the longest claim of a gap: no broker takes shorter messages.
const LONGEST_CLAIM: usize = 1 << 20;

/// How to mirror through a broker of AMQP: 512 entries under way, five seconds for a receipt, waits from a quarter of a second
/// to ten, and no tail, for a receipt means a sync.
pub fn mirror_config() -> MirrorConfig {
    let backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
    MirrorConfig::default().answer_within(Duration::from_secs(5)).backoff(backoff)
}

/// A sink that publishes on `route`, and the driver that does it: the caller runs it beside, for example as a task.
pub fn amqp_sink(route: Route) -> (DrivenSink<AmqpError>, Driver) {
    let (sink, orders) = driven();
    (sink, Driver { broker: Broker { route, spare: None }, orders })
}

/// What does for a sink what has to wait: publishes, hears confirms and receipts.
pub struct Driver {
    broker: Broker,
    orders: Orders<AmqpError>,
}

impl Driver {
    /// Works until the sink is dropped.
    pub async fn run(self) {
        serve(self.broker, self.orders).await;
    }
}

struct Broker {
    route: Route,
    /// A connection over which nothing is to be published yet.
    spare: Option<Publishing>,
}

impl Server for Broker {
    type Error = AmqpError;
    type Link = Publishing;

    /// Over the connection that there is, if there is one: a broker that is out of memory or disk reads nothing more, and
    /// confirms nothing, until it has some, and would get all of it again over each new one.
    async fn ask(&mut self, feed: Epoch, before: Option<Publishing>) -> Result<(Publishing, ResumePoint), AmqpError> {
        let before = before.or_else(|| self.spare.take()).filter(|link| link.feed == feed && link.session.is_open());
        let mut link = match before {
            Some(link) => link,
            None => Publishing::open(&self.route, feed).await?,
        };
        (link.outbound, link.waiting) = (Outbound::new(feed), VecDeque::new());
        link.session.take_notes()?;
        if link.session.unconfirmed() > 0 {
            self.spare = Some(link);
            return Err(AmqpError::Unanswered);
        }
        let channel = link.session.channel().clone();
        let (entries, receivers) = link.session.call("a look at the queue", self.route.waiting(&channel)).await?;
        if entries > 0 && receivers == 0 {
            self.spare = Some(link);
            return Err(AmqpError::NoReceiver { queue: self.route.entries() });
        }
        Ok((link, ResumePoint::Blind))
    }
}

/// A connection, and what is published over it.
struct Publishing {
    session: ConfirmedChannel,
    route: Route,
    feed: Epoch,
    outbound: Outbound,
    receipts: UnboundedReceiver<ConsumerMessage>,
    /// What is published when the broker has confirmed more.
    waiting: VecDeque<Forwarded>,
}

/// What happens on the connection.
enum Event {
    Said(Said),
    /// The payload of a message on the way back.
    Receipt(Vec<u8>),
}

impl Publishing {
    async fn open(route: &Route, feed: Epoch) -> Result<Self, AmqpError> {
        let mut session = ConfirmedChannel::open(route.broker(), route.entries()).await?;
        let channel = session.channel().clone();
        let queue = session.call("a queue for receipts", route.make_receipts(&channel, feed)).await?;
        let consume = BasicConsumeArguments::new(&queue, "").auto_ack(true).finish();
        let (_, receipts) = session.call("the receipts", channel.basic_consume_rx(consume)).await?;
        let (outbound, waiting) = (Outbound::new(feed), VecDeque::new());
        Ok(Self { session, route: route.clone(), feed, outbound, receipts, waiting })
    }

    /// Publishes as much as the broker may have unconfirmed.
    async fn publish(&mut self) -> Result<(), AmqpError> {
        while self.session.unconfirmed() < UNCONFIRMED {
            let Some(entry) = self.waiting.pop_front() else { break };
            let (properties, payload) = self.outbound.publish(entry, LONGEST_CLAIM);
            self.session.publish(properties_of(&properties), payload, self.route.to_entries()).await?;
        }
        Ok(())
    }
}

impl Link for Publishing {
    type Error = AmqpError;
    type Event = Event;

    async fn send(&mut self, entries: Vec<Forwarded>) -> Result<(), AmqpError> {
        self.waiting.extend(entries);
        self.publish().await
    }

    async fn wait(&mut self) -> Result<Event, AmqpError> {
        tokio::select! {
            // Why a channel is closed was said before nothing comes any more.
            biased;
            said = self.session.hear() => said.map(Event::Said),
            message = self.receipts.recv() => match message {
                Some(message) => Ok(Event::Receipt(message.content.unwrap_or_default())),
                None => Err(AmqpError::Disconnected),
            },
        }
    }

    async fn handle(&mut self, event: Event) -> Result<Vec<Answer>, AmqpError> {
        match event {
            Event::Said(said) => {
                self.session.take_note(said)?;
                self.publish().await.map(|()| Vec::new())
            }
            Event::Receipt(payload) => Ok(self.outbound.handle(&payload).into_iter().collect()),
        }
    }
}
