//! Where packets of many devices wait: one queue on disk, in which each is once while it waits.
//!
//! What comes again while it waits is dropped. It is known by its digest, and by that alone, so nobody can keep a packet out
//! by sending rubbish in its name; what comes again after the receiver took it is kept again, for the receiver may have lost
//! it since. A full queue drops its oldest packets, and a record that the keeper signs says which, of which source. Nothing
//! is read, and nothing waits for a sync: who wrote a packet keeps it until its receiver has it, so what is lost here
//! comes again.
//!
//! Packets go out through the cursor [`CURSOR`], by a mirror: `iot-uplink` has one over TCP.
//!
//! ```
//! use iot_core::{DeviceId, Incarnation, Position, StreamId};
//! use iot_depot::{Depot, Keeper, queue_config};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let keeper = Keeper::load(folder)?;
//! let depot = Depot::open(&folder.join("queue"), queue_config(16)?, keeper.key())?;
//! let (source, stream) = (DeviceId::from_bytes([7; 32]), StreamId::new(0));
//! let position = Position { source, stream, incarnation: Incarnation::from_bytes([8; 8]), sequence: 0 };
//! depot.keep(position, b"a packet")?;
//! depot.keep(position, b"a packet")?;
//! depot.keep(position, b"rubbish")?;
//! assert_eq!(depot.queue().stats().depth, 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! 16,384 waiting packets are known: the windows of 128 devices. Of more, those that came first may be kept twice.

#![forbid(unsafe_code)]

mod depot;
mod keeper;

pub use crate::depot::{CURSOR, Depot, Files, queue_config};
pub use crate::keeper::Keeper;
