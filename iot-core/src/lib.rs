//! Under construction.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]

mod delivery;
mod freshness;
mod id;
pub mod limits;
mod position;
mod time;
mod topic;

