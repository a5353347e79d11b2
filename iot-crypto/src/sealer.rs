mod multi;
mod padding;
mod publisher;
mod reader;
mod unsigned;

use iot_codec::cbor::encoded_len;
use iot_core::{DeviceId, KeyId, Timestamp};
use rand_core::CryptoRng;

use self::reader::ReaderKey;
use crate::binding::Binding;
use crate::cose::{self, Sign1};
use crate::routing::RoutingHeader;
use crate::{BufferTooSmall, Heading, KeyBundle, SignatureError, Signer, SignerError};

pub use multi::{MAX_READERS, MultiSealer, UnsignedForSeveral};
pub use padding::Padding;
pub use publisher::{Publisher, UnsignedPublication};
pub use unsigned::{SignsElsewhere, UnsignedMessage};

/// Signs messages of one source and seals them for one reader: `COSE_Sign1` inside `COSE_Encrypt0` with HPKE-4, behind
/// a routing header. `docs/formats/envelope.md` draws the octets.
#[derive(Debug)]
pub struct Sealer<'k, S> {
    source: DeviceId,
    signer: &'k S,
    reader: KeyBundle,
    key: ReaderKey,
    carries: Carries,
    padding: Padding,
}

/// What the routing header of a message says in clear beside its position.
///
/// What it leaves out, the transport carries or the reader knows. All of it is bound by the signature either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carries {
    /// Nothing more: 11 octets and the sequence number's.
    #[default]
    Position,
    /// The source: 32 octets more.
    Source,
    /// The source and the topic: 33 octets more and the topic's.
    SourceAndTopic,
}

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The reader's bundle has expired, so its key may be a thief's by now.
    #[error("the key bundle of the reader expired at {} s", expires.as_secs())]
    BundleExpired {
        /// When.
        expires: Timestamp,
    },
    /// The payload is longer than [`MAX_PAYLOAD_LEN`].
    #[error("the payload has {len} octets, more than {max}", max = MAX_PAYLOAD_LEN)]
    PayloadTooLong {
        /// Its octets.
        len: usize,
    },
    /// The topic is longer than a routing header carries.
    #[error("the topic has {len} octets, more than {max}", max = RoutingHeader::MAX_TOPIC_LEN)]
    TopicTooLong {
        /// Its octets.
        len: usize,
    },
    /// The position names another source than the sealer's.
    #[error("the position is one of {found}")]
    OtherSource {
        /// The position's source.
        found: DeviceId,
    },
    /// There is no reader, or more of them than [`MAX_READERS`], or not as many keys as readers.
    #[error("{count} readers were given, not 1 to {max}", max = MAX_READERS)]
    Readers {
        /// How many.
        count: usize,
    },
    /// A reader was given twice.
    #[error("the reader with the key {0} was given twice")]
    RepeatedReader(KeyId),
    /// The reader's bundle does not name this X-Wing key.
    #[cfg(feature = "x-wing")]
    #[error("the bundle of the reader does not name the X-Wing key {0}")]
    OtherKey(KeyId),
    /// The holder of the signing key did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The signature that came back is not the key's over what was to be signed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The caller's buffer is too short.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
    /// No key could be agreed with the reader's.
    #[error("no key could be agreed")]
    Agreement,
}

/// Octets of the longest payload of one message.
pub const MAX_PAYLOAD_LEN: usize = 65_535;

impl<'k, S: Signer> Sealer<'k, S> {
    /// A sealer for messages of `source`, signed by `signer`, to the owner of `reader`.
    pub const fn new(source: DeviceId, signer: &'k S, reader: KeyBundle) -> Self {
        let key = ReaderKey::Hpke4(*reader.agreement_key());
        Self { source, signer, reader, key, carries: Carries::Position, padding: Padding::None }
    }

    /// Seals with HPKE-9 to the X-Wing key `key` of the reader, which its bundle must name, in place of HPKE-4: 1,089
    /// octets more. **Experimental.**
    ///
    /// # Errors
    ///
    /// [`SealError::OtherKey`].
    #[cfg(feature = "x-wing")]
    pub fn to_x_wing(mut self, key: &crate::XWingKey) -> Result<Self, SealError> {
        if self.reader.x_wing() != Some(key.thumbprint()) {
            return Err(SealError::OtherKey(key.key_id()));
        }
        self.key = ReaderKey::Hpke9(key.clone());
        Ok(self)
    }

    /// What routing headers carry beside the position. Default: nothing.
    #[must_use]
    pub const fn carrying(mut self, carries: Carries) -> Self {
        self.carries = carries;
        self
    }

