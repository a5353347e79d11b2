//! What publishes.

use std::collections::VecDeque;
use std::time::Duration;

use iot_queue::mirror::MirrorConfig;
use iot_queue::sink::{Answer, Forwarded, ResumePoint};
use iot_queue::{Backoff, Epoch};
use iot_queue_driven::{Command, Dial, DrivenSink, Orders, Outbound, Receipt, Tcp, driven, hexadecimal};
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
    (sink, Driver { dial, topic, orders, link: None })
}

/// What does for a sink what has to wait: publishes, hears receipts.
pub struct Driver<D: Dial> {
    dial: D,
    topic: Topic,
    orders: Orders<MqttError>,
    link: Option<Link<D::Stream>>,
}

/// A connection, and what is published over it.
struct Link<S> {
    connection: Connection<S>,
    outbound: Outbound,
    topic: String,
    /// What the broker does not take yet.
    waiting: VecDeque<Forwarded>,
}

impl<D: Dial + Sync> Driver<D> {
    /// Works until the sink is dropped.
    pub async fn run(mut self) {
        loop {
            let Some(link) = &mut self.link else {
                match self.orders.next().await {
                    Some(command) => self.obey(command).await,
                    None => return,
                }
                continue;
            };
            tokio::select! {
                biased;
                command = self.orders.next() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                packet = link.connection.receive() => {
                    let heard = packet.and_then(|packet| link.hear(&packet));
                    let turn = link.outbound.turn();
                    match heard {
                        Ok(answer) => answer.into_iter().for_each(|answer| self.orders.say(turn, Ok(answer))),
                        Err(error) => self.fail(error),
                    }
                }
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Ask { turn, feed } => {
                self.link = None;
                let said = match self.connect(feed).await {
                    Ok(connection) => {
                        let (outbound, topic) = (Outbound::new(turn, feed), self.topic.entries(feed));
                        self.link = Some(Link { connection, outbound, topic, waiting: VecDeque::new() });
                        Ok(Answer::Resume(ResumePoint::Blind))
                    }
                    Err(error) => Err(error),
                };
                self.orders.say(turn, said);
            }
            Command::Send { turn, entries } => {
                let Some(link) = self.link.as_mut().filter(|link| link.outbound.turn() == turn) else { return };
                link.waiting.extend(entries);
                if let Err(error) = link.publish() {
                    self.fail(error);
                }
            }
        }
    }

    /// As a client that is named for the log: the broker ends the connection before, which it may take for alive.
    async fn connect(&self, feed: Epoch) -> Result<Connection<D::Stream>, MqttError> {
        let client = format!("iot-{}", hexadecimal(feed.as_bytes()));
        Connection::open(&self.dial, &self.topic, &client, &self.topic.receipts(feed)).await
    }

    fn fail(&mut self, error: MqttError) {
        if let Some(link) = self.link.take() {
            self.orders.say(link.outbound.turn(), Err(error));
        }
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Link<S> {
    /// Publishes as much as the broker takes.
    fn publish(&mut self) -> Result<(), MqttError> {
        while self.connection.has_room() {
            let Some(entry) = self.waiting.pop_front() else { break };
            let (properties, payload) = self.outbound.publish(entry, self.connection.longest());
            self.connection.publish(&self.topic, &properties, payload)?;
        }
        Ok(())
    }

    /// Hears what the broker says of a message, and what the receiver does.
    fn hear(&mut self, packet: &Packet) -> Result<Option<Answer>, MqttError> {
        match packet {
            Packet::V5_0Puback(answer) => match answer.reason_code().unwrap_or(PubackReasonCode::Success) {
                PubackReasonCode::Success => self.publish().map(|()| None),
                PubackReasonCode::NoMatchingSubscribers => Err(MqttError::NoReceiver { topic: self.topic.clone() }),
                reason => Err(refused("a message", &reason)),
            },
            Packet::V5_0Publish(message) => {
                // What is no receipt another program wrote, and it frees nothing.
                let text = std::str::from_utf8(message.payload().as_slice()).ok();
                Ok(text.and_then(|text| text.parse::<Receipt>().ok()).and_then(|receipt| self.outbound.handle(receipt)))
            }
            _ => Ok(None),
        }
    }
}
