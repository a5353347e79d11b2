//! Through nginx, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use iot_trial::{Certificates, Nginx, Trial, Validity, free_port, meddle_between};

const PROGRAM: &str = env!("CARGO_BIN_EXE_http");

/// nginx in front of a receiver, which asks for a password.
fn configure(folder: &Path, port: u16, receiver: u16) -> Nginx {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(path("passwords"), "plant:{PLAIN}right\n").unwrap();
    // `plant:right` and `plant:wrong` in base64.
    std::fs::write(path("right"), "Basic cGxhbnQ6cmlnaHQ=\n").unwrap();
    std::fs::write(path("wrong"), "Basic cGxhbnQ6d3Jvbmc=\n").unwrap();
    let settings = format!(
        "auth_basic plant;\nauth_basic_user_file {};\nlocation /packets {{ proxy_pass http://127.0.0.1:{receiver}; }}",
        path("passwords"),
    );
    Nginx::configure(folder, port, &settings)
}

#[test]
#[ignore = "needs nginx"]
fn nothing_is_lost_through_kills_of_all_three() {
    let (proxy, behind) = (free_port(), free_port());
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{behind}"), 3_000);
    let nginx = configure(trial.folder(), proxy, behind);
    let (server, right) = (format!("127.0.0.1:{proxy}"), trial.folder().join("right"));
    let common = ["--server", &server, "--authorization", right.to_str().unwrap()];
    nginx.survives_kills(&trial, &common);
}

#[test]
#[ignore = "needs nginx"]
fn nothing_is_lost_over_tls() {
    let (proxy, behind) = (free_port(), free_port());
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{behind}"), 3_000);
    let certificates = Certificates::make(&trial);
    let nginx = configure(trial.folder(), proxy, behind).with_tls(&certificates.good);
    let (server, right) = (format!("https://127.0.0.1:{proxy}"), trial.folder().join("right"));
    let common = ["--server", &server, "--authorization", right.to_str().unwrap()];
    nginx.survives_kills(&trial, &[&common[..], &certificates.trusted()].concat());
}

#[test]
#[ignore = "needs nginx"]
fn what_is_wrong_with_a_proxy_is_said() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, "", 10);
    let addresses = [format!("http://127.0.0.1:{port}"), format!("https://127.0.0.1:{port}")];
    trial.says_what_is_wrong_with_a_server(addresses.each_ref().map(String::as_str), &[], |certificate| {
        let nginx = configure(trial.folder(), port, 9);
        if let Some(pair) = certificate { nginx.with_tls(pair).start() } else { nginx.start() }
    });
}

#[test]
#[ignore = "needs nginx"]
fn a_proxy_may_want_a_certificate_or_know_another_place() {
    let [proxy, behind] = [free_port(), free_port()];
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{behind}"), 100);
    let certificates = Certificates::make(&trial);
    let plant = certificates.trusted()[1];
    let settings = format!(
        "ssl_client_certificate {plant};\nssl_verify_client on;\nlocation /packets {{ proxy_pass http://127.0.0.1:{behind}; }}\n\
         error_page 497 =301 https://$http_host$request_uri;"
    );
    let _running = Nginx::configure(trial.folder(), proxy, &settings).with_tls(&certificates.good).start();
    let receiver = trial.receiver(&[]);
    receiver.wait_for(1, "connected");
    let device = trial.device(&["--server", &format!("http://127.0.0.1:{proxy}")]);
    device.wait_for(1, &format!("is at \"https://127.0.0.1:{proxy}/packets\": give that as --server"));
    assert_eq!(device.wait().code(), Some(1));
    let server = ["--server", &format!("https://127.0.0.1:{proxy}")];
    let device = trial.device(&[&server[..], &certificates.trusted()].concat());
    device.wait_for(1, "the server may want a certificate of this end: --certificate FILE and --key FILE");
    device.kill();
    let [certificate, key] = certificates.authority.issue("device", &[], Validity::Now);
    let own = ["--certificate", &certificate, "--key", &key, "--rate", "0"];
    let device = trial.device(&[&server[..], &certificates.trusted(), &own].concat());
    assert!(device.wait().success());
    assert!(receiver.terminate().success());
    trial.verify_all_arrived();
}

#[test]
#[ignore = "needs nginx"]
fn a_wrong_password_is_said() {
    let (proxy, behind) = (free_port(), free_port());
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{proxy}"), 10);
    let nginx = configure(trial.folder(), proxy, behind);
    let _running = nginx.start();
    let device = trial.device(&["--authorization", trial.folder().join("wrong").to_str().unwrap()]);
    device.wait_for(1, "wrong --authorization");
    assert_eq!(device.wait().code(), Some(1));
}

