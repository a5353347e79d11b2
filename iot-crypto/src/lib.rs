//! Signed and sealed envelopes: what leaves a device can be read by one reader alone, and only as what it was.
//!
//! A message is signed by its source for one reader, under one topic and at one position, and then sealed for that
//! reader. So nobody in between can read, forge or alter it; the reader itself cannot pass it on as if it had been
//! meant for another; and moved to another topic, repeated, or put in another place, it is refused.
//!
//! # What it does not do
//!
//! It draws no randomness, reads no clock, stores nothing and sends nothing: the caller hands all of that in. It
//! contains no cryptographic primitive of its own. It does not hide who seals how much to whom and when, though
//! [`Padding`] coarsens how much.
//!
//! # Example
//!
//! ```
//! use iot_core::{Incarnation, Position, StreamId, Timestamp, Topic};
//! use iot_crypto::*;
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//!
//! // In the field, the operating system's or the microcontroller's generator stands here.
//! let mut rng = ChaCha20Rng::from_seed([1; 32]);
//! let now = Timestamp::from_secs(1_767_225_600);
//!
//! // A server has two keys and publishes them in a bundle, which whoever knows its identity can check.
//! let server = SigningKey::generate(&mut rng);
//! let secrets = [AgreementSecret::generate(&mut rng)];
//! let bundle = KeyBundle::issue(&server, secrets[0].public(), 1, Timestamp::from_secs(1_770_000_000))?;
//!
//! // A device checks the bundle, signs a reading and seals it for the server.
//! let device = SigningKey::generate(&mut rng);
//! let source = device.verifying_key().device_id();
//! let reader = KeyBundle::verify(&bundle, &server.verifying_key().device_id(), now)?;
//! let incarnation = Incarnation::from_bytes(*b"a chance");
//! let position = Position { source, stream: StreamId::new(0), incarnation, sequence: 0 };
//! let heading = Heading { topic: Topic::new("plant/7/boiler/12")?, position };
//! let mut message = Sealer::new(source, &device, reader).seal(&heading, b"21.5 Cel", now, &mut rng)?;
//!
//! // The server listens to that device alone, and remembers what it accepted of at most 1,000 streams.
//! let seen: Trackers = Trackers::new(1_000, 4)?;
//! let mut opener = Opener::new(&secrets, device.verifying_key(), seen);
//! let opened = opener.open(Some(heading.topic), &mut message, &mut [0; 512])?;
//! assert_eq!((opened.payload(), opened.heading()), (&b"21.5 Cel"[..], &heading));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How to drive it
//!
//! A sender checks the bundle of its reader with [`KeyBundle::verify`], makes a [`Sealer`], and gives each payload a
//! new sequence number. A reader gives [`Opener::open`] the octets as they came, with the topic as the transport says
//! it; a [`Verified`] comes back or nothing. [`RoutingHeader::parse`] tells a queue or a gateway where a message
//! stands, without keys. [`cose::Sign1`] signs other things, each kind with external data of its own.
//!
//! Many small messages for one reader travel in a [`stream`], which a sealed message opens. A reader that may have
//! forgotten what it accepted asks a source where it stands, by a [`Challenge`].
//!
//! Two parties that can talk to each other agree on keys in a session (feature `session`), which can be the root of
//! streams.
//!
//! A [`group`] has one key for many members, whose publishers sign what they write in batches.
//!
//! [`MultiSealer`] seals one message for several readers, and [`Publisher`] signs one for everybody; a [`Policy`] says
//! what a reader admits.
//!
//! Keys come and go as [`CoseKey`] objects, and lie in a `KeyFile` on a host. A secure element stands behind [`Signer`]
//! and [`Agreement`], and may refuse; one that answers later signs in two steps ([`Sealer::begin`],
//! [`MultiSealer::begin`], [`Publisher::begin`], [`BundleDraft::begin`], [`Succession::begin`], [`Answer::begin`],
//! [`stream::Skipped::begin`], [`group::Batch::begin`], [`cose::Sign1::prepare`]) and opens with an [`Agreed`]. Only
//! the manager of a group and structures with several signatures wait for their signers. A device that rotates its
//! signing key extends its [`Succession`], and whoever knows the device keeps a [`KnownDevice`], which refuses a thief
//! who rotates first.
//!
//! # Attacks
//!
//! `docs/security.md` in the repository lists what is defended, with the test that shows it and fails without the
//! defence, and what is not: among others a Cortex-M3's variable-time multiply, storage that is cloned at the sender,
//! and quantum computers, which X-Wing alone withstands.
//!
//! What holds a secret here wipes it when it is dropped: keys, plaintexts that were refused, buffers that waited for a
//! signature, and the states of the hashes and ciphers that took a secret in. What is not wiped: copies that a move or
//! a register leaves, the intermediate keys that `hpke` keeps on its stack, the round keys of AES (feature `x-wing`),
//! what `ring` (feature `fast-aead`) and `snow` (feature `session`) hold, and the buffers that a caller hands in.
//!
//! # Limits
//!
//! | what | limit |
//! | --- | --- |
//! | payload of a message | [`MAX_PAYLOAD_LEN`] octets |
//! | topic in a routing header | [`RoutingHeader::MAX_TOPIC_LEN`] octets |
//! | what a message adds to a payload of 20 octets | 165 octets (sequence number below 2²⁴, stream 0) |
//! | what a message of a stream adds to any payload | 21 octets (context of 2 octets, sequence number below 65,536) |
//! | readers of a message | [`MAX_READERS`], 128 octets each |
//! | what a message of a group adds to any payload | 55 octets (sequence number below 2²⁴, stream 0, epoch below 256) |
//! | messages of a signed batch of a group | [`group::SignedBatch::MAX_MESSAGES`], 32 octets each |
//! | key bundle | [`KeyBundle::MAX_LEN`] octets |
//! | rotations of a device's signing key | [`Succession::MAX_ROTATIONS`], in [`Succession::MAX_LEN`] octets |
//!
//! # Features
//!
//! - `alloc` (default): functions that return a vector. Without it nothing here allocates.
//! - `keyfile`: secrets at rest on hosts, locked with a password (Argon2id).
//! - `fast-aead`: `stream::Ring`, a faster cipher for servers that open many short messages; needs a C compiler.
//! - `session`: sessions by Noise IK and XX over datagrams and streams (the module `session`).
//! - `x-wing`: **experimental**, for hosts: messages that a quantum computer will not read ([`Suite`] has the row).
//! - `es256`: keys on P-256 and their signatures (ES256), because many secure elements have no Ed25519.
//!
//! # Panics
//!
//! None on any input. An `expect` stands only where a length was computed before.
//!
//! # Standards
//!
//! RFC 9052 and 9053 (COSE; `COSE_Sign1` §4.2, `COSE_Encrypt0` §5.2, `COSE_Encrypt` §5.1), RFC 9338
//! (countersignatures), RFC 9864 (Ed25519 as −19, ESP256 as −9), RFC 9679 (thumbprints), draft-ietf-cose-hpke-23
//! (HPKE-4 and HPKE-4-KE, 42 and 50), draft-ietf-cose-hpke-pq-pqt-01 (HPKE-9 and HPKE-9-KE, 56 and 57), RFC 9180 (HPKE,
//! base mode), RFC 8032 (Ed25519, verified strictly), RFC 7748 (X25519), RFC 8439 (ChaCha20-Poly1305), RFC 5869
//! (HKDF), RFC 8949 §4.2.1 (deterministic CBOR), Noise revision 34 (IK and XX).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(iot_fault)]
pub mod fault;

