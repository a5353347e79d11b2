//! Other implementations read what this crate writes, and this crate what they write.
//!
//! The tests are ignored because of the programs that they need; `.ci/run ignored-tests` installs and runs them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;
mod cose;
mod envelope;
mod hpke;
mod stream;
mod vectors;
