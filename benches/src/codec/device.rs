//! The programs of `benches/device`, for a Cortex-M3.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::report::Failure;

const TARGET: &str = "thumbv7m-none-eabi";

/// Builds a program and says where it lies: below the folder of this program's own target.
pub fn build(profile: &str, package: &str, program: &str, features: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).ok_or("this program lies in no folder of cargo's")?.join("device");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked", "--target", TARGET, "--profile", profile]);
    command.args(["--package", package, "--bin", program, "--features", features]).arg("--target-dir").arg(&target);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("device"));
    // Meant for the host, if set.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = command.output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let reason = text.lines().find(|line| line.starts_with("error")).unwrap_or("cargo says nothing").trim();
        return Err(format!("{program} does not build for {TARGET} (rustup target add {TARGET}?): {reason}").into());
    }
    Ok(target.join(TARGET).join(profile).join(program))
}

/// What the firmware prints in qemu, line by line, if all its checks held.
pub fn run_firmware(profile: &str) -> Result<Vec<String>, Failure> {
    let program = build(profile, "device-firmware", "device-firmware", "")?;
    let mut command = Command::new("qemu-system-arm");
    command.args(["-M", "lm3s6965evb", "-nographic", "-semihosting", "-kernel"]).arg(program);
    let output = command.output().map_err(|error| format!("qemu-system-arm does not start: {error}"))?;
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(ToOwned::to_owned).collect();
    if !output.status.success() {
        return Err(format!("the firmware failed: {}", lines.join("; ")).into());
    }
    Ok(lines)
}
