//! Under construction.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]

mod id;
pub mod limits;
mod position;
mod time;
mod topic;

