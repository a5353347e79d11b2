//! As a user of `ciborium` writes it: the text-keyed form. `ciborium` cannot borrow.

use alloc::string::String;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{CHANNELS, KEY_ID, SEQUENCE, TIME_MS, TOPIC};

/// The standard message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    #[serde(with = "serde_bytes")]
    key: [u8; 8],
    topic: String,
    seq: u32,
    time: u64,
    channels: [Channel; 3],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Channel {
    name: String,
    unit: String,
    value: f32,
}

impl Message {
    /// The standard message.
    pub fn standard() -> Self {
        let channels = CHANNELS.map(|(name, unit, value)| Channel { name: name.into(), unit: unit.into(), value });
        Self { key: KEY_ID, topic: TOPIC.into(), seq: SEQUENCE, time: TIME_MS, channels }
    }
}

/// Encodes into the caller's space; whether it had room.
#[inline]
pub fn encode(message: &Message, space: &mut [u8]) -> Option<()> {
    ciborium::into_writer(message, space).ok()
}

/// Decodes and refuses octets left over.
#[inline]
pub fn decode(mut octets: &[u8]) -> Option<Message> {
    let message = ciborium::from_reader(&mut octets).ok()?;
    octets.is_empty().then_some(message)
}

/// Checks that the octets are one well-formed item, as far as serde's way to skip one does.
#[inline]
pub fn validate(mut octets: &[u8]) -> Option<()> {
    ciborium::from_reader::<IgnoredAny, _>(&mut octets).ok()?;
    octets.is_empty().then_some(())
}
