mod envelope;
mod stats;

use core::ops::Range;

use iot_codec::cbor::Cursor;
use iot_core::{DeviceId, Freshness, KeyId, Position, Topic};
use zeroize::Zeroize as _;

use self::envelope::Secrets;
use crate::binding::{Audience as Bound, Binding};
use crate::cose::{self, CoseError, Sign1, VerifyError};
use crate::routing::{RoutingError, RoutingHeader};
use crate::{
    Agreement, AgreementError, AgreementSecret, Audience, BufferTooSmall, Heading, Policy, PolicyError, Proof,
    Signature, SignatureError, Strength, Suite, Verified, VerifyingKey,
};

pub use stats::OpenerStats;

/// Opens messages that were sealed for this reader, and alone makes [`Verified`] ones.
///
/// Give it all secrets to which somebody may still have sealed: the current one and those of earlier bundles. They are
/// in memory, or whatever else implements [`Agreement`].
#[derive(Debug)]
pub struct Opener<'k, D, R, A = AgreementSecret> {
    secrets: Secrets<'k, A>,
    directory: D,
    replay: R,
    policy: Policy<'k>,
    stats: OpenerStats,
}

/// Whom a reader listens to.
pub trait Directory {
    /// The device that signs with the key `key`, and the key; `None` if the reader does not listen to it.
    ///
    /// A [`KeyId`] proves nothing: the signature is checked with the key that is returned.
    fn sender(&self, key: KeyId) -> Option<(DeviceId, VerifyingKey)>;

    /// The weakest suite that the reader accepts of this device. A [`Policy`] can demand more, not less; and nothing
    /// that the device sends lowers it. Default: no demand beyond the policy's.
    fn floor(&self, device: &DeviceId) -> Strength {
        let _ = device;
        Strength::Signed
    }
}

/// One device alone: the one whose first key this is.
impl Directory for VerifyingKey {
    fn sender(&self, key: KeyId) -> Option<(DeviceId, VerifyingKey)> {
        let thumbprint = self.thumbprint();
        (key == thumbprint.key_id()).then(|| (thumbprint.device_id(), *self))
    }
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

    /// How fresh [`accept`](Self::accept) would say that a message at this position is. Default: unproven, so a
    /// [`Policy`] that demands more accepts nothing.
    fn freshness(&self, position: &Position) -> Freshness {
        let _ = position;
        Freshness::Unproven
    }

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
    /// The message is not what the policy demands. It may be genuine.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The readers do not stand in ascending order of their thumbprints, or one stands twice.
    #[error("the readers are not in order")]
    ReaderOrder,
    /// A recipient is not one of this crate's, so it cannot be said who the readers are.
    #[error("a recipient is of another kind")]
    ForeignRecipient,
    /// The content key is not the one that the sender committed to towards all readers.
    #[error("the content key is not the one committed to")]
    Commitment,
    /// The padding is not of zeros.
    #[error("the padding is malformed")]
    Padding,
    /// The position is not accepted.
    #[error("the position is not accepted")]
    Replay(#[from] ReplayError),
    /// The caller's scratch is too short.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
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
        Self { secrets: Secrets::new(secrets), directory, replay, policy: Policy::new(), stats: OpenerStats::NONE }
    }

    /// Opens what was sealed to these X-Wing keys, too. Default: none. **Experimental.**
    #[cfg(feature = "x-wing")]
    #[must_use]
    pub const fn with_x_wing(mut self, secrets: &'k [crate::XWingSecret]) -> Self {
        self.secrets.x_wing = secrets;
        self
    }

    /// What is demanded of messages beyond their being genuine. Default: that they are sealed.
    #[must_use]
    pub const fn with_policy(mut self, policy: Policy<'k>) -> Self {
        self.policy = policy;
        self
    }

    /// Opens `message` in place, of whichever [`Suite`] the policy admits: decrypts it, and verifies who signed it, for
    /// whom, under which topic and at which position, and that it was not accepted before.
    ///
    /// `topic` is what the transport says; it may be `None` if the routing header carries the topic, and must agree
    /// with it if both do. `scratch` takes the octets that were signed, and must have [`scratch_len`] octets. It is
    /// overwritten before this returns, and so is what was decrypted when opening fails.
    ///
    /// **Opening consumes the message**: after a failure it cannot be opened again, unless the error is
    /// [`Routing`](OpenError::Routing), [`Buffer`](OpenError::Buffer), [`Agreement`](OpenError::Agreement), or, where
    /// the header names the source, [`Replay`](OpenError::Replay). Who wants to try again, say because the guard was
    /// full, keeps a copy.
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
        let opened = self.open_uncounted(topic, message, scratch);
        self.stats.count(&opened);
        opened
    }

    fn open_uncounted<'m>(
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
        let suite = envelope::suite(envelope);
        self.policy.check_suite(suite, Strength::Signed)?;
        self.policy.check_topic(&topic)?;
        let needed = scratch_len(routing_octets.len() + envelope.len(), topic.as_str().len());
        let scratch = BufferTooSmall::check(scratch, needed)?;
        if let Some(source) = routing.source {
            self.policy.check_sender(&source)?;
            self.check_replay(&position(source, &routing))?;
        }
        let (bound, plaintext) = self.secrets.open(suite, routing_octets, envelope)?;
        let verified = self.verify(suite, bound, &routing, topic, plaintext, scratch);
        scratch.zeroize();
        match verified {
            Ok((payload, heading, key, freshness)) => {
                let plaintext: &'m [u8] = plaintext;
                let payload = &plaintext[payload];
                let audience = match suite {
                    Suite::Signed => Audience::Everybody,
                    Suite::Hpke4 => Audience::Reader,
                    Suite::Hpke4KeyEncryption => Audience::Readers,
                    #[cfg(feature = "x-wing")]
                    Suite::Hpke9 => Audience::Reader,
                    #[cfg(feature = "x-wing")]
                    Suite::Hpke9KeyEncryption => Audience::Readers,
                };
                Ok(Verified { payload, heading, key, proof: Proof::Signature, freshness, audience })
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

    /// What became of the messages so far.
    pub const fn stats(&self) -> OpenerStats {
        self.stats
    }

    fn verify<'t>(
        &mut self,
        suite: Suite,
        audience: Bound<'_>,
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
        self.policy.check_sender(&source)?;
        self.policy.check_suite(suite, self.directory.floor(&source))?;
        self.policy.check_proof(Proof::Signature)?;
        check_padding(&signed)?;
        let heading = Heading { topic, position: position(source, routing) };
        self.check_replay(&heading.position)?;
        self.policy.check_freshness(self.replay.freshness(&heading.position))?;
        let binding = Binding { audience, heading: &heading };
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

/// Padding is of zeros, so that it carries nothing.
fn check_padding(signed: &Sign1<'_>) -> Result<(), OpenError> {
    #[cfg(iot_fault)]
    if crate::fault::is_off(crate::fault::Check::PaddingOctets) {
        return Ok(());
    }
    let Some(padding) = signed.headers().unprotected_value(cose::PADDING) else { return Ok(()) };
    let zeros = Cursor::new(padding).bytes().map_err(|_| OpenError::Padding)?;
    if zeros.iter().all(|octet| *octet == 0) { Ok(()) } else { Err(OpenError::Padding) }
}

/// Where a message of `source` with this header stands.
fn position(source: DeviceId, routing: &RoutingHeader<'_>) -> Position {
    let RoutingHeader { stream, incarnation, sequence, .. } = *routing;
    Position { source, stream, incarnation, sequence }
}
