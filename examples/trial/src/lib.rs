//! What the tests of the applications below `examples/` share: their programs as processes that can be killed, and
//! proxies that alter, drop, repeat and reorder what passes.
//!
//! Everything here panics when a trial fails, for only tests call it.

#![forbid(unsafe_code)]

mod nginx;
mod program;
mod proxy;
mod trial;

pub use nginx::Nginx;
pub use program::Program;
pub use proxy::{Counts, Mischief, TcpProxy, UdpProxy, free_port};
pub use trial::Trial;
