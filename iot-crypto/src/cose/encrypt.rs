use iot_codec::cbor::{Buffer, Cursor, Writer};
use rand_core::CryptoRng;

use super::header::{Headers, IV, Protected};
use super::recipient::{ReaderKey, Recipient};
use super::symmetric::{self, ContentKey, DecryptError, NONCE_LEN, TAG_LEN};
use super::{Algorithm, CoseError, Countersigned, content, enter, entries, head_len};
use crate::{AgreementKey, BufferTooSmall};

/// `COSE_Encrypt` (RFC 9052 §5.1): one content for several readers, read but not opened.
///
/// ```cddl
/// COSE_Encrypt = [protected: bstr, unprotected: {* label => any}, ciphertext: bstr, recipients: [+ COSE_recipient]]
/// ```
///
/// The cipher does not authenticate the recipients, nor that each of them was given the same key: a
/// [message](crate::Sealer) to several readers binds both, which plain COSE does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encrypt<'b> {
    headers: Headers<'b>,
    ciphertext: &'b [u8],
    recipients: &'b [u8],
    count: usize,
}

impl<'b> Encrypt<'b> {
    /// The CBOR tag (RFC 9052 §2, table 1).
    pub const TAG: u64 = 96;

    /// The most recipients that a structure may have. One with more is refused.
    pub const MAX_RECIPIENTS: usize = 64;

    /// Reads a tagged or untagged structure that fills `octets`.
    ///
    /// # Errors
    ///
    /// [`CoseError`]; a content that is not encrypted with ChaCha20/Poly1305 is [`CoseError::Algorithm`]. A recipient
    /// of an algorithm that this crate does not implement is no error: it is for others.
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
        enter(&mut cursor, Self::TAG, 4)?;
        let headers = Headers::read(&mut cursor)?;
        symmetric::check_content_algorithm(&headers)?;
        let ciphertext = content(&mut cursor, detached)?;
        let (recipients, count) =
            entries(&mut cursor, Self::MAX_RECIPIENTS, |cursor| match Recipient::read(cursor).map(drop) {
                // For somebody who can do something else.
                Err(CoseError::Algorithm(_)) => cursor.bytes().map(drop).map_err(CoseError::from),
                read => read,
            })?;
        cursor.finish()?;
        Ok(Self { headers, ciphertext, recipients, count })
    }

    /// Encrypts `plaintext` under a content key that `rng` draws, encrypts that key to each of the readers with
    /// HPKE-4-KE, and writes the untagged structure to the front of `buffer`, which must have
    /// [`buffer_len`](Self::buffer_len) octets. Returns the octets of the structure.
    ///
    /// # Errors
    ///
    /// [`EncryptError`].
    pub fn seal_into(
        readers: &[AgreementKey],
        plaintext: &[u8],
        external: &[u8],
        rng: &mut impl CryptoRng,
        buffer: &mut [u8],
    ) -> Result<usize, EncryptError> {
        if readers.is_empty() || readers.len() > Self::MAX_RECIPIENTS {
            return Err(EncryptError::Readers { count: readers.len() });
        }
        let needed = Self::buffer_len(readers.len(), plaintext.len(), external.len());
        let buffer = BufferTooSmall::check(buffer, needed)?;
        let layout = Layout::new(PLAIN_PROTECTED_LEN, plaintext.len(), readers.len(), AgreementKey::LEN);
        let (structure, scratch) = buffer.split_at_mut(layout.len());
        let content_key = ContentKey::generate(rng);
        let (head, rest) = structure.split_at_mut(layout.head_len);
        let (ciphertext, recipients) = rest.split_at_mut(layout.ciphertext_len);
        layout
            .write_recipients(readers.iter().map(ReaderKey::Hpke4), &content_key, rng, recipients)
            .ok_or(EncryptError::Agreement)?;
        ciphertext[..plaintext.len()].copy_from_slice(plaintext);
        layout.seal(&content_key, None, &[external], rng, head, ciphertext, scratch);
        Ok(layout.len())
    }

    /// Octets that [`seal_into`](Self::seal_into) needs: the structure, and behind it the `Enc_structure`.
    pub const fn buffer_len(reader_count: usize, plaintext_len: usize, external_len: usize) -> usize {
        let layout = Layout::new(PLAIN_PROTECTED_LEN, plaintext_len, reader_count, AgreementKey::LEN);
        layout.len() + layout.enc_structure_len(external_len)
    }

    /// [`seal_into`](Self::seal_into) a new vector.
    ///
    /// # Errors
    ///
    /// [`EncryptError`].
    #[cfg(feature = "alloc")]
    pub fn seal(
        readers: &[AgreementKey],
        plaintext: &[u8],
        external: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<alloc::vec::Vec<u8>, EncryptError> {
        let mut buffer = alloc::vec![0; Self::buffer_len(readers.len(), plaintext.len(), external.len())];
        let len = Self::seal_into(readers, plaintext, external, rng, &mut buffer)?;
        buffer.truncate(len);
        Ok(buffer)
    }

    /// Decrypts the content into the front of `buffer`, which must have [`open_len`](Self::open_len) octets, and
    /// returns it. The key comes from the caller's [recipient](Self::recipient), or is used directly.
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

    /// The recipients of algorithms that this crate implements, in their order.
    pub fn recipients(&self) -> impl Iterator<Item = Recipient<'b>> + use<'b> {
        let count = self.count;
        let mut cursor = Cursor::new(self.recipients);
        (0..count).filter_map(move |_| match Recipient::read(&mut cursor) {
            Ok(recipient) => Some(recipient),
            Err(_) => {
                // It was read once, so all that can be amiss is an algorithm that is for others.
                cursor.skip().ok()?;
                None
            }
        })
    }

    /// The first recipient that names this key. Others are not tried.
    pub fn recipient(&self, kid: &[u8]) -> Option<Recipient<'b>> {
        self.recipients().find(|recipient| recipient.headers().kid == Some(kid))
    }

    /// How many recipients there are, of whatever algorithm.
    pub const fn recipient_count(&self) -> usize {
        self.count
    }

    /// The headers of the content.
    pub const fn headers(&self) -> &Headers<'b> {
        &self.headers
    }

    /// The ciphertext, with the tag of the cipher at its end.
    pub const fn ciphertext(&self) -> &'b [u8] {
        self.ciphertext
    }

    /// The recipients one after another, as they were received.
    pub(crate) const fn recipient_octets(&self) -> &'b [u8] {
        self.recipients
    }

    /// What a countersignature of this structure covers: the ciphertext, not the plaintext.
    pub const fn countersigned(&self) -> Countersigned<'b> {
        Countersigned::new(self.headers.protected, self.headers.unprotected, self.ciphertext, None)
    }
}

