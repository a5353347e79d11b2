//! Deterministic CBOR for any type that has `serde`.
//!
//! [`to_vec_det`] writes what [`cbor::validate`](crate::cbor::validate) accepts: map keys sorted by their encoding,
//! definite lengths, shortest heads and floats (RFC 8949 §4.2.1), whatever order and lengths the type itself knows.
//! [`from_slice_strict`] validates the whole input under the limits before the type sees a byte of it.
//!
//! ```
//! use iot_codec::serde::{from_slice_strict, to_vec_det};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Reading<'a> {
//!     topic: &'a str,
//!     celsius: f32,
//!     #[serde(with = "serde_bytes")]
//!     key: &'a [u8],
//! }
//!
//! let reading = Reading { topic: "plant/7", celsius: 21.5, key: &[1, 2] };
//! let bytes = to_vec_det(&reading)?;
//! assert_eq!(bytes, b"\xa3\x63key\x42\x01\x02\x65topic\x67plant/7\x67celsius\xf9\x4d\x60");
//! assert_eq!(from_slice_strict::<Reading>(&bytes)?, reading);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How a type is written
//! As `ciborium` writes it, and in its bytes where that is deterministic: a struct is a map with text keys, an enum is
//! the variant's name or a map of the name and the value, `None` and `()` are `null`, integers beyond 64 bits are
//! [bignums](crate::cbor::Bignum), and `ciborium::tag`'s wrappers are tags. A byte string needs `serde_bytes` on the
//! field, because `serde` takes a `Vec<u8>` for an array of numbers; the reader accepts both for both. The reader passes
//! over a tag for which the type does not ask. It takes integers for integers and floats for floats, where a float that an
//! `f32` cannot hold is rounded, and `undefined` for `null`. An `Option` of an `Option` or of `()` loses the inner one:
//! both are `null`, and read as `None`.
//!
//! Where `serde` itself has to keep a value before it knows the type (untagged and internally tagged enums, and fields
//! behind `flatten`), it has no place for tags and for integers beyond 64 bits, and refuses them.
//!
//! # Why not `ciborium` itself
//! It stops at strings longer than a scratch buffer (4,096 bytes, unless the caller brings one) wherever the type asks
//! for `str`, copies what could be borrowed, loses the payload of a NaN, writes maps in the order in which they come,
//! and believes the length that an array claims. What this module shares with it is tested against it.
//!
//! # Limits
//! Depth is bounded by [`Limits::MAX_DEPTH`](crate::cbor::Limits::MAX_DEPTH) both ways, and so is the stack, as far as the
//! type's own code goes. Memory is taken as elements arrive: the reader gives the type no hint of a length.

mod de;
mod error;
mod ser;

pub use de::{from_slice_strict, from_slice_strict_within};
pub use error::{DeserializeError, SerializeError};
pub use ser::to_vec_det;
