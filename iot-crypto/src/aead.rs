#[cfg(feature = "fast-aead")]
mod ring;
mod rust_crypto;
#[cfg(test)]
mod tests;

#[cfg(feature = "fast-aead")]
pub use self::ring::Ring;
pub use rust_crypto::RustCrypto;

/// An implementation of ChaCha20-Poly1305 (RFC 8439 §2.8), the cipher of streams and groups.
///
/// [`RustCrypto`] is there on every machine, and encrypts everything else. A server that opens many short messages
/// takes `Ring` (feature `fast-aead`), and a device with a cipher in hardware implements this trait for it. All give
/// the same octets.
pub trait Aead {
    /// Encrypts `text` in place, and returns the tag over it and `associated`.
    ///
    /// # Errors
    ///
    /// [`AeadError`] when nothing was encrypted. `text` then holds what it held, or nothing of use.
    fn seal(
        key: &[u8; KEY_LEN],
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError>;

    /// Decrypts `text` in place if `tag` is the one over it and `associated`, compared in constant time.
    ///
    /// # Errors
    ///
    /// [`AeadError`] when it is not. `text` then holds what it held, or nothing of use, and never plaintext.
    fn open(
        key: &[u8; KEY_LEN],
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), AeadError>;
}

/// The cipher refused: a tag that is not the right one, or hardware that did not work. Says no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cipher refused")]
pub struct AeadError;

/// Octets of a key.
pub const KEY_LEN: usize = 32;

/// Octets of a nonce.
pub const NONCE_LEN: usize = 12;

/// Octets of a tag.
pub const TAG_LEN: usize = 16;
