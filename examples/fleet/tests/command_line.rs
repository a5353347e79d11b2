//! What a person can get wrong is said in words, with exit status 2, before anything begins.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;
use std::process::{Command, Output};

fn fleet(folder: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleet"));
    command.args(arguments).env_remove("CARGO_TARGET_DIR").current_dir(folder).output().unwrap()
}

fn refusal(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letters.csv"), "# one\n# two\ntime,a\n2016-01-01T00:00:00Z,abc\n").unwrap();
    std::fs::write(folder.path().join("ragged.csv"), "time,a\n2016-01-01T00:00:00Z,1,2\n").unwrap();
    let output = fleet(folder.path(), arguments);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(!folder.path().join("target/fleet/processes/server.cbor").exists(), "something was begun");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn names_the_line_that_is_no_number() {
    assert_eq!(
        refusal(&["--input", "letters.csv"]),
        "fleet: letters.csv: line 4: \"abc\" in column \"a\" is not a number\n"
    );
    assert!(refusal(&["--input", "ragged.csv"]).contains("line: 2"));
    assert!(refusal(&["--input", "absent.csv"]).starts_with("fleet: absent.csv: "));
}

#[test]
fn names_the_port_that_is_taken() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let words = refusal(&["--port", &port.to_string()]);
    assert!(words.starts_with(&format!("fleet: port {port} on 127.0.0.1 cannot be had")), "{words}");
}

#[test]
fn refuses_what_it_does_not_know() {
    assert!(refusal(&["--nodes", "12"]).contains("--nodes takes a number from 128 to 1024, not 12"));
    assert!(refusal(&["--frobnicate"]).contains("--frobnicate"));
}

#[test]
fn explains_itself() {
    let output = fleet(&std::env::temp_dir(), &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    for option in ["--input", "--devices", "--nodes", "--port", "--seed", "--no-progress"] {
        assert!(help.contains(option), "{option}");
    }
}
