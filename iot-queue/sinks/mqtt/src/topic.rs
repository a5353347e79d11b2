//! Topics, and the packets about them.

use iot_queue::Epoch;
use iot_queue_driven::hexadecimal;
use mqtt_protocol_core::mqtt::packet::{Packet, Properties, Qos, SubEntry, SubOpts, UserProperty, v5_0};

use crate::error::MqttError;

/// Seconds of silence after which either side takes the other for gone.
const KEEP_ALIVE: u16 = 10;

/// Where a broker is, and below which topic logs are published there: their entries at `NAME/entries/EPOCH`, the receipts for
/// them at `NAME/receipts/EPOCH`, the epoch of the log in hexadecimal. Gateways may share a name.
#[derive(Clone, Debug)]
pub struct Topic {
    pub(crate) broker: String,
    name: String,
    login: Option<(String, Vec<u8>)>,
}

impl Topic {
    /// The topic `name` of the broker at `HOST:PORT`.
    pub fn new(broker: impl Into<String>, name: impl Into<String>) -> Self {
        Self { broker: broker.into(), name: name.into(), login: None }
    }

    /// The user that the broker knows. By default there is none.
    #[must_use]
    pub fn login(self, user: impl Into<String>, password: impl Into<Vec<u8>>) -> Self {
        Self { login: Some((user.into(), password.into())), ..self }
    }

    pub(crate) fn entries(&self, feed: Epoch) -> String {
        format!("{}/entries/{}", self.name, hexadecimal(feed.as_bytes()))
    }

    pub(crate) fn all_entries(&self) -> String {
        format!("{}/entries/+", self.name)
    }

    pub(crate) fn receipts(&self, feed: Epoch) -> String {
        format!("{}/receipts/{}", self.name, hexadecimal(feed.as_bytes()))
    }

    /// The broker is to keep nothing for a client that is away: the queue does.
    pub(crate) fn connect(&self, client: &str) -> Result<Packet, MqttError> {
        let builder = v5_0::Connect::builder().client_id(client)?.clean_start(true).keep_alive(KEEP_ALIVE);
        let builder = match &self.login {
            Some((user, password)) => builder.user_name(user.as_str())?.password(password.clone())?,
            None => builder,
        };
        Ok(builder.build()?.into())
    }
}

pub(crate) fn subscribe(id: u16, filter: &str) -> Result<Packet, MqttError> {
    let entries = vec![SubEntry::new(filter, SubOpts::new().set_qos(Qos::AtLeastOnce))?];
    Ok(v5_0::Subscribe::builder().packet_id(id).entries(entries).build()?.into())
}

pub(crate) fn publish(
    id: u16,
    topic: &str,
    properties: &[(&'static str, String)],
    payload: Vec<u8>,
) -> Result<Packet, MqttError> {
    let mut said = Properties::new();
    for (name, value) in properties {
        said.push(UserProperty::new(*name, value.as_str())?.into());
    }
    let builder = v5_0::Publish::builder().topic_name(topic)?.qos(Qos::AtLeastOnce).packet_id(id);
    Ok(builder.props(said).payload(payload).build()?.into())
}