/// Why nothing was encrypted to several readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// There is no reader, or more of them than [`Encrypt::MAX_RECIPIENTS`].
    #[error("{count} readers were given, not 1 to {max}", max = Encrypt::MAX_RECIPIENTS)]
    Readers {
        /// How many.
        count: usize,
    },
    /// No key could be agreed with a reader's.
    #[error("no key could be agreed")]
    Agreement,
    /// The caller's buffer is too short.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
}

const CONTEXT: &str = "Encrypt";

/// Where the parts of a `COSE_Encrypt` lie that this crate writes.
pub(crate) struct Layout {
    pub(crate) head_len: usize,
    /// With the tag.
    pub(crate) ciphertext_len: usize,
    pub(crate) recipients_len: usize,
    protected_len: usize,
    reader_count: usize,
    /// Of one of them.
    recipient_len: usize,
}

impl Layout {
    /// For readers with encapsulated keys of `encapsulated_len` octets each.
    pub(crate) const fn new(
        protected_len: usize,
        plaintext_len: usize,
        reader_count: usize,
        encapsulated_len: usize,
    ) -> Self {
        let ciphertext_len = plaintext_len + TAG_LEN;
        let recipient_len = Recipient::len(encapsulated_len);
        let recipients_len = head_len(reader_count) + reader_count * recipient_len;
        let headers_len = head_len(protected_len) + protected_len + (1 + 1 + 1 + NONCE_LEN);
        let head_len = 1 + headers_len + head_len(ciphertext_len);
        Self { head_len, ciphertext_len, recipients_len, protected_len, reader_count, recipient_len }
    }

    /// Octets of the untagged structure.
    pub(crate) const fn len(&self) -> usize {
        self.head_len + self.ciphertext_len + self.recipients_len
    }

    pub(crate) const fn enc_structure_len(&self, external_len: usize) -> usize {
        symmetric::enc_structure_len(CONTEXT, self.protected_len, external_len)
    }

    /// Encrypts the content key to each reader. `None` if no key could be agreed.
    pub(crate) fn write_recipients<'k>(
        &self,
        readers: impl Iterator<Item = ReaderKey<'k>>,
        content_key: &ContentKey,
        rng: &mut impl CryptoRng,
        space: &mut [u8],
    ) -> Option<()> {
        let (head, recipients) = space.split_at_mut(head_len(self.reader_count));
        let mut writer = Writer::new(Buffer::new(head));
        writer.array(self.reader_count as u64).expect("the head was measured");
        for (reader, space) in readers.zip(recipients.chunks_exact_mut(self.recipient_len)) {
            reader.write_recipient(content_key, rng, space)?;
        }
        Some(())
    }

    /// Encrypts the plaintext that stands in front of the tag's place in `ciphertext`, under a nonce that `rng` draws,
    /// and writes the head.
    #[allow(clippy::too_many_arguments, reason = "three of them are parts of one buffer")]
    pub(crate) fn seal(
        &self,
        content_key: &ContentKey,
        commitment: Option<&[u8; 32]>,
        external: &[&[u8]],
        rng: &mut impl CryptoRng,
        head: &mut [u8],
        ciphertext: &mut [u8],
        scratch: &mut [u8],
    ) {
        let mut iv = [0; NONCE_LEN];
        rng.fill_bytes(&mut iv);
        let protected = Protected::with(Algorithm::ChaCha20Poly1305, None, commitment);
        let mut writer = Writer::new(Buffer::new(head));
        let mut aad = Writer::new(Buffer::new(scratch));
        let written = (|| {
            writer.array(4)?;
            writer.bytes(protected.as_bytes())?;
            writer.map(1)?;
            writer.int(IV)?;
            writer.bytes(&iv)?;
            writer.bytes_header(self.ciphertext_len as u64)?;
            symmetric::write_enc_structure(&mut aad, CONTEXT, protected.as_bytes(), external)
        })();
        written.expect("the layout has room for both");
        let (content, tag) = ciphertext.split_at_mut(self.ciphertext_len - TAG_LEN);
        tag.copy_from_slice(&content_key.encrypt(&iv, aad.into_output().written(), content));
    }
}

/// Octets of the protected header `{1: 24}`.
const PLAIN_PROTECTED_LEN: usize = 1 + 3;

/// Octets of the protected header `{1: 24, commitment}`.
pub(crate) const COMMITTING_PROTECTED_LEN: usize = PLAIN_PROTECTED_LEN + 5 + 2 + 32;
