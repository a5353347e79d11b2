//! Forward error correction: any `k` of `n` shards give back what the `k` data shards held.
//!
//! A systematic Reed–Solomon code over GF(256). At each offset, the octets of the `k` data shards are the values of a
//! polynomial of degree less than `k` at the points 0 to `k - 1`, and shard `i` holds its value at point `i`. So the
//! data shards travel as they are, an index is all that a shard needs to carry, and there is no better code: every `k`
//! shards suffice and no fewer can. The field is that of the polynomial x⁸ + x⁴ + x³ + x² + 1 (0x11d); shards are
//! octet for octet those of Backblaze's Reed–Solomon and of the libraries that follow it.
//!
//! It repairs what is missing, not what is wrong: a damaged shard must have been dropped, or a checksum over the result
//! must tell, as [`fragment`](crate::fragment) has one.
//!
//! ```
//! use iot_codec::fec::{Code, Redundancy, reconstruct};
//!
//! // Three data shards of four octets, over a link that loses one frame in five, to arrive 99 times in 100.
//! let data = *b"twenty-one C";
//! let shards = Redundancy::for_loss(200_000, 10_000)?.shards(3);
//! assert_eq!(shards, Some(7));
//! let code = Code::new(3)?;
//! let mut sixth = [0; 4];
//! code.encode(&data, 6, &mut sixth)?;
//!
//! // The second data shard is lost; shard 6 stands in its place.
//! let mut held = *b"twen****ne C";
//! held[4..8].copy_from_slice(&sixth);
//! reconstruct(&mut held, &[0, 6, 2])?;
//! assert_eq!(held, data);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # Cost
//! Two tables of 256 octets, computed at compile time; multiplication itself has none. A parity shard costs as many
//! products as there are data octets; repair costs that for each shard that is missing, and under 1.5 KiB of stack.

mod code;
mod field;
mod redundancy;

pub use code::{Code, FecError, reconstruct};
pub use redundancy::Redundancy;

/// The most shards of one code, data and parity together: indices 0 to 254.
pub const SHARDS: usize = 255;
