//! A worker that is killed in the middle: every job is done, none is lost, and what always fails ends as a dead letter.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use iot_queue::{DeadLetter, FileStorage, Offset, Queue, QueueConfig};
use iot_trial::Program;

const PROGRAM: &str = env!("CARGO_BIN_EXE_worker");

/// Writes down what it reads. `flaky` fails at first, `bad` always; `slow` outlasts its lease three times over.
const COMMAND: &str = r#"read line; case "$line" in
    flaky*) [ -e "$0/$line" ] || { : > "$0/$line"; exit 1; };;
    bad*) exit 7;;
    slow*) sleep 1.5;;
esac; echo "$line" >> "$0/done""#;

fn work(folder: &Path) -> Program {
    let (queue, folder) = (folder.join("shop"), folder.to_str().unwrap());
    let (queue, options) = (queue.to_str().unwrap(), ["--lease", "0.5", "--attempts", "3", "--"]);
    Program::start(PROGRAM, &[&[queue][..], &options, &["sh", "-c", COMMAND, folder]].concat())
}

fn times(folder: &Path, text: &str) -> usize {
    let done = std::fs::read_to_string(folder.join("done")).unwrap_or_default();
    done.lines().filter(|line| *line == text).count()
}

#[test]
fn every_job_is_done_through_a_kill_and_failures_end_as_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut worker = work(folder);
    let plain: Vec<_> = (0..20).map(|number| format!("plain {number}")).collect();
    for line in ["slow 1", "flaky 1", "bad 1", "every=0.2 times=3 tick"] {
        worker.type_line(line);
    }
    plain.iter().for_each(|line| worker.type_line(line));
    worker.wait_for(24, "took");
    worker.wait_for(10, "done");
    worker.kill();

    let worker = work(folder);
    worker.wait_for(1, "2 given up after attempt 3: exit status: 7");
    assert!(worker.end_input().wait().success());
    for text in plain.iter().map(String::as_str).chain(["flaky 1", "slow 1"]) {
        // A kill between a command's end and its acknowledgement makes a job come again, and nothing else does.
        assert!((1..=2).contains(&times(folder, text)), "{text}: {}", times(folder, text));
    }
    // Both threads may have been at it.
    assert!((3..=5).contains(&times(folder, "tick")), "{}", times(folder, "tick"));

    let config = QueueConfig::default().segment_len(1 << 20).unwrap();
    let queue = Queue::open(FileStorage::open(folder.join("shop")).unwrap(), config, [7; 8]).unwrap();
    let letters: Vec<_> = queue.dead_letters(Offset::START).collect();
    let [DeadLetter { offset, attempts: 3, reason, .. }] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((offset.number(), &**reason), (2, "exit status: 7"));
}

#[test]
fn a_job_that_always_fails_does_not_end_its_schedule() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = work(folder.path());
    worker.type_line("every=0.2 times=2 bad 1");
    worker.wait_for(2, "given up after attempt 3: exit status: 7");
    assert!(worker.end_input().wait().success());
}

#[test]
fn a_lease_is_prolonged_while_a_command_runs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut worker = work(folder);
    worker.type_line("slow 1");
    worker.wait_for(1, "0 done at attempt 1");
    assert!(worker.terminate().success());
    assert_eq!(times(folder, "slow 1"), 1);
}

#[test]
fn a_job_is_not_done_before_its_time_nor_later_than_its_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (mut worker, start) = (work(folder), Instant::now());
    worker.type_line("after=1.2 late");
    worker.type_line("every=0.2 until=1 tick");
    worker.type_line("at once");
    worker.wait_for(1, "0 done");
    assert!(start.elapsed() >= Duration::from_millis(1200), "{:?}", start.elapsed());
    // It would never end if one of them came again and again.
    assert!(worker.end_input().wait().success());
    // Given at 0, and done at 0, 0.2 and so on, or less often where nobody has time.
    assert!((1..=6).contains(&times(folder, "tick")), "{}", times(folder, "tick"));
    assert_eq!(["late", "at once"].map(|text| times(folder, text)), [1, 1]);
}
