//! Strict, deterministic, allocation-free CBOR, records with integer keys, and framing for devices and servers.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod cbor;
pub mod framing;
#[doc(hidden)]
pub mod record;
