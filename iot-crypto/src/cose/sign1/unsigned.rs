use core::fmt;

use zeroize::Zeroize as _;

use super::{External, Sign1, put_signature, sign1_len, write_unsigned};
use crate::{BufferTooSmall, Signature, SignatureError, VerifyingKey};

/// A [`Sign1`] that waits for its signature, because what holds the key answers later.
///
/// ```
/// # use iot_crypto::{SigningKey, cose::Sign1};
/// # let element = SigningKey::from_seed(&[1; 32]);
/// let key = element.verifying_key();
/// let mut buffer = [0; Sign1::buffer_len(7, 8)];
/// let unsigned = Sign1::prepare(&key, b"payload", b"external", &mut buffer)?;
/// // Goes to whatever holds the key; the signature comes back, in a while.
/// let signature = element.sign(unsigned.to_be_signed());
/// let len = unsigned.finish(signature)?;
/// assert_eq!(Sign1::parse(&buffer[..len])?.verify(&key, b"external", &mut [0; 64])?, b"payload");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct UnsignedSign1<'b> {
    key: VerifyingKey,
    structure: &'b mut [u8],
    to_be_signed: &'b mut [u8],
}

impl Sign1<'_> {
    /// The first half of [`sign_into`](Self::sign_into): writes what is to be signed, and the structure around it, to
    /// the front of `buffer`, which must have [`buffer_len`](Self::buffer_len) octets.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn prepare<'b>(
        key: &VerifyingKey,
        payload: &[u8],
        external: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<UnsignedSign1<'b>, BufferTooSmall> {
        let buffer = BufferTooSmall::check(buffer, Self::buffer_len(payload.len(), external.len()))?;
        let (structure, to_be_signed) = buffer.split_at_mut(sign1_len(payload.len()));
        write_unsigned(key, payload, &External(external), structure, to_be_signed);
        Ok(UnsignedSign1 { key: *key, structure, to_be_signed })
    }
}

impl UnsignedSign1<'_> {
    /// What the holder of the key is to sign: the `Sig_structure` (RFC 9052 §4.4).
    pub const fn to_be_signed(&self) -> &[u8] {
        self.to_be_signed
    }

    /// Puts the signature in, and returns the octets of the structure at the front of the buffer.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] when the signature is not the key's over what was to be signed. A faulty answer, of which a
    /// secure element can be made to give one, so never leaves the device.
    pub fn finish(self, signature: Signature) -> Result<usize, SignatureError> {
        let signature = self.key.normal_form(signature);
        let verified = self.key.verify(self.to_be_signed, &signature);
        self.to_be_signed.zeroize();
        verified?;
        put_signature(self.structure, &signature);
        Ok(self.structure.len())
    }
}

impl fmt::Debug for UnsignedSign1<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsignedSign1").field("key", &self.key).finish_non_exhaustive()
    }
}
