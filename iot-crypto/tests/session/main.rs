//! Sessions: from the first message to epochs, with faults, forgers and losses.

#![cfg(feature = "session")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod established;
mod hostile;
mod identity;
mod losses;
mod support;
mod thief;
mod vectors;
