#[cfg(feature = "x-wing")]
mod x_wing;

use hpke::aead::{Aead, AeadCtxR, AeadTag, ChaCha20Poly1305};
use hpke::inout::InOutBuf;
use hpke::kdf::{HkdfSha256, Kdf};
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::{Deserializable as _, OpModeS, Serializable as _};
use iot_codec::cbor::{Buffer, Cursor, Writer};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::header::{EK, Headers, Layer, Protected};
use super::symmetric::TAG_LEN;
use super::{Algorithm, ContentKey, CoseError, Countersigned, head_len, three_members};
use crate::key::{ReceiveError, receive};
use crate::{Agreement, AgreementError, AgreementKey, Thumbprint};

/// `COSE_recipient` (RFC 9052 §5.1): how one of the readers of an [`Encrypt`](super::Encrypt) comes by the content
/// key. Not opened.
///
/// ```cddl
/// COSE_recipient = [protected: bstr, unprotected: {* label => any}, ciphertext: bstr]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient<'b> {
    headers: Headers<'b>,
    encrypted_key: &'b [u8],
}

/// Why no content key came out of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnwrapError {
    /// The recipient names another algorithm than the one of the secret, HPKE-4-KE or HPKE-9-KE.
    #[error("the algorithm {0} does not encrypt keys")]
    Algorithm(i64),
    /// The encapsulated key is missing, or has another length than those of the algorithm.
    #[error("the recipient has no encapsulated key of its algorithm's length")]
    NoEncapsulatedKey,
    /// The holder of the agreement key did not agree.
    #[error(transparent)]
    Agreement(#[from] AgreementError),
    /// The content key was not encrypted to this secret for a content of this algorithm. Says no more.
    #[error("the content key cannot be decrypted")]
    Decryption,
    /// The protected header of the recipient is longer than any that is read, 255 octets.
    #[error("the protected header has {len} octets, more than {max}", max = MAX_PROTECTED_LEN)]
    Protected {
        /// Its octets.
        len: usize,
    },
}

impl<'b> Recipient<'b> {
    /// Where its algorithm is not known, the cursor stands before the encrypted key.
    pub(super) fn read(cursor: &mut Cursor<'b>) -> Result<Self, CoseError> {
        use Algorithm::{Direct, Hpke4KeyEncryption, Hpke9KeyEncryption};
        three_members(cursor)?;
        let layer = Layer::read(cursor)?;
        let headers = layer.headers(Some(layer.recipient_algorithm()?))?;
        if !matches!(headers.algorithm, Direct | Hpke4KeyEncryption | Hpke9KeyEncryption) {
            return Err(CoseError::Algorithm(headers.algorithm.number()));
        }
        let encrypted_key = cursor.bytes()?;
        // RFC 9052 §8.5.1: who has the key already gets no other.
        let is_due = match headers.algorithm {
            Algorithm::Direct => encrypted_key.is_empty(),
            _ => encrypted_key.len() == ContentKey::LEN + TAG_LEN,
        };
        if is_due { Ok(Self { headers, encrypted_key }) } else { Err(CoseError::Length { len: encrypted_key.len() }) }
    }

    /// Decrypts the content key with HPKE-4-KE (draft-ietf-cose-hpke-23 §3.3), for a content that is encrypted with
    /// `content`, the algorithm of the layer around.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`].
    pub fn unwrap_key(&self, secret: &impl Agreement, content: Algorithm) -> Result<ContentKey, UnwrapError> {
        self.unwrap_with(secret, content, &[], &[])
    }

    /// With the application's own addition to the `Recipient_structure`, and authenticated data for HPKE.
    fn unwrap_with(
        &self,
        secret: &impl Agreement,
        content: Algorithm,
        extra_info: &[u8],
        authenticated: &[u8],
    ) -> Result<ContentKey, UnwrapError> {
        if self.headers.algorithm != Algorithm::Hpke4KeyEncryption {
            return Err(UnwrapError::Algorithm(self.headers.algorithm.number()));
        }
        let protected = self.headers.protected;
        let info = RecipientStructure::new(content, protected, extra_info)
            .ok_or(UnwrapError::Protected { len: protected.len() })?;
        let encapsulated = self.headers.encapsulated_key.and_then(|key| key.try_into().ok());
        let encapsulated = encapsulated.ok_or(UnwrapError::NoEncapsulatedKey)?;
        let receiver = receive(secret, encapsulated, info.as_bytes()).map_err(|refused| match refused {
            ReceiveError::Refused(refused) => UnwrapError::Agreement(refused),
            ReceiveError::SmallOrder => UnwrapError::Decryption,
        })?;
        self.decrypt_key(receiver, authenticated)
    }

    fn decrypt_key<A: Aead, F: Kdf, K: Kem>(
        &self,
        mut receiver: AeadCtxR<A, F, K>,
        authenticated: &[u8],
    ) -> Result<ContentKey, UnwrapError> {
        let (key, tag) = self.encrypted_key.split_at_checked(ContentKey::LEN).ok_or(UnwrapError::Decryption)?;
        let mut key = Zeroizing::new(<[u8; ContentKey::LEN]>::try_from(key).map_err(|_| UnwrapError::Decryption)?);
        let tag = AeadTag::<A>::from_bytes(tag).map_err(|_| UnwrapError::Decryption)?;
        receiver
            .open_inout_detached(InOutBuf::from(&mut key[..]), authenticated, &tag)
            .map_err(|_| UnwrapError::Decryption)?;
        Ok(ContentKey::from_bytes(*key))
    }

