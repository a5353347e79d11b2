//! Against Prosody, which is killed and started again in the middle, as both ends are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use iot_trial::{Certificates, Program, Trial, XmppFraming, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_xmpp");

/// A configuration with an account for each end, and everything that the server writes in one folder.
fn configure(folder: &Path, port: u16, certificate: Option<&[String; 2]>) -> String {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::create_dir_all(path("data/localhost/accounts")).unwrap();
    for account in ["device", "receiver"] {
        let record = "return { [\"password\"] = \"right\" };\n";
        std::fs::write(path(&format!("data/localhost/accounts/{account}.dat")), record).unwrap();
    }
    let ports = if let Some([certificate, key]) = certificate {
        let pair = format!("{{ certificate = \"{certificate}\", key = \"{key}\" }}");
        format!("c2s_ports = {{ }}\nc2s_direct_tls_ports = {{ {port} }}\nc2s_direct_tls_ssl = {pair}\n")
    } else {
        format!("c2s_ports = {{ {port} }}\n")
    };
    let settings = format!(
        "run_as_root = true\npidfile = \"{}\"\ndata_path = \"{}\"\ninterfaces = {{ \"127.0.0.1\" }}\n\
         {ports}modules_enabled = {{ \"saslauth\", \"offline\" }}\n\
         modules_disabled = {{ \"s2s\", \"tls\" }}\nauthentication = \"internal_plain\"\n\
         c2s_require_encryption = false\nallow_unencrypted_plain_auth = true\nlog = {{ info = \"*console\" }}\n\
         VirtualHost \"localhost\"\n",
        path("prosody.pid"),
        path("data"),
    );
    std::fs::write(path("prosody.cfg.lua"), settings).unwrap();
    path("prosody.cfg.lua")
}

fn start(configuration: &str) -> Program {
    let prosody = Program::start("prosody", &["--config", configuration, "-F"]);
    prosody.wait_for_any(1, &["Activated service 'c2s' on [", "Activated service 'c2s_direct_tls' on ["]);
    prosody
}

#[test]
#[ignore = "needs prosody"]
fn nothing_is_lost_through_kills_of_all_three() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 2_000).with(&["--patience", "1"]);
    let configuration = configure(trial.folder(), port, None);
    trial.survives_kills_of_all_three(|| start(&configuration));
}

#[test]
#[ignore = "needs prosody"]
fn nothing_is_lost_over_tls() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("xmpps://127.0.0.1:{port}"), 2_000);
    let certificates = Certificates::make(&trial);
    let trial = trial.with(&["--patience", "1"]).with(&certificates.trusted());
    let configuration = configure(trial.folder(), port, Some(&certificates.good));
    trial.survives_kills_of_all_three(|| start(&configuration));
}

#[test]
#[ignore = "needs prosody"]
fn what_is_wrong_with_a_server_is_said() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, "", 10);
    let [right, _] = trial.passwords();
    let addresses = [format!("xmpp://127.0.0.1:{port}"), format!("xmpps://127.0.0.1:{port}")];
    let addresses = addresses.each_ref().map(String::as_str);
    trial.says_what_is_wrong_with_a_server(addresses, &["--password", &right], |certificate| {
        start(&configure(trial.folder(), port, certificate))
    });
}

/// Neither end is there together with the other, and the server is killed in between.
#[test]
#[ignore = "needs prosody"]
fn what_came_while_the_receiver_was_away_it_gets_without_the_device() {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 100).with(&["--patience", "3600"]);
    let configuration = configure(trial.folder(), port, None);
    let first = start(&configuration);
    let [right, _] = trial.passwords();
    let login = ["--password", &right];
    let device = trial.device(&[&login[..], &["--rate", "0"]].concat());
    let kept = trial.folder().join("data/localhost/offline/receiver.list");
    let end = Instant::now() + Duration::from_secs(300);
    while std::fs::read_to_string(&kept).unwrap_or_default().matches("item(").count() < 10 {
        assert!(Instant::now() < end, "the server keeps too little; the device said\n{}", device.lines());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(device.terminate().success());
    first.kill();

    let _second = start(&configuration);
    let receiver = trial.receiver(&login);
    receiver.wait_for(10, "accepted");
    assert!(trial.device(&login).wait().success());
    assert!(receiver.terminate().success());
    trial.verify_all_arrived();
}

/// Runs a server, for ends that log in by a command line.
fn meet(through: impl FnOnce(&Trial, SocketAddr, &[&str])) {
    let port = free_port();
    let trial = Trial::new(PROGRAM, format!("127.0.0.1:{port}"), 1_200);
    let configuration = configure(trial.folder(), port, None);
    let _running = start(&configuration);
    let [right, _] = trial.passwords();
    through(&trial, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), &["--password", &right, "--patience", "1"]);
}

#[test]
#[ignore = "needs prosody"]
fn what_is_altered_on_the_way_to_the_server_is_refused_and_sent_again() {
    meet(|trial, server, login| {
        let (said, missing) = trial.survives_mischief(server, [login, login], 1);
        assert!(said.contains("refused") && missing == 0, "{missing} are missing:\n{said}");
    });
}

#[test]
#[ignore = "needs prosody"]
fn whatever_is_done_to_stanzas_on_the_way_to_the_server_is_refused_or_made_good() {
    meet(|trial, server, login| trial.survives_meddling(server, XmppFraming, [login, login]));
}

#[test]
fn a_missing_password_is_said() {
    let trial = Trial::new(PROGRAM, "127.0.0.1:9", 10);
    let device = trial.device(&[]);
    device.wait_for(1, "--password FILE is missing");
    assert_eq!(device.wait().code(), Some(1));
}
