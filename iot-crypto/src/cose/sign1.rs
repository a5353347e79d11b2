mod unsigned;

use iot_codec::cbor::{Buffer, Cursor, Encode, EncodeError, Output, Writer, encoded_len};

use super::header::{Headers, Protected};
use super::{Algorithm, CoseError, Countersigned, content, enter, head_len};
use crate::{BufferTooSmall, Signature, SignatureError, Signer, SignerError, VerifyingKey};

pub use unsigned::UnsignedSign1;

/// `COSE_Sign1` (RFC 9052 §4.2), read but not verified.
///
/// ```cddl
/// COSE_Sign1 = [protected: bstr, unprotected: {* label => any}, payload: bstr, signature: bstr .size 64]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign1<'b> {
    headers: Headers<'b>,
    payload: &'b [u8],
    signature: &'b [u8; Signature::LEN],
}

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The holder of the key did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The caller's buffer cannot hold the structure and the octets that are signed.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
}

impl<'b> Sign1<'b> {
    /// The CBOR tag (RFC 9052 §2, table 1).
    pub const TAG: u64 = 18;

    /// Reads a tagged or untagged structure that fills `octets`.
    ///
    /// # Errors
    ///
    /// [`CoseError`]; an algorithm that does not sign is [`CoseError::Algorithm`].
    pub fn parse(octets: &'b [u8]) -> Result<Self, CoseError> {
        Self::read(octets, None)
    }

    /// Reads a structure whose payload is `nil` because it travels apart (RFC 9052 §2).
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse); and [`CoseError::Attached`] if the structure has a payload.
    pub fn parse_detached(octets: &'b [u8], payload: &'b [u8]) -> Result<Self, CoseError> {
        Self::read(octets, Some(payload))
    }

    #[inline]
    fn read(octets: &'b [u8], detached: Option<&'b [u8]>) -> Result<Self, CoseError> {
        let mut cursor = Cursor::new(octets);
        enter(&mut cursor, Self::TAG, 4)?;
        let headers = Headers::read_inline(&mut cursor)?;
        if !headers.algorithm.signs() {
            return Err(CoseError::Algorithm(headers.algorithm.number()));
        }
        let payload = content(&mut cursor, detached)?;
        let signature = cursor.bytes()?;
        cursor.finish()?;
        let len = signature.len();
        let signature = signature.try_into().map_err(|_| CoseError::Length { len })?;
        Ok(Self { headers, payload, signature })
    }

    /// Signs `payload` and `external` with `signer` and writes the untagged structure to the front of `buffer`, which
    /// must have [`buffer_len`](Self::buffer_len) octets. Returns the octets of the structure.
    ///
    /// # Errors
    ///
    /// [`SignError`]; the buffer then holds nothing of use.
    pub fn sign_into(
        signer: &impl Signer,
        payload: &[u8],
        external: &[u8],
        buffer: &mut [u8],
    ) -> Result<usize, SignError> {
        let buffer = BufferTooSmall::check(buffer, Self::buffer_len(payload.len(), external.len()))?;
        let (structure, scratch) = buffer.split_at_mut(sign1_len(payload.len()));
        write_sign1(signer, payload, &External(external), structure, scratch)?;
        Ok(sign1_len(payload.len()))
    }

    /// Octets that [`sign_into`](Self::sign_into) needs: the structure, and behind it the octets that are signed.
    pub const fn buffer_len(payload_len: usize, external_len: usize) -> usize {
        sign1_len(payload_len) + to_be_signed_len(PROTECTED_LEN, external_len, payload_len)
    }

    /// [`sign_into`](Self::sign_into) a new vector.
    ///
    /// # Errors
    ///
    /// [`SignerError`] when the holder of the key did not sign.
    #[cfg(feature = "alloc")]
    pub fn sign(signer: &impl Signer, payload: &[u8], external: &[u8]) -> Result<alloc::vec::Vec<u8>, SignerError> {
        let mut buffer = alloc::vec![0; Self::buffer_len(payload.len(), external.len())];
        match Self::sign_into(signer, payload, external, &mut buffer) {
            Ok(len) => {
                buffer.truncate(len);
                Ok(buffer)
            }
            Err(SignError::Signer(refused)) => Err(refused),
            Err(SignError::Buffer(_)) => unreachable!("the buffer has the length that was asked for"),
        }
    }

    /// Verifies the signature over the headers, `external` and the payload (RFC 9052 §4.4), and returns the payload.
    /// `scratch` takes the octets that were signed; [`scratch_len`](Self::scratch_len) says how many.
    ///
    /// # Errors
    ///
    /// [`VerifyError`].
    pub fn verify(&self, key: &VerifyingKey, external: &[u8], scratch: &mut [u8]) -> Result<&'b [u8], VerifyError> {
        self.verify_bound(key, &External(external), scratch)
    }

    pub(crate) fn verify_bound(
        &self,
        key: &VerifyingKey,
        external: &impl Encode,
        scratch: &mut [u8],
    ) -> Result<&'b [u8], VerifyError> {
        if !key.verifies(self.headers.algorithm) {
            return Err(SignatureError.into());
        }
        let scratch = BufferTooSmall::check(scratch, self.scratch_len(encoded_len(external)))?;
        let signed = write_to_be_signed(self.headers.protected, external, self.payload, scratch);
        key.verify(signed, &Signature::from_bytes(*self.signature))?;
        Ok(self.payload)
    }

    /// Octets of scratch that [`verify`](Self::verify) needs.
    pub const fn scratch_len(&self, external_len: usize) -> usize {
        to_be_signed_len(self.headers.protected.len(), external_len, self.payload.len())
    }

    /// The headers.
    pub const fn headers(&self) -> &Headers<'b> {
        &self.headers
    }

    /// What a countersignature of this structure covers.
    pub const fn countersigned(&self) -> Countersigned<'b> {
        Countersigned::new(self.headers.protected, self.headers.unprotected, self.payload, Some(self.signature))
    }

    /// The payload, which nobody has verified.
    pub const fn unverified_payload(&self) -> &'b [u8] {
        self.payload
    }
}

