//! Where doors lead to: packets of many devices, whichever transport they come by.
//!
//! A packet is a signed and sealed message (`docs/formats/envelope.md`) whose routing header names its source. A [`Lobby`]
//! looks at that, at who sends how much, and hands the packet to whoever keeps it; and it remembers the way that each
//! device was heard by last, for what is to go back. It reads and believes nothing: a stranger can divert what is meant for
//! a device until that is heard again, and that is sealed, and repeated.
//!
//! `iot-doors` has doors for five transports. One of your own calls [`enter`](Lobby::enter), and answers by the [`Refusal`]:
//!
//! ```
//! use std::net::IpAddr;
//! use std::sync::mpsc::channel;
//! use std::sync::{Arc, Mutex};
//!
//! use iot_core::{DeviceId, Incarnation, StreamId};
//! use iot_crypto::RoutingHeader;
//! use iot_lobby::{Limits, Lobby, Refusal};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (keep, kept) = channel();
//! let lobby = Lobby::new("example", Limits::new(1)?, move |position, packet| Ok(keep.send((position, packet.to_vec()))?));
//!
//! let boiler = DeviceId::from_bytes([7; 32]);
//! let (stream, incarnation) = (StreamId::new(0), Incarnation::from_bytes([8; 8]));
//! let header = RoutingHeader { source: Some(boiler), topic: None, stream, incarnation, sequence: 3 };
//! let mut packet = [0; 100];
//! header.encode(&mut packet).ok_or("it is longer")?;
//!
//! let (sender, outbox) = (IpAddr::from([192, 0, 2, 1]), Arc::new(Mutex::new(Vec::new())));
//! let to_boiler = outbox.clone();
//! let way = Arc::new(move |packet: &[u8]| to_boiler.lock().unwrap().push(packet.to_vec()));
//! lobby.enter(sender, &packet, way.clone())?;
//! assert_eq!(kept.recv()?.0.sequence, 3);
//! lobby.send(&boiler, b"for the boiler");
//! assert_eq!(*outbox.lock().unwrap(), [b"for the boiler"]);
//!
//! assert!(matches!(lobby.enter(sender, b"?", way.clone()), Err(Refusal::Malformed(_))));
//! let refusals = (0..10).filter_map(|_| lobby.enter(sender, &packet, way.clone()).err());
//! assert!(refusals.last().is_some_and(|it| matches!(it, Refusal::TooMuch { .. })));
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! Of 4,096 senders it is known how much they sent, and of 4,096 devices where they are; beyond, the one that was silent
//! longest is forgotten. A sender may send four seconds' worth of its rate at once. A packet has 16 KiB at the most.

#![forbid(unsafe_code)]

mod limits;
mod lobby;
mod recent;

pub use crate::limits::{Limits, Sender};
pub use crate::lobby::{Lobby, Refusal, Way, position_of};
