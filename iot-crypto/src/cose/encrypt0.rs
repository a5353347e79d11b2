#[cfg(feature = "x-wing")]
mod x_wing;

use hpke::aead::{Aead, AeadTag, ChaCha20Poly1305};
use hpke::inout::InOutBuf;
use hpke::kdf::{HkdfSha256, Kdf};
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeS, Serializable as _};
use iot_codec::cbor::{Buffer, Cursor, Writer};
use iot_core::KeyId;
use rand_core::CryptoRng;
use zeroize::Zeroize as _;

use super::header::{EK, Headers, IV, Protected};
use super::symmetric::{self, ContentKey, DecryptError, NONCE_LEN, TAG_LEN};
use super::{Algorithm, CoseError, Countersigned, EncryptError, content, enter, head_len};
use crate::key::{ReceiveError, receive};
use crate::{Agreement, AgreementKey, BufferTooSmall};

#[cfg(feature = "x-wing")]
pub(crate) use x_wing::{open_x_wing_in_place, seal_x_wing_in_place, x_wing_encapsulated};

/// `COSE_Encrypt0` (RFC 9052 §5.2), read but not opened.
///
/// ```cddl
/// COSE_Encrypt0 = [protected: bstr, unprotected: {* label => any}, ciphertext: bstr]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encrypt0<'b> {
    headers: Headers<'b>,
    ciphertext: &'b [u8],
}

impl<'b> Encrypt0<'b> {
    /// The CBOR tag (RFC 9052 §2, table 1).
    pub const TAG: u64 = 16;

    /// Reads a tagged or untagged structure that fills `octets`. Its ciphertext is the end of them.
    ///
    /// # Errors
    ///
    /// [`CoseError`]; an algorithm that does not encrypt contents is [`CoseError::Algorithm`].
    pub fn parse(octets: &'b [u8]) -> Result<Self, CoseError> {
        Self::read(octets, None)
    }

