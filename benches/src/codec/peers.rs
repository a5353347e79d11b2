//! The standard message as the peers' users would write it: topic, names and units as text, borrowed where the peer
//! can borrow.

use serde::{Deserialize, Serialize};

use super::{CHANNELS, KEY_ID, SEQUENCE, TIME_MS, TOPIC};

/// For `postcard`: borrowed text and bytes, the three channels as a fixed array, 90 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PostcardMessage<'a> {
    /// Length-prefixed, which `postcard` copies in one piece; an array of `u8` it would take byte by byte.
    #[serde(borrow, with = "serde_bytes")]
    key_id: &'a [u8],
    topic: &'a str,
    sequence: u32,
    time_ms: u64,
    channels: [PostcardChannel<'a>; 3],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PostcardChannel<'a> {
    name: &'a str,
    unit: &'a str,
    value: f32,
}

impl PostcardMessage<'static> {
    /// The standard message.
    pub fn standard() -> Self {
        let channels = CHANNELS.map(|(name, unit, value)| PostcardChannel { name, unit, value });
        Self { key_id: &KEY_ID, topic: TOPIC, sequence: SEQUENCE, time_ms: TIME_MS, channels }
    }
}

/// Decodes as strictly as `postcard` can: no byte left over, the key id of the right length.
pub fn postcard_decode(bytes: &[u8]) -> Option<PostcardMessage<'_>> {
    let (message, rest) = postcard::take_from_bytes::<PostcardMessage<'_>>(bytes).ok()?;
    (rest.is_empty() && message.key_id.len() == KEY_ID.len()).then_some(message)
}

/// For `minicbor`: a map with integer keys, channels as arrays, text borrowed.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct MinicborMessage<'a> {
    #[cbor(n(1), with = "minicbor::bytes")]
    key_id: [u8; 8],
    #[b(2)]
    topic: &'a str,
    #[n(3)]
    sequence: u32,
    #[n(4)]
    time_ms: u64,
    #[b(5)]
    channels: [MinicborChannel<'a>; 3],
}

#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct MinicborChannel<'a> {
    #[b(0)]
    name: &'a str,
    #[b(1)]
    unit: &'a str,
    #[n(2)]
    value: f32,
}

impl MinicborMessage<'static> {
    /// The standard message.
    pub fn standard() -> Self {
        let channels = CHANNELS.map(|(name, unit, value)| MinicborChannel { name, unit, value });
        Self { key_id: KEY_ID, topic: TOPIC, sequence: SEQUENCE, time_ms: TIME_MS, channels }
    }
}

/// Decodes and refuses trailing bytes; `minicbor` does not look for determinism.
pub fn minicbor_decode(bytes: &[u8]) -> Option<MinicborMessage<'_>> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let message = decoder.decode().ok()?;
    (decoder.position() == bytes.len()).then_some(message)
}

/// For `ciborium`: the text-keyed form. `ciborium` cannot borrow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CiboriumMessage {
    #[serde(with = "serde_bytes")]
    key: [u8; 8],
    topic: String,
    seq: u32,
    time: u64,
    channels: [CiboriumChannel; 3],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CiboriumChannel {
    name: String,
    unit: String,
    value: f32,
}

impl CiboriumMessage {
    /// The standard message.
    pub fn standard() -> Self {
        let channels =
            CHANNELS.map(|(name, unit, value)| CiboriumChannel { name: name.into(), unit: unit.into(), value });
        Self { key: KEY_ID, topic: TOPIC.into(), seq: SEQUENCE, time: TIME_MS, channels }
    }
}

/// Decodes and refuses trailing bytes.
pub fn ciborium_decode(mut bytes: &[u8]) -> Option<CiboriumMessage> {
    let message = ciborium::from_reader(&mut bytes).ok()?;
    bytes.is_empty().then_some(message)
}

/// The text-keyed form, made deterministic by `dcbor`, which sorts its maps.
pub fn text_keyed() -> Vec<u8> {
    let mut message = dcbor::Map::new();
    message.insert("key", dcbor::CBOR::to_byte_string(KEY_ID));
    message.insert("topic", TOPIC);
    message.insert("seq", SEQUENCE);
    message.insert("time", TIME_MS);
    let channels = CHANNELS.map(|(name, unit, value)| {
        let mut channel = dcbor::Map::new();
        channel.insert("name", name);
        channel.insert("unit", unit);
        channel.insert("value", value);
        dcbor::CBOR::from(channel)
    });
    message.insert("channels", dcbor::CBOR::from(channels.to_vec()));
    dcbor::CBOR::from(message).to_cbor_data()
}
