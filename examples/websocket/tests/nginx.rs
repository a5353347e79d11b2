//! Through nginx, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use iot_trial::{Certificates, Nginx, Trial, WebSocketFraming, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_websocket");

/// nginx in front of a receiver.
fn configure(trial: &Trial, port: u16, receiver: u16) -> Nginx {
    let settings = format!(
        "location /packets {{ proxy_pass http://127.0.0.1:{receiver}; proxy_http_version 1.1;
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}"
    );
    Nginx::configure(trial.folder(), port, &settings)
}

#[test]
#[ignore = "needs nginx"]
fn nothing_is_lost_through_kills_of_all_three() {
    let (proxy, behind) = (free_port(), free_port());
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{behind}"), 3_000);
    let server = format!("127.0.0.1:{proxy}");
    configure(&trial, proxy, behind).survives_kills(&trial, &["--server", &server]);
}

#[test]
#[ignore = "needs nginx"]
fn nothing_is_lost_over_tls() {
    let (proxy, behind) = (free_port(), free_port());
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{behind}"), 3_000);
    let certificates = Certificates::make(&trial);
    let server = format!("wss://127.0.0.1:{proxy}");
    let nginx = configure(&trial, proxy, behind).with_tls(&certificates.good);
    nginx.survives_kills(&trial, &[&["--server", &server], &certificates.trusted()[..]].concat());
}

#[test]
#[ignore = "needs nginx"]
fn what_is_wrong_with_a_proxy_is_said() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, "", 10);
    let addresses = [format!("ws://127.0.0.1:{port}"), format!("wss://127.0.0.1:{port}")];
    trial.says_what_is_wrong_with_a_server(addresses.each_ref().map(String::as_str), &[], |certificate| {
        let nginx = configure(&trial, port, 9);
        if let Some(pair) = certificate { nginx.with_tls(pair).start() } else { nginx.start() }
    });
}

#[test]
#[ignore = "needs nginx"]
fn a_proxy_may_ask_for_a_password() {
    let (proxy, behind) = (free_port(), free_port());
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{behind}"), 100);
    let write = |name: &str, text: &str| {
        let path = trial.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let passwords = write("passwords", "plant:{PLAIN}right\n");
    // `plant:right` and `plant:wrong` in base64.
    let (right, wrong) = (write("right", "Basic cGxhbnQ6cmlnaHQ=\n"), write("wrong", "Basic cGxhbnQ6d3Jvbmc=\n"));
    let settings = format!(
        "auth_basic plant;\nauth_basic_user_file {passwords};\nlocation /packets {{ proxy_pass http://127.0.0.1:{behind};
         proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}"
    );
    let _running = Nginx::configure(trial.folder(), proxy, &settings).start();
    let receiver = trial.receiver(&[]);
    let server = ["--server", &format!("127.0.0.1:{proxy}")];
    for own in [&[][..], &["--authorization", &wrong]] {
        let device = trial.device(&[&server[..], own].concat());
        device.wait_for(1, "the proxy: wrong --authorization");
        assert_eq!(device.wait().code(), Some(1));
    }
    assert!(trial.device(&[&server[..], &["--authorization", &right, "--rate", "0"]].concat()).wait().success());
    assert!(receiver.terminate().success());
    trial.verify_all_arrived();
}

#[test]
fn a_signal_is_not_taken_for_a_fault_of_the_server() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let trial = Trial::new(PROGRAM, listener.local_addr().unwrap().to_string(), 10);
    let device = trial.device(&[]);
    let (mut stream, _) = listener.accept().unwrap();
    // It has asked, and waits for the answer.
    assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
    assert!(Command::new("kill").args(["-TERM", &device.id().to_string()]).status().unwrap().success());
    device.wait_for(1, "ends after");
    assert_eq!(device.count("Interrupted"), 0, "{}", device.lines());
    assert!(device.wait().success());
}

#[test]
fn a_device_that_ends_takes_its_leave() {
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{}", free_port()), 10);
    let receiver = trial.receiver(&[]);
    assert!(trial.device(&["--rate", "0"]).wait().success());
    receiver.wait_for(1, "the link ended: Connection closed normally");
    assert!(receiver.terminate().success());
}

#[test]
fn nothing_is_lost_without_a_proxy_either() {
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{}", free_port()), 3_000);
    let device = trial.endless_device(&["--rate", "500"]);
    trial.survives_kills(device, trial.receiver(&[]), [&[], &[]]);
}

#[test]
fn what_a_proxy_alters_is_refused_and_sent_again() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 1_200);
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (said, missing) = trial.survives_mischief(server, [&["--patience", "0.5"], &[]], 1);
    assert!(said.contains("refused") && missing == 0, "{missing} are missing:\n{said}");
}

#[test]
fn whatever_a_proxy_does_to_messages_is_refused_or_made_good() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 1_200);
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    trial.survives_meddling(server, WebSocketFraming::default(), [&["--patience", "0.5"], &[]]);
}

#[test]
#[ignore = "needs nginx"]
fn whatever_a_proxy_before_nginx_does_to_messages_is_refused_or_made_good() {
    let (proxy, behind) = (free_port(), free_port());
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{behind}"), 1_200);
    let _running = configure(&trial, proxy, behind).start();
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, proxy));
    trial.survives_meddling(server, WebSocketFraming::default(), [&["--patience", "0.5"], &[]]);
}
