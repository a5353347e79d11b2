//! The topics of one end, as a link.

use std::io;
use std::time::Duration;

use iot_link::{Dialer, Link, Options, Role};
use iot_tls::{Scheme, Server};

use crate::broker::Broker;
use crate::packets::{self, Client, Session};

/// What makes links of an end: it publishes on a topic of its own, and subscribes to the other end's.
///
/// # Errors
///
/// When the options make no sense.
pub fn dialer(options: &Options) -> io::Result<Dialer> {
    let (name, role) = (options.own("topic").unwrap_or("iot/1"), options.role);
    let (topic, filter) = (format!("{name}/{}", role.topic()), format!("{name}/{}", role.peer().topic()));
    let client = Client {
        version: packets::version(options.own("mqtt").unwrap_or("5"))?,
        id: format!("{}-{role}", name.replace('/', "-")),
        session: Session::Lasts,
        login: options.login()?,
        status: Some(format!("{name}/status/{role}")),
        // Receivers share a subscription, so that a second one can take over: the broker gives each message to one.
        filter: if role == Role::Receiver { format!("$share/receivers/{filter}") } else { filter },
    };
    let server = server(options)?;
    Ok(Box::new(move || Ok(Box::new(Topics { broker: Broker::dial(&server, client.clone())?, topic: topic.clone() }))))
}

/// The broker that `--server` names.
///
/// # Errors
///
/// When the options make no sense.
pub fn server(options: &Options) -> io::Result<Server> {
    Server::of(options, Scheme("mqtt", 1883), Scheme("mqtts", 8883))
}

/// The topics of one end.
struct Topics {
    broker: Broker,
    topic: String,
}

impl Link for Topics {
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.broker.send(&self.topic, packet)
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        Ok(self.broker.receive(patience)?.map(|message| message.payload))
    }
}
