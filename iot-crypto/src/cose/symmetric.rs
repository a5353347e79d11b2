use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use iot_codec::cbor::{Buffer, EncodeError, Output, Writer};
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::{CoseError, Headers, head_len};
use crate::aead::{Aead as _, RustCrypto};
pub(crate) use crate::aead::{NONCE_LEN, TAG_LEN};
use crate::{AgreementError, BufferTooSmall};

/// A secret key of 32 octets with which one content is encrypted, or many under distinct nonces; wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct ContentKey([u8; Self::LEN]);

/// A secret key of 32 octets that authenticates with HMAC 256/256; wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct MacKey([u8; Self::LEN]);

/// Why no content was decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The structure names another algorithm than the key's.
    #[error("the algorithm {0} is not the key's")]
    Algorithm(i64),
    /// No nonce of 12 octets stands in a header.
    #[error("the structure has no IV of 12 octets")]
    NoIv,
    /// No encapsulated key of 32 octets stands in a header.
    #[error("the structure has no encapsulated key of 32 octets")]
    NoEncapsulatedKey,
    /// The holder of the agreement key did not agree.
    #[error(transparent)]
    Agreement(#[from] AgreementError),
    /// The content, its headers or the external data are not what was encrypted with this key. Says no more.
    #[error("the content cannot be decrypted")]
    Decryption,
    /// The caller's buffer is too short.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
}

impl ContentKey {
    /// Octets of a key.
    pub const LEN: usize = 32;

    /// Wraps 32 octets, which must be uniformly random.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Draws a new key from the caller's generator.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        rng.fill_bytes(&mut *bytes);
        Self(*bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// What binds a ciphertext to this key: ChaCha20/Poly1305 itself lets a sender make one ciphertext that opens under
    /// two keys to two plaintexts.
    pub(crate) fn commitment(&self) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(b"iot content key 1");
        mac.finalize().into_bytes().into()
    }

    /// Encrypts in place and returns the tag.
    pub(crate) fn encrypt(&self, nonce: &[u8; NONCE_LEN], authenticated: &[u8], content: &mut [u8]) -> [u8; TAG_LEN] {
        let tag = RustCrypto::seal(&self.0, nonce, authenticated, content);
        tag.expect("no content in memory is as long as the cipher's limit of 256 GiB")
    }

    /// Decrypts in place; a failure leaves the ciphertext as it was.
    pub(crate) fn decrypt(
        &self,
        nonce: &[u8; NONCE_LEN],
        authenticated: &[u8],
        content: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), DecryptError> {
        RustCrypto::open(&self.0, nonce, authenticated, content, tag).map_err(|_| DecryptError::Decryption)
    }
}

impl MacKey {
    /// Octets of a key: as many as the hash has, which RFC 9053 §3.1 asks for.
    pub const LEN: usize = 32;

    /// Wraps 32 octets, which must be uniformly random.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Draws a new key from the caller's generator.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        rng.fill_bytes(&mut *bytes);
        Self(*bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentKey").finish_non_exhaustive()
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MacKey").finish_non_exhaustive()
    }
}

/// The nonce of a content that stands in its headers.
pub(crate) fn nonce_of(headers: &Headers<'_>) -> Result<[u8; NONCE_LEN], DecryptError> {
    headers.iv.and_then(|iv| iv.try_into().ok()).ok_or(DecryptError::NoIv)
}

/// Octets of the `Enc_structure` (RFC 9052 §5.3).
pub(crate) const fn enc_structure_len(context: &str, protected_len: usize, external_len: usize) -> usize {
    1 + 1 + context.len() + head_len(protected_len) + protected_len + head_len(external_len) + external_len
}

/// Writes the `Enc_structure` (RFC 9052 §5.3), which an AEAD authenticates, with the external data in parts.
pub(crate) fn write_enc_structure<O: Output>(
    writer: &mut Writer<O>,
    context: &str,
    protected: &[u8],
    external: &[&[u8]],
) -> Result<(), EncodeError> {
    #[cfg(iot_fault)]
    let external = if crate::fault::is_off(crate::fault::Check::ExternalData) { &[] } else { external };
    writer.array(3)?;
    writer.text(context)?;
    writer.bytes(protected)?;
    writer.bytes_header(external.iter().map(|part| part.len() as u64).sum())?;
    external.iter().try_for_each(|part| writer.put(part))
}

/// Decrypts a content into the front of `buffer`, which also takes the `Enc_structure`.
pub(super) fn decrypt_into<'t>(
    key: &ContentKey,
    context: &str,
    headers: &Headers<'_>,
    external: &[u8],
    ciphertext: &[u8],
    buffer: &'t mut [u8],
) -> Result<&'t mut [u8], DecryptError> {
    let number = headers.algorithm.number();
    if headers.algorithm != super::Algorithm::ChaCha20Poly1305 {
        return Err(DecryptError::Algorithm(number));
    }
    let nonce = nonce_of(headers)?;
    let (content, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(DecryptError::Decryption)?;
    let structure_len = enc_structure_len(context, headers.protected.len(), external.len());
    let buffer = BufferTooSmall::check(buffer, content.len() + structure_len)?;
    let (plaintext, structure) = buffer.split_at_mut(content.len());
    plaintext.copy_from_slice(content);
    let mut writer = Writer::new(Buffer::new(structure));
    write_enc_structure(&mut writer, context, headers.protected, &[external]).expect("the buffer was measured");
    key.decrypt(&nonce, writer.into_output().written(), plaintext, tag)?;
    Ok(plaintext)
}

pub(super) fn check_content_algorithm(headers: &Headers<'_>) -> Result<(), CoseError> {
    match headers.algorithm {
        super::Algorithm::ChaCha20Poly1305 => Ok(()),
        other => Err(CoseError::Algorithm(other.number())),
    }
}

#[cfg(test)]
mod tests;
