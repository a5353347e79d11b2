use iot_codec::cbor::{Buffer, Cursor, Writer};

use super::header::{Headers, Layer, Protected};
use super::{Algorithm, CoseError, Countersigned, VerifyError, content, enter, entries, head_len, three_members};
use crate::{BufferTooSmall, Signature, SignatureError, Signer, SignerError, VerifyingKey};

/// `COSE_Sign` (RFC 9052 §4.1): one payload with several signatures, read but not verified.
///
/// ```cddl
/// COSE_Sign = [protected: bstr, unprotected: {* label => any}, payload: bstr, signatures: [+ COSE_Signature]]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign<'b> {
    protected: &'b [u8],
    unprotected: &'b [u8],
    payload: &'b [u8],
    signatures: &'b [u8],
    count: usize,
}

/// `COSE_Signature` (RFC 9052 §4.1): one of the signatures of a [`Sign`], not verified.
///
/// ```cddl
/// COSE_Signature = [protected: bstr, unprotected: {* label => any}, signature: bstr .size 64]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoseSignature<'b> {
    headers: Headers<'b>,
    signature: &'b [u8; Signature::LEN],
    body_protected: &'b [u8],
    payload: &'b [u8],
}

/// Why a signature was not added to others, or to what it countersigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CosignError {
    /// The holder of a key did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The caller's buffer cannot hold the structure and the octets that are signed.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
    /// There is no signer, or more of them than a structure may have.
    #[error("{count} signers were given, not 1 to {max}", max = Sign::MAX_SIGNATURES)]
    Signers {
        /// How many.
        count: usize,
    },
    /// What was to be countersigned is another structure, or has such a countersignature already.
    #[error("the structure cannot be countersigned")]
    Structure,
}

impl<'b> Sign<'b> {
    /// The CBOR tag (RFC 9052 §2, table 1).
    pub const TAG: u64 = 98;

    /// The most signatures that a structure may have. One with more is refused.
    pub const MAX_SIGNATURES: usize = 16;

    /// Reads a tagged or untagged structure that fills `octets`.
    ///
    /// # Errors
    ///
    /// [`CoseError`]. A signature of an algorithm that this crate does not implement is no error: it is for others.
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

    fn read(octets: &'b [u8], detached: Option<&'b [u8]>) -> Result<Self, CoseError> {
        let mut cursor = Cursor::new(octets);
        enter(&mut cursor, Self::TAG, 4)?;
        let body = Layer::read(&mut cursor)?;
        body.check()?;
        let payload = content(&mut cursor, detached)?;
        let (signatures, count) =
            entries(&mut cursor, Self::MAX_SIGNATURES, |cursor| match read_signature(cursor).map(drop) {
                // A later algorithm, beside one that is known here (RFC 9052 §4.1).
                Err(CoseError::Algorithm(_)) => cursor.bytes().map(drop).map_err(CoseError::from),
                read => read,
            })?;
        cursor.finish()?;
        Ok(Self { protected: body.protected, unprotected: body.unprotected, payload, signatures, count })
    }

    /// Signs `payload` and `external` with each of the signers and writes the untagged structure to the front of
    /// `buffer`, which must have [`buffer_len`](Self::buffer_len) octets. Returns the octets of the structure.
    ///
    /// # Errors
    ///
    /// [`CosignError`]; [`CosignError::Signers`] if there is none, or more than
    /// [`MAX_SIGNATURES`](Self::MAX_SIGNATURES). The buffer then holds nothing of use.
    pub fn sign_into(
        signers: &[&dyn Signer],
        payload: &[u8],
        external: &[u8],
        buffer: &mut [u8],
    ) -> Result<usize, CosignError> {
        if signers.is_empty() || signers.len() > Self::MAX_SIGNATURES {
            return Err(CosignError::Signers { count: signers.len() });
        }
        let len = structure_len(signers.len(), payload.len());
        let buffer = BufferTooSmall::check(buffer, Self::buffer_len(signers.len(), payload.len(), external.len()))?;
        let (structure, scratch) = buffer.split_at_mut(len);
        let mut writer = Writer::new(Buffer::new(structure));
        let begun = (|| {
            writer.array(4)?;
            writer.bytes(&[])?;
            writer.map(0)?;
            writer.bytes(payload)?;
            writer.array(signers.len() as u64)
        })();
        begun.expect("the buffer was measured");
        for signer in signers {
            let key = signer.verifying_key();
            let protected = Protected::new(key.algorithm(), &key.key_id());
            let signed = write_to_be_signed(&[], protected.as_bytes(), external, payload, scratch);
            let signature = key.normal_form(signer.sign(signed)?);
            let written = (|| {
                writer.array(3)?;
                writer.bytes(protected.as_bytes())?;
                writer.map(0)?;
                writer.bytes(signature.as_bytes())
            })();
            written.expect("the buffer was measured");
        }
        Ok(len)
    }

    /// Octets that [`sign_into`](Self::sign_into) needs: the structure, and behind it the octets that are signed.
    pub const fn buffer_len(signer_count: usize, payload_len: usize, external_len: usize) -> usize {
        structure_len(signer_count, payload_len) + to_be_signed_len(0, PROTECTED_LEN, external_len, payload_len)
    }

    /// [`sign_into`](Self::sign_into) a new vector.
    ///
    /// # Errors
    ///
    /// [`CosignError`].
    #[cfg(feature = "alloc")]
    pub fn sign(signers: &[&dyn Signer], payload: &[u8], external: &[u8]) -> Result<alloc::vec::Vec<u8>, CosignError> {
        let mut buffer = alloc::vec![0; Self::buffer_len(signers.len(), payload.len(), external.len())];
        let len = Self::sign_into(signers, payload, external, &mut buffer)?;
        buffer.truncate(len);
        Ok(buffer)
    }

