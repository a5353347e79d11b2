//! Means of a minute in place of the readings of thermometers that a gateway may read.
//!
//! Such a device seals its readings for the gateway, whose end of the [exchange](iot_exchange) with it is here: it
//! acknowledges them, and the device lets go of them. They go one by one into a log of their own, and a
//! [`Stage`](iot_queue::stage::Stage) makes of that a mean for each minute and device, with gaps of the cause `filtered` in
//! between. Those are the messages of a new source, the gateway: an exchange with the receiver signs and seals them, and
//! sends each until the receiver has it. All of it is durable before anybody hears of it, so that kills change no mean.
//!
//! [`Minutes`] is the gateway's part: it is [given](Minutes::take) the packets of its thermometers and gives packets for
//! them and for the receiver, whatever brings those. A receiver reads what comes as a [`Report`], and an [`Account`] tells
//! whether that is all:
//!
//! ```
//! use iot_codec::cbor;
//! use iot_minutes::{Account, Mean, Report};
//! use iot_queue::{Gap, GapCause, GapNotice, Offset};
//!
//! let gap = Gap { from: Offset::START, until: Offset::new(121), cause: GapCause::Filtered };
//! let mean = Mean { device: [7; 32], minute: 1_767_225_600, readings: 60, mean: 20.95, least: 18.0, most: 23.9 };
//! let mut account = Account::default();
//! for payload in [GapNotice::unsigned(gap).to_vec(), cbor::to_vec(&mean)] {
//!     account.note(&Report::parse(&payload).expect("a gateway made it"));
//! }
//! let said = "# 1 means of 60 readings; of 122 places 121 were left out, and 0 are not accounted for";
//! assert_eq!(account.to_string(), said);
//! ```
//!
//! # Limits
//!
//! A minute is over when a reading of a later one comes, or after 4,096 readings of others. The log holds 16 MiB, and
//! known are 256 thermometers, each in one run of its counter. While the receiver takes nothing and all of that is full,
//! thermometers are not acknowledged, and keep what they have.

#![forbid(unsafe_code)]

mod means;
mod minutes;
mod report;
mod reports;

pub use crate::minutes::{Minutes, OPTIONS};
pub use crate::report::{Account, Mean, Report};
