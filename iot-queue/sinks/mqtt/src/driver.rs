//! What publishes.

use std::collections::VecDeque;
use std::time::Duration;

use iot_queue::mirror::MirrorConfig;
use iot_queue::sink::{Answer, Forwarded, ResumePoint};
use iot_queue::{Backoff, Epoch};
use iot_queue_driven::{Dial, DrivenSink, Link, Orders, Outbound, Server, Tcp, driven, hexadecimal, serve};
use mqtt_protocol_core::mqtt::packet::Packet;
use mqtt_protocol_core::mqtt::result_code::PubackReasonCode;

use crate::connection::{Connection, refused};
use crate::error::MqttError;
use crate::topic::Topic;

/// How to mirror through a broker of MQTT: 512 entries under way, five seconds for a receipt, waits from a quarter of a second
/// to ten, and no tail, for a receipt means a sync.
pub fn mirror_config() -> MirrorConfig {
    let backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
    MirrorConfig::default().answer_within(Duration::from_secs(5)).backoff(backoff)
}

/// A sink that publishes below `topic`, and the driver that does it: the caller runs it beside, for example as a task.
pub fn mqtt_sink(topic: Topic) -> (DrivenSink<MqttError>, Driver<Tcp>) {
    mqtt_sink_over(Tcp, topic)
}

/// The same over connections that `dial` makes.
pub fn mqtt_sink_over<D: Dial>(dial: D, topic: Topic) -> (DrivenSink<MqttError>, Driver<D>) {
    let (sink, orders) = driven();
    (sink, Driver { broker: Broker { dial, topic }, orders })
}

/// What does for a sink what has to wait: publishes, hears receipts.
pub struct Driver<D: Dial> {
    broker: Broker<D>,
    orders: Orders<MqttError>,
}

impl<D: Dial + Sync> Driver<D> {
    /// Works until the sink is dropped.
    pub async fn run(self) {
        serve(self.broker, self.orders).await;
    }
}

struct Broker<D> {
    dial: D,
    topic: Topic,
}

impl<D: Dial + Sync> Server for Broker<D> {
    type Error = MqttError;
    type Link = Publishing<D::Stream>;

    /// As a client that is named for the log: the broker ends the connection before, which it may take for alive.
    async fn ask(
        &mut self,
        feed: Epoch,
        _: Option<Publishing<D::Stream>>,
    ) -> Result<(Publishing<D::Stream>, ResumePoint), MqttError> {
        let client = format!("iot-{}", hexadecimal(feed.as_bytes()));
        let connection = Connection::open(&self.dial, &self.topic, &client, &self.topic.receipts(feed)).await?;
        let (outbound, topic) = (Outbound::new(feed), self.topic.entries(feed));
        Ok((Publishing { connection, outbound, topic, waiting: VecDeque::new() }, ResumePoint::Blind))
    }
}

/// A connection, and what is published over it.
struct Publishing<S> {
    connection: Connection<S>,
    outbound: Outbound,
    topic: String,
    /// What the broker does not take yet.
    waiting: VecDeque<Forwarded>,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Publishing<S> {
    /// Publishes as much as the broker takes.
    fn publish(&mut self) -> Result<(), MqttError> {
        while self.connection.has_room() {
            let Some(entry) = self.waiting.pop_front() else { break };
            let (properties, payload) = self.outbound.publish(entry, self.connection.longest());
            self.connection.publish(&self.topic, &properties, payload)?;
        }
        Ok(())
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Link for Publishing<S> {
    type Error = MqttError;
    type Event = Packet;

    async fn send(&mut self, entries: Vec<Forwarded>) -> Result<(), MqttError> {
        self.waiting.extend(entries);
        self.publish()
    }

    async fn wait(&mut self) -> Result<Packet, MqttError> {
        self.connection.receive().await
    }

    /// Hears what the broker says of a message, and what the receiver does.
    async fn handle(&mut self, packet: Packet) -> Result<Vec<Answer>, MqttError> {
        match packet {
            Packet::V5_0Puback(answer) => match answer.reason_code().unwrap_or(PubackReasonCode::Success) {
                PubackReasonCode::Success => self.publish().map(|()| Vec::new()),
                PubackReasonCode::NoMatchingSubscribers => Err(MqttError::NoReceiver { topic: self.topic.clone() }),
                reason => Err(refused("a message", &reason)),
            },
            Packet::V5_0Publish(message) => {
                Ok(self.outbound.handle(message.payload().as_slice()).into_iter().collect())
            }
            _ => Ok(Vec::new()),
        }
    }
}