    /// The signatures of algorithms that this crate implements, in their order.
    pub fn signatures(&self) -> impl Iterator<Item = CoseSignature<'b>> + use<'b> {
        let Self { protected: body_protected, payload, count, .. } = *self;
        let mut cursor = Cursor::new(self.signatures);
        (0..count).filter_map(move |_| match read_signature(&mut cursor) {
            Ok((headers, signature)) => Some(CoseSignature { headers, signature, body_protected, payload }),
            Err(_) => {
                // It was read once, so all that can be amiss is an algorithm that is for others.
                cursor.skip().ok()?;
                None
            }
        })
    }

    /// Verifies the signature that names `key` (RFC 9052 §4.4), and returns the payload. `scratch` takes the octets
    /// that were signed; [`scratch_len`](CoseSignature::scratch_len) says how many.
    ///
    /// What the other signatures are worth, and how many of them must hold, is for the caller to ask of each.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]; [`SignatureError`] also if no signature names the key.
    pub fn verify(&self, key: &VerifyingKey, external: &[u8], scratch: &mut [u8]) -> Result<&'b [u8], VerifyError> {
        let name = key.key_id();
        let named = self.signatures().find(|signature| signature.headers.key_id() == Some(name));
        named.ok_or(SignatureError)?.verify(key, external, scratch)
    }

    /// The octets of the protected header of the body, as received.
    pub const fn protected(&self) -> &'b [u8] {
        self.protected
    }

    /// How many signatures there are, of whatever algorithm.
    pub const fn signature_count(&self) -> usize {
        self.count
    }

    /// The payload, which nobody has verified.
    pub const fn unverified_payload(&self) -> &'b [u8] {
        self.payload
    }

    /// What a countersignature of this structure covers: the payload, not the signatures.
    pub const fn countersigned(&self) -> Countersigned<'b> {
        Countersigned::new(self.protected, self.unprotected, self.payload, None)
    }
}

impl<'b> CoseSignature<'b> {
    /// Verifies the signature over both protected headers, `external` and the payload, and returns the payload.
    ///
    /// # Errors
    ///
    /// [`VerifyError`].
    pub fn verify(&self, key: &VerifyingKey, external: &[u8], scratch: &mut [u8]) -> Result<&'b [u8], VerifyError> {
        if !key.verifies(self.headers.algorithm) {
            return Err(SignatureError.into());
        }
        let scratch = BufferTooSmall::check(scratch, self.scratch_len(external.len()))?;
        let protected = self.headers.protected;
        let signed = write_to_be_signed(self.body_protected, protected, external, self.payload, scratch);
        key.verify(signed, &Signature::from_bytes(*self.signature))?;
        Ok(self.payload)
    }

    /// Octets of scratch that [`verify`](Self::verify) needs.
    pub const fn scratch_len(&self, external_len: usize) -> usize {
        to_be_signed_len(self.body_protected.len(), self.headers.protected.len(), external_len, self.payload.len())
    }

    /// The headers of this signature.
    pub const fn headers(&self) -> &Headers<'b> {
        &self.headers
    }

    /// What a countersignature of this signature covers.
    pub const fn countersigned(&self) -> Countersigned<'b> {
        Countersigned::new(self.headers.protected, self.headers.unprotected, self.signature, None)
    }
}

/// Reads a `COSE_Signature`. Where its algorithm is not known, the cursor stands before the signature.
pub(super) fn read_signature<'b>(
    cursor: &mut Cursor<'b>,
) -> Result<(Headers<'b>, &'b [u8; Signature::LEN]), CoseError> {
    three_members(cursor)?;
    let headers = Headers::read(cursor)?;
    if !headers.algorithm.signs() {
        return Err(CoseError::Algorithm(headers.algorithm.number()));
    }
    let signature = cursor.bytes()?;
    let len = signature.len();
    Ok((headers, signature.try_into().map_err(|_| CoseError::Length { len })?))
}

const CONTEXT: &str = "Signature";

const PROTECTED_LEN: usize = Protected::len(Algorithm::Ed25519);

const fn structure_len(signer_count: usize, payload_len: usize) -> usize {
    let signature_len = 1 + 1 + PROTECTED_LEN + 1 + 2 + Signature::LEN;
    1 + 1 + 1 + head_len(payload_len) + payload_len + 1 + signer_count * signature_len
}

const fn to_be_signed_len(body_len: usize, protected_len: usize, external_len: usize, payload_len: usize) -> usize {
    let headers = head_len(body_len) + body_len + head_len(protected_len) + protected_len;
    let strings = head_len(external_len) + external_len + head_len(payload_len) + payload_len;
    1 + 1 + CONTEXT.len() + headers + strings
}

/// Writes the `Sig_structure` (RFC 9052 §4.4) to `scratch` and returns it.
fn write_to_be_signed<'s>(
    body_protected: &[u8],
    protected: &[u8],
    external: &[u8],
    payload: &[u8],
    scratch: &'s mut [u8],
) -> &'s [u8] {
    let mut writer = Writer::new(Buffer::new(scratch));
    let written = (|| {
        writer.array(5)?;
        writer.text(CONTEXT)?;
        writer.bytes(body_protected)?;
        writer.bytes(protected)?;
        writer.bytes(external)?;
        writer.bytes(payload)
    })();
    written.expect("the caller's part has the length of the structure");
    writer.into_output().into_written()
}
