use core::fmt;
use core::time::Duration;

use hkdf::Hkdf;
use iot_codec::{cbor, record};
use iot_core::limits::LAST_SEQUENCE;
use iot_core::{DeviceId, Freshness, Incarnation, KeyId, Position, StreamId, Topic};
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use super::ContextId;
use super::binding::{Binding, BindingHash};
use super::ratchet::{Chain, Ratchet, generation_of};
use crate::{Audience, BufferTooSmall, Heading, Proof, Verified};

/// What a receiver asks of a device before a stream begins: to name the stream so, and to show by a nonce that it
/// begins now.
///
/// It is sealed to the device like any message. On a link that goes one way only, the device is
/// [provisioned](Self::provisioned) with the context's identifier, there is no nonce, and what it sends stays
/// [`Freshness::Unproven`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Invitation {
    context: ContextId,
    nonce: Option<[u8; NONCE_LEN]>,
}

record! {
    struct InvitationBody<'b> {
        1 => context: &'b [u8],
        2 => nonce: Option<&'b [u8; NONCE_LEN]>,
    }
}

/// Octets of an invitation's nonce.
const NONCE_LEN: usize = 16;

impl Invitation {
    /// Octets of the longest invitation.
    pub const MAX_LEN: usize = 1 + (1 + 1 + ContextId::MAX_LEN) + (1 + 1 + NONCE_LEN);

    /// Invites with a new nonce. The receiver keeps the invitation until the answer comes, and uses it once.
    pub fn draw(context: ContextId, rng: &mut impl CryptoRng) -> Self {
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        Self { context, nonce: Some(nonce) }
    }

    /// What both sides know where nothing can be sent to the device.
    pub const fn provisioned(context: ContextId) -> Self {
        Self { context, nonce: None }
    }

    /// Reads an invitation that was opened.
    ///
    /// # Errors
    ///
    /// [`InvitationError`].
    pub fn parse(octets: &[u8]) -> Result<Self, InvitationError> {
        let body: InvitationBody<'_> = cbor::from_slice(octets)?;
        let len = body.context.len();
        let context = ContextId::new(body.context).ok_or(InvitationError::Context { len })?;
        Ok(Self { context, nonce: body.nonce.copied() })
    }

    /// Writes the invitation to the front of `buffer`, of which [`MAX_LEN`](Self::MAX_LEN) octets suffice, and returns
    /// how many it takes.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn write(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        write(&InvitationBody { context: self.context.as_bytes(), nonce: self.nonce.as_ref() }, buffer)
    }

    /// The identifier that the stream's messages are to carry.
    pub const fn context(&self) -> ContextId {
        self.context
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").field("context", &self.context).finish_non_exhaustive()
    }
}

/// Why octets are not an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvitationError {
    /// They are not the record of one.
    #[error("the invitation is malformed")]
    Malformed(#[from] cbor::DecodeError),
    /// The context's identifier does not have 1 to 8 octets.
    #[error("the context has {len} octets, not 1 to 8")]
    Context {
        /// How many it has.
        len: usize,
    },
}

/// The first message of a stream's epoch: the secret, under which name, and in answer to which nonce.
///
/// The source draws it and seals it, signed, as any message, with [`Sealer`](crate::Sealer). The heading under which it
/// does so says the rest: the topic, the stream, and the incarnation, which it thereby announces; and the stream goes
/// on from the sequence number behind the opening's own.
pub struct Opening {
    context: ContextId,
    secret: Zeroizing<[u8; 32]>,
    nonce: Option<[u8; NONCE_LEN]>,
    longest_silence: Option<Duration>,
}

record! {
    struct OpeningBody<'b> {
        1 => context: &'b [u8],
        2 => secret: &'b [u8; 32],
        3 => nonce: Option<&'b [u8; NONCE_LEN]>,
        4 => longest_silence: Option<u32>,
    }
}

impl Opening {
    /// Octets of the longest opening.
    pub const MAX_LEN: usize = Invitation::MAX_LEN + (1 + 2 + 32) + (1 + 5);

