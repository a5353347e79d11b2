//! Groups, from the founding to the batch that tells who wrote.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batch;
mod member;
mod membership;
mod publisher;
mod support;
mod vectors;
