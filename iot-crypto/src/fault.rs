//! Checks that a test can switch off, to show that it would notice. Exists only under `--cfg iot_fault`, which no
//! feature and no option sets.
//!
//! A test program switches checks off by [`switch_off`], or is started with their names in [`VARIABLE`]: so does
//! `tests/threats.rs` with the tests that `docs/security.md` names.

extern crate std;

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;

/// Names the checks that are off from the start, with commas between them.
pub const VARIABLE: &str = "IOT_CRYPTO_FAULT";

/// A check, or whatever else keeps an attack from succeeding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Signatures, of messages, bundles and records.
    Signature,
    /// Positions: replay protection.
    Position,
    /// Expiry of key bundles and of records.
    Expiry,
    /// The binding of a signature to the reader that it was made for.
    ReceiverBinding,
    /// Commitments of a device's key to its successor.
    Commitment,
    /// The binding of a signature to what is around it: a cipher, or nothing.
    FormBinding,
    /// The binding of a signature to the topic.
    TopicBinding,
    /// The binding of a signature to the source and the place among its messages.
    PositionBinding,
    /// What a cipher authenticates beside its text: the routing header, and who the readers are.
    ExternalData,
    /// The binding of a stream's keys to its ends, topic and incarnation.
    StreamBinding,
    /// The commitment of an envelope for several readers to its content key.
    KeyCommitment,
    /// Algorithms stand in protected headers alone.
    ProtectedAlgorithm,
    /// No label stands twice in a header.
    Labels,
    /// The weakest suite that is accepted of a peer.
    Floor,
    /// The weakest proof that is accepted.
    Proof,
    /// The freshness that a policy demands.
    Freshness,
    /// Numbers that a reader drew, and which come back in an answer.
    Challenge,
    /// Numbers are reserved before they are used.
    Reservation,
    /// Points of small order.
    SmallOrder,
    /// Padding makes messages of one length.
    Padding,
    /// Padding says nothing.
    PaddingOctets,
    /// Each key numbers its own bundles.
    BundleNumbers,
    /// One number has one bundle.
    BundleDigest,
    /// How much work a key file may ask for.
    KeyFileCost,
    /// How many keys are derived for a message that is not verified yet.
    GenerationLimit,
    /// The hash of a message in its publisher's batch.
    BatchHash,
    /// That epochs of a group only rise.
    EpochFloor,
    /// Who leaves a group is no reader of its next epoch.
    Removal,
    /// Each epoch of a group has a secret of its own.
    EpochSecret,
    /// A responder waits until the initiator shows that it has the keys.
    KeyConfirmation,
    /// The static key of a handshake is that of the bundle shown in it.
    StaticKey,
    /// The two directions of a session have different keys.
    DirectionKeys,
}

impl Check {
    /// All checks, by the names that [`VARIABLE`] takes.
    const NAMES: &[(&str, Self)] = &[
        ("signature", Self::Signature),
        ("position", Self::Position),
        ("expiry", Self::Expiry),
        ("receiver-binding", Self::ReceiverBinding),
        ("commitment", Self::Commitment),
        ("form-binding", Self::FormBinding),
        ("topic-binding", Self::TopicBinding),
        ("position-binding", Self::PositionBinding),
        ("external-data", Self::ExternalData),
        ("stream-binding", Self::StreamBinding),
        ("key-commitment", Self::KeyCommitment),
        ("protected-algorithm", Self::ProtectedAlgorithm),
        ("labels", Self::Labels),
        ("floor", Self::Floor),
        ("proof", Self::Proof),
        ("freshness", Self::Freshness),
        ("challenge", Self::Challenge),
        ("reservation", Self::Reservation),
        ("small-order", Self::SmallOrder),
        ("padding", Self::Padding),
        ("padding-octets", Self::PaddingOctets),
        ("bundle-numbers", Self::BundleNumbers),
        ("bundle-digest", Self::BundleDigest),
        ("key-file-cost", Self::KeyFileCost),
        ("generation-limit", Self::GenerationLimit),
        ("batch-hash", Self::BatchHash),
        ("epoch-floor", Self::EpochFloor),
        ("removal", Self::Removal),
        ("epoch-secret", Self::EpochSecret),
        ("key-confirmation", Self::KeyConfirmation),
        ("static-key", Self::StaticKey),
        ("direction-keys", Self::DirectionKeys),
    ];

    const fn bit(self) -> u64 {
        1 << self as u64
    }
}

static OFF: AtomicU64 = AtomicU64::new(0);

/// Switches a check off for the whole process.
pub fn switch_off(check: Check) {
    OFF.fetch_or(check.bit(), Ordering::SeqCst);
}

/// Whether the check is switched off.
pub fn is_off(check: Check) -> bool {
    (OFF.load(Ordering::SeqCst) | off_from_the_start()) & check.bit() != 0
}

fn off_from_the_start() -> u64 {
    static BITS: OnceLock<u64> = OnceLock::new();
    *BITS.get_or_init(|| {
        let named = std::env::var(VARIABLE).unwrap_or_default();
        named.split(',').filter(|name| !name.is_empty()).map(bit_of).sum()
    })
}

/// A name that does not exist must not look like an attack that succeeded, so the process ends as no failed test does.
fn bit_of(name: &str) -> u64 {
    let known = Check::NAMES.iter().find(|(known, _)| *known == name);
    known.map(|(_, check)| check.bit()).unwrap_or_else(|| std::process::abort())
}
