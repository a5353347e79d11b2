//! Checks that a test can switch off, to show that it would notice. Exists only under `--cfg iot_fault`, which no
//! feature and no option sets.

use core::sync::atomic::{AtomicU8, Ordering};

/// A check of the envelope or record path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Ed25519 signatures, of messages, bundles and records.
    Signature = 1,
    /// Positions: replay protection.
    Position = 2,
    /// Expiry of key bundles and of records.
    Expiry = 4,
    /// The binding of a signature to the reader that it was made for.
    ReceiverBinding = 8,
    /// Commitments of a device's key to its successor.
    Commitment = 16,
    /// The hash of a message in its publisher's batch.
    BatchHash = 32,
    /// That epochs of a group only rise.
    EpochFloor = 64,
}

static OFF: AtomicU8 = AtomicU8::new(0);

/// Switches a check off for the whole process.
pub fn switch_off(check: Check) {
    OFF.fetch_or(check as u8, Ordering::SeqCst);
}

/// Whether the check is switched off.
pub fn is_off(check: Check) -> bool {
    OFF.load(Ordering::SeqCst) & check as u8 != 0
}
