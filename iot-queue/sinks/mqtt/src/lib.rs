//! Mirrors an `iot-queue` through a broker of MQTT 5 into another queue: in order, each message once, whatever the broker
//! loses, and through kills of gateway, broker and receiver.
//!
//! # What it does not do
//!
//! It starts no task: the caller spawns the [`Driver`]. It speaks no MQTT 3.1.1, which has no properties. It makes no
//! messages for subscribers that know nothing of this: they see payloads, and properties to read, and whatever comes twice.
//!
//! # Example
//!
//! The gateway:
//!
//! ```no_run
//! use iot_queue::mirror::Mirror;
//! use iot_queue::shared::{Clock, SharedQueue};
//! use iot_queue::{CursorId, FileStorage};
//! use iot_queue_driven::forward;
//! use iot_queue_mqtt::{Topic, mirror_config, mqtt_sink};
//!
//! async fn run<C: Clock>(
//!     queue: SharedQueue<FileStorage, C>,
//!     cursor: CursorId,
//!     seed: u64,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let (mut sink, driver) = mqtt_sink(Topic::new("mqtt.example.org:1883", "plant"));
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
//! use iot_queue_driven::{Reception, receive};
//! use iot_queue_mqtt::{Topic, TopicReader};
//!
//! async fn run<C: Clock>(
//!     queue: SharedQueue<FileStorage, C>,
//!     origin: DeviceId,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut reception = Reception::new(1000, origin);
//!     queue.with(|queue, _| reception.recover(queue))?;
//!     let mut reader = TopicReader::new(Topic::new("mqtt.example.org:1883", "plant"));
//!     Err(receive(&queue, &mut reception, &mut reader, |failure| eprintln!("{failure}")).await.into())
//! }
//! ```
//!
//! # How each message comes once
//!
//! The broker's PUBACK says that the broker has a message, and not that anybody else has, so it frees nothing. The receiver
//! does: it stores each entry once and in order in a queue, commits that, and publishes a receipt; see
//! [`iot_queue_driven`]. What has no receipt after five seconds is sent again, from the first such entry on, over a new
//! connection. In MQTT's words quality of service 1 twice, and in effect once, which its quality of service 2 does not
//! give: that ends at the broker, and at the end of a session.
//!
//! # What it relies on
//!
//! - Of the broker, that it hands on some messages some time. It may be without persistence, be killed, lose, repeat and
//!   reorder. Neither side asks it to keep a session: the gateway's queue keeps what the receiver has not.
//! - Gateway and receiver are there at the same time. While nobody has subscribed, a broker that says so (reason code 16, as
//!   mosquitto does) has the mirror come back after its wait, ten seconds at the most; another one, after those five more.
//! - One receiver. A receipt of any receiver frees messages for all.
//! - The broker lets nobody else publish at `NAME/receipts/#`, and nobody but gateways at `NAME/entries/#`. Where the
//!   broker's operator is not trusted, the payloads are to be sealed; he can hold messages up then, and make gateways let go
//!   of them, and neither read nor make any.
//! - A log is published by one gateway. A second one with a copy of it has the same name as a client, and the broker ends
//!   each one's connection when the other comes.
//!
//! Each message goes through the broker's queue for the receiver. Where that is short (mosquitto: `max_queued_messages`,
//! 1,000 by default) and many gateways have a window each, it drops some, which costs five seconds each time, and nothing
//! else. `max_inflight_messages`, 20 by default, bounds the rate: 0, or 512, lets a window be under way.
//!
//! # What is in a message
//!
//! The payload is that of the queue; in the place of messages that are missing is a [`GapNotice`](iot_queue::GapNotice). The
//! user properties are those of [`Published`](iot_queue_driven::Published), and
//! [`Iot-Since`](iot_queue_driven::SINCE). A receipt's payload is the text of a [`Receipt`](iot_queue_driven::Receipt).
//!
//! # Limits
//!
//! What a mirror's window holds, twice, is kept in memory. The broker's Maximum Packet Size bounds a message; one that is
//! longer stops the mirror, which says so each time that it tries. TLS is the caller's by
//! [`Dial`](iot_queue_driven::Dial).
//!
//! # Panics
//!
//! None of its functions panics.
//!
//! # Standards
//!
//! MQTT 5.0, quality of service 1 (§4.3.2), user properties (§3.3.2.3.7), flow control (§4.9).
#![forbid(unsafe_code)]

mod connection;
mod driver;
mod error;
mod reader;
mod topic;

use std::time::Duration;

pub use crate::driver::{Driver, mirror_config, mqtt_sink, mqtt_sink_over};
pub use crate::error::MqttError;
pub use crate::reader::TopicReader;
pub use crate::topic::Topic;

/// How long a broker may take for an answer. A mirror waits longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