    /// Draws a new secret in answer to an invitation.
    pub fn draw(invitation: &Invitation, rng: &mut impl CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        Self { context: invitation.context, secret, nonce: invitation.nonce, longest_silence: None }
    }

    /// Promises that no more time than this passes between two messages, in whole seconds, rounded up; see
    /// [`Silence`](super::Silence). Default: no promise.
    #[must_use]
    pub fn promising(mut self, longest_silence: Duration) -> Self {
        self.longest_silence = Some(longest_silence);
        self
    }

    /// Writes the opening to the front of `buffer`, of which [`MAX_LEN`](Self::MAX_LEN) octets suffice, and returns how
    /// many it takes. They are secret: whoever has sealed them wipes them.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn write(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let whole_seconds = |silence: Duration| {
            let seconds = silence.as_secs().saturating_add((silence.subsec_nanos() > 0).into());
            u32::try_from(seconds).unwrap_or(u32::MAX)
        };
        let body = OpeningBody {
            context: self.context.as_bytes(),
            secret: &self.secret,
            nonce: self.nonce.as_ref(),
            longest_silence: self.longest_silence.map(whole_seconds),
        };
        write(&body, buffer)
    }

    fn parse(octets: &[u8]) -> Result<Self, AcceptError> {
        let body: OpeningBody<'_> = cbor::from_slice(octets)?;
        let context = ContextId::new(body.context).ok_or(AcceptError::OtherInvitation)?;
        let longest_silence = body.longest_silence.map(|seconds| Duration::from_secs(seconds.into()));
        Ok(Self { context, secret: Zeroizing::new(*body.secret), nonce: body.nonce.copied(), longest_silence })
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("context", &self.context).finish_non_exhaustive()
    }
}

/// A key of a stream, agreed between its source and its reader, and what it is bound to: who writes to whom, about
/// what, in which incarnation of which stream.
///
/// Both sides make the same one: the source from the [`Opening`] that it draws, the reader from the one that it opened;
/// or both from a secret that they have agreed otherwise.
pub struct Epoch<'t> {
    pub(super) context: ContextId,
    /// The sequence number is that of the first message.
    pub(super) first: Heading<'t>,
    pub(super) key: KeyId,
    pub(super) freshness: Freshness,
    pub(super) longest_silence: Option<Duration>,
    pub(super) binding: BindingHash,
    pub(super) ratchet: Ratchet,
}

/// Why a message does not open an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// It was not signed by the source.
    #[error("the opening is not signed by its source")]
    NotSigned,
    /// Others can read it, too, so its secret is none.
    #[error("the opening was written for {0:?}")]
    NotPrivate(Audience),
    /// It is not the record of an opening.
    #[error("the opening is malformed")]
    Malformed(#[from] cbor::DecodeError),
    /// It answers another invitation than this one, or none where there was one.
    #[error("the opening answers another invitation")]
    OtherInvitation,
    /// No sequence number is left behind its own.
    #[error("no sequence number is left in the incarnation")]
    Exhausted,
}

impl<'t> Epoch<'t> {
    /// The epoch that the source begins with the opening that it sealed for `reader` under `heading`.
    ///
    /// # Errors
    ///
    /// [`AcceptError::Exhausted`].
    pub fn begin(opening: &Opening, heading: &Heading<'t>, reader: DeviceId) -> Result<Self, AcceptError> {
        let sequence = heading.position.sequence.checked_add(1).filter(|sequence| *sequence <= LAST_SEQUENCE);
        let sequence = sequence.ok_or(AcceptError::Exhausted)?;
        let first = Heading { position: Position { sequence, ..heading.position }, ..*heading };
        let agreed = EpochSecret {
            secret: &opening.secret,
            transcript: opening.nonce.as_ref().map_or(&[], |nonce| nonce),
            key: KeyId::from_bytes([0; KeyId::LEN]),
            freshness: if opening.nonce.is_some() { Freshness::Proven } else { Freshness::Unproven },
        };
        let epoch = Self::from_agreed(opening.context, &first, reader, &agreed);
        Ok(Self { longest_silence: opening.longest_silence, ..epoch })
    }

