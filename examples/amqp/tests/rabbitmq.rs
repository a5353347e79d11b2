//! Against `RabbitMQ`, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use amqprs::channel::BasicGetArguments;
use amqprs::connection::{Connection, OpenConnectionArguments};
use iot_trial::{Program, Trial, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_amqp");

/// Where Debian has the script that becomes the broker; the one on the path asks for another user.
const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A broker with a port mapper of its own and everything that it writes in one folder.
struct Rabbitmq {
    environment: Vec<String>,
    _port_mapper: Program,
}

impl Rabbitmq {
    fn prepare(folder: &Path, port: u16) -> Self {
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\ndefault_user = plant\ndefault_pass = right\nlog.console = true\n\
             log.file = false\n"
        );
        std::fs::write(path("rabbitmq.conf"), settings).unwrap();
        std::fs::write(path("plugins"), "[].\n").unwrap();
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

    fn start(&self) -> Program {
        let arguments = self.environment.iter().map(String::as_str).chain([RABBITMQ]).collect::<Vec<_>>();
        let program = Program::start("env", &arguments);
        program.wait_for(1, "Server startup complete");
        program
    }
}

#[test]
#[ignore = "needs rabbitmq-server"]
fn nothing_is_lost_through_kills_of_all_three_and_what_is_refused_is_a_dead_letter() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 2_000).with(&["--user", "plant", "--patience", "2"]);
    let rabbitmq = Rabbitmq::prepare(trial.folder(), port);
    let _running = trial.survives_kills_of_all_three(|| rabbitmq.start());

    // Somebody whom the broker knows, but not the receiver.
    let [right, _] = trial.passwords();
    let receiver = trial.receiver(&["--password", &right]);
    let other = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 10).with(&["--user", "plant"]);
    let _forger = other.device(&["--password", &right]);
    receiver.wait_for(1, "refused");
    assert!(receiver.terminate().success());
    assert!(dead_letter(port).is_some_and(|letter| letter.len() > 100));
}

/// The oldest of the messages that were refused.
#[tokio::main(flavor = "current_thread")]
async fn dead_letter(port: u16) -> Option<Vec<u8>> {
    let connection =
        Connection::open(&OpenConnectionArguments::new("127.0.0.1", port, "plant", "right")).await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    let letter = channel.basic_get(BasicGetArguments::new("iot.1.dead")).await.unwrap();
    letter.map(|(_, _, content)| content)
}
