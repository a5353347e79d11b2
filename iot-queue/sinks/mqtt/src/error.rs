//! What can go wrong.

use iot_queue_driven::ConnectionError;
use mqtt_protocol_core::mqtt::result_code::MqttError as ProtocolError;

/// Why the broker could not be reached, or did not take what it was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MqttError {
    /// There is no connection to a broker, or none any more.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The broker sent what is not MQTT 5, or is sent a message that is longer than it takes.
    #[error("the protocol is not kept: {0:?}")]
    Protocol(ProtocolError),
    /// The broker refused something.
    #[error("the broker refused {request}: {reason}")]
    Refused {
        /// What it refused.
        request: &'static str,
        /// MQTT's name of the reason.
        reason: String,
    },
    /// Nobody has subscribed to the messages: the receiver is not there.
    #[error("nobody has subscribed to {topic}")]
    NoReceiver {
        /// The topic of the messages.
        topic: String,
    },
}

impl From<ProtocolError> for MqttError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}
