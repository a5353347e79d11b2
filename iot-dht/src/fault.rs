//! Defences that can be switched off, to show that an attack is real and that its test would notice. Exists only under
//! `--cfg iot_fault`, which no feature and no option sets.
//!
//! A test program is started with their names in [`VARIABLE`], as `tests/attacks.rs` does. Signatures and expiries are
//! switched off by [`iot_crypto::fault`].

extern crate std;

use std::sync::OnceLock;

/// Names the defences that are off, with commas between them.
pub const VARIABLE: &str = "IOT_DHT_FAULT";

/// What keeps an attack from succeeding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defence {
    /// Records are put to a region and asked for there, and not at the nodes closest to their keys.
    Region,
    /// A record belongs at the key that follows from its owner and its name.
    RecordKey,
    /// Requests of one address are limited.
    Rate,
    /// Who names nodes that do not answer is believed no further.
    Credit,
}

impl Defence {
    /// All of them, by the names that [`VARIABLE`] takes.
    const NAMES: &[(&str, Self)] =
        &[("region", Self::Region), ("record-key", Self::RecordKey), ("rate", Self::Rate), ("credit", Self::Credit)];
}

/// Whether the defence is switched off.
pub fn is_off(defence: Defence) -> bool {
    static OFF: OnceLock<u8> = OnceLock::new();
    let off = *OFF.get_or_init(|| {
        let named = std::env::var(VARIABLE).unwrap_or_default();
        named.split(',').filter(|name| !name.is_empty()).map(bit_of).sum()
    });
    off & 1 << defence as u8 != 0
}

/// A name that does not exist must not look like an attack that succeeded, so the process ends as no failed test does.
fn bit_of(name: &str) -> u8 {
    let known = Defence::NAMES.iter().find(|(known, _)| *known == name);
    known.map(|(_, defence)| 1 << *defence as u8).unwrap_or_else(|| std::process::abort())
}
