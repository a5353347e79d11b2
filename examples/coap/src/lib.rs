//! Packets over `CoAP`: a client posts them and observes what is meant for it; a server takes them and notifies. So the
//! server needs no way to its clients but the answers to what they asked.

#![forbid(unsafe_code)]

mod client;
mod message;
mod server;

pub use client::Client;
pub use coap_lite::ResponseType;
pub use server::{Arrived, Server};
