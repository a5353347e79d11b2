//! Sealed readings through an MQTT broker: the device publishes, the receiver subscribes, and what it acknowledges comes
//! back on a topic of its own.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use iot_link::{Application, Dialer, Feedback, Link, Options, Role};
use mqtt::{Broker, Client};

const APPLICATION: Application = Application {
    name: "mqtt",
    about: "Sends sealed readings through an MQTT broker until the receiver has verified and kept them.",
    server: "127.0.0.1:1883",
    hint: "is a broker there? `mosquitto -p 1883` starts one; trying again",
    options: &[
        ("topic", "NAME        the broker's topics are NAME/readings, NAME/commands and NAME/status, by default iot/1"),
        ("user", "NAME         the user that the broker knows"),
        ("password", "FILE     a file with the user's password"),
        ("mqtt", "VERSION      5 or 3.1.1, by default 5"),
    ],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(10) },
    dialer,
    sink: None,
};

fn main() -> ExitCode {
    APPLICATION.main()
}

fn dialer(options: &Options) -> io::Result<Dialer> {
    let (name, role) = (options.own("topic").unwrap_or("iot/1"), options.role);
    let (topic, filter) = (format!("{name}/{}", role.topic()), format!("{name}/{}", role.peer().topic()));
    let client = Client {
        version: mqtt::version(options.own("mqtt").unwrap_or("5"))?,
        id: format!("{}-{role}", name.replace('/', "-")),
        login: options.login()?,
        status: Some(format!("{name}/status/{role}")),
        // Receivers share a subscription, so that a second one can take over: the broker gives each message to one.
        filter: if role == Role::Receiver { format!("$share/receivers/{filter}") } else { filter },
    };
    let server = options.address("mqtt")?.to_owned();
    Ok(Box::new(move || Ok(Box::new(Topics { broker: Broker::dial(&server, client.clone())?, topic: topic.clone() }))))
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
