//! The vocabulary of device messaging: who wrote a message, what it is about, where it stands, whether it was seen before,
//! and how far it has come.
//!
//! It does no cryptography, no encoding and no input or output. It holds no payload, reads no clock and draws no
//! randomness: identifiers are computed and drawn elsewhere, and every `now` is the caller's. A [`Position`] proves
//! nothing by itself; what a [`Tracker`] is told must have been verified before.
//!
//! ```
//! use iot_core::{Freshness, Incarnation, Topic, TopicFilter, Tracker};
//!
//! // May this reader have it?
//! let filter = TopicFilter::new("plant/+/boiler/#")?;
//! assert!(filter.matches(&Topic::new("plant/7/boiler/12")?));
//!
//! // Has it come before?
//! let mut tracker: Tracker = Tracker::new();
//! let incarnation: Incarnation = "5e0d1792aa034fc1".parse()?;
//! assert_eq!(tracker.observe(incarnation, 70_001)?, Freshness::Unproven);
//! assert!(tracker.observe(incarnation, 70_001).is_err());
//!
//! // What is still to come?
//! assert_eq!(tracker.missing(incarnation).next(), Some(0..70_001));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # How to drive it
//!
//! - [`Topic`], [`TopicFilter`] and [`SharedFilter`] borrow a text and are checked once, when they are made, against
//!   [`TopicLimits`] where the caller wants less than MQTT allows. Nothing after that can fail.
//! - A receiver keeps one [`Tracker`] for each stream of each source. For each message it calls
//!   [`check`](Tracker::check), verifies the signature, calls [`observe`](Tracker::observe), saves the tracker, and
//!   acknowledges, in this order. [`Ranges`] and [`Window`], the two memories of a tracker, can be used alone.
//! - [`Freshness`] says whether a message could be a replay from before the receiver's memory began.
//! - [`Delivery`] says how far a message has come, and by whose word.
//! - [`RateLimit`] takes tokens for what it lets through, and says when to come again.
//! - [`Instant`] is the caller's monotonic clock, [`Timestamp`] a wall clock, where there is one.
//!
//! # Limits
//!
//! No payload passes through this crate, so it sets no maximum for one; the crates that carry payloads state theirs. A
//! topic has at most [`limits::TOPIC_BYTES`], a sequence number is at most [`limits::LAST_SEQUENCE`]. A tracker's memory
//! is fixed by its parameters and part of its type, 856 octets by default; at each of its bounds it refuses with an
//! error that says so, and forgets nothing. [`TrackerStats`] says how full one is. The work of each call is bounded by
//! the length of the text, or by the parameters of the tracker.
//!
//! # Features
//!
//! None. There is no `std` and no allocation.
//!
//! # Panics
//!
//! Nothing panics, whatever the input. A [`Window`] of fewer than two words does not compile.
//!
//! # Standards
//!
//! - MQTT 5.0 §1.5.4 (strings), §4.7 (topic names and filters), §4.8.2 (shared subscriptions).
//! - RFC 9679 (thumbprints), whose values [`DeviceId`] and [`KeyId`] hold.
//! - RFC 6479 (anti-replay window without shifting), in [`Window`].
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod delivery;
mod freshness;
mod id;
pub mod limits;
mod position;
mod rate;
mod time;
mod topic;
mod tracker;

pub use crate::delivery::Delivery;
pub use crate::freshness::Freshness;
pub use crate::id::{DeviceId, Incarnation, KeyId, ParseIdError, StreamId};
pub use crate::position::Position;
pub use crate::rate::{Rate, RateLimit, RateLimited};
pub use crate::time::{Instant, Timestamp};
pub use crate::topic::{SharedFilter, Topic, TopicError, TopicFilter, TopicFilterError, TopicLimits};
pub use crate::tracker::{
    Admission, CloseError, Memory, ObserveError, Ranges, RestoreError, SequenceError, Tracker, TrackerStats, Window,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