    /// The headers. The algorithm of one that uses a key directly stands in the unprotected header, which is not
    /// authenticated (RFC 9052 §8.5.1).
    pub const fn headers(&self) -> &Headers<'b> {
        &self.headers
    }

    /// What a countersignature of this recipient covers.
    pub const fn countersigned(&self) -> Countersigned<'b> {
        Countersigned::new(self.headers.protected, self.headers.unprotected, self.encrypted_key, None)
    }

    /// Octets of a recipient that [`ReaderKey::write_recipient`] writes, with an encapsulated key of that many.
    pub(super) const fn len(encapsulated_len: usize) -> usize {
        let encapsulated_len = head_len(encapsulated_len) + encapsulated_len;
        1 + (2 + PROTECTED_LEN) + (1 + 1 + encapsulated_len) + (2 + ContentKey::LEN + TAG_LEN)
    }
}

/// The key of one of the readers, to which the content key is encrypted.
#[derive(Clone, Copy)]
pub(crate) enum ReaderKey<'k> {
    Hpke4(&'k AgreementKey),
    #[cfg(feature = "x-wing")]
    Hpke9(&'k crate::XWingKey),
}

impl ReaderKey<'_> {
    pub(crate) fn thumbprint(&self) -> Thumbprint {
        match self {
            Self::Hpke4(key) => key.thumbprint(),
            #[cfg(feature = "x-wing")]
            Self::Hpke9(key) => key.thumbprint(),
        }
    }

    /// Encrypts `content_key` to the reader and writes the recipient, which names the reader by its whole thumbprint,
    /// to `space` of [`Recipient::len`] octets. `None` if no key could be agreed.
    pub(super) fn write_recipient(
        &self,
        content_key: &ContentKey,
        rng: &mut impl CryptoRng,
        space: &mut [u8],
    ) -> Option<()> {
        let thumbprint = self.thumbprint();
        match self {
            Self::Hpke4(key) => {
                let protected = Protected::with(Algorithm::Hpke4KeyEncryption, Some(thumbprint.as_bytes()), None);
                let key = key.to_hpke();
                write_with::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(&key, &protected, content_key, rng, space)
            }
            #[cfg(feature = "x-wing")]
            Self::Hpke9(key) => x_wing::write_recipient(key, &thumbprint, content_key, rng, space),
        }
    }
}

fn write_with<A: Aead, F: Kdf, K: Kem>(
    reader: &K::PublicKey,
    protected: &Protected,
    content_key: &ContentKey,
    rng: &mut impl CryptoRng,
    space: &mut [u8],
) -> Option<()> {
    let info = RecipientStructure::new(Algorithm::ChaCha20Poly1305, protected.as_bytes(), &[])
        .expect("the header of a thumbprint is short");
    let mut key = Zeroizing::new(*content_key.as_bytes());
    let key_in_place = InOutBuf::from(&mut key[..]);
    let (encapsulated, tag) = hpke::single_shot_seal_inout_detached_with_rng::<A, F, K>(
        &OpModeS::Base,
        reader,
        info.as_bytes(),
        key_in_place,
        &[],
        rng,
    )
    .ok()?;
    let mut writer = Writer::new(Buffer::new(space));
    let written = (|| {
        writer.array(3)?;
        writer.bytes(protected.as_bytes())?;
        writer.map(1)?;
        writer.int(EK)?;
        writer.bytes(&encapsulated.to_bytes())?;
        writer.bytes_header((ContentKey::LEN + TAG_LEN) as u64)?;
        writer.put(&key[..])?;
        writer.put(&tag.to_bytes())
    })();
    written.expect("the caller's part has the length of a recipient");
    Some(())
}

/// The `info` of HPKE-4-KE and HPKE-9-KE (draft-ietf-cose-hpke-23 §3.3): what the content key is for.
///
/// ```cddl
/// Recipient_structure = ["HPKE Recipient", next_layer_alg: int, recipient_protected_header: bstr,
///                        recipient_extra_info: bstr]
/// ```
struct RecipientStructure {
    octets: [u8; Self::MAX_LEN],
    len: usize,
}

impl RecipientStructure {
    const MAX_LEN: usize = 1 + 15 + 3 + (2 + MAX_PROTECTED_LEN) + (1 + MAX_EXTRA_INFO_LEN);

    /// `None` if the header or the addition is longer than any that is read.
    fn new(content: Algorithm, protected: &[u8], extra_info: &[u8]) -> Option<Self> {
        let mut octets = [0; Self::MAX_LEN];
        let mut writer = Writer::new(Buffer::new(&mut octets));
        let written = (|| {
            writer.array(4)?;
            writer.text("HPKE Recipient")?;
            writer.int(content.number())?;
            writer.bytes(protected)?;
            writer.bytes(extra_info)
        })();
        written.ok()?;
        let len = writer.into_output().len();
        Some(Self { octets, len })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// Octets of the protected header `{1: 50, 4: thumbprint}`, or with 57.
const PROTECTED_LEN: usize = 1 + 3 + (1 + 2 + Thumbprint::LEN);

/// Octets of the longest protected header that is read.
const MAX_PROTECTED_LEN: usize = 255;

const MAX_EXTRA_INFO_LEN: usize = 23;

#[cfg(test)]
mod tests;
