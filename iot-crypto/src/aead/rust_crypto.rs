use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _};

use super::{Aead, AeadError, KEY_LEN, NONCE_LEN, TAG_LEN};

/// The crate `chacha20poly1305`: pure Rust, on every machine.
///
/// On x86-64 its Poly1305 takes instructions of AVX2 that the compiler cannot inline unless the program is built for
/// them, and costs one to three microseconds a message, however short. Built with
/// `--cfg poly1305_backend="soft"`, it costs a tenth of that; or take `Ring`.
#[derive(Clone, Copy, Debug)]
pub enum RustCrypto {}

impl Aead for RustCrypto {
    #[inline]
    fn seal(
        key: &[u8; KEY_LEN],
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError> {
        let cipher = ChaCha20Poly1305::new(key.into());
        let tag = cipher.encrypt_inout_detached(nonce.into(), associated, InOutBuf::from(text));
        tag.map(Into::into).map_err(|_| AeadError)
    }

    #[inline]
    fn open(
        key: &[u8; KEY_LEN],
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), AeadError> {
        let cipher = ChaCha20Poly1305::new(key.into());
        let opened = cipher.decrypt_inout_detached(nonce.into(), associated, InOutBuf::from(text), tag.into());
        opened.map_err(|_| AeadError)
    }
}
