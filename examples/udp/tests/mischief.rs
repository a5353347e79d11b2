//! A proxy alters, drops, repeats and reorders datagrams, a stranger sends some, and both ends are killed in the middle.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use iot_trial::{Mischief, Trial, UdpProxy, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_udp");

#[test]
fn everything_arrives_once_and_in_order_through_mischief_and_kills() {
    let port = free_port();
    let mischief = Mischief { alter: 50, drop: 100, repeat: 50, reorder: 100 };
    let proxy = UdpProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), mischief, 7);
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 3_000);
    let through = proxy.address.to_string();
    let common = ["--server", &through, "--patience", "0.3"];
    let device = trial.endless_device(&[&common[..], &["--rate", "500"]].concat());
    let said = trial.survives_kills(device, trial.receiver(&[]), [&common, &[]]);
    assert!(said.contains("refused") && !said.contains("missing"), "{said}");
    for counts in &proxy.counts {
        let done = [&counts.altered, &counts.dropped, &counts.repeated, &counts.reordered];
        assert!(done.iter().all(|count| count.load(Relaxed) > 0), "{counts:?}");
    }
}

/// A device whose address a stranger has found goes on with whom it was started for, whatever that one sends.
#[test]
fn a_stranger_cannot_turn_a_device_away_from_its_receiver() {
    let [receiver, stranger] = [0; 2].map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    receiver.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let trial = Trial::new(PROGRAM, receiver.local_addr().unwrap().to_string(), 1_000);
    let device = trial.device(&["--rate", "0", "--batch", "1", "--patience", "0.05"]);
    // More than are under way without an acknowledgement: those left before the device heard of the stranger.
    for _ in 0..500 {
        let (_, device) = receiver.recv_from(&mut [0; 2048]).expect("the device goes on sending here");
        stranger.send_to(b"packets for me", device).unwrap();
    }
    assert!(device.terminate().success());
}
