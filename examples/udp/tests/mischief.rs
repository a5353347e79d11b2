//! A proxy alters, drops, repeats and reorders datagrams, and both ends are killed in the middle.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

use iot_trial::{Mischief, Trial, UdpProxy, free_port};

#[test]
fn everything_arrives_once_and_in_order_through_mischief_and_kills() {
    let port = free_port();
    let mischief = Mischief { alter: 50, drop: 100, repeat: 50, reorder: 100 };
    let proxy = UdpProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), mischief, 7);
    let trial = Trial::new(env!("CARGO_BIN_EXE_udp"), format!("127.0.0.1:{port}"), 3_000);
    let through = proxy.address.to_string();
    let device = trial.device(&["--server", &through, "--rate", "500", "--patience", "0.3"]);
    let receiver = trial.receiver(&[]);
    receiver.wait_for(40, "accepted");
    receiver.kill();
    let mut receiver = trial.receiver(&[]);
    receiver.wait_for(30, "accepted");
    receiver.type_line("sample every 10 s");
    device.wait_for(1, "command 0: \"sample every 10 s\"");
    device.kill();

    let device = trial.device(&["--server", &through, "--rate", "0", "--patience", "0.3"]);
    assert!(device.wait().success());
    assert!(receiver.count("refused") > 0, "{}", receiver.lines());
    assert_eq!(receiver.count("missing"), 0, "{}", receiver.lines());
    assert!(receiver.terminate().success());
    for counts in &proxy.counts {
        let done = [&counts.altered, &counts.dropped, &counts.repeated, &counts.reordered];
        assert!(done.iter().all(|count| count.load(Relaxed) > 0), "{counts:?}");
    }
    trial.verify_all_arrived();
}