/// Why a signature was not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The signature is not the key's.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The caller's scratch cannot hold the octets that were signed.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
}

/// Octets of the untagged structure that [`write_sign1`] writes.
pub(crate) const fn sign1_len(payload_len: usize) -> usize {
    1 + 1 + PROTECTED_LEN + 1 + head_len(payload_len) + payload_len + 2 + Signature::LEN
}

/// Octets of a `Sig_structure`.
const fn to_be_signed_len(protected_len: usize, external_len: usize, payload_len: usize) -> usize {
    let strings = head_len(protected_len) + protected_len + head_len(external_len) + external_len;
    1 + 1 + CONTEXT.len() + strings + head_len(payload_len) + payload_len
}

/// Signs and writes the untagged structure to `structure`, which has [`sign1_len`] octets. `scratch` has as many as
/// [`to_be_signed_len`] says.
fn write_sign1(
    signer: &impl Signer,
    payload: &[u8],
    external: &impl Encode,
    structure: &mut [u8],
    scratch: &mut [u8],
) -> Result<(), SignerError> {
    let key = signer.verifying_key();
    let signed = write_unsigned(&key, payload, external, structure, scratch);
    put_signature(structure, &key.normal_form(signer.sign(signed)?));
    Ok(())
}

/// Writes the untagged structure without its signature, and what is to be signed, each to a part of its length. Returns
/// what is to be signed.
pub(crate) fn write_unsigned<'s>(
    key: &VerifyingKey,
    payload: &[u8],
    external: &impl Encode,
    structure: &mut [u8],
    scratch: &'s mut [u8],
) -> &'s [u8] {
    // What the structure is longer than it must be, padding fills.
    let padding = Filling::of(structure.len() - sign1_len(payload.len()));
    let protected = Protected::new(key.algorithm(), &key.key_id());
    let protected = protected.as_bytes();
    let mut writer = Writer::new(Buffer::new(structure));
    let written = (|| {
        writer.array(4)?;
        writer.bytes(protected)?;
        writer.map(padding.is_some().into())?;
        if let Some(Filling { zeros }) = padding {
            writer.int(PADDING)?;
            writer.bytes_header(zeros as u64)?;
            (0..zeros).try_for_each(|_| writer.put(&[0]))?;
        }
        writer.bytes(payload)?;
        writer.bytes(&[0; Signature::LEN])
    })();
    written.expect("the caller's part has the length of the structure");
    write_to_be_signed(protected, external, payload, scratch)
}

/// Padding in the unprotected header of a structure that is sealed, where the cipher covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filling {
    zeros: usize,
}

impl Filling {
    /// What fills just this many octets: the label, the head of a string, and zeros. `None` if nothing does, be it
    /// because there is nothing to fill.
    pub(crate) fn of(octets: usize) -> Option<Self> {
        let string = octets.checked_sub(PADDING_LABEL_LEN)?;
        let zeros = (1..=5).find_map(|head| {
            let zeros = string.checked_sub(head)?;
            (head_len(zeros) == head).then_some(zeros)
        })?;
        Some(Self { zeros })
    }
}

/// The label of padding, from the range for private use (RFC 9052 §11.1). `docs/formats/envelope.md`.
pub(crate) const PADDING: i64 = -65_537;

const PADDING_LABEL_LEN: usize = 5;

/// Puts the signature into its place: the end of a structure that [`write_unsigned`] wrote.
pub(crate) fn put_signature(structure: &mut [u8], signature: &Signature) {
    let place = structure.len() - Signature::LEN;
    structure[place..].copy_from_slice(signature.as_bytes());
}

/// Writes the `Sig_structure` (RFC 9052 §4.4) to `scratch` and returns it.
fn write_to_be_signed<'s>(protected: &[u8], external: &impl Encode, payload: &[u8], scratch: &'s mut [u8]) -> &'s [u8] {
    let mut writer = Writer::new(Buffer::new(scratch));
    let written = (|| {
        writer.array(4)?;
        writer.text(CONTEXT)?;
        writer.bytes(protected)?;
        writer.bytes_header(encoded_len(external) as u64)?;
        external.encode(&mut writer)?;
        writer.bytes(payload)
    })();
    written.expect("the caller's part has the length of the structure");
    writer.into_output().into_written()
}

const PROTECTED_LEN: usize = Protected::len(Algorithm::Ed25519);

const CONTEXT: &str = "Signature1";

/// External data that is at hand as octets.
pub(super) struct External<'a>(pub(super) &'a [u8]);

impl Encode for External<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.put(self.0)
    }
}
