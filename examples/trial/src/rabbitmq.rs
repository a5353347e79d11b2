//! `RabbitMQ`, a broker of AMQP.

use std::path::Path;

use crate::{Program, free_port};

/// Where Debian has the script that becomes the broker; the one on the path asks for another user.
const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// `RabbitMQ` with a port mapper of its own, and everything that it writes in one folder. It can be started, killed and started
/// again on what it has stored.
pub struct Rabbitmq {
    environment: Vec<String>,
    _port_mapper: Program,
}

impl Rabbitmq {
    /// Prepares one that listens on `port` of the loopback interface, with further settings, and keeps what it has in
    /// `folder`.
    ///
    /// # Panics
    ///
    /// If there is no room, or no Erlang.
    pub fn prepare(folder: &Path, port: u16, settings: &str) -> Self {
        let path = |name: &str| folder.join(name).to_str().expect("it has a plain name").to_owned();
        let listen = format!("listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.file = false\n");
        std::fs::write(path("rabbitmq.conf"), listen + settings).expect("there is room for a file");
        std::fs::write(path("plugins"), "[].\n").expect("there is room for a file");
        let (mapper, distribution) = (free_port().to_string(), free_port());
        let environment = [
            format!("HOME={}", folder.display()),
            format!("ERL_EPMD_PORT={mapper}"),
            "ERL_EPMD_ADDRESS=127.0.0.1".into(),
            "RABBITMQ_ALLOW_INPUT=1".into(),
            format!("RABBITMQ_NODENAME=trial{port}@localhost"),
            format!("RABBITMQ_DIST_PORT={distribution}"),
            format!("RABBITMQ_CONFIG_FILE={}", path("rabbitmq.conf")),
            format!("RABBITMQ_ENABLED_PLUGINS_FILE={}", path("plugins")),
            format!("RABBITMQ_MNESIA_BASE={}", path("mnesia")),
            format!("RABBITMQ_LOG_BASE={}", path("log")),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-start_epmd false -noinput".into(),
        ];
        let port_mapper = Program::start("epmd", &["-port", &mapper, "-address", "127.0.0.1"]);
        Self { environment: environment.into(), _port_mapper: port_mapper }
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(&self) -> Program {
        let arguments = self.environment.iter().map(String::as_str).chain([RABBITMQ]).collect::<Vec<_>>();
        let program = Program::start("env", &arguments);
        program.wait_for(1, "Server startup complete");
        program
    }
}
