//! What a program weighs that only receives.
#![no_std]
#![no_main]

device_flash::program!(decode, encode, validate);

fn decode(received: &[u8]) -> Option<&[u8]> {
    Some(received)
}

fn encode(message: &&[u8], space: &mut [u8]) -> usize {
    message.len() + space.len()
}

fn validate(received: &[u8]) -> usize {
    received.len()
}
