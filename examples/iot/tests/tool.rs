//! What the tool prints, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn iot(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iot"));
    let streams = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = streams.spawn().unwrap();
    // A command that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complaint(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn validates_deterministic_cbor_and_says_where_it_is_not() {
    assert_eq!(printed(&iot(&["cbor", "validate", "-"], &[0xa1, 0x01, 0x02])), "");
    let refused = iot(&["cbor", "validate", "-"], &[0xa2, 0x02, 0x00, 0x01, 0x00]);
    assert_eq!(complaint(&refused, 1), "iot: map keys are not sorted at offset 3\n");
    assert!(complaint(&iot(&["cbor", "validate", "absent"], b""), 1).starts_with("iot: absent: "));
}

#[test]
fn prints_a_line_for_each_item_of_a_sequence() {
    let sequence = [0x83, 0x01, 0xf9, 0x3c, 0x00, 0x61, b'x', 0xbf, 0x01, 0x02, 0xff];
    assert_eq!(printed(&iot(&["cbor", "diag", "-"], &sequence)), "[1, 1.0, \"x\"]\n{_ 1: 2}\n");
    assert!(complaint(&iot(&["cbor", "diag", "-"], &[0x82, 0x01]), 1).contains("in the item at 0"));
}

#[test]
fn a_csv_comes_back_from_its_batches() {
    let table = "when,a,b[%]\n2016-01-01T00:00:00Z,-7.6,\n2016-01-01T00:01:00Z,-0.0,1e300\n\
                 2016-01-01T00:01:00.5Z,,0.1\n2015-12-31T23:00:00Z,5.0,1e-7\n";
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("batches");
    let out = out.to_str().unwrap();
    let shown = printed(&iot(&["series", "-", "--batch", "3", "--out", out], table.as_bytes()));
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert_eq!(printed(&iot(&["series", "--decode", out], b"")), table);
    assert!(complaint(&iot(&["series", "-", "--out", out], table.as_bytes()), 1).contains("exists"));
}

#[test]
fn the_shipped_day_comes_back_and_is_smaller_than_zstd() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fleet/data/surfrad-alamosa-2016-01-01.csv");
    let (folder, day) = (tempfile::tempdir().unwrap(), std::fs::read_to_string(&path).unwrap());
    let out = folder.path().join("day");
    let out = out.to_str().unwrap();
    let shown = printed(&iot(&["series", path.to_str().unwrap(), "--out", out], b""));
    for row in shown.lines().skip(1) {
        let figures: Vec<f64> = row.split_whitespace().rev().take(3).map(|figure| figure.parse().unwrap()).collect();
        assert!(figures[2] < figures[1] && figures[2] < figures[0], "{row}");
    }
    let decoded = printed(&iot(&["series", "--decode", out], b""));
    let rows = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split(',').map(str::to_owned).collect()).collect()
    };
    let (sent, got) = (rows(&day), rows(&decoded));
    assert_eq!((sent.len(), &sent[0]), (got.len(), &got[0]));
    for (sent, got) in sent.iter().zip(&got).skip(1) {
        assert_eq!(sent[0], got[0]);
        let bits = |field: &String| field.parse::<f64>().ok().map(f64::to_bits);
        assert!(sent.iter().zip(got).skip(1).all(|(sent, got)| bits(sent) == bits(got)), "{sent:?} {got:?}");
    }
}

