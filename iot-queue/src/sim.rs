//! Random programs on a simulated disk, against a model of what a queue promises.
//!
//! [`SimStorage`] is a disk for anybody's tests. [`run`] draws a [`Program`] from a seed: appends, batches,
//! reservations, acknowledgements, commits and full queues, with power cuts, kills, failures and flipped bits in between;
//! and after each step it holds the queue to its promises. The same seed does the same on every machine. A seed that
//! fails comes back with its program, made as short as leaving steps out makes it.
//!
//! ```
//! use iot_queue::sim::{self, Config};
//!
//! for seed in 0..20 {
//!     if let Err(failure) = sim::run(seed, &Config::default()) {
//!         panic!("{failure}");
//!     }
//! }
//! ```
//!
//! What it holds the queue to:
//!
//! - On a disk that works again it opens, as the queue that it was.
//! - A message that was durable and that nobody acknowledged is there; after a kill on a disk that works, so is each that
//!   was appended.
//! - What comes is what was appended there: nothing corrupt, nothing of nobody, nothing that a recovery had given up.
//! - What was acknowledged does not come again after a commit; before it, only after a crash.
//! - Messages come for the first time in the order of the log, and to one holder at a time.
//! - Every number is a message or in a gap, and a gap says the right cause: what a sync had covered is never
//!   `Uncertain`, what was torn never `Damaged`.
//! - However full it is, all can be acknowledged and committed, and then it takes messages.
//! - A flipped bit costs at most the message whose octets it hit, and acknowledgements.

mod counts;
mod feature;
mod medium;
mod model;
mod program;
mod promises;
mod random;
mod run;
mod signing;
mod storage;
mod violation;
mod world;

pub use self::counts::{FaultClass, FaultCounts};
pub use self::medium::Fate;
pub use self::program::Program;
pub use self::run::{Config, Failure, Report, run};
pub use self::storage::{Fault, SimStorage, SimSyncer};
pub use self::violation::Violation;
