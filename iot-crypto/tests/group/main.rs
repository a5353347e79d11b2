//! Groups, from the founding to the batch that tells who wrote.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batch;
mod member;
mod membership;
mod publisher;
#[path = "../envelope/seen.rs"]
mod seen;
mod support;
mod vectors;
