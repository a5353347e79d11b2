use iot_codec::cbor::{Buffer, Cursor, Writer};

use super::{CoseError, Headers, enter};

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
    /// [`CoseError`].
    pub fn parse(octets: &'b [u8]) -> Result<Self, CoseError> {
        let mut cursor = Cursor::new(octets);
        enter(&mut cursor, Self::TAG, 3)?;
        let headers = Headers::read(&mut cursor)?;
        let ciphertext = cursor.bytes()?;
        cursor.finish()?;
        Ok(Self { headers, ciphertext })
    }

    /// The headers.
    pub const fn headers(&self) -> &Headers<'b> {
        &self.headers
    }

    /// The ciphertext, with the tag of the cipher at its end.
    pub const fn ciphertext(&self) -> &'b [u8] {
        self.ciphertext
    }
}

/// The `Enc_structure` (RFC 9052 §5.3), which an AEAD authenticates, for external data of at most `EXTERNAL` octets.
pub(crate) struct EncStructure<const CAPACITY: usize> {
    octets: [u8; CAPACITY],
    len: usize,
}

impl<const CAPACITY: usize> EncStructure<CAPACITY> {
    /// `None` if the capacity does not suffice.
    pub(crate) fn new(protected: &[u8], external: &[u8]) -> Option<Self> {
        let mut octets = [0; CAPACITY];
        let mut writer = Writer::new(Buffer::new(&mut octets));
        let written = (|| {
            writer.array(3)?;
            writer.text("Encrypt0")?;
            writer.bytes(protected)?;
            writer.bytes(external)
        })();
        written.ok()?;
        let len = writer.into_output().len();
        Some(Self { octets, len })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}
