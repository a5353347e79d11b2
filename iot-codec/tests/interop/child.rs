//! A program that others' libraries run in: it answers each line with a line.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Gives `lines` to `command`, and returns its lines.
pub fn ask(mut command: Command, lines: &[String]) -> Vec<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program is installed");
    let mut input = child.stdin.take().expect("it is piped");
    let output = std::thread::scope(|scope| {
        // Beside the reader, since neither pipe holds everything. A program that stops early says why itself.
        scope.spawn(move || lines.iter().try_for_each(|line| writeln!(input, "{line}")));
        child.wait_with_output().expect("it ends")
    });
    assert!(output.status.success(), "the program failed; its words stand above");
    let text = String::from_utf8(output.stdout).expect("it writes ASCII");
    let answers: Vec<_> = text.lines().map(String::from).collect();
    assert_eq!(answers.len(), lines.len(), "an answer for each line");
    answers
}

/// A script beside this file, for python3.
pub fn python(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(format!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/{}"), script));
    command
}
