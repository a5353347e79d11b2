//! A persistent queue for messages that must outlive power cuts: a log in preallocated segments, handed out under leases.
//!
//! # What it does not do
//!
//! It contains no cryptography, knows no transport and starts no thread; it reads no clock and draws no randomness. It
//! serves one owner at a time: a second process is refused. It does not look into payloads. It drops nothing to make
//! room and lets nothing expire, unless it is told to: a full queue refuses.
//!
//! # Example
//!
#![cfg_attr(all(feature = "std", any(unix, windows)), doc = "```")]
#![cfg_attr(not(all(feature = "std", any(unix, windows))), doc = "```ignore")]
//! use core::time::Duration;
//! use iot_core::Instant;
//! use iot_queue::{FileStorage, Message, Queue, QueueConfig};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let random = [7; 8];
//! let storage = FileStorage::create(directory.path().join("readings"))?;
//! let config = QueueConfig::default().segment_len(256 << 10)?.segments(4)?;
//! let mut queue = Queue::open(storage, config, random)?;
//!
//! // When this returns, the reading is on the disk.
//! queue.append(&Message::new(b"21.5 C"))?;
//!
//! let now = Instant::START;
//! for leased in queue.reserve(now, Duration::from_secs(30), 16)? {
//!     assert_eq!(leased.payload, b"21.5 C");
//!     queue.ack(leased.lease)?;
//! }
//! queue.commit()?;
//! assert_eq!(queue.stats().depth, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # How to drive it
//!
//! Open a [`Queue`] on a [`Storage`] with 8 octets drawn at random for this opening.
//! [`append`](Queue::append) and [`append_batch`](Queue::append_batch) write at once; when what they wrote is durable is
//! the choice of [`Durability`]. [`commit`](Queue::commit) makes everything durable, acknowledgements too. A [`Message`]
//! may have a position at its source, a [`Lane`], a key whose messages keep their order, a delay, a time to live, and an
//! identifier by which a repetition is known.
//!
//! [`reserve`](Queue::reserve) hands messages out under leases that end at a time of the caller's clock, which he tells
//! when [`poll_timeout`](Queue::poll_timeout) says so. What each operation promises:
//!
//! | operation | promise |
//! |---|---|
//! | [`reserve`](Queue::reserve), [`reserve_at`](Queue::reserve_at) | nobody else gets the message before the lease ends; counts one attempt |
//! | [`peek`](Queue::peek) | what `reserve` would give; leases and counts nothing |
//! | [`touch`](Queue::touch) | the lease ends later, or sooner; no attempt |
//! | [`ack`](Queue::ack) | the message is not handed out again; holds after the end of the lease, too, until somebody else has it |
//! | [`release`](Queue::release), [`release_to`](Queue::release_to) | handed out again, in its place or where the caller says: [`Release`] |
//! | [`nack`](Queue::nack) | the same, until the last of [`max_attempts`](QueueConfig::max_attempts): then a dead letter, with the reason |
//! | [`reject`](Queue::reject) | a dead letter at once, with the reason |
//! | the lease ends | handed out again in its place; after the last attempt a dead letter |
//! | [`redrive`](Queue::redrive), [`ack_dead`](Queue::ack_dead) | the only ways out for a dead letter, but for the next |
//! | [`ack_at`](Queue::ack_at), [`ack_before`](Queue::ack_before) | not handed out again, and not read: even where the storage fails to |
//! | the time to live ends | a [`Gap`], and counted; who holds the message may still acknowledge it |
//! | a lease that is over | refused, whatever it is used for: [`LeaseError::Stale`] |
//!
//! [`entries_from`](Queue::entries_from) and [`ack_before`](Queue::ack_before) make a journal of the queue.
//!
//! ## Cursors
//!
//! A [cursor](Queue::open_cursor) reads the same log under a name that lasts, in the order of the log, at its own pace:
//! messages, and a [`Gap`] wherever some are missing. It goes back to a place or a time, as far as messages are still
//! stored, and [`MaxLag`] moves it on when it stays too far behind, so that a reader who never comes back fills nothing.
//!
//! | who knows | finds here |
//! |---|---|
//! | a work queue; JetStream's *work queue* retention; IronMQ | the default, [`Consumers::Leasing`] |
//! | JetStream's *interest* retention | [`Consumers::CursorsOnly`]: a message goes when all cursors have passed it |
//! | a topic of Kafka; JetStream's *limits* retention | the same, with [`Retention::WHILE_ROOM`] |
//! | both at once: jobs, and a mirror or a journal of them | [`Consumers::Leasing`] and cursors: a message goes when it was acknowledged and all have passed it |
//! | a consumer group | a cursor that several share: [`reserve_from`](Queue::reserve_from), [`ack_from`](Queue::ack_from). There are no partitions to be assigned: messages go to whoever asks, and each can be acknowledged alone |
//! | committed offsets | [`advance_cursor`](Queue::advance_cursor), durable with the next [`commit`](Queue::commit) or durable append, at no sync of its own |
//!
//! ```
//! # use core::time::Duration;
//! # use iot_core::Instant;
//! use iot_queue::{Entry, MaxLag, MemoryStorage, Message, Queue, QueueConfig, Seek};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let config = QueueConfig::default().segment_len(256 << 10)?.segments(4)?;
//! let mut queue = Queue::open(MemoryStorage::new(), config, [7; 8])?;
//! let a_week = MaxLag::UNLIMITED.age(Duration::from_secs(7 * 86_400));
//! let mirror = queue.open_cursor("mirror", Seek::Oldest, a_week)?;
//! queue.append(&Message::new(b"21.5 C"))?;
//!
//! for entry in queue.read_cursor(Instant::START, mirror, 100)? {
//!     match &entry {
//!         Entry::Message(stored) => assert_eq!(stored.payload, b"21.5 C"),
//!         Entry::Gap(gap) => panic!("nothing is missing: {gap:?}"),
//!     }
//!     queue.advance_cursor(mirror, entry.end())?;
//! }
//! queue.commit()?;
//! # Ok(())
//! # }
//! ```
//!
//! ## When it is full
//!
//! [`WhenFull`] says what becomes of an append without room: it is refused, or the oldest messages are dropped, whoever
//! still needs them. `append_wait` of `shared::SharedQueue` waits instead. What was dropped is [recorded](GapRecord): by
//! place in the log, and by source and sequence number for up to [`max_gap_feeds`](QueueConfig::max_gap_feeds) of them; a
//! [`GapSigner`] of the caller's signs the record, as the claim of whoever dropped. It is durable before anything is lost,
//! and stays until every cursor has passed the gap and the leasing consumers [said](Queue::ack_dropped) that they know.
//!
//! Everything in a full queue can still be read, acknowledged and committed, and then there is room again.
//!
//! What goes without having been delivered goes by one of four settings, all off by default: a message's
//! [time to live](Message::time_to_live), [`expire_after`](QueueConfig::expire_after), a cursor's [`MaxLag`], and
//! [`WhenFull::DropOldest`]. Each leaves a gap.
//!
//! ## Mirrors, threads and tasks
//!
//! A [`mirror`] forwards the log to another queue, over any byte stream, or to a broker: in order, each entry once, behind
//! what the other side says it has, and with a [`GapNotice`] for what is missing, whose cause and signed claim can be
//! verified there. It reads through a cursor, which goes behind what the other side has [confirmed](mirror::Mirror::confirmed).
//!
//! ```
//! use iot_core::{DeviceId, Instant};
//! use iot_queue::mirror::{Mirror, MirrorConfig};
//! use iot_queue::sink::{Intake, QueueSink};
//! # use iot_queue::{Consumers, MaxLag, MemoryStorage, Message, Queue, QueueConfig, Seek};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let config = QueueConfig::default().segment_len(256 << 10)?.segments(4)?;
//! // What no cursor needs goes: here, what has arrived.
//! let mut edge = Queue::open(MemoryStorage::new(), config.consumers(Consumers::CursorsOnly), [1; 8])?;
//! let cursor = edge.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED)?;
//! let mut mirror = Mirror::new(MirrorConfig::default(), &edge, cursor, 7)?;
//! edge.append(&Message::new(b"21.5 C"))?;
//!
//! let (mut centre, mut intake) = (Queue::open(MemoryStorage::new(), config, [2; 8])?, Intake::new(100));
//! let mut sink = QueueSink::new(&mut centre, &mut intake, DeviceId::from_bytes([9; 32]));
//! mirror.drive(Instant::START, &mut edge, &mut sink)?;
//! assert_eq!(centre.stats().depth, 1);
//! assert_eq!(mirror.confirmed(), edge.next_offset());
//! # Ok(())
//! # }
//! ```
//!
//! A [`stage`] between the cursor and the sink filters, maps, or aggregates in windows of time: a thermometer that is read
//! each second leaves as means of a minute, and gaps say what was left out.
//!
//! With the feature `std`, threads and tasks use one queue through `shared::SharedQueue`, which makes one sync serve all
//! who wait for one, and lets them wait for messages. `shared::MirrorLink` is a mirror for them over byte streams, and
//! `worker::Worker` hands messages to handlers: it prolongs leases while they work, and settles them by their verdicts.
//! A [`schedule`] makes a message come again.
//!
//! What lasts:
//!
//! | after | the process is killed | the power is cut |
//! |---|---|---|
//! | `append`, [`Durability::EachMessage`] | kept | kept |
//! | `append`, [`Durability::Manual`] | kept | may be lost, in any part |
//! | `commit` | kept | kept |
//! | `ack` | may come again | may come again |
//! | `ack`, then `commit` | does not come again | does not come again |
//! | `reserve`: the attempt | counted | counted from the next `commit` on, or as [`AttemptDurability`] says |
//! | `release`, `nack`, `reject`, `redrive` | kept | kept from the next `commit` on |
//! | `advance_cursor`, `seek_cursor` | may be taken back | may be taken back |
//! | the same, or `open_cursor`, `delete_cursor`, then `commit` | kept | kept |
//! | an acknowledgement by `ack_from`, when all before it are acknowledged and a `commit` came after | kept | kept |
//! | the record of what was dropped | kept | kept |
//! | a lease | ends | ends |
//! | a delay, a time to live | go on | go on; the time that the power was off does not count, unless a [wall clock](Queue::tell_wall_clock) tells |
//!
//! What is said of attempts, releases and dead letters needs room for a record, which a full queue may not have: until there is
//! room it waits in memory, and [`Stats::unsaved`] counts the messages. `docs/durability.md` says all of this at length.
//!
//! When the storage fails to write or sync, no second try can tell what the medium holds: the queue writes what was not
//! durable to a fresh segment, syncs that, and goes on. When that fails too, or more than 1 MiB was not durable, or no
//! segment is free, it is read-only from then on: drop it, look after the medium, and open it again.
//!
//! Damage never keeps a queue shut. A message whose checksum does not hold is not given; it becomes a [`Gap`], listed by
//! [`gaps`](Queue::gaps), and what comes after it is delivered. What the storage fails to read is passed over for the
//! time being; only a storage that reads nothing of a segment keeps the queue from opening, for it may read again. An
//! [`Inspection`] names every record that is not as it was written, a wrong bit that was put right included, and writes nothing.
//!
//! [`close`](Queue::close) marks a clean end: the next opening reads no records then, and names the last message, too,
//! should it be missing. `FileStorage::warning` tells of file systems that do not overwrite in place or do not keep what
//! was synced.
//!
//! ## Encrypted
//!
//! [`open_encrypted`](Queue::open_encrypted) lets a [`PayloadCipher`] of the caller's encrypt each payload before it is
//! stored, and says what stays in the clear. Without one, nothing is copied or checked for it. The example `encrypted` has
//! a cipher of XChaCha20-Poly1305.
//!
//! # Limits
//!
//! Payloads of up to [`QueueConfig::max_payload`], 64 KiB by default, and never more than three quarters of a segment; keys of 255
//! octets, identifiers of 16, reasons of 200, 8 lanes; [`max_cursors`](QueueConfig::max_cursors) cursors, 16 by default,
//! with names of 64 octets. All segments are allocated when the queue is opened. Of them, 96
//! octets for each message that has no acknowledgement yet are kept for it and for its leases, so that a full queue can
//! be drained: at 100 % `append` says [`AppendError::Full`] while everything else works. Where leases are taken, or cursors
//! advanced, so often that their records find no room, the latest are kept in memory only, and [`Stats::unsaved`] counts
//! them. Space returns in the order of the log, a segment at a time, and not before every cursor has passed it. Where an
//! append finds no room, and some of the oldest segments taken together are at most half needed, what is needed of the first
//! is moved to the newest: such an append costs a sync and a segment of writing more. A moved message keeps its place in the
//! order; cursors that are made later do not read it. A queue that drops the oldest moves while one segment more is free
//! than the one that it keeps, and drops only what that does not make room for.
//!
//! Payloads are given as a `Vec` of their own, copied once out of what was read: slices of that would hold 64 KiB for as
//! long as somebody keeps one of its messages.
//!
//! In memory a stored message takes 4 octets and a bit; one that was handed out, or that has a lane, a key, a delay or a
//! time to live, about 300 more, and opening reads it. A cursor that reads takes 64 KiB. The work of a call grows with the messages that it hands out or
//! whose time has come, and with the logarithm of those that are known so; [`find`](Queue::find) reads the whole log.
//!
//! # Features
//!
//! - `std` (default): `shared` and `worker`, `FileStorage` on Unix and Windows, and CRC32C by the processor's instructions. Without it the crate needs
//!   `alloc` only, and computes CRC32C by a table.
//! - `embedded-storage`: `NorStorage`, segments on NOR flash through the traits of that crate. Needs `alloc` only.
//! - `tracing`: events when a queue is opened (what was recovered and lost), when the storage fails, when a segment comes free,
//!   and when messages become gaps, dead letters or are dropped.
//! - `metrics`: `Stats::record_metrics` hands a snapshot to the recorder of the crate `metrics`. Needs `std`.
//! - `sim`: a simulated disk for tests, and the simulator that holds this crate to its promises, in the module `sim`;
//!   `docs/durability.md` of the repository says what it found, and what it notices.
//!
//! # Panics
//!
//! None of its functions panics, whatever the storage holds.
//!
//! # Standards
//!
//! CRC32C as in RFC 3720 §12.1. The format of the log is defined in `docs/formats/queue.md`. Mirrors speak
//! `docs/formats/mirror.md` over byte streams, and schedules stand in messages as `docs/formats/schedule.md` says.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod checksum;
mod cipher;
mod config;
mod cursor;
mod error;
#[cfg(iot_fault)]
pub mod fault;
mod format;
mod gap;
mod inspection;
mod lease;
mod log;
mod message;
pub mod mirror;
mod offset;
mod queue;
mod retention;
pub mod schedule;
#[cfg(feature = "std")]
pub mod shared;
#[cfg(feature = "sim")]
pub mod sim;
pub mod sink;
pub mod stage;
mod stats;
mod storage;
#[cfg(feature = "tracing")]
mod trace;
#[cfg(feature = "std")]
pub mod worker;

