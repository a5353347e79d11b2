//! A sink whose work a task does, and the loop that forwards a queue to it.
//!
//! A [`Mirror`](iot_queue::mirror::Mirror) waits for nothing, and a server has to be waited for. So a [`DrivenSink`] hands
//! what the mirror says to a task by [`Orders`], and hears from it what the server said. The sink for Kafka is made of it.
//!
//! [`Published`] is an entry as a broker carries it. Behind a broker that cannot be asked (MQTT, AMQP), whose sink answers
//! [`Blind`](iot_queue::sink::ResumePoint::Blind), a [`Reception`] takes what comes, and gives each [`Receipt`] that the
//! sink makes an [`Acknowledged`](iot_queue::sink::Answer::Acknowledged) of.
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
//! use iot_queue::sink::{Answer, ResumePoint};
//! use iot_queue_driven::{Command, DrivenSink, Orders, driven};
//!
//! #[derive(Debug, thiserror::Error)]
//! #[error("the server is gone")]
//! struct Gone;
//!
//! async fn serve(mut orders: Orders<Gone>) {
//!     while let Some(command) = orders.next().await {
//!         match command {
//!             Command::Ask { turn, .. } => orders.say(turn, Ok(Answer::Resume(ResumePoint::Unknown))),
//!             Command::Send { turn, entries } => {
//!                 for entry in entries {
//!                     orders.say(turn, Ok(Answer::Acknowledged(entry.end())));
//!                 }
//!             }
//!         }
//!     }
//! }
//!
//! let (sink, orders): (DrivenSink<Gone>, Orders<Gone>) = driven();
//! # drop((sink, serve(orders)));
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

mod forward;
mod properties;
mod reception;
mod sink;

pub use crate::forward::{ForwardError, forward};
pub use crate::properties::{ENTRY, LOG, PropertyError, Published, hexadecimal};
pub use crate::reception::{Delivery, Receipt, ReceiptError, Reception, ReceptionError, SINCE};
pub use crate::sink::{Command, DrivenError, DrivenSink, Orders, driven};
