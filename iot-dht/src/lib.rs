//! A distributed hash table that devices can trust: Kademlia without sockets or clocks, records that only their owner
//! can change, and feeds from which a server pulls what it missed.
//!
//! It does not send or receive anything: a driver of a few lines around a UDP socket does. It does not hide what is
//! stored, so seal values before they go in. It does not know who may take part: whoever has a key may, unless an
//! [`Admission`] says otherwise. Some tens of attackers around a key hide few records ([`Placement::Region`]); thousands do.
//!
//! # Example
//! Two nodes, and a user who carries the datagrams from one to the other:
//! ```
//! use iot_core::{Instant, Timestamp};
//! use iot_crypto::SigningKey;
//! use iot_dht::{Event, GetMode, Id, Node, NodeConfig, Record, Service, wire::MAX_DATAGRAM_LEN};
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//!
//! let (now, wall) = (Instant::START, Timestamp::from_secs(1_767_225_600));
//! let mut rng = ChaCha20Rng::seed_from_u64(1);
//! let addresses: [std::net::SocketAddr; 2] = [([10, 0, 0, 1], 4000).into(), ([10, 0, 0, 2], 4000).into()];
//! let mut nodes = [1, 2].map(|seed| {
//!     let key = SigningKey::from_seed(&[seed; 32]);
//!     Node::new(NodeConfig::default().service(Service::Always), key, now, &mut rng)
//! });
//! let carry = |nodes: &mut [Node; 2]| {
//!     let mut datagram = [0; MAX_DATAGRAM_LEN];
//!     let mut moved = true;
//!     while std::mem::take(&mut moved) {
//!         for from in 0..2 {
//!             while let Some(transmit) = nodes[from].poll_transmit(&mut datagram) {
//!                 nodes[1 - from].handle_datagram(now, wall, addresses[from], &datagram[..transmit.len]);
//!                 moved = true;
//!             }
//!         }
//!     }
//! };
//!
//! nodes[0].bootstrap(now, &addresses[1..]);
//! carry(&mut nodes);
//! assert_eq!(nodes[0].poll_event(), Some(Event::Bootstrapped { nodes: 1 }));
//!
//! // A device signs a record; any node may put it, and any may ask for it.
//! let device = SigningKey::from_seed(&[3; 32]);
//! let record = Record::sign(&device, b"status", 1, Timestamp::from_secs(1_767_229_200), b"running")?;
//! nodes[0].put(now, wall, record.clone())?;
//! carry(&mut nodes);
//! let key = Id::of_record(&device.verifying_key().device_id(), b"status");
//! nodes[1].get(now, wall, key, GetMode::Newest)?;
//! carry(&mut nodes);
//! let Some(Event::GetDone(done)) = nodes[1].poll_event() else { panic!("the get is over") };
//! assert_eq!(done.record, Some(record));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How to drive it
//! - A [`Node`] takes a datagram ([`Node::handle_datagram`]), a command ([`Node::bootstrap`], [`Node::put`],
//!   [`Node::get`], [`Node::find`]) or the passing of time ([`Node::handle_timeout`]). After each, drain [`Node::poll_transmit`], then
//!   [`Node::poll_event`], and read [`Node::poll_timeout`]. The same inputs give the same outputs, to the octet. Where
//!   signatures take long, hand them to somebody else ([`Verification::HandedOut`]): drain [`Node::poll_job`] too.
//! - A node behind a NAT finds that out ([`Event::Reachability`]) and takes out leases at relays
//!   ([`NodeConfig::relays`]); its [`Contact`] names them ([`Contact::sign_relayed`]), and others meet it by that
//!   ([`Node::meet`], [`Node::send`]), directly or over the relay.
//! - A [`feed::Publisher`] turns messages into records to put; a [`feed::Reader`] says what to get, and gives messages
//!   in order and gaps that it can prove; [`feed::Sources`] reads many feeds at once. A [`feed::Keeper`] puts the records
//!   of those who sleep again, without their keys.
//! - A [`Contact`] says where a device is just now, a [`Roster`] who publishes on a topic, and a [`Mailbox`] holds what a
//!   sender leaves for a reader who sleeps. A [`NameKey`] hides what a group calls them.
//! - A [`subscription::Subscription`] is told when a record changes, by nodes that hold [`subscription::Leases`].
//! - [`Table`], [`Lookup`], [`Record`] and [`Store`] stand alone, for those who build another node. [`wire`] reads and
//!   writes each datagram, for tests and tools.
//!
//! A [`Shelf`] keeps a node's records over a restart, and a [`Snapshot`] its table.
//!
//! A node stores for others once it has been reached by somebody to whom it had sent nothing ([`Service`]). The first nodes
//! of a network, which are known to be reached, are configured so: [`Service::Always`].
//!
//! A private overlay has an [`AdmissionKey`] ([`Node::with_admission`]): who lacks it gets no answer. Where each node is to
//! be admitted by itself, a [`Gatekeeper`] decides by the capability that each shows.
//!
//! On one machine or in one subnet, switch the limits by subnet off: [`SubnetLimit::Off`].
//!
//! # Limits
//! A record has at most [`Record::MAX_LEN`] octets, name and value together [`Record::MAX_CONTENT_LEN`], and lives at
//! most [`Record::MAX_LIFE`]. It is its key's alone: a device that rotates its key puts what comes next under the new one's
//! thumbprint, where readers who follow its succession look. A datagram has at most [`wire::MAX_DATAGRAM_LEN`]. [`NodeConfig`], [`TableConfig`] and
//! [`StoreConfig`] bound everything that grows, and say what happens at each bound; [`Stats`] counts what was dropped.
//!
//! # Features
//! `sim`: the module `sim`, a whole network in virtual time. The crate needs `alloc` and never `std`.
//!
//! # Panics
//! No input makes it panic. Setters panic on values out of the range that they document, and so does
//! [`feed::Publisher::new`].
//!
//! # Standards
//! - Maymounkov and Mazières, *Kademlia*, 2002: §2.1 to §2.5.
//! - NATs: RFC 4787 §4.1, §4.3 and §5.
//! - COSE: RFC 9052 §4.2 and §4.4 (records); CBOR: RFC 8949 §4.2.1. `docs/formats/dht.md` holds every octet.
//! - SipHash-2-4 with 128 bits (Aumasson and Bernstein) for write tokens, cookies and transactions.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(iot_fault)]
pub mod fault;

