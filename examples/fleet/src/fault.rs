//! Faults that a test switches on to see the run fail. Exists only under `--cfg iot_fault`.

use iot_crypto::fault::{Check, switch_off};

/// The variable of the environment that names the fault; the run's processes inherit it.
const VARIABLE: &str = "FLEET_FAULT";

/// Switches off the check that the environment names.
pub fn apply() {
    match name().as_deref() {
        Some("signature") => switch_off(Check::Signature),
        Some("position") => switch_off(Check::Position),
        Some("expiry") => switch_off(Check::Expiry),
        Some("receiver-binding") => switch_off(Check::ReceiverBinding),
        _ => {}
    }
}

/// Whether the environment names this fault.
pub fn is(fault: &str) -> bool {
    name().as_deref() == Some(fault)
}

fn name() -> Option<String> {
    std::env::var(VARIABLE).ok()
}