pub use crate::cipher::{PayloadCipher, PayloadOpeningError, PayloadPlace, PayloadSealingError};
pub use crate::config::{AttemptDurability, Consumers, Durability, QueueConfig, Unreadable, WhenFull};
pub use crate::cursor::{CursorId, CursorStatus, MaxLag, Seek};
pub use crate::error::{AppendError, CommitError, ConfigError, CursorError, LeaseError, OpenError, ReserveError};
pub use crate::gap::{DroppedFeed, GapNotice, GapRecord, GapSigner, GapSigningError};
pub use crate::inspection::{Damage, DamagedRecord, Inspection, RecordKind};
pub use crate::lease::{Backoff, DeadLetter, DeathCause, LaneOrder, LeaseId, Leased, Nacked, Release};
pub use crate::message::{Appended, Entry, Lane, Message, MessageId, Stored};
pub use crate::offset::{Epoch, Gap, GapCause, Offset};
pub use crate::queue::{Entries, Queue};
pub use crate::retention::Retention;
pub use crate::stats::Stats;
pub use crate::storage::{
    Fate, Fault, Granularity, MemoryStorage, Operation, SegmentExtent, SegmentNumber, Storage, StorageError, Syncer,
};
#[cfg(all(feature = "std", any(unix, windows)))]
pub use crate::storage::{FileStorage, FileSyncer, FileSystemWarning};
#[cfg(feature = "embedded-storage")]
pub use crate::storage::{NorRegionError, NorStorage};
