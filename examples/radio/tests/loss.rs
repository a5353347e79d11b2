//! A link that loses one frame in five, and both ends killed in the middle: what arrives is right, and whatever does not
//! is accounted for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

use iot_trial::{Mischief, Trial, UdpProxy, free_port};

const BATCH: usize = 10;

#[test]
fn every_loss_is_accounted_for() {
    let port = free_port();
    let mischief = Mischief { drop: 200, ..Mischief::default() };
    let proxy = UdpProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), mischief, 3);
    let trial = Trial::new(env!("CARGO_BIN_EXE_radio"), format!("127.0.0.1:{port}"), 2_000);
    let through = proxy.address.to_string();
    let start = || trial.device(&["--server", &through, "--rate", "0"]);
    let receiver = trial.receiver(&[]);
    receiver.wait_for(1, "listens");
    let device = start();
    receiver.wait_for(40, "accepted");
    receiver.kill();
    let receiver = trial.receiver(&[]);
    receiver.wait_for(20, "accepted");
    device.kill();
    let device = start();
    assert!(device.wait().success());
    // Of the last ten messages at least one: which of them are lost, nobody can tell yet.
    receiver.wait_for(2, "accepted 19");
    assert!(receiver.terminate().success());
    assert!(proxy.counts[0].dropped.load(Relaxed) > 100, "{:?}", proxy.counts);

    let missing = trial.verify_accounted_for(BATCH) / BATCH;
    println!("{missing} of 200 messages are missing");
    assert!(missing < 180, "{missing}");
}

#[test]
fn hardly_anything_is_lost_while_both_ends_live() {
    let port = free_port();
    let mischief = Mischief { drop: 200, ..Mischief::default() };
    let proxy = UdpProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), mischief, 11);
    let trial = Trial::new(env!("CARGO_BIN_EXE_radio"), format!("127.0.0.1:{port}"), 1_000);
    let receiver = trial.receiver(&[]);
    receiver.wait_for(1, "listens");
    // Each frame waits until somebody has time for it; there is room for some hundreds, which is more than a second's.
    let device = trial.device(&["--server", &proxy.address.to_string(), "--rate", "0", "--pause", "4"]);
    assert!(device.wait().success());
    // One in a thousand was promised.
    receiver.wait_for(98, "accepted");
    assert!(receiver.terminate().success());
}
