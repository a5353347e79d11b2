use iot_codec::cbor::{Buffer, EncodeError, Length, Output, Writer};
use iot_core::KeyId;

use super::{CRV, CoseKey, D, KID, KTY, KeyKind, PART_LEN, X, Y};
use crate::{AgreementKey, AgreementSecret, BufferTooSmall, SigningKey, VerifyingKey};

/// A key as this crate writes it: `{1: kty, 2: kid, -1: crv, -2: x, ? -3: y, ? -4: d}`, with the 8 octets of the
/// [`KeyId`] as `kid`.
struct Object<'k> {
    kind: KeyKind,
    key_id: KeyId,
    x: [u8; PART_LEN],
    y: Option<[u8; PART_LEN]>,
    secret: Option<&'k [u8; PART_LEN]>,
}

impl<'k> Object<'k> {
    fn of_signing(key: &VerifyingKey, secret: Option<&'k [u8; PART_LEN]>) -> Self {
        #[cfg(feature = "es256")]
        if let Some(point) = key.as_p256() {
            let (x, y) = point.coordinates();
            return Self { kind: KeyKind::P256, key_id: key.key_id(), x, y: Some(y), secret };
        }
        let x = key.as_bytes().try_into().expect("a key that is not on P-256 has the 32 octets of Ed25519");
        Self { kind: KeyKind::Ed25519, key_id: key.key_id(), x, y: None, secret }
    }

    fn of_agreement(key: &AgreementKey, secret: Option<&'k [u8; PART_LEN]>) -> Self {
        Self { kind: KeyKind::X25519, key_id: key.key_id(), x: *key.as_bytes(), y: None, secret }
    }

    fn write(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut measured = Writer::new(Length::new());
        self.put(&mut measured).expect("counting does not fail");
        let needed = measured.output().len();
        debug_assert!(needed <= CoseKey::MAX_LEN, "a key object has {needed} octets");
        let mut writer = Writer::new(Buffer::new(BufferTooSmall::check(buffer, needed)?));
        self.put(&mut writer).expect("the buffer has the length of the object");
        Ok(needed)
    }

    fn put<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        let (key_type, curve) = self.kind.numbers();
        writer.map(4 + u64::from(self.y.is_some()) + u64::from(self.secret.is_some()))?;
        writer.int(KTY)?;
        writer.int(key_type)?;
        writer.int(KID)?;
        writer.bytes(self.key_id.as_bytes())?;
        writer.int(CRV)?;
        writer.int(curve)?;
        let parts = [(X, Some(&self.x)), (Y, self.y.as_ref()), (D, self.secret)];
        for (label, part) in parts.into_iter().filter_map(|(label, part)| Some((label, part?))) {
            writer.int(label)?;
            writer.bytes(part)?;
        }
        Ok(())
    }
}

impl VerifyingKey {
    /// Writes the key as a public [`CoseKey`] to the front of `buffer` and returns the number of its octets, at most
    /// [`CoseKey::MAX_LEN`].
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn write_cose_key(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        Object::of_signing(self, None).write(buffer)
    }

    /// The key as a public [`CoseKey`].
    #[cfg(feature = "alloc")]
    pub fn to_cose_key(&self) -> alloc::vec::Vec<u8> {
        in_vector(|buffer| self.write_cose_key(buffer))
    }
}

impl AgreementKey {
    /// Writes the key as a public [`CoseKey`] to the front of `buffer` and returns the number of its octets, at most
    /// [`CoseKey::MAX_LEN`].
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn write_cose_key(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        Object::of_agreement(self, None).write(buffer)
    }

    /// The key as a public [`CoseKey`].
    #[cfg(feature = "alloc")]
    pub fn to_cose_key(&self) -> alloc::vec::Vec<u8> {
        in_vector(|buffer| self.write_cose_key(buffer))
    }
}

impl SigningKey {
    /// Writes the secret and the public key as a secret [`CoseKey`] to the front of `buffer` and returns the number of
    /// its octets, at most [`CoseKey::MAX_LEN`]. Wipe the buffer after use.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn write_secret_cose_key(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        Object::of_signing(&self.verifying_key(), Some(self.seed())).write(buffer)
    }
}

#[cfg(feature = "es256")]
impl crate::P256SigningKey {
    /// Writes the secret and the public key as a secret [`CoseKey`] to the front of `buffer` and returns the number of
    /// its octets, at most [`CoseKey::MAX_LEN`]. Wipe the buffer after use.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn write_secret_cose_key(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        Object::of_signing(&self.verifying_key(), Some(&self.secret())).write(buffer)
    }
}

impl AgreementSecret {
    /// Writes the secret and the public key as a secret [`CoseKey`] to the front of `buffer` and returns the number of
    /// its octets, at most [`CoseKey::MAX_LEN`]. Wipe the buffer after use.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn write_secret_cose_key(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        Object::of_agreement(self.public(), Some(self.secret())).write(buffer)
    }
}

#[cfg(feature = "alloc")]
fn in_vector(write: impl FnOnce(&mut [u8]) -> Result<usize, BufferTooSmall>) -> alloc::vec::Vec<u8> {
    let mut octets = alloc::vec![0; CoseKey::MAX_LEN];
    let len = write(&mut octets).expect("the buffer takes the longest key");
    octets.truncate(len);
    octets
}
