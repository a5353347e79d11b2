//! Whole networks of nodes in virtual time: the same seed gives the same trace.
#![allow(clippy::unwrap_used)]

mod admission;
mod adversaries;
mod feeds;
mod lookups;
mod network;
mod reach;
mod records;
mod replication;
mod strangers;
