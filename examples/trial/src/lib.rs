//! What the tests of the applications below `examples/` share: their programs as processes that can be killed, and
//! proxies that alter, drop, repeat and reorder what passes.
//!
//! Everything here panics when a trial fails, for only tests call it.

#![forbid(unsafe_code)]

mod authority;
mod certificates;
mod forwarder;
mod framing;
mod mosquitto;
mod nginx;
mod program;
mod proxy;
mod rabbitmq;
mod receiver;
mod refusals;
mod relay;
mod tansu;
mod trial;

pub use authority::{Authority, Validity};
pub use certificates::Certificates;
pub use forwarder::{Forwarder, fill, forward_for_ever, number_of, open_queue};
pub use framing::{Framing, NatsFraming, Part, WebSocketFraming, XmppFraming};
pub use mosquitto::Mosquitto;
pub use nginx::Nginx;
pub use program::{Program, sibling, siblings};
pub use proxy::{Counts, Interference, Mischief, TcpProxy, UdpProxy, free_port};
pub use rabbitmq::Rabbitmq;
pub use receiver::{Kills, receive_for_ever, survives_kills};
pub use refusals::Ports;
pub use relay::meddle_between;
pub use tansu::{make_topic, start_tansu};
pub use trial::Trial;
