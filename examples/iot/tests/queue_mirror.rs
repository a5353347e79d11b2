//! `iot queue mirror` and `receive`, from outside.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const ORIGIN: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const IOT: &str = env!("CARGO_BIN_EXE_iot");

fn iot(arguments: &[&str], path: &Path, input: &[u8]) -> Output {
    let mut iot = Command::new(IOT);
    iot.arg("queue").arg(arguments[0]).arg(path).args(&arguments[1..]);
    let mut child = iot.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn create(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    printed(&iot(&["create", "--segment-len", "65536", "--segments", "8"], &path, b""));
    path
}

fn lines(numbers: std::ops::Range<u32>) -> Vec<u8> {
    numbers.flat_map(|number| format!("reading {number}\n").into_bytes()).collect()
}

/// The payloads in a queue, without their offsets and positions.
fn payloads(path: &Path) -> Vec<u8> {
    let dump = printed(&iot(&["dump"], path, b""));
    dump.lines().flat_map(|line| format!("{}\n", line.rsplit('\t').next().unwrap()).into_bytes()).collect()
}

fn depth(path: &Path) -> String {
    let json = printed(&iot(&["stat", "--json"], path, b""));
    json.split("\"depth\": ").nth(1).unwrap().split(',').next().unwrap().into()
}

#[test]
fn a_queue_goes_into_another_directory_once_however_often_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (create(folder.path(), "source"), create(folder.path(), "target"));
    let to = target.to_str().unwrap();
    printed(&iot(&["append"], &source, &lines(0..300)));
    assert_eq!(printed(&iot(&["mirror", "--to", to, "--copy", "archive"], &source, b"")), "300 entries, up to 300\n");
    assert_eq!((depth(&source).as_str(), depth(&target).as_str()), ("300", "300"));
    printed(&iot(&["append"], &source, &lines(300..310)));
    // Another name, another place; the target knows what it has.
    assert_eq!(printed(&iot(&["mirror", "--to", to, "--copy", "other"], &source, b"")), "10 entries, up to 310\n");
    assert_eq!(printed(&iot(&["mirror", "--to", to], &source, b"")), "0 entries, up to 310\n");
    assert_eq!(payloads(&target), lines(0..310));
    printed(&iot(&["append"], &source, &lines(310..320)));
    assert_eq!(printed(&iot(&["mirror", "--to", to], &source, b"")), "10 entries, up to 320\n");
    assert_eq!(payloads(&target), lines(0..320));
    assert_eq!(depth(&source), "0", "what has arrived is acknowledged");
}

struct Receiver {
    child: Child,
    address: String,
}

impl Receiver {
    fn start(path: &Path, listen: &str) -> Self {
        let mut iot = Command::new(IOT);
        iot.args(["queue", "receive", "--listen", listen]).arg(path);
        let mut child = iot.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{said}")).into();
        Self { child, address }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_queues_go_over_tcp_into_one_whose_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (create(folder.path(), "a"), create(folder.path(), "b"));
    let target = create(folder.path(), "target");
    let receiver = Receiver::start(&target, "127.0.0.1:0");
    let address = receiver.address.clone();
    let to = format!("tcp:{address}");
    printed(&iot(&["append"], &a, &lines(0..200)));
    printed(&iot(&["append"], &b, &lines(1000..1100)));
    assert_eq!(printed(&iot(&["mirror", "--to", &to], &a, b"")), "200 entries, up to 200\n");
    assert_eq!(printed(&iot(&["mirror", "--to", &to], &b, b"")), "100 entries, up to 100\n");
    drop(receiver);

    // Nobody is there: it says so, and has lost nothing.
    printed(&iot(&["append"], &a, &lines(200..250)));
    let refused = iot(&["mirror", "--to", &to, "--patience", "0"], &a, b"");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(depth(&a), "50");
    // It waits for the receiver to come back, which finds in its queue what it has.
    let waiting = std::thread::spawn({
        let (a, to) = (a.clone(), to.clone());
        move || iot(&["mirror", "--to", &to, "--patience", "60"], &a, b"")
    });
    let receiver = Receiver::start(&target, &address);
    assert_eq!(printed(&waiting.join().unwrap()), "50 entries, up to 250\n");
    assert_eq!(printed(&iot(&["mirror", "--to", &to, "--copy", "again"], &b, b"")), "0 entries, up to 100\n");
    drop(receiver);
    assert_eq!(payloads(&target), [lines(0..200), lines(1000..1100), lines(200..250)].concat());
}

/// Nothing told which copies hold a queue's messages, and nothing ended one: a queue with a forgotten copy got full.
#[test]
fn a_copy_that_is_forgotten_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (create(folder.path(), "source"), create(folder.path(), "target"));
    printed(&iot(&["append"], &source, &lines(0..10)));
    printed(&iot(&["mirror", "--to", target.to_str().unwrap(), "--copy", "archive"], &source, b""));
    printed(&iot(&["append"], &source, &lines(10..15)));
    let json = || printed(&iot(&["stat", "--json"], &source, b""));
    assert!(json().contains("\"cursors\": 1, \"cursor_lag\": 5,"), "{}", json());
    let missing = iot(&["mirror", "--forget", "other"], &source, b"");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("there is no copy \"other\""));
    printed(&iot(&["mirror", "--forget", "archive"], &source, b""));
    assert!(json().contains("\"depth\": 15,") && json().contains("\"cursors\": 0, \"cursor_lag\": 0,"), "{}", json());
}

