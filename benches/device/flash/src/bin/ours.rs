//! `iot-codec`: numbers stay numbers, as on a device that sends.
#![no_std]
#![no_main]

use standard_message::ours::{decode, encode, validate};

device_flash::program!(decode, encode, validate);
