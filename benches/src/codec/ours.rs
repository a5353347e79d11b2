//! The standard message as a user of `iot-codec` writes it: one `record!`, topic, names and units as the numbers that
//! both ends keep in a registry.

use iot_codec::cbor::{Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Output, Writer};
use iot_codec::record;

use super::{CHANNELS, KEY_ID, SEQUENCE, TIME_MS};

/// Topics by number, from [`FIRST_TOPIC`]. A plant has more than 256 of them, so that a topic costs three bytes.
const TOPICS: [&str; 4] = ["plant/7/boiler/10", "plant/7/boiler/11", "plant/7/boiler/12", "plant/7/boiler/13"];
const FIRST_TOPIC: u16 = 410;
/// Names of channels by number: the first 24 cost one byte.
const NAMES: [&str; 4] = ["temperature", "humidity", "pressure", "flow"];
/// Units by number, likewise.
const UNITS: [&str; 4] = ["Cel", "%RH", "hPa", "l/s"];

record! {
    /// The standard message on the wire.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Message {
        1 => key_id: [u8; 8],
        2 => topic: u16,
        3 => sequence: u32,
        4 => time_ms: u64,
        5 => channels: Channels,
    }
}

/// Three channels as one array of nine items: name, unit, value, name, unit, value, name, unit, value.
#[derive(Clone, Debug, PartialEq)]
struct Channels([Channel; 3]);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Channel {
    name: u8,
    unit: u8,
    value: f32,
}

impl Message {
    /// The standard message.
    pub fn standard() -> Self {
        let number =
            |list: &[&str], text| list.iter().position(|entry| *entry == text).expect("it is registered") as u8;
        let channels = CHANNELS.map(|(name, unit, value)| Channel {
            name: number(&NAMES, name),
            unit: number(&UNITS, unit),
            value,
        });
        let topic = FIRST_TOPIC + u16::from(number(&TOPICS, super::TOPIC));
        Self { key_id: KEY_ID, topic, sequence: SEQUENCE, time_ms: TIME_MS, channels: Channels(channels) }
    }
}

impl Encode for Channels {
    #[inline]
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(9)?;
        for channel in &self.0 {
            writer.unsigned(channel.name.into())?;
            writer.unsigned(channel.unit.into())?;
            writer.float32(channel.value)?;
        }
        Ok(())
    }
}

impl<'b> Decode<'b> for Channels {
    #[inline]
    fn decode(cursor: &mut Cursor<'b>) -> Result<Self, DecodeError> {
        let begin = cursor.position();
        let items = cursor.array()?;
        if items != 9 {
            let kind = DecodeErrorKind::UnexpectedLength { expected: 9, found: items.try_into().unwrap_or(u32::MAX) };
            return Err(DecodeError::new(kind, begin));
        }
        let mut channels = [Channel::default(); 3];
        for channel in &mut channels {
            *channel = Channel { name: u8::decode(cursor)?, unit: u8::decode(cursor)?, value: f32::decode(cursor)? };
        }
        Ok(Self(channels))
    }
}

/// What the reader of the message gets, and what the peers' messages hold: text for every number.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    key_id: [u8; 8],
    topic: &'static str,
    sequence: u32,
    time_ms: u64,
    channels: [(&'static str, &'static str, f32); 3],
}

impl Named {
    /// The standard message.
    pub fn standard() -> Self {
        Self { key_id: KEY_ID, topic: super::TOPIC, sequence: SEQUENCE, time_ms: TIME_MS, channels: CHANNELS }
    }
}

/// Decodes strictly, and looks every number up, so that the result tells as much as a peer's; an unknown number is
/// refused.
pub fn decode(bytes: &[u8]) -> Option<Named> {
    let message: Message = iot_codec::cbor::from_slice(bytes).ok()?;
    let mut channels = [("", "", 0.0); 3];
    for (named, channel) in channels.iter_mut().zip(message.channels.0) {
        *named = (NAMES.get(usize::from(channel.name))?, UNITS.get(usize::from(channel.unit))?, channel.value);
    }
    let topic = TOPICS.get(usize::from(message.topic.checked_sub(FIRST_TOPIC)?))?;
    Some(Named { key_id: message.key_id, topic, sequence: message.sequence, time_ms: message.time_ms, channels })
}
