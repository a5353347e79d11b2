//! What the applications below `examples/` share: the program around an [`Endpoint`](iot_exchange::Endpoint).
//!
//! An application brings a transport, as a [`Link`]: how a packet is sent, how one is received, and how a link that
//! broke is made again. It is an [`Application`]: a name, words for the help, and what makes links. Here are the command
//! line, the loop that connects again whenever it must, and the end on SIGTERM. What travels, and what is on disk, is
//! the exchange's business; what is measured is `iot-readings`'.
//!
//! [`process`] is for programs that are no link: the clocks, the chance, the signals and the last words.

#![forbid(unsafe_code)]

mod application;
mod options;
pub mod process;
mod session;
mod transport;

pub use application::{Application, OpenSink, Sink};
pub use iot_exchange::{Feedback, Role, Turn};
pub use options::Options;
pub use process::Failure;
#[cfg(feature = "tokio")]
pub use transport::runtime;
pub use transport::{Dialer, Link, address_of, connect, invalid};
