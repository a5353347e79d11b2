//! Where one message ends and the next begins, on links that do not say so themselves.
//!
//! | | for | after damage |
//! |---|---|---|
//! | [`LengthDelimited`] | streams that neither lose nor damage bytes: TCP, TLS, a pipe | the stream is lost |
//! | [`Cobs`] | serial lines: two bytes in 254 for framing, and a [`Checksum`] | goes on at the next delimiter |
//! | [`Slip`] | serial lines whose other end knows RFC 1055 only | goes on at the next delimiter |
//! | [`Sequence`] | several CBOR items in a datagram | the rest of the datagram is lost |
//!
//! The decoders count every frame and every byte that they do not hand out, by reason: [`Stats`]. A payload is at most
//! as long as the caller's buffer, less the checksum; a length-delimited one at most 2^32 - 1 bytes; a sequence at most
//! what [`Limits`](crate::cbor::Limits) say.

mod checksum;
mod cobs;
mod deframer;
mod length_delimited;
mod sequence;
mod slip;
mod stats;

pub use checksum::Checksum;
pub use cobs::{Cobs, encode_cobs, max_cobs_len};
pub use deframer::{Deframer, FrameEncodeError};
pub use length_delimited::{FrameError, LengthDelimited, frame_header};
pub use sequence::{Sequence, SequenceWriter};
pub use slip::{Slip, encode_slip, max_slip_len};
pub use stats::Stats;
