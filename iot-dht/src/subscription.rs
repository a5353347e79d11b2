//! Being told when a record changes, for a time that the reader asks for.
//!
//! A reader finds the nodes closest to a record's key, and takes out a lease at a few of them: a [`Subscription`]. A node
//! that keeps the record pushes each newer version until the lease ends: [`Leases`]. What is pushed is the signed record,
//! which the reader verifies, so a node can only withhold it; a reader asks several, and polls now and then all the same.
//!
//! Nobody is sent anything that did not ask for it: a lease is given only to an address that has brought back a cookie
//! which was sent there, and until then no answer is longer than its question. A push that is not answered is repeated a
//! few times, and then the lease is over.
//!
//! Both ends are machines without sockets or clocks, beside a [`Node`](crate::Node) and on its socket:
//! [`is_subscription`] tells their datagrams from the node's.

mod leases;
mod subscriber;
#[cfg(test)]
mod tests;
mod wire;

pub use crate::subscription::leases::{Leases, LeasesConfig, LeasesStats};
pub use crate::subscription::subscriber::{Subscription, SubscriptionConfig, SubscriptionStats};
pub use crate::subscription::wire::is_subscription;
