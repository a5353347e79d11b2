//! Datagrams of the DHT: what decodes encodes to the same bytes, or to fewer when unknown keys were skipped.

#![no_main]

use iot_dht::wire::{MAX_DATAGRAM_LEN, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(message) = Message::decode(input) else { return };
    assert!(input.len() <= MAX_DATAGRAM_LEN, "longer than a datagram may be");
    let encoded = message.encode();
    assert!(encoded.len() < input.len() || encoded == input, "{message:?} has a second encoding");
    assert_eq!(Message::decode(&encoded).as_ref(), Ok(&message));
});
