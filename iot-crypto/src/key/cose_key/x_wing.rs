use alloc::vec;
use alloc::vec::Vec;

use iot_codec::cbor::{Cursor, encoded_len, to_slice};
use iot_codec::cbor::{Encode, EncodeError, Output, Writer};
use zeroize::Zeroizing;

use super::CoseKeyError;
use super::operations::{Operation, Operations};
use super::parts::{ALG, KEY_OPS, KID, KTY, read_labels};
use crate::cose::Algorithm;
use crate::{XWingKey, XWingSecret};

impl XWingKey {
    /// The key as a public object of the type AKP (RFC 9964), which says its algorithm.
    pub fn to_cose_key(&self) -> Vec<u8> {
        Written { key: self, secret: None }.to_vec()
    }

    /// Reads a public object of the type AKP.
    ///
    /// # Errors
    ///
    /// [`CoseKeyError`].
    pub fn from_cose_key(octets: &[u8]) -> Result<Self, CoseKeyError> {
        let object = Object::parse(octets)?;
        if object.secret.is_some() {
            return Err(CoseKeyError::Secret);
        }
        Ok(Self::from_bytes(object.public.ok_or(CoseKeyError::Missing { label: PUB })?)?)
    }
}

impl XWingSecret {
    /// The seed and the public key as a secret object of the type AKP (RFC 9964).
    pub fn to_secret_cose_key(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(Written { key: self.public(), secret: Some(self.seed()) }.to_vec())
    }

    /// Reads a secret object of the type AKP.
    ///
    /// # Errors
    ///
    /// [`CoseKeyError`].
    pub fn from_secret_cose_key(octets: &[u8]) -> Result<Self, CoseKeyError> {
        let object = Object::parse(octets)?;
        let seed = object.secret.ok_or(CoseKeyError::NoSecret)?;
        let seed = seed.try_into().map_err(|_| CoseKeyError::Length { label: PRIV, len: seed.len() })?;
        let secret = Self::from_bytes(seed);
        match object.public {
            Some(public) if public != secret.public().as_bytes() => Err(CoseKeyError::Mismatch),
            _ => Ok(secret),
        }
    }
}

/// `{1: 7, ? 2: kid, 3: 56, ? 4: key_ops, ? -1: pub, ? -2: priv}`, read.
#[derive(Default)]
struct Object<'b> {
    key_type: Option<i64>,
    algorithm: Option<i64>,
    operations: Option<Operations>,
    public: Option<&'b [u8]>,
    secret: Option<&'b [u8]>,
}

impl<'b> Object<'b> {
    fn parse(octets: &'b [u8]) -> Result<Self, CoseKeyError> {
        let mut cursor = Cursor::new(octets);
        let mut object = Self::default();
        read_labels(&mut cursor, |label, cursor| object.read(label, cursor))?;
        cursor.finish()?;
        object.key_type.ok_or(CoseKeyError::Missing { label: KTY })?;
        let algorithm = object.algorithm.ok_or(CoseKeyError::Missing { label: ALG })?;
        if algorithm != Algorithm::Hpke9.number() {
            return Err(CoseKeyError::Algorithm(algorithm));
        }
        match object.operations {
            Some(operations) if !operations.allow(Operation::Derive, object.secret.is_some()) => {
                Err(CoseKeyError::Operation(Operation::Derive))
            }
            _ => Ok(object),
        }
    }

    fn read(&mut self, label: i64, cursor: &mut Cursor<'b>) -> Result<(), CoseKeyError> {
        match label {
            // It stands first, so that no label behind it is taken for one of another type.
            KTY => match cursor.int()? {
                AKP => self.key_type = Some(AKP),
                found => return Err(CoseKeyError::KeyType { expected: AKP, found }),
            },
            ALG => self.algorithm = Some(cursor.int()?),
            KEY_OPS => self.operations = Some(Operations::read(cursor)?),
            PUB => self.public = Some(cursor.bytes()?),
            PRIV => self.secret = Some(cursor.bytes()?),
            _ => cursor.skip()?,
        }
        Ok(())
    }
}

/// `{1: 7, 2: kid, 3: 56, -1: pub, ? -2: priv}`, as this crate writes it.
struct Written<'k> {
    key: &'k XWingKey,
    secret: Option<&'k [u8; XWingSecret::LEN]>,
}

impl Written<'_> {
    fn to_vec(&self) -> Vec<u8> {
        let mut octets = vec![0; encoded_len(self)];
        to_slice(self, &mut octets).expect("the vector has the length of the object");
        octets
    }
}

impl Encode for Written<'_> {
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.map(4 + u64::from(self.secret.is_some()))?;
        writer.int(KTY)?;
        writer.int(AKP)?;
        writer.int(KID)?;
        writer.bytes(self.key.key_id().as_bytes())?;
        writer.int(ALG)?;
        writer.int(Algorithm::Hpke9.number())?;
        writer.int(PUB)?;
        writer.bytes(self.key.as_bytes())?;
        let Some(secret) = self.secret else { return Ok(()) };
        writer.int(PRIV)?;
        writer.bytes(secret)
    }
}

/// The key type of keys that are strings of octets (RFC 9964 §3).
const AKP: i64 = 7;
const PUB: i64 = -1;
const PRIV: i64 = -2;