    /// Reads a structure whose ciphertext is `nil` because it travels apart (RFC 9052 §5).
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse); and [`CoseError::Attached`] if the structure has a ciphertext.
    pub fn parse_detached(octets: &'b [u8], ciphertext: &'b [u8]) -> Result<Self, CoseError> {
        Self::read(octets, Some(ciphertext))
    }

    fn read(octets: &'b [u8], detached: Option<&'b [u8]>) -> Result<Self, CoseError> {
        let mut cursor = Cursor::new(octets);
        enter(&mut cursor, Self::TAG, 3)?;
        let headers = Headers::read(&mut cursor)?;
        if !matches!(headers.algorithm, Algorithm::Hpke4 | Algorithm::ChaCha20Poly1305 | Algorithm::Hpke9) {
            return Err(CoseError::Algorithm(headers.algorithm.number()));
        }
        let ciphertext = content(&mut cursor, detached)?;
        cursor.finish()?;
        Ok(Self { headers, ciphertext })
    }

    /// Encrypts `plaintext` with ChaCha20/Poly1305 (24) and writes the untagged structure to the front of `buffer`,
    /// which must have [`buffer_len`](Self::buffer_len) octets. Returns the octets of the structure.
    ///
    /// **A pair of key and `iv` must never be used twice**: who sees both ciphertexts then learns both plaintexts, and
    /// can forge. `name` is for a reader who has several keys.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn seal_into(
        key: &ContentKey,
        name: Option<&KeyId>,
        iv: &[u8; NONCE_LEN],
        plaintext: &[u8],
        external: &[u8],
        buffer: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        let buffer = BufferTooSmall::check(buffer, Self::buffer_len(plaintext.len(), external.len()))?;
        let protected = Protected::with(Algorithm::ChaCha20Poly1305, name.map(|name| &name.as_bytes()[..]), None);
        let protected = protected.as_bytes();
        let ciphertext_len = plaintext.len() + TAG_LEN;
        let len = structure_len(protected.len(), ciphertext_len);
        let (structure, scratch) = buffer.split_at_mut(len);
        let mut writer = Writer::new(Buffer::new(structure));
        let mut aad = Writer::new(Buffer::new(scratch));
        let written = (|| {
            writer.array(3)?;
            writer.bytes(protected)?;
            writer.map(1)?;
            writer.int(IV)?;
            writer.bytes(iv)?;
            writer.bytes_header(ciphertext_len as u64)?;
            writer.put(plaintext)?;
            symmetric::write_enc_structure(&mut aad, CONTEXT, protected, &[external])
        })();
        written.expect("the buffer was measured");
        let (content, tag) = structure[len - ciphertext_len..].split_at_mut(plaintext.len());
        tag.copy_from_slice(&key.encrypt(iv, aad.into_output().written(), content));
        Ok(len)
    }

    /// Octets that [`seal_into`](Self::seal_into) needs: the structure, and behind it the `Enc_structure`.
    pub const fn buffer_len(plaintext_len: usize, external_len: usize) -> usize {
        let protected_len = Protected::len(Algorithm::ChaCha20Poly1305);
        structure_len(protected_len, plaintext_len + TAG_LEN)
            + symmetric::enc_structure_len(CONTEXT, protected_len, external_len)
    }

    /// [`seal_into`](Self::seal_into) a new vector.
    #[cfg(feature = "alloc")]
    pub fn seal(
        key: &ContentKey,
        name: Option<&KeyId>,
        iv: &[u8; NONCE_LEN],
        plaintext: &[u8],
        external: &[u8],
    ) -> alloc::vec::Vec<u8> {
        let mut buffer = alloc::vec![0; Self::buffer_len(plaintext.len(), external.len())];
        let len = Self::seal_into(key, name, iv, plaintext, external, &mut buffer);
        buffer.truncate(len.expect("the buffer has the length that was asked for"));
        buffer
    }

    /// Decrypts a ciphertext of algorithm 24 with its IV into the front of `buffer`, which must have
    /// [`open_len`](Self::open_len) octets, and returns it.
    ///
    /// # Errors
    ///
    /// [`DecryptError`]; the buffer then holds no plaintext.
    pub fn open_into<'t>(
        &self,
        key: &ContentKey,
        external: &[u8],
        buffer: &'t mut [u8],
    ) -> Result<&'t mut [u8], DecryptError> {
        symmetric::decrypt_into(key, CONTEXT, &self.headers, external, self.ciphertext, buffer)
    }

    /// Octets that [`open_into`](Self::open_into) needs: the plaintext, and behind it the `Enc_structure`.
    pub const fn open_len(&self, external_len: usize) -> usize {
        self.ciphertext.len() + symmetric::enc_structure_len(CONTEXT, self.headers.protected.len(), external_len)
    }

    /// Encrypts `plaintext` to `reader` with HPKE-4 (42) and writes the untagged structure to the front of `buffer`,
    /// which must have [`sealed_len`](Self::sealed_len) octets. Returns the octets of the structure.
    ///
    /// This is plain COSE: it does not prove who wrote, and a reader can pass the plaintext on. A message is sealed by
    /// [`Sealer`](crate::Sealer).
    ///
    /// # Errors
    ///
    /// [`EncryptError`].
    pub fn seal_to_into(
        reader: &AgreementKey,
        plaintext: &[u8],
        external: &[u8],
        rng: &mut impl CryptoRng,
        buffer: &mut [u8],
    ) -> Result<usize, EncryptError> {
        let buffer = BufferTooSmall::check(buffer, Self::sealed_len(plaintext.len(), external.len()))?;
        let protected = Protected::new(Algorithm::Hpke4, &reader.key_id());
        let head_len = hpke_head_len(AgreementKey::LEN, plaintext.len() + TAG_LEN);
        let (head, rest) = buffer.split_at_mut(head_len);
        let (ciphertext, scratch) = rest.split_at_mut(plaintext.len() + TAG_LEN);
        let mut aad = Writer::new(Buffer::new(scratch));
        symmetric::write_enc_structure(&mut aad, CONTEXT, protected.as_bytes(), &[external])
            .expect("the buffer was measured");
        ciphertext[..plaintext.len()].copy_from_slice(plaintext);
        seal_in_place(reader, &protected, aad.into_output().written(), rng, head, ciphertext)?;
        Ok(head_len + ciphertext.len())
    }

    /// Octets that [`seal_to_into`](Self::seal_to_into) needs: the structure, and behind it the `Enc_structure`.
    pub const fn sealed_len(plaintext_len: usize, external_len: usize) -> usize {
        let ciphertext_len = plaintext_len + TAG_LEN;
        let protected_len = Protected::len(Algorithm::Hpke4);
        hpke_head_len(AgreementKey::LEN, ciphertext_len)
            + ciphertext_len
            + symmetric::enc_structure_len(CONTEXT, protected_len, external_len)
    }

    /// Decrypts a ciphertext of HPKE-4 with its reader's secret into the front of `buffer`, which must have
    /// [`open_len`](Self::open_len) octets, and returns it.
    ///
    /// # Errors
    ///
    /// [`DecryptError`]; the buffer then holds no plaintext.
    pub fn open_sealed_into<'t>(
        &self,
        secret: &impl Agreement,
        external: &[u8],
        buffer: &'t mut [u8],
    ) -> Result<&'t mut [u8], DecryptError> {
        let encapsulated = encapsulated_key(&self.headers)?;
        let buffer = BufferTooSmall::check(buffer, self.open_len(external.len()))?;
        let (plaintext, scratch) = buffer.split_at_mut(self.ciphertext.len());
        plaintext.copy_from_slice(self.ciphertext);
        let mut aad = Writer::new(Buffer::new(scratch));
        symmetric::write_enc_structure(&mut aad, CONTEXT, self.headers.protected, &[external])
            .expect("the buffer was measured");
        open_in_place(secret, &encapsulated, aad.into_output().written(), plaintext)
    }

    /// The headers.
    pub const fn headers(&self) -> &Headers<'b> {
        &self.headers
    }

    /// The ciphertext, with the tag of the cipher at its end.
    pub const fn ciphertext(&self) -> &'b [u8] {
        self.ciphertext
    }

    /// What a countersignature of this structure covers: the ciphertext, not the plaintext.
    pub const fn countersigned(&self) -> Countersigned<'b> {
        Countersigned::new(self.headers.protected, self.headers.unprotected, self.ciphertext, None)
    }
}

