//! Under construction.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod checksum;
mod format;
mod offset;
pub mod storage;

pub use crate::offset::{Epoch, Gap, GapCause, Offset};
