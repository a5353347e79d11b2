//! Mirrors an `iot-queue` into NATS JetStream: in order, each message once, through kills of either side.
//!
//! # What it does not do
//!
//! It makes no stream and reads none: the operator says how long messages are kept, and consumers are NATS's own. It
//! starts no task: the caller spawns the [`Driver`].
//!
//! # Example
//!
//! ```no_run
//! use iot_queue::mirror::Mirror;
//! use iot_queue::shared::{Clock, SharedQueue};
//! use iot_queue::{CursorId, FileStorage};
//! use iot_queue_driven::forward;
//! use iot_queue_nats::{mirror_config, nats_sink};
//!
//! async fn run<C: Clock>(
//!     queue: SharedQueue<FileStorage, C>,
//!     cursor: CursorId,
//!     seed: u64,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let client = async_nats::connect("nats.example.org").await?;
//!     let (mut sink, driver) = nats_sink(client, "READINGS", "readings.gateway-7");
//!     tokio::spawn(driver.run());
//!     let mut mirror = queue.with(|queue, _| Mirror::new(mirror_config(), queue, cursor, seed))?;
//!     forward(&queue, &mut mirror, &mut sink, |error| eprintln!("{error}")).await?;
//!     Ok(())
//! }
//! ```
//!
//! # How each message comes once
//!
//! A log goes to one subject of its own, `PREFIX.EPOCH`, the epoch in hexadecimal. The last message of that subject
//! tells where the log goes on, whenever the mirror asks, so nothing depends on the stream's window for duplicates.
//! Each message follows on the one before it, or is refused: the first names the sequence that the last one of its
//! subject has (`Nats-Expected-Last-Subject-Sequence`), each one behind it the identifier of the one before it
//! (`Nats-Expected-Last-Msg-Id`). So one that was refused takes all behind it with it, one that was on its way when the
//! connection broke cannot come late, and a second writer of the same log is fenced off. Sequences cannot be foretold
//! for that: where another gateway writes meanwhile, a message gets the sequence that was foretold for a later one, and
//! what should follow on the later one is taken.
//!
//! Gateways may share a stream, each with its own subject. The identifier that is named must be the last one of the
//! whole stream: whenever another gateway comes in between, what is under way is refused, and goes on behind what was
//! acknowledged, with half as much under way, and more again when that succeeds. Gateways that are busy at once come
//! down to a message a round trip that way. Where that is too slow, give each a stream of its own, and let one stream
//! gather them as its sources.
//!
//! An acknowledgement of JetStream says that the server has the message, not that its disk has: by default it syncs
//! every two minutes. So [`mirror_config`] keeps a tail of two minutes and a half behind what was acknowledged; after a
//! power cut of the server, what it lost is sent again: the driver notices that the connection was another one, also
//! when nothing is under way, and the mirror asks.
//!
//! # What the stream must be like
//!
//! Retention by limits, for a stream that forgets what was consumed cannot tell where a log goes on, and is refused.
//! Where limits take the last message of a subject, the mirror goes on at what it had confirmed itself, and repeats
//! what was acknowledged within the tail.
//!
//! # What is in a message
//!
//! The payload is that of the queue; in the place of messages that are missing, a [`GapNotice`](iot_queue::GapNotice),
//! with the signed claim of whoever dropped them. The headers, where there is something to say:
//!
//! | header | value |
//! | --- | --- |
//! | `Iot-Entry` | the offset of a message; of a gap, `FROM-UNTIL CAUSE`, half open |
//! | `Iot-Position` | `SOURCE/STREAM/INCARNATION/SEQUENCE`, as `iot_core::Position` prints it |
//! | `Iot-Key`, `Iot-Id` | hexadecimal |
//! | `Iot-Lane` | 0 to 7 |
//! | `Nats-Msg-Id` | ten characters that the driver drew, and the offset: for the chain, not for duplicates |
//!
//! # Limits
//!
//! What a mirror's window holds, twice, is kept in memory. The server's `max_payload` bounds a message; one that is
//! longer stops the mirror, which says so each time that it tries.
//!
//! # Panics
//!
//! None of its functions panics.
//!
//! # Standards
//!
//! NATS client protocol, and JetStream's API as of nats-server 2.9.
#![forbid(unsafe_code)]

mod driver;
mod entry;
mod error;

pub use crate::driver::{Driver, mirror_config, nats_sink};
pub use crate::entry::published;
pub use crate::error::JetStreamError;
