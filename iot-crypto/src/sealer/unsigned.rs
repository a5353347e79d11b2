use core::fmt;
use core::ops::Range;

use rand_core::CryptoRng;
use zeroize::Zeroize as _;

use super::reader::ReaderKey;
use super::{MAX_ENC_STRUCTURE_LEN, SealError};
use crate::cose::{self, EncStructure};
use crate::{Signature, Signer, SignerError, VerifyingKey};

/// A message that waits for its signature, because what holds the key answers later.
///
/// [`Sealer::begin`](super::Sealer::begin) makes it; the signature over [`to_be_signed`](Self::to_be_signed) turns it
/// into a message. Dropped before that, it wipes what it wrote.
pub struct UnsignedMessage<'b> {
    pub(super) key: VerifyingKey,
    pub(super) reader: ReaderKey,
    pub(super) message: &'b mut [u8],
    pub(super) to_be_signed: &'b mut [u8],
    pub(super) routing_len: usize,
    /// Where the signed structure stands in the message.
    pub(super) inner: Range<usize>,
}

impl UnsignedMessage<'_> {
    /// What the holder of the key is to sign. It contains the payload.
    pub const fn to_be_signed(&self) -> &[u8] {
        self.to_be_signed
    }

    /// Puts the signature in and seals. Returns the octets of the message at the front of the buffer.
    ///
    /// # Errors
    ///
    /// [`SealError::Signature`] when the signature is not the key's over what was to be signed, and
    /// [`SealError::Agreement`]; the buffer then holds nothing of use.
    pub fn finish(self, signature: Signature, rng: &mut impl CryptoRng) -> Result<usize, SealError> {
        self.key.verify(self.to_be_signed, &self.key.normal_form(signature))?;
        self.seal(signature, rng)
    }

    /// [`finish`](Self::finish) with the signature of a signer that is trusted to sign well.
    pub(super) fn seal(mut self, signature: Signature, rng: &mut impl CryptoRng) -> Result<usize, SealError> {
        let inner = self.inner.clone();
        let signature = self.key.normal_form(signature);
        cose::put_signature(&mut self.message[inner.clone()], &signature);
        let protected = self.reader.protected();
        let (routing, envelope) = self.message.split_at_mut(self.routing_len);
        let (head, ciphertext) = envelope.split_at_mut(inner.start - self.routing_len);
        let authenticated = EncStructure::<MAX_ENC_STRUCTURE_LEN>::new("Encrypt0", protected.as_bytes(), &[routing])
            .expect("the capacity suffices for the longest routing header");
        self.reader
            .seal_in_place(&protected, authenticated.as_bytes(), rng, head, ciphertext)
            .map_err(|_| SealError::Agreement)?;
        // What stands in the message is sealed, and not to be wiped.
        self.inner = 0..0;
        Ok(self.message.len())
    }
}

/// Both parts hold the payload.
impl Drop for UnsignedMessage<'_> {
    fn drop(&mut self) {
        self.to_be_signed.zeroize();
        self.message[self.inner.clone()].zeroize();
    }
}

impl fmt::Debug for UnsignedMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsignedMessage").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The signer for a key whose holder answers later: it says which key that is, and refuses to sign at once.
#[derive(Clone, Copy, Debug)]
pub struct SignsElsewhere(pub VerifyingKey);

impl Signer for SignsElsewhere {
    fn verifying_key(&self) -> VerifyingKey {
        self.0
    }

    fn sign(&self, _: &[u8]) -> Result<Signature, SignerError> {
        Err(SignerError)
    }
}