    /// The epoch that `opened` begins for `reader`, who opened it, in answer to `invitation`.
    ///
    /// An invitation is used once: the reader forgets it, or else who recorded the opening could play it again.
    ///
    /// No [`Policy`](crate::Policy) is asked here, because the [`Opener`](crate::Opener) has applied its own to
    /// `opened`: the floor of its suite, which is the strength of the epoch's secret, and which senders are expected,
    /// of whom one is the stream's source. An invitation without a nonce is answered by whoever of them knows the
    /// context; who has provisioned it for one device compares [`source`](Self::source).
    ///
    /// # Errors
    ///
    /// [`AcceptError`].
    pub fn accept(opened: &Verified<'t>, reader: DeviceId, invitation: &Invitation) -> Result<Self, AcceptError> {
        if opened.proof() != Proof::Signature {
            return Err(AcceptError::NotSigned);
        }
        if opened.audience() != Audience::Reader {
            return Err(AcceptError::NotPrivate(opened.audience()));
        }
        let opening = Opening::parse(opened.payload())?;
        let is_answer = (opening.context, opening.nonce) == (invitation.context, invitation.nonce);
        #[cfg(iot_fault)]
        let is_answer = is_answer || crate::fault::is_off(crate::fault::Check::Challenge);
        if !is_answer {
            return Err(AcceptError::OtherInvitation);
        }
        Ok(Self { key: opened.key(), ..Self::begin(&opening, opened.heading(), reader)? })
    }

    /// The epoch of a secret that source and reader have agreed otherwise, as in a session. `first` is the heading of
    /// the first message.
    pub fn from_agreed(context: ContextId, first: &Heading<'t>, reader: DeviceId, agreed: &EpochSecret<'_>) -> Self {
        let binding = Binding { reader: &reader, heading: first }.hash();
        let (mut extracted, epoch) = Hkdf::<Sha256>::extract(Some(agreed.transcript), agreed.secret);
        extracted.as_mut_slice().zeroize();
        let chain = Chain::of_epoch(&epoch, &binding);
        let ratchet = Ratchet::new(&chain, &binding, generation_of(first.position.sequence));
        let EpochSecret { key, freshness, .. } = *agreed;
        Self { context, first: *first, key, freshness, longest_silence: None, binding, ratchet }
    }

    /// What the stream's messages carry.
    pub const fn context(&self) -> ContextId {
        self.context
    }

    /// The topic and the position of the first message.
    pub const fn first(&self) -> &Heading<'t> {
        &self.first
    }

    /// The topic.
    pub const fn topic(&self) -> Topic<'t> {
        self.first.topic
    }

    /// The source.
    pub const fn source(&self) -> DeviceId {
        self.first.position.source
    }

    /// The stream.
    pub const fn stream(&self) -> StreamId {
        self.first.position.stream
    }

    /// The incarnation.
    pub const fn incarnation(&self) -> Incarnation {
        self.first.position.incarnation
    }

    /// The longest time between two messages that the source promised, if it did.
    pub const fn longest_silence(&self) -> Option<Duration> {
        self.longest_silence
    }
}

/// The secret of an epoch that source and reader have agreed, and how.
#[derive(Clone, Copy)]
pub struct EpochSecret<'a> {
    /// The secret, never used for another epoch of the same heading.
    pub secret: &'a [u8; 32],
    /// What both have seen of the agreement, such as the hash of a handshake.
    pub transcript: &'a [u8],
    /// The key by which the source was authenticated.
    pub key: KeyId,
    /// [`Freshness::Proven`] if the reader contributed fresh randomness to the secret.
    pub freshness: Freshness,
}

impl fmt::Debug for EpochSecret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochSecret")
            .field("key", &self.key)
            .field("freshness", &self.freshness)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Epoch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoch").field("context", &self.context).field("first", &self.first).finish_non_exhaustive()
    }
}

/// Writes a record to the front of `buffer`, and returns its octets.
pub(super) fn write(record: &impl cbor::Encode, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
    let buffer = BufferTooSmall::check(buffer, cbor::encoded_len(record))?;
    let written = cbor::to_slice(record, buffer).expect("the buffer has the length of the record");
    Ok(written.len())
}
