use core::ops::Range;

use iot_core::{DeviceId, Freshness, KeyId, Position, Topic};
use zeroize::Zeroize as _;

use crate::binding::Binding;
use crate::cose::{self, Algorithm, CoseError, DecryptError, EncStructure, Encrypt0, Sign1, VerifyError};
use crate::routing::{RoutingError, RoutingHeader};
use crate::sealer::{MAX_ENC_STRUCTURE_LEN, MAX_PROTECTED_LEN};
use crate::{
    Agreement, AgreementError, AgreementSecret, BufferTooSmall, Heading, Proof, Signature, SignatureError, Thumbprint,
    Verified, VerifyingKey,
};

/// Opens messages that were sealed for this reader, and alone makes [`Verified`] ones.
///
/// Give it all secrets to which somebody may still have sealed: the current one and those of earlier bundles. They are
/// in memory, or whatever else implements [`Agreement`].
#[derive(Debug)]
pub struct Opener<'k, D, R, A = AgreementSecret> {
    secrets: &'k [A],
    directory: D,
    replay: R,
}

/// Whom a reader listens to.
pub trait Directory {
    /// The device that signs with the key `key`, and the key; `None` if the reader does not listen to it.
    ///
    /// A [`KeyId`] proves nothing: the signature is checked with the key that is returned.
    fn sender(&self, key: KeyId) -> Option<(DeviceId, VerifyingKey)>;
}

/// What a reader has accepted before: its trackers, one a stream.
pub trait ReplayGuard {
    /// Whether a message at this position may be accepted. Called before the signature is verified, so it must not
    /// remember anything.
    ///
    /// # Errors
    ///
    /// [`ReplayError`].
    fn check(&self, position: &Position) -> Result<(), ReplayError>;

    /// Remembers the position of a message that was verified, and says how fresh the stream is known to be.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]; the message is then refused.
    fn accept(&mut self, position: &Position) -> Result<Freshness, ReplayError>;
}

/// Why a position is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A message at this position was accepted before.
    #[error("the position was accepted before")]
    Repeated,
    /// It lies too far back to know, or in an incarnation that is closed.
    #[error("the position is too old to tell")]
    TooOld,
    /// The memory for positions is full. A copy of the message can be offered again later.
    #[error("there is no room to remember the position")]
    Full,
}

