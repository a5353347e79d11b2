//! Under construction.
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

pub use crate::delivery::Delivery;
pub use crate::freshness::Freshness;
pub use crate::id::{DeviceId, Incarnation, KeyId, ParseIdError, StreamId};
pub use crate::position::Position;
pub use crate::rate::{Rate, RateLimit, RateLimited};
pub use crate::time::{Instant, Timestamp};
pub use crate::topic::{SharedFilter, Topic, TopicError, TopicFilter, TopicFilterError, TopicLimits};
