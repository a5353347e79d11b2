//! The run must fail when it should: each fault that a test can switch on ends in `FAILED`.
//!
//! The faults exist only under `--cfg iot_fault`, so this builds the program once more, in a target directory of its
//! own, with that configuration.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What is switched off or done wrong, and what the last line must then complain about.
const FAULTS: [(&str, &str); 7] = [
    ("alter-reading", "readings were accepted that nobody sent"),
    ("drop-message", "readings are missing"),
    ("lose-message", "sequence numbers are missing"),
    ("signature", "readings were accepted that nobody sent"),
    ("position", "readings arrived twice"),
    ("expiry", "the thief of an expired key reads a receipt"),
    ("receiver-binding", "readings arrived twice"),
];

fn build_with_faults() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fault");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--package", "fleet", "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "--cfg iot_fault")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success(), "the build with faults failed");
    target.join("debug").join("fleet")
}

fn run(program: &Path, fault: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(program)
        .arg("--no-progress")
        .env("FLEET_FAULT", fault)
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(folder.path())
        .output()
        .unwrap()
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

/// All runs at once: each waits most of its time.
#[test]
fn every_fault_is_noticed_and_without_one_the_run_is_ok() {
    let program = build_with_faults();
    std::thread::scope(|scope| {
        let healthy = scope.spawn(|| run(&program, ""));
        let faulty = FAULTS.map(|(fault, complaint)| (fault, complaint, scope.spawn(|| run(&program, fault))));
        let healthy = healthy.join().unwrap();
        assert!(last_line(&healthy).starts_with("fleet: ok readings=11520 missing=0 "), "{healthy:?}");
        assert_eq!(healthy.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&healthy.stdout).starts_with("fleet: seed 1\n"), "{healthy:?}");
        for (fault, complaint, run) in faulty {
            let output = run.join().unwrap();
            let line = last_line(&output);
            assert!(line.starts_with("fleet: FAILED ") && line.contains(complaint), "{fault}: {line}");
            assert_eq!(output.status.code(), Some(1), "{fault}");
        }
    });
}
