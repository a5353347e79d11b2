//! Sessions: two parties that can talk to each other agree on keys that no later theft discloses.
//!
//! A handshake is Noise IK or XX (revision 34, `Noise_IK_25519_ChaChaPoly_SHA256` and the same of XX) over datagrams
//! or a stream. Each side shows its [key bundle](crate::KeyBundle) under the encryption of the handshake, and the
//! agreement key in it must be the static key that Noise authenticates: so a session is with a
//! [`DeviceId`](iot_core::DeviceId). Its keys then encrypt messages, or become the epochs of [streams](crate::stream).
//!
//! # What it does not do
//!
//! It opens no socket and has no clock and no randomness of its own. It does not frame messages on a stream; a
//! length-delimited framing does. It verifies no addresses: an answer is at most three times as long as what it
//! answers, and a cookie is the overlay's matter. Secret keys in secure elements are not supported here.
//!
//! It asks no [`Policy`](crate::Policy). Whom a session is with, [`Peer`] says, or the caller looks at
//! [`Session::peer`] before it believes anything. There is one suite, as strong as
//! [`Strength::Sealed`](crate::Strength::Sealed), and nothing on the wire chooses another: with a peer of whom more is
//! demanded, because what is recorded today must withstand a quantum computer, no session is begun. Topics, proof and
//! freshness are those of the messages, to which [`Policy::check`](crate::Policy::check) is applied where they come in
//! streams.
//!
//! # Example
//!
//! ```
//! use iot_core::{Instant, Timestamp};
//! use iot_crypto::session::*;
//! use iot_crypto::*;
//! # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//! # let mut rng = ChaCha20Rng::from_seed([1; 32]);
//! # let (today, expires) = (Timestamp::from_secs(1_767_225_600), Timestamp::from_secs(1_770_000_000));
//! # let (device, server) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
//! # let (device_secret, server_secret) = (AgreementSecret::generate(&mut rng), AgreementSecret::generate(&mut rng));
//! # let device_bundle = KeyBundle::issue(&device, device_secret.public(), 1, expires)?;
//! # let server_bundle = KeyBundle::issue(&server, server_secret.public(), 1, expires)?;
//! let context = Context::new(b"plant 7", today);
//! let now = Instant::from_micros(0);
//!
//! // The device knows the server's identity and bundle, and begins.
//! let known = KeyBundle::verify(&server_bundle, &server.verifying_key().device_id(), today)?;
//! let identity = Identity::new(&device_secret, &device_bundle);
//! let mut initiator = Initiator::begin(&identity, Peer::Bundle(&known), &context, now, &mut rng)?;
//! let first = initiator.poll_transmit().ok_or("nothing to send")?;
//!
//! // The server answers whoever comes, and looks at who it is afterwards.
//! let identity = Identity::new(&server_secret, &server_bundle);
//! let mut responder = Responder::answer(&first, &identity, Peer::Anyone, &context, now, &mut rng)?;
//! let second = responder.poll_transmit().ok_or("nothing to send")?;
//!
//! let Progress::Established(mut ours) = initiator.handle_message(now, &second)? else { return Err("refused".into()) };
//! let third = ours.poll_transmit().ok_or("nothing to send")?;
//! let Progress::Established(mut theirs) = responder.handle_message(&third)? else { return Err("refused".into()) };
//! assert_eq!(theirs.peer().device(), device.verifying_key().device_id());
//! let done = theirs.poll_transmit().ok_or("nothing to send")?;
//! assert_eq!(ours.handle_message(&done)?, None);
//!
//! let message = ours.send(b"21.5 Cel")?;
//! assert_eq!(theirs.handle_message(&message)?, Some(b"21.5 Cel".to_vec()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How to drive it
//!
//! After each input (a message, or the time that [`poll_timeout`](Initiator::poll_timeout) named) the caller sends what
//! `poll_transmit` gives until there is no more, and reads the timeout anew. Late, repeated and early calls do no harm.
//! The initiator alone sends by time. A handshake over datagrams passes over what it refuses, so neither noise nor a
//! forger without the keys ends it before the limit that [`Settings::with_max_refused`] sets; a handshake over a stream
//! ends with the first message refused. A server keeps [`Responder`]s in a bounded table by address and [`SessionId`],
//! and drops each at its timeout.
//!
//! # Whose stolen key allows what
//!
//! - *Any static keys, later*: the thief cannot read sessions that had ended. Both sides' ephemeral keys are in the
//!   keys (in XX, and in IK after the first message).
//! - *The responder's static key*: in IK the thief reads who asked (the initiator's bundle in the first message), also
//!   in old recordings, and can pretend to be the responder; but not *to the responder* to be somebody else, after the
//!   first message: the third needs keys that only the true initiator has.
//! - *The same, and the first message of IK*: the thief can forge one in anybody's name (key-compromise impersonation),
//!   which the responder answers. It does not become a session: [`Responder`] waits for the third message, so nothing
//!   is believed or told before it.
//! - *The initiator's static key*: the thief can pretend to be the initiator, but not *to the initiator* to be a
//!   responder: `es` needs the responder's key.
//! - *The initiator's first message of IK, recorded*: the thief can have it answered again. It does not become a
//!   session, as above.
//! - *A signing key*: the thief can issue bundles in the device's name for agreement keys of its own, until the device
//!   rotates.
//!
//! # Secrets in memory
//!
//! Keys of ours, ephemeral secrets, cipher keys and epoch secrets are wiped when dropped. `snow` keeps the chaining key
//! of a running handshake, and results of agreements on the stack, in memory that it does not wipe: who can read freed
//! memory of the process soon after a handshake may find the keys with which that session began.
//!
//! # Formats
//!
//! `docs/formats/session.md`.

mod established;
mod handshake;
mod identity;
mod initiator;
mod noise;
mod resolver;
mod responder;
mod retry;
mod settings;
mod transport;
mod wire;

pub use established::{Session, SessionError};
pub use handshake::{HandshakeError, Progress};
pub use identity::{Identity, Peer};
pub use initiator::Initiator;
pub use noise::Pattern;
pub use responder::Responder;
pub use settings::{Context, Link, SettingError, Settings};
pub use wire::{SessionId, is_first};
