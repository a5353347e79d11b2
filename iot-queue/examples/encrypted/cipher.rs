use core::fmt;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use iot_queue::{PayloadCipher, PayloadOpeningError, PayloadPlace, PayloadSealingError};

const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;

/// XChaCha20-Poly1305 under a key of the caller's: nonce, sealed octets, tag.
///
/// A nonce is 16 octets that were drawn for this opening, and a counter: no two openings share the former, whatever
/// became of what they wrote, and no two payloads of an opening the latter. The place of the message is authenticated.
pub struct XChaChaPayloads {
    cipher: XChaCha20Poly1305,
    /// The key before this one, as long as messages are left from its time.
    former: Option<XChaCha20Poly1305>,
    opening: [u8; 16],
    sealed: u64,
}

impl XChaChaPayloads {
    /// A cipher for one opening of a queue. `random` is drawn anew for each.
    pub fn new(key: &[u8; 32], random: [u8; 16]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()), former: None, opening: random, sealed: 0 }
    }

    /// The same cipher, which also opens what was sealed under an earlier key.
    pub fn and_opening(self, former: &[u8; 32]) -> Self {
        Self { former: Some(XChaCha20Poly1305::new(former.into())), ..self }
    }
}

impl fmt::Debug for XChaChaPayloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XChaChaPayloads").field("sealed", &self.sealed).finish_non_exhaustive()
    }
}

impl PayloadCipher for XChaChaPayloads {
    fn overhead(&self) -> u32 {
        (NONCE_LEN + TAG_LEN) as u32
    }

    fn seal(&mut self, place: PayloadPlace, payload: &mut Vec<u8>) -> Result<(), PayloadSealingError> {
        let mut nonce = [0; NONCE_LEN];
        nonce[..16].copy_from_slice(&self.opening);
        nonce[16..].copy_from_slice(&self.sealed.to_le_bytes());
        self.sealed = self.sealed.checked_add(1).ok_or(PayloadSealingError)?;
        let sealed = self.cipher.encrypt_inout_detached(&nonce.into(), &place.octets(), payload.as_mut_slice().into());
        let tag = sealed.map_err(|_| PayloadSealingError)?;
        payload.splice(..0, nonce);
        payload.extend_from_slice(&tag);
        Ok(())
    }

    fn open(&self, place: PayloadPlace, payload: &mut Vec<u8>) -> Result<(), PayloadOpeningError> {
        let len = payload.len().checked_sub(TAG_LEN).filter(|len| *len >= NONCE_LEN).ok_or(PayloadOpeningError)?;
        let tag = Tag::try_from(&payload[len..]).map_err(|_| PayloadOpeningError)?;
        let nonce = XNonce::try_from(&payload[..NONCE_LEN]).map_err(|_| PayloadOpeningError)?;
        // What does not open is left as it was.
        let open = |cipher: &XChaCha20Poly1305, payload: &mut Vec<u8>| {
            let sealed = (&mut payload[NONCE_LEN..len]).into();
            cipher.decrypt_inout_detached(&nonce, &place.octets(), sealed, &tag).is_ok()
        };
        let is_open = open(&self.cipher, payload) || self.former.as_ref().is_some_and(|former| open(former, payload));
        if !is_open {
            return Err(PayloadOpeningError);
        }
        payload.truncate(len);
        payload.drain(..NONCE_LEN);
        Ok(())
    }
}
