//! Sealed readings through an MQTT broker: the device publishes, the receiver subscribes, and what it acknowledges comes
//! back on a topic of its own.

use std::process::ExitCode;
use std::time::Duration;

use iot_link::{Application, Feedback};

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
        iot_tls::CA,
        iot_tls::CERTIFICATE,
        iot_tls::KEY,
    ],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(10) },
    dialer: mqtt::dialer,
    sink: None,
};

fn main() -> ExitCode {
    APPLICATION.main()
}
