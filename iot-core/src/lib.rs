//! Under construction.
#![no_std]
#![forbid(unsafe_code)]

mod id;
mod position;
mod time;

pub use crate::id::{DeviceId, Incarnation, KeyId, StreamId};
pub use crate::position::Position;
pub use crate::time::{Instant, Timestamp};
