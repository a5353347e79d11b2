mod unsigned;

use iot_codec::cbor::encoded_len;
use iot_core::{DeviceId, Timestamp};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};

use super::reader::ReaderKeys;
use super::{Carries, Padding, SealError, routing_header};
use crate::binding::{Audience, Binding};
use crate::cose::{self, Encrypt, EncryptLayout, Sign1};
use crate::routing::RoutingHeader;
use crate::{BufferTooSmall, Heading, KeyBundle, Signer, Thumbprint};

pub use unsigned::UnsignedForSeveral;

/// Signs messages of one source and seals each of them once for several readers: `COSE_Sign1` inside `COSE_Encrypt`
/// with one HPKE-4-KE recipient a reader, behind a routing header. `docs/formats/envelope.md` draws the octets.
///
/// Each reader learns who the others are, and can be sure that all of them were sent the same.
#[derive(Debug)]
pub struct MultiSealer<'k, S> {
    source: DeviceId,
    signer: &'k S,
    readers: &'k [KeyBundle],
    keys: ReaderKeys<'k>,
    /// The readers by ascending thumbprints of their keys.
    order: [u8; MAX_READERS],
    hash: [u8; 32],
    carries: Carries,
    padding: Padding,
}

/// The most readers of one message.
pub const MAX_READERS: usize = Encrypt::MAX_RECIPIENTS;

impl<'k, S: Signer> MultiSealer<'k, S> {
    /// A sealer for messages of `source`, signed by `signer`, to the owners of `readers`, in any order.
    ///
    /// # Errors
    ///
    /// [`SealError::Readers`] if there is none, or more than [`MAX_READERS`]; [`SealError::RepeatedReader`].
    pub fn new(source: DeviceId, signer: &'k S, readers: &'k [KeyBundle]) -> Result<Self, SealError> {
        if readers.is_empty() || readers.len() > MAX_READERS {
            return Err(SealError::Readers { count: readers.len() });
        }
        let keys = ReaderKeys::Hpke4(readers);
        let (order, hash) = ordered(&keys)?;
        let (carries, padding) = (Carries::Position, Padding::None);
        Ok(Self { source, signer, readers, keys, order, hash, carries, padding })
    }