const CONTEXT: &str = "Encrypt0";

const fn structure_len(protected_len: usize, ciphertext_len: usize) -> usize {
    1 + head_len(protected_len) + protected_len + (1 + 1 + 1 + NONCE_LEN) + head_len(ciphertext_len) + ciphertext_len
}

/// Octets of the head of a structure of HPKE, up to the ciphertext.
pub(crate) const fn hpke_head_len(encapsulated_len: usize, ciphertext_len: usize) -> usize {
    let encapsulated_len = head_len(encapsulated_len) + encapsulated_len;
    1 + (1 + Protected::len(Algorithm::Hpke4)) + (1 + 1 + encapsulated_len) + head_len(ciphertext_len)
}

/// Encrypts with HPKE-4 what stands before the place of the tag in `ciphertext`, and writes the head, which has
/// [`hpke_head_len`] octets. No plaintext is left if no key could be agreed.
pub(crate) fn seal_in_place(
    reader: &AgreementKey,
    protected: &Protected,
    authenticated: &[u8],
    rng: &mut impl CryptoRng,
    head: &mut [u8],
    ciphertext: &mut [u8],
) -> Result<(), EncryptError> {
    let reader = reader.to_hpke();
    seal_with::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &reader,
        protected,
        authenticated,
        rng,
        head,
        ciphertext,
    )
}

fn seal_with<A: Aead, F: Kdf, K: Kem>(
    reader: &K::PublicKey,
    protected: &Protected,
    authenticated: &[u8],
    rng: &mut impl CryptoRng,
    head: &mut [u8],
    ciphertext: &mut [u8],
) -> Result<(), EncryptError> {
    let ciphertext_len = ciphertext.len();
    let (content, tag) = ciphertext.split_at_mut(ciphertext_len - TAG_LEN);
    let sealed = hpke::single_shot_seal_inout_detached_with_rng::<A, F, K>(
        &OpModeS::Base,
        reader,
        &[],
        InOutBuf::from(&mut *content),
        authenticated,
        rng,
    );
    let Ok((encapsulated, computed_tag)) = sealed else {
        content.zeroize();
        return Err(EncryptError::Agreement);
    };
    tag.copy_from_slice(&computed_tag.to_bytes());
    let mut writer = Writer::new(Buffer::new(head));
    let written = (|| {
        writer.array(3)?;
        writer.bytes(protected.as_bytes())?;
        writer.map(1)?;
        writer.int(EK)?;
        writer.bytes(&encapsulated.to_bytes())?;
        writer.bytes_header(ciphertext_len as u64)
    })();
    written.expect("the head was measured");
    Ok(())
}

/// The encapsulated key of a structure of HPKE-4.
pub(crate) fn encapsulated_key(headers: &Headers<'_>) -> Result<[u8; AgreementKey::LEN], DecryptError> {
    if headers.algorithm != Algorithm::Hpke4 {
        return Err(DecryptError::Algorithm(headers.algorithm.number()));
    }
    headers.encapsulated_key.and_then(|key| key.try_into().ok()).ok_or(DecryptError::NoEncapsulatedKey)
}

/// Decrypts a ciphertext of HPKE-4, with its tag, and returns the plaintext. A failure leaves the ciphertext as it was.
pub(crate) fn open_in_place<'c>(
    secret: &impl Agreement,
    encapsulated: &[u8; AgreementKey::LEN],
    authenticated: &[u8],
    ciphertext: &'c mut [u8],
) -> Result<&'c mut [u8], DecryptError> {
    let (content, tag) = ciphertext.split_last_chunk_mut::<TAG_LEN>().ok_or(DecryptError::Decryption)?;
    let tag = AeadTag::<ChaCha20Poly1305>::from_bytes(tag).map_err(|_| DecryptError::Decryption)?;
    let mut receiver = receive(secret, encapsulated, &[]).map_err(|refused| match refused {
        ReceiveError::Refused(refused) => DecryptError::Agreement(refused),
        ReceiveError::SmallOrder => DecryptError::Decryption,
    })?;
    receiver
        .open_inout_detached(InOutBuf::from(&mut *content), authenticated, &tag)
        .map_err(|_| DecryptError::Decryption)?;
    Ok(content)
}

/// The `Enc_structure` (RFC 9052 §5.3), which an AEAD authenticates, in a buffer of its own.
pub(crate) struct EncStructure<const CAPACITY: usize> {
    octets: [u8; CAPACITY],
    len: usize,
}

impl<const CAPACITY: usize> EncStructure<CAPACITY> {
    /// With the external data in parts; `None` if the capacity does not suffice.
    pub(crate) fn new(context: &str, protected: &[u8], external: &[&[u8]]) -> Option<Self> {
        let mut octets = [0; CAPACITY];
        let mut writer = Writer::new(Buffer::new(&mut octets));
        symmetric::write_enc_structure(&mut writer, context, protected, external).ok()?;
        let len = writer.into_output().len();
        Some(Self { octets, len })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}
