//! The receiver's end.

use iot_queue_driven::{ConnectionError, Delivery, Dial, Inbound, PropertyError, Receipt, Tcp};
use mqtt_protocol_core::mqtt::packet::{Packet, Property};

use crate::connection::Connection;
use crate::error::MqttError;
use crate::topic::Topic;

/// The receiver's end of a [`Topic`]: all logs that are published below it.
pub struct TopicReader<D: Dial = Tcp> {
    dial: D,
    topic: Topic,
    connection: Option<Connection<D::Stream>>,
}

impl TopicReader {
    /// Connects when it is asked for what came.
    pub fn new(topic: Topic) -> Self {
        Self::over(Tcp, topic)
    }
}

impl<D: Dial> TopicReader<D> {
    /// The same over connections that `dial` makes.
    pub fn over(dial: D, topic: Topic) -> Self {
        Self { dial, topic, connection: None }
    }
}

impl<D: Dial + Sync> Inbound for TopicReader<D> {
    type Error = MqttError;

    async fn read(&mut self) -> Result<Vec<Result<Delivery, PropertyError>>, MqttError> {
        if self.connection.is_none() {
            self.connection = Some(Connection::open(&self.dial, &self.topic, "", &self.topic.all_entries()).await?);
        }
        let mut came = Vec::new();
        while let Some(connection) = self.connection.as_mut().filter(|_| came.is_empty()) {
            let mut next = match connection.receive().await {
                Ok(packet) => Some(packet),
                Err(error) => {
                    self.connection = None;
                    return Err(error);
                }
            };
            while let Some(packet) = next {
                came.extend(delivery_of(&packet));
                next = connection.take_arrived();
            }
        }
        Ok(came)
    }

    async fn answer(&mut self, receipts: &[Receipt]) -> Result<(), MqttError> {
        let Some(connection) = &mut self.connection else { return Err(ConnectionError::Disconnected.into()) };
        let said = async {
            for receipt in receipts {
                // Beyond what the broker takes at a time, senders send again.
                if connection.has_room() {
                    connection.publish(&self.topic.receipts(receipt.feed), &[], receipt.to_string().into_bytes())?;
                }
            }
            connection.flush().await
        };
        let said = said.await;
        if said.is_err() {
            self.connection = None;
        }
        said
    }
}

/// The entry that a packet carries, if it is a message at all.
fn delivery_of(packet: &Packet) -> Option<Result<Delivery, PropertyError>> {
    let Packet::V5_0Publish(message) = packet else { return None };
    let property = |name: &str| {
        message.props().iter().find_map(|property| match property {
            Property::UserProperty(pair) if pair.key() == name => Some(pair.val()),
            _ => None,
        })
    };
    Some(Delivery::read(property, message.payload().as_slice().to_vec()))
}
