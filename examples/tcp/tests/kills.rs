//! Both ends are killed in the middle, and a proxy alters what they say to each other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

use iot_trial::{Mischief, Program, TcpProxy, Trial, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tcp");

#[test]
fn nothing_is_lost_when_either_end_is_killed() {
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{}", free_port()), 4_000);
    let device = trial.endless_device(&["--rate", "1000"]);
    device.wait_for(1, "is the receiver there?");
    let receiver = trial.receiver(&[]);
    trial.survives_kills(device, receiver, [&[], &[]]);
}

#[test]
fn what_is_altered_is_refused_and_sent_again() {
    let port = free_port();
    let mischief = Mischief { alter: 60, drop: 10, ..Mischief::default() };
    let proxy = TcpProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), mischief, 1);
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 1_200);
    let receiver = trial.receiver(&[]);
    let device =
        trial.device(&["--server", &proxy.address.to_string(), "--rate", "0", "--batch", "4", "--patience", "0.5"]);
    assert!(device.wait().success());
    assert!(receiver.count("refused") > 0, "{}", receiver.lines());
    assert!(receiver.terminate().success());
    assert!(proxy.counts[0].altered.load(Relaxed) > 0, "{:?}", proxy.counts);
    trial.verify_all_arrived();
}

#[test]
fn the_first_user_is_told_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let said = |arguments: &[&str]| {
        let program = Program::start(PROGRAM, arguments);
        let line = program.wait_for(1, "tcp");
        (line, program.wait().code())
    };
    assert_eq!(said(&[]), ("tcp: a command and a folder are missing: see --help".into(), Some(2)));
    assert_eq!(said(&["device", folder, "--batch", "0"]).0, "tcp: --batch takes a number from 1 to 256, not 0");
    let (line, code) = said(&["device", folder]);
    assert!(line.contains("keys: No such file") && code == Some(1), "{line}");
}
