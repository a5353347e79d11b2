use hmac::{Hmac, KeyInit as _, Mac as _};
use iot_codec::cbor::{Buffer, Cursor, EncodeError, Output, Writer};
use iot_core::KeyId;
use sha2::Sha256;

use super::header::{Headers, Protected};
use super::{Algorithm, CoseError, Countersigned, MacKey, content, enter, head_len};
use crate::BufferTooSmall;

/// `COSE_Mac0` (RFC 9052 §6.2) with HMAC 256/256, read but not verified.
///
/// ```cddl
/// COSE_Mac0 = [protected: bstr, unprotected: {* label => any}, payload: bstr, tag: bstr .size 32]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac0<'b> {
    headers: Headers<'b>,
    payload: &'b [u8],
    tag: &'b [u8; TAG_LEN],
}

/// A tag is not the key's over exactly these octets. Says no more, so that a forger learns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the authentication tag is not valid")]
pub struct MacError;

impl<'b> Mac0<'b> {
    /// The CBOR tag (RFC 9052 §2, table 1).
    pub const TAG: u64 = 17;

    /// Reads a tagged or untagged structure that fills `octets`.
    ///
    /// # Errors
    ///
    /// [`CoseError`]; an algorithm that is not a MAC is [`CoseError::Algorithm`].
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
        let headers = Headers::read(&mut cursor)?;
        if headers.algorithm != Algorithm::Hmac256 {
            return Err(CoseError::Algorithm(headers.algorithm.number()));
        }
        let payload = content(&mut cursor, detached)?;
        let tag = cursor.bytes()?;
        cursor.finish()?;
        // A shortened tag is another algorithm.
        let tag = tag.try_into().map_err(|_| CoseError::Length { len: tag.len() })?;
        Ok(Self { headers, payload, tag })
    }

    /// Authenticates `payload` and `external` and writes the untagged structure to the front of `buffer`, which must
    /// have [`buffer_len`](Self::buffer_len) octets. Returns the octets of the structure.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn authenticate_into(
        key: &MacKey,
        name: &KeyId,
        payload: &[u8],
        external: &[u8],
        buffer: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        let structure = BufferTooSmall::check(buffer, Self::buffer_len(payload.len()))?;
        let protected = Protected::new(Algorithm::Hmac256, name);
        let tag = mac(key, protected.as_bytes(), external, payload).finalize().into_bytes();
        let mut writer = Writer::new(Buffer::new(structure));
        let written = (|| {
            writer.array(4)?;
            writer.bytes(protected.as_bytes())?;
            writer.map(0)?;
            writer.bytes(payload)?;
            writer.bytes(&tag)
        })();
        written.expect("the buffer was measured");
        Ok(Self::buffer_len(payload.len()))
    }

    /// Octets of the structure that [`authenticate_into`](Self::authenticate_into) writes.
    pub const fn buffer_len(payload_len: usize) -> usize {
        let protected_len = Protected::len(Algorithm::Hmac256);
        1 + 1 + protected_len + 1 + head_len(payload_len) + payload_len + 2 + TAG_LEN
    }

    /// [`authenticate_into`](Self::authenticate_into) a new vector.
    #[cfg(feature = "alloc")]
    pub fn authenticate(key: &MacKey, name: &KeyId, payload: &[u8], external: &[u8]) -> alloc::vec::Vec<u8> {
        let mut buffer = alloc::vec![0; Self::buffer_len(payload.len())];
        let written = Self::authenticate_into(key, name, payload, external, &mut buffer);
        written.expect("the buffer has the length that was asked for");
        buffer
    }

    /// Verifies the tag over the headers, `external` and the payload (RFC 9052 §6.3) in constant time, and returns the
    /// payload.
    ///
    /// # Errors
    ///
    /// [`MacError`].
    pub fn verify(&self, key: &MacKey, external: &[u8]) -> Result<&'b [u8], MacError> {
        let mac = mac(key, self.headers.protected, external, self.payload);
        mac.verify_slice(self.tag).map_err(|_| MacError)?;
        Ok(self.payload)
    }

    /// The headers.
    pub const fn headers(&self) -> &Headers<'b> {
        &self.headers
    }

    /// The payload, which nobody has verified.
    pub const fn unverified_payload(&self) -> &'b [u8] {
        self.payload
    }

    /// What a countersignature of this structure covers.
    pub const fn countersigned(&self) -> Countersigned<'b> {
        Countersigned::new(self.headers.protected, self.headers.unprotected, self.payload, Some(self.tag))
    }
}

/// Octets of a tag.
const TAG_LEN: usize = 32;

/// The `MAC_structure` (RFC 9052 §6.3), absorbed as it is written.
fn mac(key: &MacKey, protected: &[u8], external: &[u8], payload: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    let mut writer = Writer::new(Absorber(mac));
    let written = (|| {
        writer.array(4)?;
        writer.text("MAC0")?;
        writer.bytes(protected)?;
        writer.bytes(external)?;
        writer.bytes(payload)
    })();
    written.expect("a MAC takes any number of octets");
    writer.into_output().0
}

struct Absorber(Hmac<Sha256>);

impl Output for Absorber {
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.update(bytes);
        Ok(())
    }
}
