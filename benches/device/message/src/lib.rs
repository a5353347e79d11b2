//! The standard message of the targets, as users of `iot-codec` and of its peers write it.
//!
//! The scoreboard measures these with a standard library, and `flash` without one.
#![no_std]

#[cfg(feature = "ciborium")]
extern crate alloc;

#[cfg(feature = "ciborium")]
pub mod ciborium;
#[cfg(feature = "minicbor")]
pub mod minicbor;
pub mod ours;
#[cfg(feature = "postcard")]
pub mod postcard;

/// The key that signed it.
pub const KEY_ID: [u8; 8] = [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17];
/// The topic that it belongs to.
pub const TOPIC: &str = "plant/7/boiler/12";
/// Its number in the topic.
pub const SEQUENCE: u32 = 70_001;
/// Milliseconds since the Unix epoch.
pub const TIME_MS: u64 = 1_767_225_600_123;
/// Name, unit, value.
pub const CHANNELS: [(&str, &str, f32); 3] =
    [("temperature", "Cel", 21.5), ("humidity", "%RH", 48.2), ("pressure", "hPa", 1013.25)];

/// Room for any form of the message, in octets.
pub const SPACE: usize = 256;