/// A mirror tried an address that is none again and again, for a minute, as one where nobody is yet.
#[test]
fn what_is_wrong_with_the_arguments_names_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (create(folder.path(), "source"), create(folder.path(), "target"));
    let to = target.to_str().unwrap();
    printed(&iot(&["append"], &source, &lines(0..10)));
    let wrong: [&[&str]; 25] = [
        &["mirror", "--to", "tcp:"],
        &["mirror", "--to", "tcp:localhost"],
        &["mirror", "--to", "tcp::80"],
        &["mirror", "--to", "tcp:localhost:0"],
        &["mirror", "--to", "tcp:localhost:99999"],
        &["mirror", "--to", "tcp:::1"],
        &["mirror", "--to", "tcp:[::1:80"],
        &["mirror", "--copy", "", "--to", to],
        &["mirror", "--forget", "archive", "--to", to],
        &["mirror", "--patience", "many", "--to", to],
        &["mirror", "--patience", "-1", "--to", to],
        &["mirror", "--patience", "1e300", "--to", to],
        &["mirror", "--ids", "many", "--to", to],
        &["mirror", "--sources", "100000", "--to", to],
        // Options that change nothing were taken, and passed over.
        &["mirror", "--copy", "archive", "--forget", "archive"],
        &["mirror", "--origin", ORIGIN, "--forget", "archive"],
        &["mirror", "--sources", "1", "--forget", "archive"],
        &["mirror", "--ids", "1", "--forget", "archive"],
        &["mirror", "--patience", "1", "--forget", "archive"],
        &["mirror", "--sources", "1", "--to", "tcp:127.0.0.1:1"],
        &["mirror", "--ids", "1", "--to", "tcp:127.0.0.1:1"],
        &["mirror", "--patience", "1", "--to", to],
        &["receive", "--listen", "foo"],
        &["receive", "--connections", "0", "--listen", "127.0.0.1:0"],
        &["receive", "--sources", "100000", "--listen", "127.0.0.1:0"],
    ];
    for arguments in wrong {
        let refused = iot(arguments, &source, b"");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with(&format!("iot: {}", arguments[1])), "{arguments:?}: {said}");
    }
    assert_eq!((depth(&source).as_str(), depth(&target).as_str()), ("10", "0"));
    // Where it reads as an address, and nobody is there, the arguments are not at fault.
    for to in ["tcp:127.0.0.1:1", "tcp:[::1]:1", "tcp:localhost:1"] {
        let refused = iot(&["mirror", "--to", to, "--patience", "0"], &source, b"");
        assert_eq!(refused.status.code(), Some(1), "{to}: {refused:?}");
    }
}

#[test]
fn a_copy_that_was_set_back_is_not_forwarded_over_what_was() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (create(folder.path(), "source"), create(folder.path(), "target"));
    let old = folder.path().join("old");
    std::fs::create_dir(&old).unwrap();
    printed(&iot(&["append"], &source, &lines(0..10)));
    for file in std::fs::read_dir(&source).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), old.join(file.file_name())).unwrap();
    }
    printed(&iot(&["append"], &source, &lines(10..20)));
    printed(&iot(&["mirror", "--to", target.to_str().unwrap()], &source, b""));
    printed(&iot(&["append"], &old, b"something else\n"));
    let refused = iot(&["mirror", "--to", target.to_str().unwrap()], &old, b"");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8(refused.stderr).unwrap().contains("that this queue never sent there"));
    assert_eq!(payloads(&target), lines(0..20));
}
