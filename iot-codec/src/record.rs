//! What [`record!`](crate::record!) expands to; not for use by hand.

mod fields;
mod key;
mod macros;

pub use fields::{DecodeField, EncodeField, Fields, unknown_variant, variant_pair};
pub use key::assert_ascending;

#[cfg(target_pointer_width = "64")]
use key::short;
use key::{rank, rank_of};