    /// Seals with HPKE-9-KE to the X-Wing keys `keys` of the readers, in the readers' order, which their bundles must
    /// name, in place of HPKE-4-KE: 1,089 octets more for each. **Experimental.**
    ///
    /// # Errors
    ///
    /// [`SealError::Readers`] if there are not as many keys as readers; [`SealError::OtherKey`].
    #[cfg(feature = "x-wing")]
    pub fn to_x_wing(mut self, keys: &'k [crate::XWingKey]) -> Result<Self, SealError> {
        if keys.len() != self.readers.len() {
            return Err(SealError::Readers { count: keys.len() });
        }
        if let Some((_, key)) = self.readers.iter().zip(keys).find(|(it, key)| it.x_wing() != Some(key.thumbprint())) {
            return Err(SealError::OtherKey(key.key_id()));
        }
        self.keys = ReaderKeys::Hpke9(keys);
        (self.order, self.hash) = ordered(&self.keys)?;
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

    /// Octets that [`seal_into`](Self::seal_into) needs: the message, and behind it room for what is authenticated.
    ///
    /// # Errors
    ///
    /// [`SealError::PayloadTooLong`], [`SealError::TopicTooLong`], [`SealError::OtherSource`].
    pub fn buffer_len(&self, heading: &Heading<'_>, payload_len: usize) -> Result<usize, SealError> {
        let layout = self.layout(heading, payload_len)?;
        Ok(layout.message_len + layout.scratch_len)
    }

    /// Signs and seals `payload` under `heading`, and writes the message to the front of `buffer`, which must have
    /// [`buffer_len`](Self::buffer_len) octets. Returns the octets of the message; what lies behind them is
    /// overwritten.
    ///
    /// The rules for positions and for `at` are those of [`Sealer::seal_into`](crate::Sealer::seal_into).
    ///
    /// # Errors
    ///
    /// [`SealError`]; one expired bundle suffices. The buffer then holds nothing of use.
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

    /// The first half of [`seal_into`](Self::seal_into), for a key whose holder answers later
    /// ([`SignsElsewhere`](crate::SignsElsewhere)): everything but signing and sealing.
    ///
    /// # Errors
    ///
    /// [`SealError`], but neither [`SealError::Signer`] nor [`SealError::Agreement`].
    pub fn begin<'b>(
        &'b self,
        heading: &Heading<'_>,
        payload: &[u8],
        at: Timestamp,
        buffer: &'b mut [u8],
    ) -> Result<UnsignedForSeveral<'b>, SealError> {
        for reader in self.readers {
            reader.check_expiry(at).map_err(|_| SealError::BundleExpired { expires: reader.expires() })?;
        }
        let layout = self.layout(heading, payload.len())?;
        let buffer = BufferTooSmall::check(buffer, layout.message_len + layout.scratch_len)?;
        let (message, scratch) = buffer.split_at_mut(layout.message_len);
        let (routing, envelope) = message.split_at_mut(layout.routing_len);
        layout.routing.encode(routing).expect("the layout has room for the header");
        envelope[..TAG.len()].copy_from_slice(&TAG);
        let inner = layout.routing_len + TAG.len() + layout.envelope.head_len;
        let inner = inner..inner + layout.inner_len;
        let key = self.signer.verifying_key();
        let binding = Binding { audience: self.audience(), heading };
        let signed = &mut scratch[..layout.signed_len];
        cose::write_unsigned(&key, payload, &binding, &mut message[inner.clone()], signed);
        Ok(UnsignedForSeveral {
            key,
            keys: self.keys,
            order: &self.order[..self.readers.len()],
            message,
            scratch,
            signed_len: layout.signed_len,
            routing_len: layout.routing_len,
            inner,
            envelope: layout.envelope,
        })
    }

    /// The bundles of the readers, as they were given.
    pub const fn readers(&self) -> &'k [KeyBundle] {
        self.readers
    }

    const fn audience(&self) -> Audience<'static> {
        Audience::Readers { algorithm: self.keys.algorithm(), hash: self.hash }
    }

    fn layout<'a>(&self, heading: &Heading<'a>, payload_len: usize) -> Result<Layout<'a>, SealError> {
        let routing = routing_header(self.source, self.carries, heading, payload_len)?;
        let routing_len = routing.encoded_len();
        let plain_len = cose::sign1_len(payload_len);
        let inner_len = self.padding.padded_len(plain_len);
        let (count, encapsulated_len) = (self.keys.count(), self.keys.encapsulated_len());
        let envelope = EncryptLayout::new(cose::COMMITTING_PROTECTED_LEN, inner_len, count, encapsulated_len);
        let binding = Binding { audience: self.audience(), heading };
        let signed_len = Sign1::buffer_len(payload_len, encoded_len(&binding)) - plain_len;
        let scratch_len = signed_len.max(envelope.enc_structure_len(routing_len + 32));
        let message_len = routing_len + TAG.len() + envelope.len();
        Ok(Layout { routing, routing_len, inner_len, envelope, message_len, signed_len, scratch_len })
    }
}

/// The places of the readers by ascending thumbprints of their keys, and the hash of those.
fn ordered(keys: &ReaderKeys<'_>) -> Result<([u8; MAX_READERS], [u8; 32]), SealError> {
    let mut thumbprints = [Thumbprint::from_bytes([0; 32]); MAX_READERS];
    let mut order = [0; MAX_READERS];
    for index in 0..keys.count() {
        thumbprints[index] = keys.key(index).thumbprint();
        order[index] = index as u8;
    }
    let sorted = &mut order[..keys.count()];
    sorted.sort_unstable_by_key(|index| thumbprints[usize::from(*index)]);
    let mut hash = Sha256::new();
    let mut last = None;
    for index in sorted {
        let thumbprint = thumbprints[usize::from(*index)];
        if last.replace(thumbprint) == Some(thumbprint) {
            return Err(SealError::RepeatedReader(thumbprint.key_id()));
        }
        hash.update(thumbprint.as_bytes());
    }
    Ok((order, hash.finalize().into()))
}

/// Where the parts of a message lie.
struct Layout<'a> {
    routing: RoutingHeader<'a>,
    routing_len: usize,
    inner_len: usize,
    envelope: EncryptLayout,
    message_len: usize,
    signed_len: usize,
    scratch_len: usize,
}

/// The tag 96, which tells this form of message from the others.
const TAG: [u8; 2] = [0xd8, Encrypt::TAG as u8];
