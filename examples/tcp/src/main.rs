//! Sealed readings over TCP.

use std::process::ExitCode;
use std::time::Duration;

use iot_link::{Application, Feedback};

const APPLICATION: Application = Application {
    name: "tcp",
    about: "Sends sealed readings over TCP until the receiver has verified and kept them.",
    server: "127.0.0.1:4711",
    hint: "is the receiver there? `tcp receiver FOLDER --server ADDRESS` starts it; trying again",
    options: &[],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(5) },
    dialer: tcp::dialer,
    sink: None,
};

fn main() -> ExitCode {
    APPLICATION.main()
}
