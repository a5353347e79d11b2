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
    let common = ["--server", &through, "--patience", "0.3"];
    let device = trial.endless_device(&[&common[..], &["--rate", "500"]].concat());
    let said = trial.survives_kills(device, trial.receiver(&[]), [&common, &[]]);
    assert!(said.contains("refused") && !said.contains("missing"), "{said}");
    for counts in &proxy.counts {
        let done = [&counts.altered, &counts.dropped, &counts.repeated, &counts.reordered];
        assert!(done.iter().all(|count| count.load(Relaxed) > 0), "{counts:?}");
    }
}
