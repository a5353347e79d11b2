use hpke::aead::AesGcm256;
use hpke::kdf::KdfShake256;
use hpke::kem::XWing;
use hpke::{Deserializable as _, Kem, OpModeR};
use rand_core::CryptoRng;

use super::{Recipient, RecipientStructure, UnwrapError, write_with};
use crate::cose::header::Protected;
use crate::cose::{Algorithm, ContentKey};
use crate::{Thumbprint, XWingKey, XWingSecret};

impl Recipient<'_> {
    /// Decrypts the content key with HPKE-9-KE (57, draft-ietf-cose-hpke-pq-pqt-01), as
    /// [`unwrap_key`](Self::unwrap_key) does with HPKE-4-KE. **Experimental.**
    ///
    /// # Errors
    ///
    /// [`UnwrapError`].
    pub fn unwrap_key_x_wing(&self, secret: &XWingSecret, content: Algorithm) -> Result<ContentKey, UnwrapError> {
        if self.headers.algorithm != Algorithm::Hpke9KeyEncryption {
            return Err(UnwrapError::Algorithm(self.headers.algorithm.number()));
        }
        let protected = self.headers.protected;
        let info =
            RecipientStructure::new(content, protected, &[]).ok_or(UnwrapError::Protected { len: protected.len() })?;
        let encapsulated = self.headers.encapsulated_key.ok_or(UnwrapError::NoEncapsulatedKey)?;
        let encapsulated =
            <XWing as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| UnwrapError::NoEncapsulatedKey)?;
        let (mode, secret) = (OpModeR::Base, secret.to_hpke());
        let receiver =
            hpke::setup_receiver::<AesGcm256, KdfShake256, XWing>(&mode, &secret, &encapsulated, info.as_bytes());
        self.decrypt_key(receiver.map_err(|_| UnwrapError::Decryption)?, &[])
    }
}

pub(super) fn write_recipient(
    reader: &XWingKey,
    thumbprint: &Thumbprint,
    content_key: &ContentKey,
    rng: &mut impl CryptoRng,
    space: &mut [u8],
) -> Option<()> {
    let protected = Protected::with(Algorithm::Hpke9KeyEncryption, Some(thumbprint.as_bytes()), None);
    write_with::<AesGcm256, KdfShake256, XWing>(&reader.to_hpke(), &protected, content_key, rng, space)
}
