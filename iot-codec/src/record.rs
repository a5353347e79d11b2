//! What [`record!`](crate::record!) expands to; not for use by hand.

mod fields;
mod key;
mod macros;

pub use fields::{DecodeField, EncodeField, Fields, unknown_variant, variant_pair};
pub use key::{Key, assert_ascending};
