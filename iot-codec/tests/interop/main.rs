//! What others wrote agrees with this crate: libraries for CBOR, checkers of CDDL, and scripts that were written from
//! the pages of `docs/formats`.
//!
//! The tests are ignored because of the programs that they need; `.ci/run ignored-tests` installs and runs them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cddl;
mod child;
mod generate;
mod item;
mod javascript;
mod python;
mod tree;
mod vectors;
