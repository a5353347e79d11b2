//! What the applications below `examples/` share: both ends of a link, without the link.
//!
//! An application brings a transport, as a [`Link`]: how a packet is sent, how one is received, and how a link that
//! broke is made again. Everything else is here. The device's end seals its readings, keeps them in a queue on disk, and
//! repeats them until the receiver has them; the receiver's end verifies them, puts them in order, and has them on disk
//! before it says so. Commands go the other way in the same manner, for the two ends are alike.
//!
//! [`Endpoint`] is one end, without a socket, a clock or a thread. [`Application`] is the program around it: a command
//! line, a loop that connects again whenever it must, and an end on SIGTERM. `examples/README.md` says what travels.

#![forbid(unsafe_code)]

mod application;
mod endpoint;
mod keys;
mod options;
pub mod readings;
mod session;

pub use application::{Application, OpenSink, Role, Sink, list};
pub use endpoint::{Endpoint, Event, Failure, Feedback, open_ledger};
pub use keys::{Keys, KeysError, provision};
pub use options::Options;
pub use session::{Dialer, Link};
