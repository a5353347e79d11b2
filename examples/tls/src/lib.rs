//! TLS for the applications: whom to trust, how to connect, and what is wrong in plain words.
//!
//! Messages are sealed whatever carries them. TLS is for what is not: the password of a broker, topics, and who talks to
//! whom; and for brokers that take nothing else. So the library crates do without it, and an application that dials a server
//! takes this one: a [`Server`] is what `--server` says, `mqtt://plant.example` or `mqtts://plant.example:8883`, and
//! [`connect`](Server::connect) gives a [`Stream`] that is read and written like a `TcpStream`, with TLS in it or not.
//!
//! ```no_run
//! use std::io::Write as _;
//! use std::time::Duration;
//! use iot_link::Options;
//! use iot_tls::{Scheme, Server};
//!
//! # fn main() -> std::io::Result<()> {
//! let mut options = Options { server: "mqtts://plant.example".into(), ..Options::default() };
//! options.own.insert("ca", "plant.pem".into());
//! let server = Server::of(&options, Scheme("mqtt", 1883), Scheme("mqtts", 8883))?;
//! assert_eq!(server.address(), "plant.example:8883");
//! server.connect(Duration::from_secs(5))?.write_all(b"\x10")?;
//! # Ok(())
//! # }
//! ```
//!
//! An application has the options [`CA`], [`CERTIFICATE`] and [`KEY`] among its own. Without `--ca` the roots of the system
//! are trusted. Nothing turns the verification off: a server with a certificate that nobody else trusts is
//! trusted by `--ca FILE` with the CA that signed it.
//!
//! # What is wrong
//!
//! | what | words | kind | does waiting help? |
//! | --- | --- | --- | --- |
//! | the certificate is of an unknown CA | give it by `--ca FILE` | `PermissionDenied` | no |
//! | it is for another name, or a CA's own | which names it has | `PermissionDenied` | no |
//! | it has expired | when, and the time here | `PermissionDenied` | when the server gets another, or the clock is set |
//! | it is not valid yet | the same | `Other` | yes: a device without a battery starts in 1970, and learns the time |
//! | no TLS there | give the plain scheme | `PermissionDenied` | no |
//! | TLS where a plain scheme was given | give the other | `PermissionDenied` | no, see [`doubt`](Server::doubt) |
//! | the server wants a certificate of the client | give `--certificate` and `--key` | `PermissionDenied` | no |
//! | a file that is named does not exist or holds nothing of its kind | which | `InvalidInput` | no |
//!
//! `PermissionDenied` and `InvalidInput` end an application that has never had a link, as a wrong password does; later
//! they are tried again, for a certificate can be renewed meanwhile.
//!
//! # Limits
//!
//! Certificates are not looked up in lists of revoked ones. TLS 1.2 and 1.3, nothing older.
//! The cipher suites are those of `ring`, which `rustls` brings: with assembly and C.
//!
//! # Features
//!
//! `tokio`: [`Server`] makes connections for the sinks of `iot-queue`, too, as a [`Dial`](iot_queue_driven::Dial).

#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
mod dial;
mod server;
mod stream;
mod trust;
mod words;

#[cfg(feature = "tokio")]
pub use dial::Duplex;
pub use rustls;
pub use server::{CA, CERTIFICATE, KEY, Scheme, Server};
pub use stream::Stream;
pub use trust::Trust;
pub use words::{explain, explain_cause, last_cause};