    /// How lengths are coarsened. Default: not.
    #[must_use]
    pub const fn padded(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Octets that [`seal_into`](Self::seal_into) needs: the message, and behind it the octets that are signed.
    ///
    /// # Errors
    ///
    /// [`SealError::PayloadTooLong`], [`SealError::TopicTooLong`].
    pub fn buffer_len(&self, heading: &Heading<'_>, payload_len: usize) -> Result<usize, SealError> {
        let layout = self.layout(heading, payload_len)?;
        Ok(layout.message_len + layout.signed_len)
    }

    /// Signs and seals `payload` under `heading`, and writes the message to the front of `buffer`, which must have
    /// [`buffer_len`](Self::buffer_len) octets. Returns the octets of the message; what lies behind them is
    /// overwritten.
    ///
    /// A position must never be used for two payloads: readers take the second for a repetition. `at` is compared
    /// with the expiry of the reader's bundle; a device without a clock passes the latest time that it has seen signed.
    ///
    /// # Errors
    ///
    /// [`SealError`]; the buffer then holds nothing of use.
    pub fn seal_into(
        &self,
        heading: &Heading<'_>,
        payload: &[u8],
        at: Timestamp,
        rng: &mut impl CryptoRng,
        buffer: &mut [u8],
    ) -> Result<usize, SealError> {
        let unsigned = self.begin(heading, payload, at, buffer)?;
        let signature = self.signer.sign(unsigned.to_be_signed())?;
        unsigned.seal(signature, rng)
    }

    /// [`seal_into`](Self::seal_into) a new vector.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    #[cfg(feature = "alloc")]
    pub fn seal(
        &self,
        heading: &Heading<'_>,
        payload: &[u8],
        at: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<alloc::vec::Vec<u8>, SealError> {
        let mut buffer = alloc::vec![0; self.buffer_len(heading, payload.len())?];
        let len = self.seal_into(heading, payload, at, rng, &mut buffer)?;
        buffer.truncate(len);
        Ok(buffer)
    }

    /// The first half of [`seal_into`](Self::seal_into), for a key whose holder answers later ([`SignsElsewhere`]):
    /// everything but signing and sealing.
    ///
    /// # Errors
    ///
    /// [`SealError`], but neither [`SealError::Signer`] nor [`SealError::Agreement`].
    pub fn begin<'b>(
        &self,
        heading: &Heading<'_>,
        payload: &[u8],
        at: Timestamp,
        buffer: &'b mut [u8],
    ) -> Result<UnsignedMessage<'b>, SealError> {
        let expired = |_| SealError::BundleExpired { expires: self.reader.expires() };
        self.reader.check_expiry(at).map_err(expired)?;
        let layout = self.layout(heading, payload.len())?;
        let buffer = BufferTooSmall::check(buffer, layout.message_len + layout.signed_len)?;
        let (message, to_be_signed) = buffer.split_at_mut(layout.message_len);
        layout.routing.encode(&mut message[..layout.routing_len]).expect("the layout has room for the header");
        let binding = Binding { audience: self.key.audience(), heading };
        let inner = layout.routing_len + layout.envelope_head_len;
        let inner = inner..inner + layout.inner_len;
        let key = self.signer.verifying_key();
        cose::write_unsigned(&key, payload, &binding, &mut message[inner.clone()], to_be_signed);
        Ok(UnsignedMessage {
            key,
            reader: self.key.clone(),
            message,
            to_be_signed,
            routing_len: layout.routing_len,
            inner,
        })
    }

    /// The bundle of the reader.
    pub const fn reader(&self) -> &KeyBundle {
        &self.reader
    }

    fn layout<'a>(&self, heading: &Heading<'a>, payload_len: usize) -> Result<Layout<'a>, SealError> {
        let routing = routing_header(self.source, self.carries, heading, payload_len)?;
        let plain_len = cose::sign1_len(payload_len);
        let inner_len = self.padding.padded_len(plain_len);
        let envelope_head_len = self.key.head_len(inner_len + cose::TAG_LEN);
        let routing_len = routing.encoded_len();
        let binding = Binding { audience: self.key.audience(), heading };
        let signed_len = Sign1::buffer_len(payload_len, encoded_len(&binding)) - plain_len;
        let message_len = routing_len + envelope_head_len + inner_len + cose::TAG_LEN;
        Ok(Layout { routing, routing_len, envelope_head_len, inner_len, message_len, signed_len })
    }
}

/// The header of a message, if everything fits.
fn routing_header<'a>(
    source: DeviceId,
    carries: Carries,
    heading: &Heading<'a>,
    payload_len: usize,
) -> Result<RoutingHeader<'a>, SealError> {
    let position = &heading.position;
    if position.source != source {
        return Err(SealError::OtherSource { found: position.source });
    }
    if payload_len > MAX_PAYLOAD_LEN {
        return Err(SealError::PayloadTooLong { len: payload_len });
    }
    let routing = RoutingHeader {
        source: (carries != Carries::Position).then_some(source),
        topic: (carries == Carries::SourceAndTopic).then_some(heading.topic),
        stream: position.stream,
        incarnation: position.incarnation,
        sequence: position.sequence,
    };
    let topic_len = heading.topic.as_str().len();
    if routing.topic.is_some() && topic_len > RoutingHeader::MAX_TOPIC_LEN {
        return Err(SealError::TopicTooLong { len: topic_len });
    }
    Ok(routing)
}

/// Where the parts of a message lie.
struct Layout<'a> {
    routing: RoutingHeader<'a>,
    routing_len: usize,
    envelope_head_len: usize,
    inner_len: usize,
    message_len: usize,
    /// Octets of the `Sig_structure`, which lies behind the message.
    signed_len: usize,
}

/// Octets of the longest `Enc_structure`: `["Encrypt0", protected, routing header]`, or with `"Encrypt"` and a hash
/// behind the header.
pub(crate) const MAX_ENC_STRUCTURE_LEN: usize = 1 + 9 + 2 + MAX_PROTECTED_LEN + 3 + RoutingHeader::MAX_LEN + 32;

/// Octets of the longest protected header that is read.
pub(crate) const MAX_PROTECTED_LEN: usize = 255;
