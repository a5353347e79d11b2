//! The fixed limits of this crate, and the error of a setting that lies outside of its range.
//!
//! What a caller bounds by a const parameter ([`Ranges`](crate::Ranges), [`Window`](crate::Window),
//! [`Tracker`](crate::Tracker)) or by a setting ([`TopicLimits`](crate::TopicLimits)) is not repeated here. No value of
//! this crate holds a payload, so the largest input that it accepts is a topic of [`TOPIC_BYTES`].

use thiserror::Error;

/// The longest topic or filter, in octets of UTF-8 (MQTT 5 §1.5.4 and §4.7.3).
pub const TOPIC_BYTES: u16 = u16::MAX;

/// The most levels that a topic of [`TOPIC_BYTES`] can have: separators only, and an empty level at each side of each.
pub const TOPIC_LEVELS: u32 = TOPIC_BYTES as u32 + 1;

/// The last sequence number of an incarnation.
///
/// One value is kept back so that the end of every half-open range of sequence numbers is itself a `u64`. A source that
/// comes this far begins a new incarnation.
pub const LAST_SEQUENCE: u64 = u64::MAX - 1;

/// A setting was given a value outside of its range: the API was misused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("{setting} is {value}, outside of {min} to {max}")]
pub struct OutOfRange {
    /// The name of the setting.
    pub setting: &'static str,
    /// The value that was refused.
    pub value: u64,
    /// The smallest value allowed.
    pub min: u64,
    /// The largest value allowed.
    pub max: u64,
}
