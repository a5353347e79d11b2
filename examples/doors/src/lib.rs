//! Doors for packets of many devices: UDP, TCP, HTTP, CoAP and a broker of MQTT, each as the example of its transport sends
//! them with `--behind-gateway`. What comes in goes to a [`Lobby`], and what that refuses is answered in the words of the
//! transport. Each is a feature, with what it needs: a program with `udp` alone stays small.
//!
//! | option | what comes | what is sent too fast | what is for the device |
//! | --- | --- | --- | --- |
//! | `--udp` | a packet a datagram | is dropped | goes to where its last packet came from |
//! | `--tcp` | a packet a frame | waits | goes over its last connection |
//! | `--http` | packets posted to `/packets/DEVICE` | 429 | is in the answer |
//! | `--coap` | confirmable posts to `/packets/DEVICE` | 4.29 | it observes at `/commands/DEVICE` |
//! | `--mqtt` | messages of a topic that `--topic` covers | is dropped | is published on the topic's `/commands` |
//!
//! A program takes [`OPTIONS`] among its own, and opens what was asked for:
//!
//! ```
//! use std::sync::Arc;
//! use iot_link::Options;
//! use iot_lobby::{Limits, Lobby};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lobby = Lobby::new("example", Limits::new(1000)?, |position, _| Ok(println!("{position:?}")));
//! let mut options = Options::default();
//! options.own.insert("udp", "127.0.0.1:0".into());
//! iot_doors::open(&options, &Arc::new(lobby))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! 256 connections of TCP and 8 requests of HTTP at a time, whose bodies have 256 KiB at the most. 1,024 packets wait for a
//! broker or for CoAP, and 256 for each of 4,096 devices of HTTP; what is dropped is sent again. Doors stay open until
//! the process ends.

#![forbid(unsafe_code)]

#[cfg(feature = "coap")]
mod coap;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "mqtt")]
mod mqtt;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(feature = "udp")]
mod udp;

use std::io;
use std::sync::Arc;

use iot_link::Options;
use iot_lobby::Lobby;

/// The options of all doors, and what the help says of each.
pub const OPTIONS: &[(&str, &str)] = &[
    #[cfg(feature = "udp")]
    ("udp", "ADDRESS        take packets in datagrams"),
    #[cfg(feature = "tcp")]
    ("tcp", "ADDRESS        take packets in connections"),
    #[cfg(feature = "http")]
    ("http", "ADDRESS       take packets in requests to /packets/DEVICE"),
    #[cfg(feature = "mqtt")]
    ("mqtt", "ADDRESS       take packets of devices that publish them to a broker"),
    #[cfg(feature = "mqtt")]
    ("topic", "FILTER       what is before /readings and /commands in their topics, by default iot/+"),
    #[cfg(feature = "mqtt")]
    ("user", "NAME          the user that the broker knows"),
    #[cfg(feature = "mqtt")]
    ("password", "FILE      a file with the user's password"),
    #[cfg(feature = "mqtt")]
    ("mqtt-version", "V     5 or 3.1.1, by default 5"),
    #[cfg(feature = "mqtt")]
    iot_tls::CA,
    #[cfg(feature = "mqtt")]
    iot_tls::CERTIFICATE,
    #[cfg(feature = "mqtt")]
    iot_tls::KEY,
    #[cfg(feature = "coap")]
    (
        "coap",
        "ADDRESS       take packets in confirmable posts to /packets/DEVICE; what is for it, it observes at\n\
         \u{20}                      /commands/DEVICE",
    ),
];

/// Opens a door at an address, and keeps it on threads of its own.
type Open = fn(&str, &Options, &Arc<Lobby>) -> io::Result<()>;

const DOORS: &[(&str, Open)] = &[
    #[cfg(feature = "udp")]
    ("udp", udp::open),
    #[cfg(feature = "tcp")]
    ("tcp", tcp::open),
    #[cfg(feature = "http")]
    ("http", http::open),
    #[cfg(feature = "mqtt")]
    ("mqtt", mqtt::open),
    #[cfg(feature = "coap")]
    ("coap", coap::open),
];

/// Opens the doors that the options ask for, for the program whose name among devices is their
/// [`source`](Options::source).
///
/// # Errors
///
/// When an address is not free, or the options of a broker make no sense.
pub fn open(options: &Options, lobby: &Arc<Lobby>) -> io::Result<()> {
    for (name, open) in DOORS {
        if let Some(address) = options.own(name) {
            let at = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
            open(address, options, lobby).map_err(at)?;
        }
    }
    Ok(())
}
