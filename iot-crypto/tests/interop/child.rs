//! The scripts beside this file, in which the libraries of others run.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Gives `lines` to a Python script, and returns what it writes.
pub fn python(script: &str, lines: &str) -> String {
    run("python3", script, lines)
}

/// Gives `lines` to a script, and returns what it writes. It reads everything before it writes anything.
pub fn run(program: &str, script: &str, lines: &str) -> String {
    let script = format!("{}/tests/interop/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(program);
    let child = child.arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{program} is installed: {error}"));
    // One that stops early says why itself.
    let written = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && written.is_ok(), "{script} disagrees; its words stand above");
    String::from_utf8(output.stdout).unwrap()
}

/// A field of a line. One without octets is a dash, so that the fields can be told apart.
pub fn hex(octets: &[u8]) -> String {
    if octets.is_empty() { "-".into() } else { octets.iter().map(|octet| format!("{octet:02x}")).collect() }
}

/// The octets of a field.
pub fn octets(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}
