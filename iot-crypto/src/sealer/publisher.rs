use iot_codec::cbor::encoded_len;
use iot_core::DeviceId;

use super::{Carries, SealError, routing_header};
use crate::binding::{Audience, Binding};
use crate::cose::{self, Sign1};
use crate::{BufferTooSmall, Heading, Signature, Signer, VerifyingKey};

/// Signs messages of one source for everybody: a `COSE_Sign1` behind a routing header, with nothing hidden.
/// `docs/formats/envelope.md` draws the octets.
///
/// Whoever reads such a message can pass it on, and its reader says that it was for
/// [everybody](crate::Audience::Everybody). A reader refuses it unless its [policy](crate::Policy) admits
/// [`Strength::Signed`](crate::Strength::Signed).
#[derive(Debug)]
pub struct Publisher<'k, S> {
    source: DeviceId,
    signer: &'k S,
    carries: Carries,
}

impl<'k, S: Signer> Publisher<'k, S> {
    /// A publisher of messages of `source`, signed by `signer`.
    pub const fn new(source: DeviceId, signer: &'k S) -> Self {
        Self { source, signer, carries: Carries::Position }
    }

    /// What routing headers carry beside the position. Default: nothing.
    #[must_use]
    pub const fn carrying(mut self, carries: Carries) -> Self {
        self.carries = carries;
        self
    }

    /// Octets that [`publish_into`](Self::publish_into) needs: the message, and behind it the octets that are signed.
    ///
    /// # Errors
    ///
    /// [`SealError::PayloadTooLong`], [`SealError::TopicTooLong`], [`SealError::OtherSource`].
    pub fn buffer_len(&self, heading: &Heading<'_>, payload_len: usize) -> Result<usize, SealError> {
        let routing = routing_header(self.source, self.carries, heading, payload_len)?;
        // The binding's octets do not depend on what the header says, only on how long it is.
        let header = [0; crate::RoutingHeader::MAX_LEN];
        let routing_len = routing.encoded_len();
        let binding = Binding { audience: Audience::Everybody { routing: &header[..routing_len] }, heading };
        Ok(routing_len + 1 + Sign1::buffer_len(payload_len, encoded_len(&binding)))
    }

    /// Signs `payload` under `heading` and writes the message to the front of `buffer`, which must have
    /// [`buffer_len`](Self::buffer_len) octets. Returns the octets of the message.
    ///
    /// A position must never be used for two payloads: readers take the second for a repetition.
    ///
    /// # Errors
    ///
    /// [`SealError`]; the buffer then holds nothing of use.
    pub fn publish_into(&self, heading: &Heading<'_>, payload: &[u8], buffer: &mut [u8]) -> Result<usize, SealError> {
        let unsigned = self.begin(heading, payload, buffer)?;
        let signature = self.signer.sign(unsigned.to_be_signed())?;
        Ok(unsigned.put(signature))
    }

    /// The first half of [`publish_into`](Self::publish_into), for a key whose holder answers later
    /// ([`SignsElsewhere`](crate::SignsElsewhere)): everything but signing.
    ///
    /// # Errors
    ///
    /// [`SealError`], but not [`SealError::Signer`].
    pub fn begin<'b>(
        &self,
        heading: &Heading<'_>,
        payload: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<UnsignedPublication<'b>, SealError> {
        let routing = routing_header(self.source, self.carries, heading, payload.len())?;
        let buffer = BufferTooSmall::check(buffer, self.buffer_len(heading, payload.len())?)?;
        let structure_at = routing.encoded_len() + 1;
        let (message, to_be_signed) = buffer.split_at_mut(structure_at + cose::sign1_len(payload.len()));
        let (header, structure) = message.split_at_mut(structure_at);
        let (header, tag) = header.split_at_mut(structure_at - 1);
        routing.encode(header).expect("the header was measured");
        tag[0] = TAG;
        let binding = Binding { audience: Audience::Everybody { routing: header }, heading };
        let key = self.signer.verifying_key();
        cose::write_unsigned(&key, payload, &binding, structure, to_be_signed);
        Ok(UnsignedPublication { key, message, to_be_signed })
    }

    /// [`publish_into`](Self::publish_into) a new vector.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    #[cfg(feature = "alloc")]
    pub fn publish(&self, heading: &Heading<'_>, payload: &[u8]) -> Result<alloc::vec::Vec<u8>, SealError> {
        let mut buffer = alloc::vec![0; self.buffer_len(heading, payload.len())?];
        let len = self.publish_into(heading, payload, &mut buffer)?;
        buffer.truncate(len);
        Ok(buffer)
    }
}

/// A message for everybody that waits for its signature, because what holds the key answers later.
///
/// [`Publisher::begin`] makes it; the signature over [`to_be_signed`](Self::to_be_signed) turns it into a message.
/// Nothing of it is secret, and nothing is wiped.
#[derive(Debug)]
pub struct UnsignedPublication<'b> {
    key: VerifyingKey,
    message: &'b mut [u8],
    to_be_signed: &'b [u8],
}

impl UnsignedPublication<'_> {
    /// What the holder of the key is to sign.
    pub const fn to_be_signed(&self) -> &[u8] {
        self.to_be_signed
    }

    /// Puts the signature in. Returns the octets of the message at the front of the buffer.
    ///
    /// # Errors
    ///
    /// [`SealError::Signature`] when the signature is not the key's over what was to be signed.
    pub fn finish(self, signature: Signature) -> Result<usize, SealError> {
        self.key.verify(self.to_be_signed, &self.key.normal_form(signature))?;
        Ok(self.put(signature))
    }

    fn put(self, signature: Signature) -> usize {
        // The structure is the end of the message.
        cose::put_signature(self.message, &self.key.normal_form(signature));
        self.message.len()
    }
}

/// The tag 18, which tells this form of message from the others.
const TAG: u8 = 0xc0 | Sign1::TAG as u8;
