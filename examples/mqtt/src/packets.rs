//! The packets of either version: what is said in them, and what is read.

use std::io::{self, ErrorKind};

use iot_exchange::label;
use iot_link::invalid;
use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::{
    Packet, Properties, Qos, SessionExpiryInterval, SubEntry, SubOpts, UserProperty, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, MqttError, SubackReasonCode, SubackReturnCode,
};

/// Seconds for which the broker keeps messages for a client that is away.
const SESSION: u32 = 7 * 86_400;

/// Seconds of silence after which the broker takes a client for dead, and publishes its will.
const KEEP_ALIVE: u16 = 20;

/// Who this is to the broker.
#[derive(Clone, Debug)]
pub struct Client {
    /// The version of MQTT.
    pub version: Version,
    /// The name of the session.
    pub id: String,
    /// How long that lasts.
    pub session: Session,
    /// A user and a password.
    pub login: Option<(String, String)>,
    /// Where the broker says whether this end is there, retained.
    pub status: Option<String>,
    /// What it listens to. `$share/GROUP/` before it shares the messages out among the clients of a group.
    pub filter: String,
}

/// How long a broker knows a client, what it listens to, and what came for it meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// While it is away, too.
    Lasts,
    /// Until its connection is lost. A member of a group that stays away gets no share then.
    EndsWithConnection,
}

/// A message of the broker's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
}

/// What a packet of the broker says.
pub(crate) enum Said {
    /// A message came.
    Message(Message),
    /// It has connected or subscribed us.
    Answer,
    /// Nothing that matters here.
    Nothing,
}

impl Client {
    /// A session that lasts has the broker keep messages while this end is away; the will says that it is.
    pub(crate) fn connect(&self) -> Result<Packet, MqttError> {
        let lasts = self.session == Session::Lasts;
        macro_rules! common {
            ($builder:expr) => {{
                let builder = $builder.client_id(self.id.as_str())?.clean_start(!lasts).keep_alive(KEEP_ALIVE);
                let builder = match &self.status {
                    Some(status) => {
                        builder.will_message(status.as_str(), b"offline".to_vec(), Qos::AtLeastOnce, true)?
                    }
                    None => builder,
                };
                match &self.login {
                    Some((user, password)) => {
                        builder.user_name(user.as_str())?.password(password.clone().into_bytes())?
                    }
                    None => builder,
                }
            }};
        }
        if self.version == Version::V3_1_1 {
            return Ok(common!(v3_1_1::Connect::builder()).build()?.into());
        }
        let session: Properties = vec![SessionExpiryInterval::new(if lasts { SESSION } else { 0 })?.into()];
        Ok(common!(v5_0::Connect::builder()).props(session).build()?.into())
    }

    pub(crate) fn subscribe(&self, id: u16) -> Result<Packet, MqttError> {
        let entries = vec![SubEntry::new(self.filter.as_str(), SubOpts::new().set_qos(Qos::AtLeastOnce))?];
        if self.version == Version::V3_1_1 {
            return Ok(v3_1_1::Subscribe::builder().packet_id(id).entries(entries).build()?.into());
        }
        Ok(v5_0::Subscribe::builder().packet_id(id).entries(entries).build()?.into())
    }

    /// A packet of this end's. In MQTT 5 its position stands beside it in plain words, for who looks after the broker;
    /// nobody here believes it.
    pub(crate) fn publish(&self, id: u16, topic: &str, packet: &[u8]) -> Result<Packet, MqttError> {
        if self.version == Version::V3_1_1 {
            let builder = v3_1_1::Publish::builder().topic_name(topic)?.qos(Qos::AtLeastOnce);
            return Ok(builder.packet_id(id).payload(packet.to_vec()).build()?.into());
        }
        let mut properties = Properties::new();
        if let Some(position) = label(packet) {
            properties.push(UserProperty::new("position", position)?.into());
        }
        let builder = v5_0::Publish::builder().topic_name(topic)?.qos(Qos::AtLeastOnce).props(properties);
        Ok(builder.packet_id(id).payload(packet.to_vec()).build()?.into())
    }

    /// What replaces the will.
    pub(crate) fn online(&self, id: u16, topic: &str) -> Result<Packet, MqttError> {
        let qos = Qos::AtLeastOnce;
        if self.version == Version::V3_1_1 {
            let builder = v3_1_1::Publish::builder().topic_name(topic)?.qos(qos).retain(true);
            return Ok(builder.packet_id(id).payload("online").build()?.into());
        }
        let builder = v5_0::Publish::builder().topic_name(topic)?.qos(qos).retain(true);
        Ok(builder.packet_id(id).payload("online").build()?.into())
    }
}

/// The version that a command line names.
///
/// # Errors
///
/// [`InvalidInput`](ErrorKind::InvalidInput) for one that is none.
pub fn version(name: &str) -> io::Result<Version> {
    match name {
        "5" => Ok(Version::V5_0),
        "3.1.1" => Ok(Version::V3_1_1),
        other => Err(invalid(format!("there is no MQTT {other}: it is 5 or 3.1.1"))),
    }
}

fn message(topic: &str, payload: &[u8]) -> Said {
    Said::Message(Message { topic: topic.into(), payload: payload.to_vec() })
}

/// What the broker says.
///
/// # Errors
///
/// What it refuses: [`ErrorKind::PermissionDenied`] when it is about who we are.
pub(crate) fn read(packet: &Packet) -> io::Result<Said> {
    let refused = |is_login: bool, words: String| {
        let kind = if is_login { ErrorKind::PermissionDenied } else { ErrorKind::ConnectionRefused };
        let advice = if is_login { ": wrong --user or --password" } else { "" };
        Err(io::Error::new(kind, format!("the broker refuses us, {words}{advice}")))
    };
    match packet {
        Packet::V5_0Publish(publish) => Ok(message(publish.topic_name(), publish.payload().as_slice())),
        Packet::V3_1_1Publish(publish) => Ok(message(publish.topic_name(), publish.payload().as_slice())),
        Packet::V5_0Connack(answer) => match answer.reason_code() {
            ConnectReasonCode::Success => Ok(Said::Answer),
            code @ (ConnectReasonCode::BadUserNameOrPassword | ConnectReasonCode::NotAuthorized) => {
                refused(true, code.to_string())
            }
            code => refused(false, code.to_string()),
        },
        Packet::V3_1_1Connack(answer) => match answer.return_code() {
            ConnectReturnCode::Accepted => Ok(Said::Answer),
            code @ (ConnectReturnCode::BadUserNameOrPassword | ConnectReturnCode::NotAuthorized) => {
                refused(true, code.to_string())
            }
            code => refused(false, code.to_string()),
        },
        Packet::V5_0Suback(answer) if answer.reason_codes().iter().all(SubackReasonCode::is_success) => {
            Ok(Said::Answer)
        }
        Packet::V3_1_1Suback(answer) if answer.return_codes().iter().all(SubackReturnCode::is_success) => {
            Ok(Said::Answer)
        }
        Packet::V5_0Suback(_) | Packet::V3_1_1Suback(_) => refused(true, "it lets us subscribe to nothing".into()),
        _ => Ok(Said::Nothing),
    }
}
