//! A sink whose work a task does, and the loop that forwards a queue to it.
//!
//! A [`Mirror`](iot_queue::mirror::Mirror) waits for nothing, and a server has to be waited for. So a [`DrivenSink`] hands
//! what the mirror says to a task by [`Orders`], and hears from it what the server said. The task is [`serve`], over what is a
//! [`Server`] to it. The sinks are made of it.
//!
//! [`Published`] is an entry as a broker carries it.
//!
//! # Brokers that cannot be asked
//!
//! MQTT and AMQP tell nobody which message was the last. Their sinks answer
//! [`Blind`](iot_queue::sink::ResumePoint::Blind), and what the broker says of a message frees none: that does the receiver.
//!
//! 1. The driver's [`Outbound`] gives each entry its properties, among them [`SINCE`]: everything before that place has
//!    arrived.
//! 2. Behind the broker a [`Reception`] takes each entry once and in order, whatever the broker loses, repeats or reorders,
//!    commits its queue, and gives a [`Receipt`]. [`receive`] is the loop around it, over an [`Inbound`].
//! 3. The receipt comes back through the broker, and the driver's `Outbound` makes an
//!    [`Acknowledged`](iot_queue::sink::Answer::Acknowledged) of it, for no more than was sent.
//! 4. What has no receipt for as long as a mirror waits for an answer is sent again.
//!
//! So of the broker nothing is asked but that it hands out some messages some time. What it cannot show is a log that was
//! set back to an older state, or copied: a receiver that can be asked has more of it than was ever sent, and the mirror
//! halts, and behind such a broker the receipts are taken for those of repeated messages. Do not restore a gateway's queue
//! from a copy. And whoever can write receipts frees messages: let the broker allow that to the receiver alone.
//!
//! # What it does not do
//!
//! It knows no server and no protocol, and starts no task.
//!
//! # Example
//!
//! A server that stores everything at once:
//!
//! ```
//! use std::convert::Infallible;
//! use std::future::pending;
//!
//! use iot_queue::Epoch;
//! use iot_queue::sink::{Answer, Forwarded, ResumePoint};
//! use iot_queue_driven::{Link, Server, driven, serve};
//!
//! struct Memory;
//!
//! struct Appended {
//!     entries: Vec<Forwarded>,
//!     told: usize,
//! }
//!
//! impl Server for Memory {
//!     type Error = Infallible;
//!     type Link = Appended;
//!
//!     async fn ask(&mut self, _: Epoch, before: Option<Appended>) -> Result<(Appended, ResumePoint), Infallible> {
//!         let entries = before.map(|link| link.entries).unwrap_or_default();
//!         let point = entries.last().map_or(ResumePoint::Unknown, |entry| ResumePoint::From(entry.end()));
//!         Ok((Appended { told: entries.len(), entries }, point))
//!     }
//! }
//!
//! impl Link for Appended {
//!     type Error = Infallible;
//!     type Event = ();
//!
//!     async fn send(&mut self, entries: Vec<Forwarded>) -> Result<(), Infallible> {
//!         self.entries.extend(entries);
//!         Ok(())
//!     }
//!
//!     async fn wait(&mut self) -> Result<(), Infallible> {
//!         if self.told == self.entries.len() { pending().await } else { Ok(()) }
//!     }
//!
//!     async fn handle(&mut self, (): ()) -> Result<Vec<Answer>, Infallible> {
//!         self.told = self.entries.len();
//!         Ok(self.entries.last().map(|entry| Answer::Acknowledged(entry.end())).into_iter().collect())
//!     }
//! }
//!
//! let (sink, orders) = driven();
//! let task = serve(Memory, orders);
//! # drop((sink, task));
//! ```
//!
//! # Limits
//!
//! What is under way, a window of the mirror, is kept in memory until the task takes it.
//!
//! # Panics
//!
//! None of its functions panics.
//!
//! # Standards
//!
//! None.
#![forbid(unsafe_code)]

mod dial;
mod forward;
mod outbound;
mod properties;
mod receive;
mod reception;
mod serve;
mod sink;

pub use crate::dial::{ConnectionError, Dial, Tcp, connect};
pub use crate::forward::{ForwardError, drive, forward};
pub use crate::outbound::Outbound;
pub use crate::properties::{ENTRY, LOG, PropertyError, Published, hexadecimal};
pub use crate::receive::{Inbound, ReceiveFailure, receive};
pub use crate::reception::{Delivery, Receipt, ReceiptError, Reception, ReceptionError, SINCE};
pub use crate::serve::{Link, Server, serve};
pub use crate::sink::{DrivenError, DrivenSink, Orders, driven};
