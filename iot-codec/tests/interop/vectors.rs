//! Scripts that were written from the pages of the formats make the vectors anew, or read them.

use std::process::Command;

/// `tests/interop/series.py` shares no code with the crate.
#[test]
#[ignore = "needs python3"]
fn python_reads_the_vectors_of_series() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/series.py");
    let output = Command::new("python3").arg(script).output().expect("python3 is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let batches = include_str!("../vectors/series.txt").lines().filter(|line| line.starts_with("blob:")).count();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(batches > 0 && said.starts_with(&format!("{batches} batches")), "{said}");
}

/// The frames of `tests/vectors/fragment.txt` and `framing.txt`, made anew by their scripts.
#[test]
#[ignore = "needs python3"]
fn python_makes_the_vectors_of_frames_anew() {
    for name in ["fragment", "framing"] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/");
        let output = Command::new("python3").arg(format!("{folder}{name}.py")).output().expect("python3 is installed");
        let kept = std::fs::read_to_string(format!("{folder}{name}.txt")).expect("the vectors are there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), kept.trim(), "{name}");
    }
}
