//! What the simulator is worth: with any one safeguard of the log switched off, it fails within a thousand seeds.
//!
//! Safeguards can be switched off only under `--cfg iot_fault`, so without it this builds itself once more, in a target
//! directory of its own, with that configuration. `iot_queue::fault` says what can be switched off.

#![cfg(feature = "sim")]

#[cfg(iot_fault)]
#[test]
fn each_safeguard_is_missed_within_a_thousand_seeds() {
    use iot_queue::fault::{self, Guard};
    use iot_queue::sim::{self, Config};

    let config = Config::default().shortenings(0);
    // All of them take a minute or two, where the first takes seconds.
    let most = if std::env::var_os("IOT_QUEUE_COUNT").is_some() { 1000 } else { 1 };
    let mut unnoticed = Vec::new();
    for guard in Guard::ALL {
        fault::switch_off(&[guard]);
        let failures: Vec<_> = (0..1000).filter_map(|seed| sim::run(seed, &config).err()).take(most).collect();
        match failures.first() {
            Some(first) => println!("| {guard:?} | {} | {} | {} |", first.seed + 1, failures.len(), first.violation),
            None => unnoticed.push(guard),
        }
    }
    assert!(unnoticed.is_empty(), "a thousand seeds do not notice that these are off: {unnoticed:?}");
}

#[cfg(not(iot_fault))]
#[test]
fn each_safeguard_is_missed_within_a_thousand_seeds() {
    use std::path::Path;
    use std::process::Command;

    let output = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--locked", "--features", "sim", "--test", "sim_power", "--target-dir"])
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("fault"))
        .args(["--", "--nocapture"])
        .env("RUSTFLAGS", "--cfg iot_fault")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo started this test, so it is there");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
