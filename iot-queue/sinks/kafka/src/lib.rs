//! Mirrors an `iot-queue` into a partition of Kafka: in order, each message once, through kills of either side.
//!
//! # What it does not do
//!
//! It makes no topic: the operator says how many replicas there are, and how long records are kept. It starts no task: the
//! caller spawns the [`Driver`]. It joins no consumer group; [`PartitionReader`] reads one partition from an offset on.
//!
//! # Example
//!
//! ```no_run
//! use iot_queue::mirror::Mirror;
//! use iot_queue::shared::{Clock, SharedQueue};
//! use iot_queue::{CursorId, FileStorage};
//! use iot_queue_driven::forward;
//! use iot_queue_kafka::{Partition, kafka_sink, mirror_config};
//!
//! async fn run<C: Clock>(
//!     queue: SharedQueue<FileStorage, C>,
//!     cursor: CursorId,
//!     seed: u64,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let partition = Partition::new("kafka.example.org:9092", "readings", 7);
//!     let (mut sink, driver) = kafka_sink(partition);
//!     tokio::spawn(driver.run());
//!     let mut mirror = queue.with(|queue, _| Mirror::new(mirror_config(), queue, cursor, seed))?;
//!     forward(&queue, &mut mirror, &mut sink, |error| eprintln!("{error}")).await?;
//!     Ok(())
//! }
//! ```
//!
//! # How each message comes once
//!
//! A gateway has a partition of its own. Each record says by its headers which log it is of, and its place there, so the
//! last record of the log tells where it goes on. Whenever the mirror asks, the driver
//!
//! 1. has the coordinator give the producer of the partition (its transactional identifier is `iot-queue/TOPIC/PARTITION`)
//!    its next epoch;
//! 2. appends an empty record, a *fence*, with that epoch. From then on the partition refuses batches of all epochs
//!    before: one that was on its way when the connection broke cannot come late, and a second writer is fenced off;
//! 3. reads the records before the fence, backwards, until it finds one of the log.
//!
//! Then each batch continues the sequence of the one before it. The partition takes none after one that it did not take,
//! so nothing is left out. No transaction is begun, so consumers see records as soon as all replicas in sync have them, at
//! either level of isolation.
//!
//! Two gateways on one partition fence each other off, and whichever comes back forwards on: give each its own. A second
//! gateway with a *copy* of the log is found out by the mirror, which halts.
//!
//! # What it relies on
//!
//! - `acks=all`, which the driver asks for, means that each replica in sync has a record in its memory, and not that a
//!   disk has it. With three replicas and `min.insync.replicas=2` a power cut of one machine takes nothing. With one
//!   replica it takes what the system had not written yet: so [`mirror_config`] keeps a tail of one minute behind what was
//!   acknowledged, and sends it again where the partition is without it. A power cut of all replicas at once is as one.
//! - `unclean.leader.election.enable=false`, the default: else what was acknowledged may be gone for longer than the tail.
//! - `cleanup.policy=delete`: a compacted topic refuses the fence, which has no key. Where retention has taken the log's
//!   last record, or more than 10,000 records of others stand behind it, the mirror goes on at what it had confirmed
//!   itself, and repeats what was acknowledged within the tail.
//! - Where access is restricted: writing and reading the topic, and writing the transactional identifier.
//!
//! # What is in a record
//!
//! The value is the payload, the key is the message's, and the headers are those of
//! [`Published`](iot_queue_driven::Published). In the place of messages that are missing is a
//! [`GapNotice`](iot_queue::GapNotice). A fence has the header `Iot-Fence` and no value.
//!
//! # Limits
//!
//! What a mirror's window holds, twice, is kept in memory. A batch is at most 256 KiB of payloads, or one message; the
//! broker's `message.max.bytes` bounds that: a longer one stops the mirror, which says so each time that it tries. Nothing
//! is compressed, and no compressed records are read. There is no SASL: TLS, with a certificate for the client where
//! there must be a login, is the caller's by [`Dial`](iot_queue_driven::Dial). After 32,766 connections the coordinator changes the producer;
//! only at that one the fence does not hold off a batch that is still on its way.
//!
//! # Panics
//!
//! None of its functions panics, as long as the broker's records are well-formed.
//!
//! # Standards
//!
//! Kafka's protocol as of Apache Kafka 2.5 and later: Metadata 8, `FindCoordinator` 2, `InitProducerId` 3, Produce 8,
//! Fetch 11, `ListOffsets` 5; record batches of version 2.
#![forbid(unsafe_code)]

mod connection;
mod driver;
mod error;
mod partition;
mod reader;
mod records;

use std::time::Duration;

pub use crate::driver::{Driver, kafka_sink, kafka_sink_over, mirror_config};
pub use crate::error::KafkaError;
pub use crate::partition::Partition;
pub use crate::reader::{Consumed, PartitionReader};

/// How long a broker may take for an answer. A mirror waits longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
