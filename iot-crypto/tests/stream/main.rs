//! Streams, from the opening to the last number.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod opening;
mod power_cut;
mod receiver;
mod support;
mod vectors;
