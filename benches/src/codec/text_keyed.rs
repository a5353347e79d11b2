//! The form of the standard message that is checked for determinism: a map with text keys, of 177 octets.

use standard_message::{CHANNELS, KEY_ID, SEQUENCE, TIME_MS, TOPIC};

/// Made deterministic by `dcbor`, which sorts its maps.
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
