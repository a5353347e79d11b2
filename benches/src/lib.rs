//! The scoreboard: each row of the targets beside its peer, in the same run. `README.md` says how it measures.
//!
//! The criterion benches in `benches/` time the same sides as the rows do.

pub mod allocation;
pub mod cli;
pub mod codec;
pub mod crypto;
pub mod dht;
pub mod measure;
pub mod queue;
pub mod report;
