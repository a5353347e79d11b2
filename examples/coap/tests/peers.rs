//! Against the clients, servers and proxies that others wrote.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_exchange::{Event, Feedback, Role, folder};
use iot_trial::{Mischief, Program, Trial, UdpProxy};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const PROGRAM: &str = env!("CARGO_BIN_EXE_coap");

/// When the keys are good.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A port for datagrams that nobody has now.
fn free_address() -> String {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().to_string()
}

/// A reverse proxy of aiocoap, which speaks `CoAP` to either side in its own way.
fn start_proxy(address: &str, receiver: &str) -> Program {
    Program::start("aiocoap-proxy", &["--reverse", "--bind", address, "--unconditional", receiver])
}

#[test]
#[ignore = "needs aiocoap"]
fn nothing_is_lost_through_a_proxy_of_aiocoap_and_kills_of_all_three() {
    let (proxy, behind) = (free_address(), free_address());
    let trial = Trial::new(PROGRAM, behind.clone(), 3_000).with(&["--patience", "1"]);
    let server = ["--server", &proxy];
    let device = trial.device(&[&server[..], &["--rate", "500"]].concat());
    device.wait_for(1, "is the receiver there?");
    let receiver = trial.receiver(&[]);
    let first = start_proxy(&proxy, &behind);
    receiver.wait_for(30, "accepted");
    first.kill();
    device.wait_for(1, "the link ended");
    let _second = start_proxy(&proxy, &behind);
    trial.survives_kills(device, receiver, [&server, &[]]);
}

/// A device's end without a device: what it seals and opens, others carry.
#[test]
#[ignore = "needs libcoap3-bin"]
fn libcoap_observes_and_posts_in_blocks() {
    let trial = Trial::new(PROGRAM, free_address(), 1).with(&["--patience", "100"]);
    let path = |name: &str| trial.folder().join(name).to_str().unwrap().to_owned();
    let url = |resource| format!("coap://{}/{resource}", trial.server());
    let keys = folder::load_keys(&trial.folder().join("device"), NOW).unwrap();
    let rng = ChaCha20Rng::seed_from_u64(1);
    let feedback = Feedback::Acknowledged { within: Duration::from_secs(1) };
    let mut device = folder::open(&trial.folder().join("device"), &keys, Role::Device, feedback, rng).unwrap();
    let mut receiver = trial.receiver(&[]);

    // Longer than a block, so the client fetches the rest.
    let command = "close valve 7 ".repeat(150);
    receiver.type_line(&command);
    let observer = Program::start("coap-client-notls", &["-s", "60", "-o", &path("command"), &url("commands")]);
    let mut sealed = Vec::new();
    while sealed.len() < command.len() {
        std::thread::sleep(Duration::from_millis(20));
        sealed = std::fs::read(path("command")).unwrap_or_default();
    }
    observer.kill();
    device.handle_packet(Instant::START, &mut sealed).unwrap();
    assert_eq!(device.poll_event(), Some(Event::Accepted { sequence: 0, payload: command.into_bytes() }));

    device.append(NOW, &[7; 3000]).unwrap();
    while let Some(packet) = device.poll_transmit(Instant::START, NOW).unwrap() {
        std::fs::write(path("message"), packet).unwrap();
        let post = ["-m", "post", "-b", "64", "-f", &path("message"), &url("packets")];
        assert!(Program::start("coap-client-notls", &post).wait().success());
    }
    receiver.wait_for(1, "accepted 0");
    assert!(receiver.terminate().success());
}

#[test]
fn nothing_is_lost_whatever_the_network_does() {
    let receiver = free_address();
    let mischief = Mischief { alter: 5, drop: 5, repeat: 30, reorder: 20 };
    let network = UdpProxy::start(receiver.parse::<SocketAddr>().unwrap(), mischief, 1);
    let address = network.address.to_string();
    let trial = Trial::new(PROGRAM, receiver, 1_200).with(&["--patience", "1"]);
    let server = ["--server", &address];
    let device = trial.device(&[&server[..], &["--rate", "300"]].concat());
    trial.survives_kills(device, trial.receiver(&[]), [&server, &[]]);
}

#[test]
fn tls_is_refused_with_advice() {
    let trial = Trial::new(PROGRAM, "coaps://plant.example", 10);
    let device = trial.device(&[]);
    device.wait_for(1, "no coaps here; give coap://HOST:PORT");
    assert_eq!(device.wait().code(), Some(1));
}
