//! Streams: many small messages of one source for one reader, under a key that both have agreed.
//!
//! A sealed message costs two key agreements and a signature; a stream begins with one, its [`Opening`], and from then
//! on costs 21 octets and a microsecond. What it proves is less: that the source wrote the message *or the reader did*
//! ([`Proof::PairwiseKey`](crate::Proof::PairwiseKey)), so the reader cannot show it to others.
//!
//! # Example
//!
//! ```
//! use iot_core::{Freshness, Incarnation, Position, StreamId, Timestamp, Topic};
//! use iot_crypto::stream::*;
//! use iot_crypto::*;
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//! # let mut rng = ChaCha20Rng::from_seed([1; 32]);
//! # let now = Timestamp::from_secs(1_767_225_600);
//! # let server = SigningKey::generate(&mut rng);
//! # let secrets = [AgreementSecret::generate(&mut rng)];
//! # let bundle = KeyBundle::issue(&server, secrets[0].public(), 1, Timestamp::from_secs(1_770_000_000))?;
//! # let device = SigningKey::generate(&mut rng);
//! # let source = device.verifying_key().device_id();
//! # let reader = server.verifying_key().device_id();
//! # let bundle = KeyBundle::verify(&bundle, &reader, now)?;
//! # let topic = Topic::new("plant/7/boiler/12")?;
//! // The server names the stream, and seals the invitation to the device (or both know it, where nothing can be sent).
//! let mut streams: Streams = Streams::new(1_000, 2)?;
//! let invitation = Invitation::draw(streams.assign().ok_or("full")?, &mut rng);
//!
//! // The device draws a secret, seals it for the server, signed, in a new incarnation, and begins.
//! let opening = Opening::draw(&invitation, &mut rng);
//! let incarnation = Incarnation::from_bytes(*b"a chance");
//! let position = Position { source, stream: StreamId::new(0), incarnation, sequence: 0 };
//! let heading = Heading { topic, position };
//! let mut payload = [0; Opening::MAX_LEN];
//! let len = opening.write(&mut payload)?;
//! let mut sealed = Sealer::new(source, &device, bundle).seal(&heading, &payload[..len], now, &mut rng)?;
//! let epoch = Epoch::begin(&opening, &heading, reader)?;
//! # let flash: Option<Counter> = None;
//! let mut sender: StreamSender<_> = StreamSender::begin(epoch, flash, Reservation::default())?;
//!
//! // The server opens it as any message, and adds the stream.
//! let seen: Trackers = Trackers::new(1_000, 4)?;
//! let mut opener = Opener::new(&secrets, device.verifying_key(), seen);
//! let opened = opener.open(Some(topic), &mut sealed, &mut [0; 512])?;
//! streams.insert(Epoch::accept(&opened, reader, &invitation)?)?;
//!
//! // From now on a message of eight octets has twenty-eight.
//! let (sequence, mut message) = sender.send(b"21.5 Cel")?;
//! assert_eq!((sequence, message.len()), (1, 8 + 20));
//! let mut repeated = message.clone();
//! let opened = streams.open(topic, &mut message)?;
//! assert_eq!((opened.payload(), opened.freshness()), (&b"21.5 Cel"[..], Freshness::Proven));
//! assert!(streams.open(topic, &mut repeated).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Keys
//!
//! Each 65,536 messages have a key of their own ([`GENERATION_LEN`]), made from the one before by a ratchet that does
//! not turn back. Nonces follow from the sequence number, so a number must never be used twice: [`CounterStore`] says
//! what the source owes for that.
//!
//! # Formats
//!
//! [`StreamMessage`] is the compact form and its expansion to the `COSE_Encrypt0` that other libraries open;
//! `docs/formats/stream.md` draws both, and says how keys and nonces are derived.

mod binding;
mod context;
mod counter;
mod message;
mod numbers;
mod opening;
mod ratchet;
mod receiver;
mod sender;
mod silence;
mod skipped;
#[cfg(feature = "alloc")]
mod streams;
#[cfg(feature = "alloc")]
mod topic_name;

#[cfg(feature = "fast-aead")]
pub use crate::aead::Ring;
pub use crate::aead::{Aead, AeadError, RustCrypto};
pub(crate) use binding::BindingHash;
pub use context::ContextId;
pub use counter::{Counter, CounterStore, Reservation};
pub use message::{FormError, StreamMessage};
pub(crate) use message::{MAX_CIPHERTEXT_LEN, PROTECTED, sequence_len_of, shortest};
pub(crate) use numbers::Numbers;
pub use opening::{AcceptError, Epoch, EpochSecret, Invitation, InvitationError, Opening};
pub use ratchet::GENERATION_LEN;
pub(crate) use ratchet::{Keys, expand};
pub use receiver::{RestoreError, StreamError, StreamMemory, StreamReceiver};
#[cfg(feature = "alloc")]
pub(crate) use receiver::{encode_memory, restore_memory};
pub use sender::{ResumeError, SendError, Sent, StreamSender};
pub use silence::Silence;
pub use skipped::Skipped;
#[cfg(feature = "alloc")]
pub use streams::{InsertError, Streams, StreamsStats};
#[cfg(feature = "alloc")]
pub use topic_name::TopicName;
