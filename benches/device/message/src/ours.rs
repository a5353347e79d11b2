//! As a user of `iot-codec` writes it: one `record!`; topic, names and units are the numbers that both ends keep in a
//! registry.

use iot_codec::cbor::{
    Cursor, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Limits, Output, Writer, from_slice, to_slice,
};
use iot_codec::record;
use iot_codec::registry::{self, Entry, LookupError, Registry};

use super::{CHANNELS, KEY_ID, SEQUENCE, TIME_MS};

/// What both ends have agreed on before: this version of it.
///
/// A plant has more than 256 topics, so that the number of one costs three octets; the numbers of its first 24 channels,
/// and of the most usual units, cost one.
static PLANT: Registry<'_> = match Registry::new(
    1,
    &[
        Entry::new(410, 1, "plant/7/boiler/10"),
        Entry::new(411, 1, "plant/7/boiler/11"),
        Entry::new(412, 1, "plant/7/boiler/12"),
        Entry::new(413, 1, "plant/7/boiler/13"),
    ],
    &[
        registry::Channel::new(0, 1, "temperature", 1),
        registry::Channel::new(1, 1, "humidity", 2),
        registry::Channel::new(2, 1, "pressure", 3),
        registry::Channel::new(3, 1, "flow", 48),
    ],
    &[],
) {
    Ok(registry) => registry,
    Err(_) => panic!("the registry contradicts itself"),
};

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
    ///
    /// # Panics
    /// Never: its names are in the registry.
    pub fn standard() -> Self {
        let plant = PLANT.latest();
        let channels = CHANNELS.map(|(name, unit, value)| Channel {
            name: plant.channel_number(name).expect("the channel is registered") as u8,
            unit: plant.unit_number(unit).expect("the unit is registered") as u8,
            value,
        });
        let topic = plant.topic_number(super::TOPIC).expect("the topic is registered") as u16;
        Self { key_id: KEY_ID, topic, sequence: SEQUENCE, time_ms: TIME_MS, channels: Channels(channels) }
    }

    /// With the texts that its numbers stand for.
    ///
    /// # Errors
    /// The first number that is not registered.
    pub fn named(&self) -> Result<Named, LookupError> {
        let plant = PLANT.latest();
        let mut channels = [("", "", 0.0); 3];
        for (named, channel) in channels.iter_mut().zip(self.channels.0) {
            let name = plant.channel(channel.name.into())?.name();
            *named = (name, plant.unit(channel.unit.into())?, channel.value);
        }
        let topic = plant.topic(self.topic.into())?;
        Ok(Named { key_id: self.key_id, topic, sequence: self.sequence, time_ms: self.time_ms, channels })
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

/// Encodes into the caller's space.
///
/// # Errors
/// Too little space.
#[inline]
pub fn encode<'s>(message: &Message, space: &'s mut [u8]) -> Result<&'s [u8], EncodeError> {
    to_slice(message, space)
}

/// Decodes strictly.
///
/// # Errors
/// Whatever is wrong first.
#[inline]
pub fn decode(octets: &[u8]) -> Result<Message, DecodeError> {
    from_slice(octets)
}

/// Decodes strictly, and looks every number up, so that the result tells as much as a peer's; an unknown number is
/// refused.
#[inline]
pub fn decode_named(octets: &[u8]) -> Option<Named> {
    decode(octets).ok()?.named().ok()
}

/// Checks that the octets are one deterministic item, whatever it holds.
///
/// # Errors
/// Whatever is wrong first.
#[inline]
pub fn validate(octets: &[u8]) -> Result<(), DecodeError> {
    iot_codec::cbor::validate(octets, &Limits::default())
}
