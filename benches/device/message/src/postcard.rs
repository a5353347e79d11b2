//! As a user of `postcard` writes it: borrowed text and octets, the three channels as a fixed array, 90 octets.

use serde::{Deserialize, Serialize};

use super::{CHANNELS, KEY_ID, SEQUENCE, TIME_MS, TOPIC};

/// The standard message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message<'a> {
    /// Length-prefixed, which `postcard` copies in one piece; an array of `u8` it would take byte by byte.
    #[serde(borrow, with = "serde_bytes")]
    key_id: &'a [u8],
    topic: &'a str,
    sequence: u32,
    time_ms: u64,
    channels: [Channel<'a>; 3],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Channel<'a> {
    name: &'a str,
    unit: &'a str,
    value: f32,
}

impl Message<'static> {
    /// The standard message.
    pub fn standard() -> Self {
        let channels = CHANNELS.map(|(name, unit, value)| Channel { name, unit, value });
        Self { key_id: &KEY_ID, topic: TOPIC, sequence: SEQUENCE, time_ms: TIME_MS, channels }
    }
}

/// Encodes into the caller's space.
///
/// # Errors
/// Too little space.
#[inline]
pub fn encode<'s>(message: &Message<'_>, space: &'s mut [u8]) -> Result<&'s mut [u8], postcard::Error> {
    postcard::to_slice(message, space)
}

/// Decodes as strictly as `postcard` can: no octet left over, the key id of the right length.
#[inline]
pub fn decode(octets: &[u8]) -> Option<Message<'_>> {
    let (message, rest) = postcard::take_from_bytes::<Message<'_>>(octets).ok()?;
    (rest.is_empty() && message.key_id.len() == KEY_ID.len()).then_some(message)
}