#[test]
#[ignore = "needs nginx"]
fn nothing_is_lost_when_the_receiver_pulls_through_kills_of_all_three() {
    let (proxy, behind) = (free_port(), free_port());
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{behind}"), 3_000).with(&["--client", "receiver"]);
    let nginx = configure(trial.folder(), proxy, behind);
    let (server, right) = (format!("127.0.0.1:{proxy}"), trial.folder().join("right"));
    let pull = ["--server", &server, "--authorization", right.to_str().unwrap()];
    let receiver = trial.receiver(&pull);
    receiver.wait_for(1, "trying again");
    let first = nginx.start();
    receiver.wait_for(1, "502");
    let device = trial.endless_device(&["--rate", "500"]);
    receiver.wait_for(30, "accepted");
    first.kill();
    receiver.wait_for(1, "the link ended");
    let _second = nginx.start();
    trial.survives_kills(device, receiver, [&[], &pull]);
}

#[test]
fn nothing_is_lost_without_a_proxy_either_whoever_asks() {
    for client in ["device", "receiver"] {
        let trial = Trial::new(PROGRAM, format!("127.0.0.1:{}", free_port()), 2_000).with(&["--client", client]);
        let device = trial.endless_device(&["--rate", "500"]);
        trial.survives_kills(device, trial.receiver(&[]), [&[], &[]]);
    }
}

/// Each request begins with the receiver's cursor, so the device need not wait until it loses its patience with what went to
/// one that was killed before it had read the answer.
#[test]
fn a_receiver_that_pulls_gets_at_once_what_an_answer_before_it_took_along() {
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{}", free_port()), 100).with(&["--client", "receiver"]);
    let device = trial.device(&["--rate", "0", "--patience", "3600"]);
    device.wait_for(1, "connected");
    let (mut stream, mut answer) = (TcpStream::connect(trial.server()).unwrap(), Vec::new());
    write!(stream, "POST /packets HTTP/1.0\r\nContent-Length: 0\r\n\r\n").unwrap();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.len() > 1_000, "{}", String::from_utf8_lossy(&answer));
    let receiver = trial.receiver(&[]);
    assert!(device.wait().success());
    assert!(receiver.terminate().success());
    trial.verify_all_arrived();
}

/// A request as a proxy sees it: its idempotency key, and how long its body is.
fn request_of(stream: &mut TcpStream) -> (Option<String>, usize) {
    let (mut reader, mut key, mut len) = (BufReader::new(stream), None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else {
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => key = Some(value.to_owned()),
            "content-length" => len = value.parse().unwrap(),
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; len]).unwrap();
    (key, len)
}

/// A proxy that knows a key answers as it did before, so whoever asks for news has none: there would be no news.
#[test]
fn a_second_try_has_the_key_of_the_first_and_asking_for_news_has_none() {
    for client in ["device", "receiver"] {
        let trial = Trial::new(PROGRAM, format!("127.0.0.1:{}", free_port()), 10).with(&["--client", client]);
        let server = TcpListener::bind(trial.server()).unwrap();
        let patience = ["--patience", "0.05"];
        let _asks = if client == "device" { trial.device(&patience) } else { trial.receiver(&patience) };
        let (mut keys, mut without) = (Vec::new(), 0);
        while without < 2 || (client == "device" && keys.len() < 3) {
            let (mut stream, _) = server.accept().unwrap();
            let (key, len) = request_of(&mut stream);
            assert_eq!(key.is_some(), client == "device" && len > 0, "{key:?}, {len} octets");
            let is_first = key.is_some() && keys.is_empty();
            without += usize::from(key.is_none());
            keys.extend(key);
            // The first message gets no answer at all, and later ones one that acknowledges nothing.
            if !is_first {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            }
        }
        assert!(keys.iter().all(|key| *key == keys[0] && key.starts_with("0/") && key.ends_with("/0")), "{keys:?}");
    }
}

#[test]
fn whatever_a_proxy_does_to_packets_is_refused_or_made_good() {
    let (front, back) = (free_port(), free_port());
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{back}"), 2_000).with(&["--patience", "0.5"]);
    let receiver = trial.receiver(&[]);
    receiver.wait_for(1, "connected");
    let counts = meddle_between(iot_http::dialer, front, back);
    let server = format!("127.0.0.1:{front}");
    let device = trial.device(&["--server", &server, "--rate", "0"]);
    assert!(device.wait().success());
    assert!(receiver.count("refused") > 0 && receiver.count("missing") == 0, "{}", receiver.lines());
    assert!(receiver.terminate().success());
    assert!(counts.iter().all(|counts| counts.is_of_each()), "{counts:?}");
    trial.verify_all_arrived();
}
