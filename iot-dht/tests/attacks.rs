//! Each attack succeeds once what defends against it is switched off: its test, which passes otherwise, then fails.
//!
//! That exists only under `--cfg iot_fault`, so this builds the tests once more with that configuration.

// The compiler is started by a script for `sh`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// The program and the name of each test, the variable that switches its defence off, and the defence.
const ATTACKS: &[[&str; 4]] = &[
    ["closest", "sybils_hide_a_record_from_kademlia_and_not_from_a_region", "IOT_DHT_FAULT", "region"],
    [
        "closest",
        "sybils_all_over_the_eighth_of_a_key_hide_a_record_from_kademlia_and_not_from_a_region",
        "IOT_DHT_FAULT",
        "region",
    ],
    ["closest", "colluders_hide_records_from_kademlia_and_hardly_any_from_a_region", "IOT_DHT_FAULT", "region"],
    ["closest", "liars_cost_a_search_hardly_any_requests", "IOT_DHT_FAULT", "credit"],
    ["simulated", "adversaries::forged_records_are_refused", "IOT_DHT_FAULT", "record-key"],
    ["simulated", "adversaries::altered_records_are_refused", "IOT_CRYPTO_FAULT", "signature"],
    ["simulated", "adversaries::expired_records_are_refused", "IOT_CRYPTO_FAULT", "expiry"],
    ["simulated", "adversaries::a_flooded_node_still_answers_others", "IOT_DHT_FAULT", "rate"],
    ["closest", "a_flood_is_answered_at_the_rate_that_one_address_may_ask", "IOT_DHT_FAULT", "rate"],
];

#[test]
#[ignore = "builds the tests once more, which takes minutes"]
fn every_attack_fails_and_succeeds_without_its_defence() {
    let programs = build_with_faults();
    for [target, test, variable, defence] in ATTACKS {
        let with = run(&programs[*target], test, variable, "");
        assert!(with.contains("1 passed; 0 failed"), "{test}: {with}");
        let without = run(&programs[*target], test, variable, defence);
        // It must be the test itself that notices, and not what prepares it.
        let is_noticed = without.contains("0 passed; 1 failed") && without.contains("panicked at iot-dht/tests/");
        assert!(is_noticed, "without {defence}, {test} ends so: {without}");
    }
}

fn build_with_faults() -> BTreeMap<String, PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["test", "--no-run", "--quiet", "--locked", "--features", "sim", "--message-format", "json"])
        .args(["--test", "closest", "--test", "simulated", "--config", "profile.dev.debug=false"])
        .arg("--target-dir")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap())
        .env("RUSTC_WORKSPACE_WRAPPER", compiler_with_faults())
        .current_dir(CRATE)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the build with faults failed");
    let lines = String::from_utf8(output.stdout).unwrap();
    let programs = lines.lines().filter_map(|line| line.split_once(r#""executable":""#)?.1.split('"').next());
    let of_target = programs.filter_map(|program| {
        let path = PathBuf::from(program);
        let target = path.file_name()?.to_str()?.rsplit_once('-')?.0.to_owned();
        Some((target, path))
    });
    of_target.collect()
}

/// The compiler, with the configuration added. Cargo starts it so for the crates of the workspace alone, and keeps what
/// it builds apart; everything from outside is built already, in the same target directory.
fn compiler_with_faults() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rustc-with-faults");
    std::fs::write(&path, "#!/bin/sh\nexec \"$@\" --cfg iot_fault\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn run(program: &Path, test: &str, variable: &str, without: &str) -> String {
    let Output { stdout, .. } =
        Command::new(program).args(["--exact", test]).env(variable, without).current_dir(CRATE).output().unwrap();
    String::from_utf8_lossy(&stdout).into_owned()
}
