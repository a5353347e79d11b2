//! Strict, deterministic, allocation-free CBOR, records with integer keys, and framing for devices and servers.
//!
//! # What it does not do
//! It does not read CBOR that others wrote loosely, unless it is asked to ([`cbor::lenient`]): anything but the one
//! deterministic encoding of a value is refused, so equal values have equal bytes and a signature over one covers the
//! other. It has no schema language and no reflection. It knows no transport, reads no clock, and proves nothing: its
//! checksums find accidents, and forgery is for the envelope to find.
//!
//! # Example
//! ```
//! use iot_codec::{
//!     cbor::{from_slice, to_slice},
//!     record,
//! };
//!
//! record! {
//!     #[derive(Debug, PartialEq)]
//!     pub struct Reading<'b> {
//!         1 => pub topic: &'b str,
//!         2 => pub sequence: u64,
//!         3 => pub celsius: f32,
//!         4 => pub note: Option<&'b str>,
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let reading = Reading { topic: "plant/7", sequence: 70_001, celsius: 21.5, note: None };
//!
//!     let mut space = [0; 64];
//!     let bytes = to_slice(&reading, &mut space)?;
//!     assert_eq!(bytes.len(), 20);
//!     assert_eq!(from_slice::<Reading>(bytes)?, reading);
//!
//!     // Every error says what is wrong, where, and under which key.
//!     let error = from_slice::<Reading>(&bytes[..19]).unwrap_err();
//!     assert_eq!(error.to_string(), "input ends inside an item at offset 17, key 3");
//!     Ok(())
//! }
//! ```
//!
//! # How to drive it
//! - For messages of your own, declare a [`record!`], write it with [`cbor::to_slice`] (or `cbor::to_vec`), and read
//!   it, borrowed, with [`cbor::from_slice`]. The rules by which a record may change are with the macro.
//! - For types that have `serde`, and for data of other programs in JSON or CBOR, see the features below.
//! - For formats that others define, such as COSE, write with [`cbor::Writer`] and read with [`cbor::Cursor`].
//!   [`cbor::RawItem`] keeps the bytes of an item as they came, for a signature or for later.
//! - To check bytes without reading them, call [`cbor::validate`]; to show them to people, [`cbor::Diagnostic`].
//! - For a name that both ends know, send its number in a [`registry`].
//! - For many samples of a channel, put a batch of them into one blob of [`series`].
//! - On a byte stream, put [`framing::frame_header`] before each message, and give what arrives to
//!   [`framing::LengthDelimited`]; on a serial line, which damages bytes, take [`framing::Cobs`] or [`framing::Slip`];
//!   for several items in a datagram, [`framing::Sequence`].
//! - Over frames that are shorter than messages, or get lost, cut with a [`fragment::Sender`] and put together with a
//!   [`fragment::Receiver`]. [`fec`] is the code that repairs what was lost, for other uses.
//!
//! A decoder of frames is given bytes by `push` and asked for frames by `next_frame`, until it has none. A receiver of
//! fragments is given a frame and the time by `handle_frame`, and answers with a message where one is whole; its
//! `poll_timeout` says when `handle_timeout` has something to forget. Both count what they threw away, and why:
//! [`framing::Stats`] and [`fragment::Stats`] are snapshots of it. The rest throws nothing away: it returns an error.
//!
//! # Limits
//! Nothing recurses and nothing is allocated while CBOR is validated or borrowed; owned values take memory as their
//! elements arrive, never for a length that is only claimed. Every entry point for untrusted input has a form that
//! takes the limits, and the defaults stand in their setters.
//!
//! | | the most |
//! |---|---|
//! | an item of CBOR, a record, a pack of `SenML` | [`cbor::Limits`]: 1 MiB, 16 levels, 65,536 items, unless set; 4 GiB, 20 levels |
//! | a batch of samples | [`series::Limits`]: 1,024 samples in 63 channels, unless set; [65,535](series::MAX_SAMPLES) |
//! | a frame | the caller's buffer, less the checksum; length-delimited 4 GiB |
//! | a message in fragments | [`fragment::SenderConfig::max_message_len`]: 11,980 bytes over frames of 51, without parity |
//! | a receiver of fragments | its slots and their length, which are part of its type; a quota for each peer |
//!
//! # Features
//! - `alloc` (default): `cbor::to_vec`, `cbor::List`, a `Vec<u8>` as an output, and `Vec<u8>` and `String` as fields.
//!   Without it the crate needs no allocator. It never needs `std`.
//! - `senml`: packs of RFC 8428 in JSON and CBOR, from batches and to them; it needs `serde`.
//! - `serde`: `serde::to_vec_det` and `serde::from_slice_strict` for any type that has `serde`; it needs `alloc`.
//!
//! # Panics
//! No input makes it panic. `cbor::to_vec` panics when an `Encode` written by hand invents an error. Keys of a
//! [`record!`] that are out of order, and a receiver without slots, do not compile.
//!
//! # Standards
//! - RFC 8949 (CBOR): §3 (encoding), §4.1 (preferred serialization), §4.2.1 (core deterministic encoding), §4.2.2
//!   (NaNs keep their payload), §5.3.1 and §5.6 (strings and keys are checked), §3.4.3 (bignums), §8 (diagnostic
//!   notation); Appendix A is tested row by row.
//! - RFC 8742 §2 (CBOR sequences), RFC 8746 §2 (typed arrays of integers up to 64 bits and floats from 16 to 64).
//! - RFC 1055 (SLIP), RFC 1662 §C (checksums of frames); COBS has no RFC.
//! - RFC 8428 §12.1 and RFC 8798 §2 and §3 (units); with `senml` RFC 8428 §4 to §6, and RFC 4648 §5 for bytes in JSON.
//!
//! What has no standard is written down in `docs/formats`, with test vectors: records, batches, fragments, the registry.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod cbor;
pub mod fec;
pub mod fragment;
pub mod framing;
#[doc(hidden)]
pub mod record;
pub mod registry;
#[cfg(feature = "senml")]
pub mod senml;
#[cfg(feature = "serde")]
pub mod serde;
pub mod series;

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