mod admission;
mod contact;
pub mod feed;
mod fork;
mod id;
mod lookup;
mod mailbox;
mod name_key;
mod node;
mod peer;
mod record;
mod rejection;
mod roster;
mod rtt;
mod setters;
mod signatures;
#[cfg(feature = "sim")]
pub mod sim;
mod store;
pub mod subscription;
mod table;
pub mod wire;

pub use crate::admission::{Admission, AdmissionKey, Gatekeeper};
pub use crate::contact::{Contact, ContactError};
pub use crate::fork::Fork;
pub use crate::id::{Distance, Id, Key, NodeId};
pub use crate::lookup::{Lookup, LookupConfig, Summary};
pub use crate::mailbox::{Mail, MailError, Mailbox, PostError, Receipt};
pub use crate::name_key::NameKey;
pub use crate::node::{
    Busy, Event, FindDone, GetDone, GetMode, Job, LinkError, LinkId, Linked, Node, NodeConfig, Opening, OperationId,
    Parting, Path, Placement, PutDone, Reachability, Rejected, RelayConfig, Service, Side, Stats, Transmit, Verdict,
    Verification,
};
pub use crate::peer::Peer;
pub use crate::record::{Record, RecordError, SignRecordError, UnverifiedRecord};
pub use crate::rejection::{Rejection, Rejections};
pub use crate::roster::{Publication, Roster, RosterError, RosterFetch, RosterReader};
pub use crate::rtt::Patience;
pub use crate::store::{Shelf, Store, StoreConfig, Stored};
pub use crate::table::{Closest, Entry, Insert, Snapshot, SnapshotError, SubnetLimit, Table, TableConfig};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
