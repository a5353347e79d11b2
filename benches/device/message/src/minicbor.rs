//! As a user of `minicbor` writes it: a map with integer keys, channels as arrays, text borrowed.

use minicbor::encode::write::EndOfSlice;

use super::{CHANNELS, KEY_ID, SEQUENCE, TIME_MS, TOPIC};

/// The standard message.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Message<'a> {
    #[cbor(n(1), with = "minicbor::bytes")]
    key_id: [u8; 8],
    #[b(2)]
    topic: &'a str,
    #[n(3)]
    sequence: u32,
    #[n(4)]
    time_ms: u64,
    #[b(5)]
    channels: [Channel<'a>; 3],
}

#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Channel<'a> {
    #[b(0)]
    name: &'a str,
    #[b(1)]
    unit: &'a str,
    #[n(2)]
    value: f32,
}

impl Message<'static> {
    /// The standard message.
    pub fn standard() -> Self {
        let channels = CHANNELS.map(|(name, unit, value)| Channel { name, unit, value });
        Self { key_id: KEY_ID, topic: TOPIC, sequence: SEQUENCE, time_ms: TIME_MS, channels }
    }
}

/// Encodes into the caller's space.
///
/// # Errors
/// Too little space.
#[inline]
pub fn encode(message: &Message<'_>, space: &mut [u8]) -> Result<(), minicbor::encode::Error<EndOfSlice>> {
    minicbor::encode(message, space)
}

/// Decodes and refuses octets left over; `minicbor` does not look for determinism.
#[inline]
pub fn decode(octets: &[u8]) -> Option<Message<'_>> {
    let mut decoder = minicbor::Decoder::new(octets);
    let message = decoder.decode().ok()?;
    (decoder.position() == octets.len()).then_some(message)
}

/// Checks that the octets are one well-formed item; `minicbor` does not look for determinism.
#[inline]
pub fn validate(octets: &[u8]) -> Option<()> {
    let mut decoder = minicbor::Decoder::new(octets);
    decoder.skip().ok()?;
    (decoder.position() == octets.len()).then_some(())
}
