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

/// A datagram leaves whether somebody is there or not.
#[test]
fn a_device_says_that_nobody_is_there_once_and_when_that_is_over() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 100);
    let device = trial.device(&["--rate", "0", "--batch", "10", "--patience", "0.2"]);
    device.wait_for(1, "nobody has that port; is the receiver there? `udp receiver FOLDER --server ADDRESS` starts it");
    // It takes what comes, and says nothing.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    for _ in 0..100 {
        silent.recv_from(&mut [0; 2048]).expect("the device goes on sending");
    }
    drop(silent);
    let receiver = trial.receiver(&[]);
    receiver.wait_for(1, "udp receiver: listens");
    device.wait_for(1, "udp device: answers come");
    let said = device.lines();
    assert!(device.wait().success());
    assert_eq!((said.matches("is the receiver there?").count(), said.matches("connected").count()), (1, 0), "{said}");
    receiver.wait_for(10, "accepted");
    assert!(receiver.terminate().success());
    trial.verify_all_arrived();
}

#[test]
fn a_device_says_that_nobody_answers_though_what_it_sends_arrives() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let trial = Trial::new(PROGRAM, silent.local_addr().unwrap().to_string(), 100);
    let device = trial.device(&["--rate", "0", "--batch", "10", "--patience", "0.2"]);
    device.wait_for(1, "nobody answers; is the receiver there?");
    assert!(device.terminate().success());
}
