//! Runs a sans-IO [`Node`](iot_dht::Node) on a UDP socket: [`Driver`] on a thread of its own, [`Task`] on tokio (feature
//! `tokio`). Neither holds any logic of the protocol. Both take sockets of IPv4 and of IPv6; one that is bound to `[::]`
//! reaches both where the system lets it. A node that hands out the verification of signatures
//! ([`Verification::HandedOut`](iot_dht::Verification::HandedOut)) gets a second thread for it.
//! [`Party`] is for devices that meet each other, behind NATs or not, and [`Talk`] (feature `session`) for what two of them
//! say to each other in a session; [`Presence`] is for a server that strangers reach.
//!
//! A [`Driver`]'s thread sleeps until a datagram comes, a time-out is due or somebody calls. A call is a closure that runs on the
//! node's thread, so nobody locks anything:
//!
//! ```no_run
//! # use std::net::UdpSocket;
//! # use iot_dht::{GetMode, Key, Node, NodeConfig};
//! # use iot_driver::Driver;
//! # fn run(node: Node, key: Key) -> std::io::Result<()> {
//! let wall = || iot_core::Timestamp::from_secs(1_767_225_600);
//! let driver = Driver::spawn(UdpSocket::bind("127.0.0.1:0")?, node, wall)?;
//! driver.call(move |node, now, wall| node.get(now, wall, key, GetMode::Newest));
//! for event in driver.events() {
//!     println!("{event:?}");
//! }
//! # Ok(())
//! # }
//! ```

mod clocked;
mod party;
mod presence;
mod socket;
#[cfg(feature = "session")]
mod talk;
#[cfg(feature = "tokio")]
mod task;
mod thread;
mod verifier;

pub use crate::clocked::Beside;
pub use crate::party::{News, Party};
pub use crate::presence::Presence;
#[cfg(feature = "session")]
pub use crate::talk::{Credentials, Heard, Side, Talk};
#[cfg(feature = "tokio")]
pub use crate::task::Task;
pub use crate::thread::{Driver, Filter, Link, Verdict};

/// The quick start of the workspace, kept true.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