#[test]
fn simulates_a_link_that_loses_frames() {
    let shown = printed(&iot(&["fragment", "sim", "--trials", "3000", "--seed", "7"], b""));
    assert!(shown.contains("frames        20, of which any 10 suffice"), "{shown}");
    let arrived: u32 = shown.split("arrived       ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(arrived >= 2_985, "{shown}");
    let without_loss = printed(&iot(&["fragment", "sim", "--loss", "0", "--trials", "50"], b""));
    assert!(without_loss.contains("50 of 50"), "{without_loss}");
}

#[test]
fn what_is_wrong_with_the_arguments_ends_with_2() {
    let wrong: [&[&str]; 6] = [
        &["frobnicate"],
        &["cbor"],
        &["cbor", "validate"],
        &["series", "-", "--batch", "0"],
        &["fragment", "sim", "--loss", "1"],
        &["fragment", "sim", "--mtu", "many"],
    ];
    for arguments in wrong {
        assert!(complaint(&iot(arguments, b""), 2).contains("'iot --help' explains"), "{arguments:?}");
    }
    assert!(printed(&iot(&["--help"], b"")).contains("fragment sim"));
    let of_one = printed(&iot(&["queue", "reserve", "somewhere", "--help"], b""));
    assert!(of_one.starts_with("  queue reserve DIR") && of_one.contains("--hold"), "{of_one}");
    assert!(!of_one.contains("queue ack DIR") && !of_one.contains("fragment"), "{of_one}");
    assert!(printed(&iot(&["cbor", "-h"], b"")).contains("cbor diag FILE"));
}

#[test]
fn oddities_of_csv_are_read_or_named_with_their_line() {
    // Carriage returns, quotes around a number and in a name, spaces, a line of comment, no last newline.
    let odd =
        "when,\"a, \"\"b\"\"\",c\r\n# a comment\r\n2016-01-01T00:00:00Z,\"1.50\", 2 \r\n2016-01-01T01:00:00+01:00,,-0";
    let plain = "when,\"a, \"\"b\"\"\",c\n2016-01-01T00:00:00Z,1.5,2.0\n2016-01-01T00:00:00Z,,-0.0\n";
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("batches");
    let out = out.to_str().unwrap();
    printed(&iot(&["series", "-", "--out", out], odd.as_bytes()));
    assert_eq!(printed(&iot(&["series", "--decode", out], b"")), plain);

    let refused = |text: &str| complaint(&iot(&["series", "-"], text.as_bytes()), 1);
    let row = "when,a,b\n2016-01-01T00:00:00Z,1,2\n";
    assert!(refused(&format!("{row}2016-01-01T00:01:00Z,1,cloudy\n")).contains("line 3: \"cloudy\" in column \"b\""));
    assert!(refused(&format!("{row}2016-01-01T00:01:00Z,1\n")).contains("line: 3"));
    assert!(refused(&format!("{row}yesterday,1,2\n")).contains("line 3: \"yesterday\" is not an RFC 3339 time"));
    assert!(refused("when\n2016-01-01T00:00:00Z\n").contains("no column beside the time"));
    // A column of words does not stand in the way of another one.
    let words = "when,a,b\n2016-01-01T00:00:00Z,1,\"sunny,\nwarm\"\n";
    assert!(refused(words).contains("line 2: \"sunny,\\nwarm\" in column \"b\" is not a number"));
    assert!(printed(&iot(&["series", "-", "--column", "a"], words.as_bytes())).contains("\na "));
    assert!(complaint(&iot(&["series", "-", "--column", "c"], words.as_bytes()), 2).contains("no column \"c\""));
}

/// `queue dump | head` ended with an error about the pipe, and what printed lines panicked.
#[cfg(unix)]
#[test]
fn a_command_whose_output_nobody_reads_ends_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let queue = folder.path().join("queue");
    let queue = queue.to_str().unwrap();
    printed(&iot(&["queue", "create", queue, "--segment-len", "4096", "--segments", "2"], b""));
    printed(&iot(&["queue", "append", queue], b"one\ntwo\n"));
    let commands: [&[&str]; 10] = [
        &["--help"],
        &["cbor", "diag", "-"],
        &["envelope", "inspect", "--help"],
        &["fragment", "sim", "--trials", "1"],
        &["queue", "append", queue],
        &["queue", "dump", queue],
        &["queue", "dump", "--frames", queue],
        &["queue", "reserve", queue],
        &["queue", "stat", queue],
        &["queue", "verify", queue],
    ];
    for arguments in commands {
        // Not a pipe: what another test starts meanwhile would hold its other end open for a moment.
        let (unread, output) = std::os::unix::net::UnixStream::pair().unwrap();
        unread.shutdown(std::net::Shutdown::Both).unwrap();
        let output = std::os::fd::OwnedFd::from(output);
        let mut command = Command::new(env!("CARGO_BIN_EXE_iot"));
        let streams = command.args(arguments).stdin(Stdio::piped()).stdout(output).stderr(Stdio::piped());
        let mut child = streams.spawn().unwrap();
        // A command that does not read may have ended.
        let _ = child.stdin.take().unwrap().write_all(&[0x01]);
        assert_eq!(complaint(&child.wait_with_output().unwrap(), 141), "", "{arguments:?}");
    }
    // What was appended was durable before it was said.
    assert_eq!(printed(&iot(&["queue", "verify", queue], b"")), "3 messages are whole\n");
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_takes_nothing_is_named() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_iot")).arg("--help").stdout(full).output().unwrap();
    assert!(complaint(&output, 1).starts_with("iot: standard output: "), "{output:?}");
}
