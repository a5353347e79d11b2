use alloc::vec;
use alloc::vec::Vec;

use hpke::aead::{AeadTag, AesGcm256};
use hpke::inout::InOutBuf;
use hpke::kdf::KdfShake256;
use hpke::kem::XWing;
use hpke::{Deserializable as _, Kem, OpModeR};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::super::symmetric::{self, DecryptError, TAG_LEN};
use super::{CONTEXT, Encrypt0, hpke_head_len, seal_with};
use crate::cose::header::{Headers, Protected};
use crate::cose::{Algorithm, EncryptError};
use crate::{XWingKey, XWingSecret};

impl Encrypt0<'_> {
    /// Encrypts `plaintext` to `reader` with HPKE-9 (56, draft-ietf-cose-hpke-pq-pqt-01) into a new vector, untagged.
    /// **Experimental.**
    ///
    /// This is plain COSE: it does not prove who wrote, and a reader can pass the plaintext on. A message is sealed by
    /// [`Sealer`](crate::Sealer).
    ///
    /// # Errors
    ///
    /// [`EncryptError::Agreement`].
    pub fn seal_to_x_wing(
        reader: &XWingKey,
        plaintext: &[u8],
        external: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, EncryptError> {
        let protected = Protected::new(Algorithm::Hpke9, &reader.key_id());
        let ciphertext_len = plaintext.len() + TAG_LEN;
        let head_len = hpke_head_len(XWingKey::ENCAPSULATED_LEN, ciphertext_len);
        let mut structure = vec![0; head_len + ciphertext_len];
        let (head, ciphertext) = structure.split_at_mut(head_len);
        ciphertext[..plaintext.len()].copy_from_slice(plaintext);
        let authenticated = enc_structure(protected.as_bytes(), external);
        seal_x_wing_in_place(reader, &protected, &authenticated, rng, head, ciphertext)?;
        Ok(structure)
    }

    /// Decrypts a ciphertext of HPKE-9 with its reader's secret. **Experimental.**
    ///
    /// # Errors
    ///
    /// [`DecryptError`].
    pub fn open_x_wing(&self, secret: &XWingSecret, external: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let mut plaintext = Zeroizing::new(Vec::from(self.ciphertext));
        let authenticated = enc_structure(self.headers.protected, external);
        let encapsulated = x_wing_encapsulated(&self.headers)?;
        let len = open_x_wing_in_place(secret, &encapsulated, &authenticated, &mut plaintext)?.len();
        plaintext.truncate(len);
        Ok(plaintext)
    }
}

fn enc_structure(protected: &[u8], external: &[u8]) -> Vec<u8> {
    let mut octets = vec![0; symmetric::enc_structure_len(CONTEXT, protected.len(), external.len())];
    let mut writer = super::Writer::new(super::Buffer::new(&mut octets));
    symmetric::write_enc_structure(&mut writer, CONTEXT, protected, &[external]).expect("the vector was measured");
    octets
}

/// As [`seal_in_place`](super::seal_in_place), with HPKE-9.
pub(crate) fn seal_x_wing_in_place(
    reader: &XWingKey,
    protected: &Protected,
    authenticated: &[u8],
    rng: &mut impl CryptoRng,
    head: &mut [u8],
    ciphertext: &mut [u8],
) -> Result<(), EncryptError> {
    seal_with::<AesGcm256, KdfShake256, XWing>(&reader.to_hpke(), protected, authenticated, rng, head, ciphertext)
}

/// The encapsulated key of a structure of HPKE-9.
pub(crate) fn x_wing_encapsulated(headers: &Headers<'_>) -> Result<<XWing as Kem>::EncappedKey, DecryptError> {
    if headers.algorithm != Algorithm::Hpke9 {
        return Err(DecryptError::Algorithm(headers.algorithm.number()));
    }
    let octets = headers.encapsulated_key.ok_or(DecryptError::NoEncapsulatedKey)?;
    <XWing as Kem>::EncappedKey::from_bytes(octets).map_err(|_| DecryptError::NoEncapsulatedKey)
}

/// As [`open_in_place`](super::open_in_place), with HPKE-9.
pub(crate) fn open_x_wing_in_place<'c>(
    secret: &XWingSecret,
    encapsulated: &<XWing as Kem>::EncappedKey,
    authenticated: &[u8],
    ciphertext: &'c mut [u8],
) -> Result<&'c mut [u8], DecryptError> {
    let (content, tag) = ciphertext.split_last_chunk_mut::<TAG_LEN>().ok_or(DecryptError::Decryption)?;
    let tag = AeadTag::<AesGcm256>::from_bytes(tag).map_err(|_| DecryptError::Decryption)?;
    hpke::setup_receiver::<AesGcm256, KdfShake256, XWing>(&OpModeR::Base, &secret.to_hpke(), encapsulated, &[])
        .and_then(|mut receiver| receiver.open_inout_detached(InOutBuf::from(&mut *content), authenticated, &tag))
        .map_err(|_| DecryptError::Decryption)?;
    Ok(content)
}
