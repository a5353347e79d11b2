use core::fmt;
use core::ops::Range;

use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

use super::{EncryptLayout, SealError, TAG};
use crate::cose::{self, ContentKey};
use crate::sealer::reader::ReaderKeys;
use crate::{Signature, VerifyingKey};

/// A message to several readers that waits for its signature, because what holds the key answers later.
///
/// [`MultiSealer::begin`](super::MultiSealer::begin) makes it; the signature over
/// [`to_be_signed`](Self::to_be_signed) turns it into a message. Dropped before that, it wipes what it wrote.
pub struct UnsignedForSeveral<'b> {
    pub(super) key: VerifyingKey,
    pub(super) keys: ReaderKeys<'b>,
    /// The readers by ascending thumbprints of their keys.
    pub(super) order: &'b [u8],
    pub(super) message: &'b mut [u8],
    pub(super) scratch: &'b mut [u8],
    pub(super) signed_len: usize,
    pub(super) routing_len: usize,
    /// Where the signed structure stands in the message.
    pub(super) inner: Range<usize>,
    pub(super) envelope: EncryptLayout,
}

impl UnsignedForSeveral<'_> {
    /// What the holder of the key is to sign. It contains the payload.
    pub fn to_be_signed(&self) -> &[u8] {
        &self.scratch[..self.signed_len]
    }

    /// Puts the signature in and seals. Returns the octets of the message at the front of the buffer.
    ///
    /// # Errors
    ///
    /// [`SealError::Signature`] when the signature is not the key's over what was to be signed, and
    /// [`SealError::Agreement`]; the buffer then holds nothing of use.
    pub fn finish(self, signature: Signature, rng: &mut impl CryptoRng) -> Result<usize, SealError> {
        self.key.verify(self.to_be_signed(), &self.key.normal_form(signature))?;
        self.seal(signature, rng)
    }

    /// [`finish`](Self::finish) with the signature of a signer that is trusted to sign well.
    pub(super) fn seal(mut self, signature: Signature, rng: &mut impl CryptoRng) -> Result<usize, SealError> {
        self.scratch.zeroize();
        cose::put_signature(&mut self.message[self.inner.clone()], &self.key.normal_form(signature));
        let (routing, envelope) = self.message.split_at_mut(self.routing_len);
        let (head, rest) = envelope[TAG.len()..].split_at_mut(self.envelope.head_len);
        let (ciphertext, recipients) = rest.split_at_mut(self.envelope.ciphertext_len);

        let content_key = ContentKey::generate(rng);
        let keys = self.order.iter().map(|index| self.keys.key(usize::from(*index)));
        self.envelope.write_recipients(keys, &content_key, rng, recipients).ok_or(SealError::Agreement)?;

        let recipients_hash: [u8; 32] = Sha256::digest(&recipients[cose::head_len(self.order.len())..]).into();
        let external = [&*routing, &recipients_hash];
        let commitment = content_key.commitment();
        self.envelope.seal(&content_key, Some(&commitment), &external, rng, head, ciphertext, self.scratch);
        // What stands in the message is sealed, and not to be wiped.
        self.inner = 0..0;
        Ok(self.message.len())
    }
}

/// Both parts hold the payload.
impl Drop for UnsignedForSeveral<'_> {
    fn drop(&mut self) {
        self.scratch.zeroize();
        self.message[self.inner.clone()].zeroize();
    }
}

impl fmt::Debug for UnsignedForSeveral<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsignedForSeveral").field("key", &self.key).finish_non_exhaustive()
    }
}
