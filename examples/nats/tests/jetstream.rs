//! Against nats-server, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use iot_trial::{Program, Trial, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nats");

/// A server that asks for a password and keeps its streams on disk.
fn start(folder: &Path, port: u16) -> Program {
    let (port, store) = (port.to_string(), folder.join("streams"));
    let arguments = ["-a", "127.0.0.1", "-p", &port, "-js", "-sd", store.to_str().unwrap(), "--user", "plant"];
    // Debian keeps it where only administrators look.
    let program = ["/usr/sbin/nats-server", "nats-server"].into_iter().find(|path| Path::new(path).exists());
    let server = Program::start(program.unwrap_or("nats-server"), &[&arguments[..], &["--pass", "right"]].concat());
    server.wait_for(1, "Server is ready");
    server
}

#[test]
#[ignore = "needs nats-server"]
fn nothing_is_lost_through_kills_of_all_three() {
    let port = free_port();
    // A server that is killed loses nothing that the system has not written yet; so nothing need settle for long.
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 2_000).with(&["--user", "plant", "--settle", "1"]);
    trial.survives_kills_of_all_three(|| start(trial.folder(), port));
}