pub mod cose;
pub mod group;
#[cfg(feature = "session")]
pub mod session;
pub mod stream;

mod aead;
mod binding;
mod bundle;
mod challenge;
mod error;
mod key;
#[cfg(feature = "keyfile")]
mod keyfile;
mod opener;
mod policy;
mod routing;
mod sealer;
mod statement;
mod succession;
mod suite;
#[cfg(feature = "alloc")]
mod trackers;
#[cfg(test)]
mod vectors;
mod verified;

pub use crate::binding::Heading;
pub use crate::bundle::{BundleDraft, BundleError, KeyBundle};
pub use crate::challenge::{Answer, Challenge};
pub use crate::error::{BufferTooSmall, SignatureError};
#[cfg(feature = "es256")]
pub use crate::key::P256SigningKey;
pub use crate::key::{
    Agreed, AgreedSecret, Agreement, AgreementError, AgreementKey, AgreementSecret, CoseKey, CoseKeyError, CoseKeySet,
    KeyError, KeyKind, Operation, Signature, Signer, SignerError, SigningKey, Thumbprint, VerifyingKey,
};
#[cfg(feature = "x-wing")]
pub use crate::key::{XWingKey, XWingSecret};
#[cfg(feature = "keyfile")]
pub use crate::keyfile::{CostError, KeyFile, KeyFileCost, KeyFileError};
pub use crate::opener::{Directory, OpenError, Opener, OpenerStats, ReplayError, ReplayGuard, scratch_len};
pub use crate::policy::{Policy, PolicyError};
pub use crate::routing::{RoutingError, RoutingHeader, TopicError};
pub use crate::sealer::{
    Carries, MAX_PAYLOAD_LEN, MAX_READERS, MultiSealer, Padding, Publisher, SealError, Sealer, SignsElsewhere,
    UnsignedForSeveral, UnsignedMessage, UnsignedPublication,
};
pub use crate::statement::StatementError;
pub use crate::succession::{
    Commitment, ExtendError, FollowError, KnownDevice, RestoreKnownDeviceError, Succession, SuccessionError,
    UnsignedLink, UnverifiedSuccession,
};
pub use crate::suite::{Stability, Strength, Suite, SuiteRow};
#[cfg(feature = "alloc")]
pub use crate::trackers::{RestoreTrackerError, Trackers};
pub use crate::verified::{Audience, Proof, Verified};