/// Why a message was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The octets do not begin with a routing header.
    #[error("the routing header is malformed")]
    Routing(#[from] RoutingError),
    /// The sealed structure, or the signed one inside it, is malformed.
    #[error("the envelope is malformed")]
    Cose(#[from] CoseError),
    /// A key is not named, or not by 8 octets.
    #[error("the envelope names no key")]
    NoKeyId,
    /// It was sealed to a key that this reader does not have.
    #[error("the message was sealed to the key {0}")]
    OtherReader(KeyId),
    /// The holder of the agreement key did not agree.
    #[error(transparent)]
    Agreement(#[from] AgreementError),
    /// No encapsulated key of 32 octets stands in the envelope.
    #[error("the envelope has no encapsulated key")]
    NoEncapsulatedKey,
    /// It cannot be decrypted: it was altered, or its header was.
    #[error("the message cannot be decrypted")]
    Decryption,
    /// It is signed with a key that the directory does not know.
    #[error("the signing key {0} is not known")]
    UnknownSender(KeyId),
    /// The routing header names another source than the one whose key signed.
    #[error("the header names the source {found}")]
    OtherSource {
        /// Whom it names.
        found: DeviceId,
    },
    /// Neither the routing header nor the caller says what the topic is.
    #[error("the topic is not known")]
    NoTopic,
    /// The routing header says another topic than the caller expects.
    #[error("the header says another topic")]
    OtherTopic,
    /// The signature is not the source's over this payload, topic and position for this reader.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The position is not accepted.
    #[error("the position is not accepted")]
    Replay(#[from] ReplayError),
    /// The caller's scratch is too short.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
}

impl From<DecryptError> for OpenError {
    fn from(refused: DecryptError) -> Self {
        match refused {
            DecryptError::NoEncapsulatedKey => Self::NoEncapsulatedKey,
            DecryptError::Agreement(refused) => Self::Agreement(refused),
            DecryptError::Algorithm(number) => Self::Cose(CoseError::Algorithm(number)),
            _ => Self::Decryption,
        }
    }
}

/// Octets of scratch that suffice to open any message of `message_len` octets under a topic of `topic_len` octets.
pub const fn scratch_len(message_len: usize, topic_len: usize) -> usize {
    // What was signed is the headers and the payload inside the message, and the binding, whose strings besides the
    // topic take fewer than 128 octets.
    message_len + topic_len + 128
}

impl<'k, D: Directory, R: ReplayGuard, A: Agreement> Opener<'k, D, R, A> {
    /// An opener for the holder of `secrets`, which listens to `directory` and remembers positions in `replay`.
    pub const fn new(secrets: &'k [A], directory: D, replay: R) -> Self {
        Self { secrets, directory, replay }
    }

    /// Opens `message` in place: decrypts it, and verifies who signed it, for whom, under which topic and at which
    /// position, and that it was not accepted before.
    ///
    /// `topic` is what the transport says; it may be `None` if the routing header carries the topic, and must agree
    /// with it if both do. `scratch` takes the octets that were signed, and must have [`scratch_len`] octets. It is
    /// overwritten before this returns, and so is what was decrypted when opening fails.
    ///
    /// **Opening consumes the message**: after a failure it cannot be opened again, unless the error is
    /// [`Routing`](OpenError::Routing), [`Buffer`](OpenError::Buffer), [`Agreement`](OpenError::Agreement), or, where the
    /// header names the source, [`Replay`](OpenError::Replay). Who wants to try again, say because the guard was full, keeps a copy.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open<'m>(
        &mut self,
        topic: Option<Topic<'m>>,
        message: &'m mut [u8],
        scratch: &mut [u8],
    ) -> Result<Verified<'m>, OpenError> {
        let (_, routing_len) = RoutingHeader::parse(message)?;
        let (routing_octets, envelope) = message.split_at_mut(routing_len);
        let routing_octets: &'m [u8] = routing_octets;
        let (routing, _) = RoutingHeader::parse(routing_octets)?;
        let topic = match (routing.topic, topic) {
            (Some(said), Some(expected)) if said != expected => return Err(OpenError::OtherTopic),
            (Some(topic), _) | (None, Some(topic)) => topic,
            (None, None) => return Err(OpenError::NoTopic),
        };
        let needed = scratch_len(routing_octets.len() + envelope.len(), topic.as_str().len());
        let scratch = BufferTooSmall::check(scratch, needed)?;
        if let Some(source) = routing.source {
            self.check_replay(&position(source, &routing))?;
        }
        let (reader, plaintext) = self.decrypt(routing_octets, envelope)?;
        let verified = self.verify(&reader, &routing, topic, plaintext, scratch);
        scratch.zeroize();
        match verified {
            Ok((payload, heading, key, freshness)) => {
                let plaintext: &'m [u8] = plaintext;
                let payload = &plaintext[payload];
                Ok(Verified { payload, heading, key, proof: Proof::Signature, freshness })
            }
            Err(refused) => {
                plaintext.zeroize();
                Err(refused)
            }
        }
    }

    /// What the opener remembers of positions, for saving it.
    pub const fn replay(&self) -> &R {
        &self.replay
    }

    fn decrypt<'m>(&self, routing: &[u8], envelope: &'m mut [u8]) -> Result<(Thumbprint, &'m mut [u8]), OpenError> {
        let sealed = Encrypt0::parse(envelope)?;
        let headers = sealed.headers();
        if headers.algorithm != Algorithm::Hpke4 {
            return Err(CoseError::Algorithm(headers.algorithm.number()).into());
        }
        let key = headers.key_id().ok_or(OpenError::NoKeyId)?;
        let secret = self
            .secrets
            .iter()
            .find(|secret| secret.thumbprint().key_id() == key)
            .ok_or(OpenError::OtherReader(key))?;
        let encapsulated = cose::encapsulated_key(headers)?;
        if headers.protected.len() > MAX_PROTECTED_LEN {
            return Err(CoseError::Length { len: headers.protected.len() }.into());
        }
        let authenticated = EncStructure::<MAX_ENC_STRUCTURE_LEN>::new("Encrypt0", headers.protected, &[routing])
            .ok_or(OpenError::Decryption)?;
        let ciphertext = envelope.len() - sealed.ciphertext().len();
        let plaintext =
            cose::open_in_place(secret, &encapsulated, authenticated.as_bytes(), &mut envelope[ciphertext..])?;
        Ok((secret.thumbprint(), plaintext))
    }

    fn verify<'t>(
        &mut self,
        reader: &Thumbprint,
        routing: &RoutingHeader<'_>,
        topic: Topic<'t>,
        plaintext: &[u8],
        scratch: &mut [u8],
    ) -> Result<(Range<usize>, Heading<'t>, KeyId, Freshness), OpenError> {
        let signed = Sign1::parse(plaintext)?;
        let key = signed.headers().key_id().ok_or(OpenError::NoKeyId)?;
        let (source, verifying_key) = self.directory.sender(key).ok_or(OpenError::UnknownSender(key))?;
        if let Some(found) = routing.source.filter(|found| *found != source) {
            return Err(OpenError::OtherSource { found });
        }
        let heading = Heading { topic, position: position(source, routing) };
        self.check_replay(&heading.position)?;
        let binding = Binding { reader, heading: &heading };
        let payload = signed.verify_bound(&verifying_key, &binding, scratch).map_err(|refused| match refused {
            VerifyError::Signature(invalid) => OpenError::Signature(invalid),
            VerifyError::Buffer(short) => OpenError::Buffer(short),
        })?;
        let freshness = self.accept(&heading.position)?;
        // The payload ends where the head and the octets of the signature begin.
        let end = plaintext.len() - 2 - Signature::LEN;
        Ok((end - payload.len()..end, heading, key, freshness))
    }

    fn check_replay(&self, position: &Position) -> Result<(), ReplayError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::Position) {
            return Ok(());
        }
        self.replay.check(position)
    }

    fn accept(&mut self, position: &Position) -> Result<Freshness, ReplayError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::Position) {
            return Ok(Freshness::Unproven);
        }
        self.replay.accept(position)
    }
}

/// Where a message of `source` with this header stands.
fn position(source: DeviceId, routing: &RoutingHeader<'_>) -> Position {
    let RoutingHeader { stream, incarnation, sequence, .. } = *routing;
    Position { source, stream, incarnation, sequence }
}
