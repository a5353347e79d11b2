//! Against nats-server, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Instant;

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, stream};
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

/// What a client without a queue, keys or positions publishes in a second: as many octets, acknowledged by the stream, and
/// as many on their way.
#[tokio::main(flavor = "current_thread")]
async fn raw_rate(port: u16, messages: usize) -> f64 {
    let options = ConnectOptions::with_user_and_password("plant".into(), "right".into());
    let context = jetstream::new(options.connect(format!("127.0.0.1:{port}")).await.unwrap());
    let stream = stream::Config { name: "raw".into(), subjects: vec!["raw.*".into()], ..Default::default() };
    context.get_or_create_stream(stream).await.unwrap();
    let (start, mut waiting) = (Instant::now(), std::collections::VecDeque::new());
    for _ in 0..messages {
        waiting.push_back(context.publish("raw.readings", vec![7; 176].into()).await.unwrap());
        if waiting.len() > 128 {
            waiting.pop_front().unwrap().await.unwrap();
        }
    }
    for acknowledged in waiting {
        acknowledged.await.unwrap();
    }
    messages as f64 / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "needs nats-server"]
fn what_it_costs_beside_a_raw_client() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 2_000).with(&["--user", "plant", "--settle", "0"]);
    let _running = start(trial.folder(), port);
    let [right, _] = trial.passwords();
    let (ours, raw) = (trial.rate(&["--password", &right]), raw_rate(port, 2_000));
    println!("nats: {ours:.0} messages a second, a raw client {raw:.0}");
    assert!(ours > raw / 200.0, "{ours} of {raw}");
}
