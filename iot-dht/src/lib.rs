//! A sans-IO Kademlia for devices and their servers.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod feed;
mod id;
mod lookup;
mod node;
mod peer;
mod record;
mod rejection;
mod store;
mod table;
pub mod wire;

pub use crate::id::{Distance, Id, Key, NodeId};
pub use crate::lookup::{Lookup, LookupConfig, Summary};
pub use crate::node::{
    Busy, Event, GetDone, GetMode, Node, NodeConfig, OperationId, PutDone, Rejected, Side, Stats, Transmit,
};
pub use crate::peer::Peer;
pub use crate::record::{Record, RecordError, SignRecordError, UnverifiedRecord};
pub use crate::rejection::{Rejection, Rejections};
pub use crate::store::{Store, StoreConfig, Stored};
pub use crate::table::{Closest, Entry, Insert, SubnetLimit, Table, TableConfig};
