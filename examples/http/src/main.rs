//! Sealed readings in HTTP requests: the device posts what it has, and the answer brings what the receiver has for it.
//! So the receiver needs no way to the device, and proxies may stand in between. Or the other way round: the device
//! answers, and the receiver pulls with a cursor.

use std::process::ExitCode;
use std::time::Duration;

use iot_link::{Application, Feedback};

const APPLICATION: Application = Application {
    name: "http",
    about: "Posts sealed readings over HTTP until the receiver has verified and kept them.",
    server: "127.0.0.1:8080",
    hint: "is the receiver there? `http receiver FOLDER --server ADDRESS` starts it, or a device that is pulled from; \
           trying again",
    options: &[
        ("authorization", "FILE  a file with the value of the header `Authorization`, for a proxy that asks for it"),
        iot_tls::CA,
        iot_tls::CERTIFICATE,
        iot_tls::KEY,
        ("client", "END   which end makes requests: `device`, by default, or `receiver`, which pulls with a cursor"),
    ],
    feedback: Feedback::Acknowledged { within: Duration::from_secs(5) },
    dialer: iot_http::dialer,
    sink: None,
};

fn main() -> ExitCode {
    APPLICATION.main()
}
