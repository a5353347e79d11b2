use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

use super::{Aead, AeadError, KEY_LEN, NONCE_LEN, TAG_LEN};

/// The crate `ring`: the assembly of `BoringSSL`, for servers. Needs a C compiler where the program is built.
///
/// It does not wipe its copy of the key, which lives on the stack for as long as a message is opened.
#[derive(Clone, Copy, Debug)]
pub enum Ring {}

impl Aead for Ring {
    #[inline]
    fn seal(
        key: &[u8; KEY_LEN],
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = ready(key)?.seal_in_place_separate_tag(nonce, Aad::from(associated), text);
        tag.map_err(|_| AeadError)?.as_ref().try_into().map_err(|_| AeadError)
    }

    #[inline]
    fn open(
        key: &[u8; KEY_LEN],
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), AeadError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = ready(key)?.open_in_place_separate_tag(nonce, Aad::from(associated), Tag::from(*tag), text, 0..);
        opened.map(drop).map_err(|_| AeadError)
    }
}

fn ready(key: &[u8; KEY_LEN]) -> Result<LessSafeKey, AeadError> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new).map_err(|_| AeadError)
}
