//! Against nats-server, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, stream};
use iot_trial::{Mischief, NatsFraming, Ports, Program, TcpProxy, Trial, Validity, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nats");

/// A server that asks for a password and keeps its streams on disk.
fn start(folder: &Path, port: u16) -> Program {
    start_with(folder, port, &[])
}

/// The same, with options of its own.
fn start_with(folder: &Path, port: u16, options: &[&str]) -> Program {
    let (port, store) = (port.to_string(), folder.join("streams"));
    let arguments = ["-a", "127.0.0.1", "-p", &port, "-js", "-sd", store.to_str().unwrap(), "--user", "plant"];
    // Debian keeps it where only administrators look.
    let program = ["/usr/sbin/nats-server", "nats-server"].into_iter().find(|path| Path::new(path).exists());
    let server =
        Program::start(program.unwrap_or("nats-server"), &[&arguments[..], &["--pass", "right"], options].concat());
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

#[test]
#[ignore = "needs nats-server"]
fn nothing_is_lost_over_tls_and_no_server_is_trusted_without_reason() {
    let [plain, port] = [free_port(), free_port()];
    let trial = Trial::new(PROGRAM, format!("tls://127.0.0.1:{port}"), 2_000);
    let (plant, files) = trial.authorities();
    let [certificate, key] = plant.issue("server", &["127.0.0.1"], Validity::Now);
    let shown = ["--tls", "--tlscert", &certificate, "--tlskey", &key];
    let trial = trial.with(&["--user", "plant", "--settle", "1", "--ca", &files[0]]);
    let _running = trial.survives_kills_of_all_three(|| start_with(trial.folder(), port, &shown));

    let other = Trial::new(PROGRAM, "", 10).with(&["--user", "plant"]);
    let (_plain, [right, _]) = (start(other.folder(), plain), other.passwords());
    let ports = Ports { plain: ("nats", plain), secure: ("tls", port) };
    other.trusts_no_server_without_reason(&ports, &files, &["--password", &right]);
}

/// A proxy that interferes with readings and with nothing else: in what else passes, who refuses an altered octet would
/// depend on where it stands.
fn meddle(port: u16, mischief: Mischief) -> TcpProxy {
    let framing = NatsFraming { subject: "iot-readings.".into() };
    TcpProxy::between_messages(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), framing, mischief, 7)
}

/// The stream keeps what it was given, so what was altered before it stays so: each such message is refused by the receiver
/// and named as missing, and there is nothing else that is. Of what was dropped, repeated or exchanged nothing is lost, as the
/// stream takes each message behind the one before it alone.
#[test]
#[ignore = "needs nats-server"]
fn what_is_altered_on_the_way_to_the_stream_is_refused_and_named_and_nothing_else_is_missing() {
    let (port, messages) = (free_port(), 300);
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 4 * 300).with(&["--user", "plant", "--settle", "0"]);
    let _running = start(trial.folder(), port);
    let [right, _] = trial.passwords();
    let proxy = meddle(port, Mischief::OF_EACH);
    let server = proxy.address.to_string();
    let receiver = trial.receiver(&["--password", &right]);
    let device = trial.device(&["--password", &right, "--server", &server, "--rate", "0", "--batch", "4"]);
    assert!(device.wait().success());
    receiver.wait_for_any(messages, &["accepted", "refused"]);
    let (refused, said) = (receiver.count("refused"), receiver.lines());
    assert!(receiver.terminate().success());
    assert_eq!(trial.verify_accounted_for(4), 4 * refused, "{said}");
    let [there, _] = &proxy.counts;
    let altered = there.altered.load(Relaxed) as usize;
    // One that is altered and does not follow on the one before it is refused by the stream, and comes again.
    assert!(there.is_of_each() && (1..=altered).contains(&refused), "{refused} are refused: {there:?}\n{said}");
}

/// What is altered behind the stream is refused, and comes as it was when the receiver connects again.
#[test]
#[ignore = "needs nats-server"]
fn what_is_altered_on_the_way_to_the_receiver_is_refused_and_comes_again() {
    let (port, messages) = (free_port(), 300);
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 4 * 300).with(&["--user", "plant", "--settle", "0"]);
    let _running = start(trial.folder(), port);
    let [right, _] = trial.passwords();
    // As few as a receiver leaves open for messages that come late.
    let proxy = meddle(port, Mischief { alter: 12, ..Mischief::OF_EACH });
    let server = proxy.address.to_string();
    let receiver = trial.receiver(&["--password", &right, "--server", &server]);
    let device = trial.device(&["--password", &right, "--rate", "0", "--batch", "4"]);
    assert!(device.wait().success());
    // That the last ones were dropped would show by those behind them.
    receiver.wait_for_any(messages - 50, &["accepted", "refused"]);
    let (refused, said) = (receiver.count("refused"), receiver.lines());
    assert!(receiver.terminate().success());
    let [_, here] = &proxy.counts;
    assert!(here.is_of_each() && refused > 0, "{refused} are refused: {here:?}\n{said}");

    let arrived = trial.list().lines().filter(|line| !line.starts_with('#')).count();
    let receiver = trial.receiver(&["--password", &right]);
    receiver.wait_for(messages - arrived / 4, "accepted");
    assert!(receiver.terminate().success());
    let listed = trial.list();
    let mut listed: Vec<_> = listed.lines().filter(|line| !line.starts_with('#')).collect();
    // They come late, and the times stand in front.
    listed.sort_unstable();
    assert_eq!(listed, trial.readings().lines().collect::<Vec<_>>());
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
