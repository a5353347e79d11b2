//! `postcard`, whose form says too little to be validated without being decoded.
#![no_std]
#![no_main]

use standard_message::postcard::{decode, encode};

device_flash::program!(decode, encode, validate);

fn validate(received: &[u8]) -> usize {
    received.len()
}
