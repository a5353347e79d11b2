//! Batches of samples, each as one blob of a few bits a value.
//!
//! A batch holds times in microseconds and up to [`MAX_CHANNELS`] channels of floats or integers, lossless to the bit,
//! with marks for missing values. [`Encoder`] writes it and [`Reader`] reads it, both without an allocator;
//! `to_vec` and `from_slice` (feature `alloc`) are for where there is one. A blob does not say how long it is and has
//! no checksum: the message around it does both.
//!
//! ```
//! # #[cfg(feature = "alloc")] {
//! use iot_codec::series::{Channel, Limits, Samples, from_slice, to_vec};
//!
//! let times: Vec<i64> = (0..60).map(|minute| 1_767_225_600_000_000 + minute * 60_000_000).collect();
//! let celsius: Vec<f64> = (0..60).map(|minute| f64::from(215 + minute / 7) / 10.0).collect();
//! let errors = vec![0; 60];
//!
//! let blob = to_vec(&times, &[Channel::floats(&celsius), Channel::integers(&errors)])?;
//! assert_eq!(blob.len(), 17);
//!
//! let batch = from_slice(&blob, &Limits::default())?;
//! assert_eq!(batch.times, times);
//! assert_eq!(batch.channels[1], Samples::Integers(vec![Some(0); 60]));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it is written
//! Floats become integers by the least power of ten that gives all of them back to the bit, or else by the order of
//! their bits. Integers become offsets from the least, packed, or differences of order 0, 1 or 2; those are coded by a
//! range variant of asymmetric numeral systems under static two-sided geometric distributions, whose scale follows
//! the last magnitudes. The encoder takes what costs least. `docs/formats/series.md` is the normative text.

mod bits;
mod channel;
mod encoder;
mod error;
mod head;
mod integers;
mod limits;
mod number;
#[cfg(feature = "alloc")]
mod owned;
mod presence;
mod reader;
mod residuals;
mod scale;
mod tables;
mod times;

#[cfg(all(test, feature = "alloc"))]
mod tests;

pub use channel::Kind;
pub use encoder::{Channel, Encoder};
pub use error::{DecodeError, EncodeError};
pub use limits::Limits;
pub use reader::{ChannelReader, Reader};

#[cfg(feature = "alloc")]
pub use owned::{Batch, Samples, from_slice, to_vec};

/// The most samples that a batch can hold.
pub const MAX_SAMPLES: usize = u16::MAX as usize;

/// The most channels that a batch can hold.
pub const MAX_CHANNELS: usize = 63;
