//! What the device of an example measures, and how that is a payload.

#![forbid(unsafe_code)]

mod listing;
mod readings;

pub use listing::list;
pub use readings::{Feed, FeedOptions, MAX_BATCH, Reading, Readings, decode, describe};
