//! `iot-codec`, and every number of what was decoded is looked up: the registry, and all units of `SenML`, are in flash.
#![no_std]
#![no_main]

use core::hint::black_box;

use standard_message::ours::{self, Message, decode, validate};

device_flash::program!(decode, encode, validate);

fn encode(message: &Message, space: &mut [u8]) {
    let _ = black_box(message.named());
    let _ = black_box(ours::encode(message, space));
}
