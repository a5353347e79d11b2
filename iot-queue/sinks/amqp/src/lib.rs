//! Mirrors an `iot-queue` through a broker of AMQP 0-9-1 into another queue: in order, each message once, whatever the broker
//! loses, and through kills of gateway, broker and receiver.
//!
//! # What it does not do
//!
//! It starts no task for itself: the caller spawns the [`Driver`]. The client below it, `amqprs`, starts a few for each
//! connection, so it has to run in tokio. It speaks no AMQP 1.0. It makes no messages for consumers that know nothing of
//! this: they see payloads, and headers to read, and whatever comes twice.
//!
//! # Example
//!
//! The gateway:
//!
//! ```no_run
//! use iot_queue::mirror::Mirror;
//! use iot_queue::shared::{Clock, SharedQueue};
//! use iot_queue::{CursorId, FileStorage};
//! use iot_queue_amqp::{Route, amqp_sink, mirror_config};
//! use iot_queue_driven::forward;
//!
//! async fn run<C: Clock>(
//!     queue: SharedQueue<FileStorage, C>,
//!     cursor: CursorId,
//!     seed: u64,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let route = Route::new("amqp.example.org", 5672, "plant")?.login("gateway", "secret");
//!     let (mut sink, driver) = amqp_sink(route);
//!     tokio::spawn(driver.run());
//!     let mut mirror = queue.with(|queue, _| Mirror::new(mirror_config(), queue, cursor, seed))?;
//!     forward(&queue, &mut mirror, &mut sink, |error| eprintln!("{error}")).await?;
//!     Ok(())
//! }
//! ```
//!
//! The receiver:
//!
//! ```no_run
//! use iot_core::DeviceId;
//! use iot_queue::FileStorage;
//! use iot_queue::shared::{Clock, SharedQueue};
//! use iot_queue_amqp::{QueueReader, Route};
//! use iot_queue_driven::{Reception, receive};
//!
//! async fn run<C: Clock>(
//!     queue: SharedQueue<FileStorage, C>,
//!     origin: DeviceId,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let route = Route::new("amqp.example.org", 5672, "plant")?.login("receiver", "secret");
//!     let mut reception = Reception::new(1000, origin);
//!     queue.with(|queue, _| reception.recover(queue))?;
//!     let mut reader = QueueReader::new(route);
//!     Err(receive(&queue, &mut reception, &mut reader, |failure| eprintln!("{failure}")).await.into())
//! }
//! ```
//!
//! What publishes messages of its own, in whatever form, finds the connection below in [`ConfirmedChannel`], which counts
//! what the broker has confirmed.
//!
//! # How each message comes once
//!
//! A confirm says that the broker has a message, and not that anybody else has, so it frees nothing. The receiver does: it
//! stores each entry once and in order in a queue, commits that, and publishes a receipt; see [`iot_queue_driven`]. What has
//! no receipt after five seconds is sent again, from the first such entry on.
//!
//! What the broker says of messages decides when to publish, and what to report:
//!
//! - At most 256 messages are without a confirm, and nothing is sent again before the broker has confirmed it: one that is
//!   out of memory or disk confirms nothing for a while, and does not get everything a second time.
//! - What it returns, for it has no queue for it, and what it refuses, for the queue is full, ends the connection with an
//!   error. The mirror comes again after its wait, ten seconds at the most.
//! - Messages are persistent, in a durable queue: they wait while the receiver is away, and outlast a restart of the broker.
//!   As long as such a window lies there and nobody takes it out, no other one is sent.
//! - The receiver acknowledges what it has stored. What it could not store, because its queue is full, it gives back, and the
//!   broker hands it out again. What is no entry of a log it rejects, and the broker puts it into the queue `NAME.dead` with
//!   its reason (`x-death`).
//!
//! # What it relies on
//!
//! - Of the broker, that it hands on some messages some time. It may be killed, lose, repeat and reorder; a queue that it
//!   deletes is made anew.
//! - The receiver was there once, for it makes the exchanges and queues of the [`Route`]. One that is there with other
//!   arguments is refused: delete it, or say the same.
//! - One receiver. A second one stands by (`x-single-active-consumer`, which `RabbitMQ` has from 3.8 on), and is to take over
//!   with the queue of the first, for a receipt of either frees messages for both.
//! - The broker lets nobody but the receiver publish to the exchange `NAME.receipts`, and nobody but gateways to
//!   `NAME.entries`. `RabbitMQ`'s permissions for that:
//!
//!   | user | configure | write | read |
//!   | --- | --- | --- | --- |
//!   | gateways | `amq\.gen.*` | `amq\.gen.*\|NAME\.entries` | `amq\.gen.*\|NAME\.receipts` |
//!   | receiver | `NAME\..*` | `NAME\..*` | `NAME\..*` |
//!
//!   Where the broker's operator is not trusted, the payloads are to be sealed; he can hold messages up then, and make
//!   gateways let go of them, and neither read nor make any.
//! - A log is published by one gateway. A second one with a copy of it is not found out.
//!
//! # What is in a message
//!
//! The payload is that of the queue; in the place of messages that are missing is a [`GapNotice`](iot_queue::GapNotice). The
//! headers are those of [`Published`](iot_queue_driven::Published), and [`Iot-Since`](iot_queue_driven::SINCE). A receipt's
//! payload is the text of a [`Receipt`](iot_queue_driven::Receipt).
//!
//! # Limits
//!
//! What a mirror's window holds, twice, is kept in memory. The broker bounds a message (`RabbitMQ`: `max_message_size`, 16 MiB
//! from version 4 on); one that is longer stops the mirror, which says so each time that it tries. The queue of entries and
//! that of dead letters are bounded by [`Route::max_waiting`] and [`Route::max_dead`].
//!
//! # Features
//!
//! `tls`: `Broker::tls` connects with TLS, by a configuration of `rustls`. Off by default: it brings `rustls`, and the
//! ciphers are those of the configuration.
//!
//! # Panics
//!
//! None of its functions panics, as long as they are called in a runtime of tokio.
//!
//! # Standards
//!
//! AMQP 0-9-1; of `RabbitMQ`'s extensions publisher confirms, `basic.nack`, dead letter exchanges, length limits and single
//! active consumers.
#![forbid(unsafe_code)]

mod broker;
mod confirmed;
mod driver;
mod error;
mod message;
mod reader;
mod route;

use std::time::Duration;

pub use amqprs;

pub use crate::broker::Broker;
pub use crate::confirmed::ConfirmedChannel;
pub use crate::driver::{Driver, amqp_sink, mirror_config};
pub use crate::error::AmqpError;
pub use crate::reader::QueueReader;
pub use crate::route::Route;

/// How long a broker may take for an answer. A mirror waits longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
