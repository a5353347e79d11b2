//! Both ends of the way between gateways and a receiver.
//!
//! A gateway is a client on two connections of TCP. On one the mirror of its queue goes to the receiver, by the protocol
//! of `docs/formats/mirror.md` ([`Uplink`] there, [`receive`] here); the queue lets go of what the receiver says that it
//! has. On the other come packets for devices ([`fetch`] there, [`give`] here): each a frame behind its length, the
//! device's identifier first; each goes to all gateways, 64 at the most. Whoever loses a connection makes it again.
//! Neither is protected: what travels is signed and sealed, and what somebody else says there can be lost or repeated, and
//! no more.
//!
//! ```
//! use std::net::TcpListener;
//! use std::sync::atomic::{AtomicBool, Ordering};
//! use std::sync::mpsc::{channel, sync_channel};
//!
//! use iot_core::DeviceId;
//!
//! # fn main() -> std::io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let back = listener.local_addr()?.to_string();
//! let (going, to_go) = sync_channel(1);
//! std::thread::spawn(move || iot_uplink::give(&listener, &to_go));
//!
//! let (stop, (came, comes)) = (AtomicBool::new(false), channel());
//! std::thread::scope(|threads| {
//!     threads.spawn(|| iot_uplink::fetch(&back, &stop, |device, packet| came.send((device, packet.to_vec())).unwrap()));
//!     let boiler = DeviceId::from_bytes([7; 32]);
//!     // Until the gateway is there nobody gets it.
//!     let heard = std::iter::repeat_with(|| {
//!         going.send((boiler, b"for the boiler".to_vec())).unwrap();
//!         comes.recv_timeout(std::time::Duration::from_millis(50))
//!     });
//!     assert_eq!(heard.flatten().next(), Some((boiler, b"for the boiler".to_vec())));
//!     stop.store(true, Ordering::Relaxed);
//! });
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod gateway;
mod receiver;

pub use crate::gateway::{Uplink, fetch};
pub use crate::receiver::{Back, give, receive};
