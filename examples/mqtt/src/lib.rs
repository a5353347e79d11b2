//! Packets through an MQTT broker, of version 5 or 3.1.1: a connection that has subscribed, whose messages go and come at
//! least once each. What the broker acknowledges says only that the broker has it.

#![forbid(unsafe_code)]

mod broker;
mod packets;
mod topics;

pub use broker::Broker;
pub use packets::{Client, Message, Session, version};
pub use topics::{dialer, server};
