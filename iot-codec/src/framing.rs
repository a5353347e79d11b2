//! Where one message ends and the next begins, on links that do not say so themselves.
//!
//! [`LengthDelimited`] is for streams that neither lose nor damage bytes, such as TCP, TLS or a pipe.

mod length_delimited;

pub use length_delimited::{FrameError, LengthDelimited, Stats, frame_header};
