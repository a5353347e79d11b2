use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::time::Duration;

use iot_codec::cbor::{self, Cursor, DecodeError};
use iot_codec::record;
use iot_core::{DeviceId, Timestamp};
use iot_crypto::cose::{CoseError, Sign1};
use iot_crypto::{KeyError, Signer, SignerError, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::id::Key;
use crate::signatures::{Signatures, Validity};

#[cfg(test)]
mod tests;

/// What separates the signature of a record from every other signature of the same key.
const EXTERNAL: &[u8] = b"iot-dht record 1";

record! {
    #[derive(Clone, Debug)]
    struct Body<'b> {
        1 => key: &'b [u8],
        2 => name: &'b [u8],
        3 => sequence: u64,
        4 => expires: u64,
        5 => value: &'b [u8],
    }
}

/// A record whose signature was verified: by [`UnverifiedRecord::verify`], or because it was just signed here.
///
/// Only its owner can change it: the [`key`](Self::key) under which nodes store it is a function of the owner and the
/// name, and a node verifies both the signature and the key before it stores or returns anything.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    octets: Arc<[u8]>,
    key: Key,
    owner: DeviceId,
    sequence: u64,
    expires: Timestamp,
    name: Range<u16>,
    value: Range<u16>,
}

impl Record {
    /// The longest record on the wire, in octets: the datagram that puts it in place of another stays below 1,232 octets,
    /// whatever overlay and sequence it names.
    pub const MAX_LEN: usize = 1135;

    /// The longest name, in octets.
    pub const MAX_NAME_LEN: usize = 64;

    /// The most octets of name and value together.
    pub const MAX_CONTENT_LEN: usize = 980;

    /// How far ahead an expiry may lie: 30 days.
    pub const MAX_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// Signs a record. The owner is the device whose first key `signer` holds.
    ///
    /// Sign each sequence number once: nodes refuse another value with the same number.
    ///
    /// # Errors
    ///
    /// [`SignRecordError`].
    pub fn sign(
        signer: &impl Signer,
        name: &[u8],
        sequence: u64,
        expires: Timestamp,
        value: &[u8],
    ) -> Result<Self, SignRecordError> {
        if name.len() > Self::MAX_NAME_LEN {
            return Err(SignRecordError::NameTooLong { len: name.len() });
        }
        if name.len() + value.len() > Self::MAX_CONTENT_LEN {
            return Err(SignRecordError::TooLarge { len: name.len() + value.len() });
        }
        let key = signer.verifying_key();
        let body = Body { key: key.as_bytes(), name, sequence, expires: expires.as_micros(), value };
        let payload = cbor::to_vec(&body);
        let octets = Sign1::sign(signer, &payload, EXTERNAL)?;
        let unverified = UnverifiedRecord::parse(&octets).expect("what was just written is well-formed");
        Ok(unverified.into_record())
    }

    /// Where it is stored.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Who signed it.
    pub fn owner(&self) -> &DeviceId {
        &self.owner
    }

    /// What its owner calls it.
    pub fn name(&self) -> &[u8] {
        &self.octets[usize::from(self.name.start)..usize::from(self.name.end)]
    }

    /// Which version it is: the highest is in force.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When it ceases to be in force. No replication extends it.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// What it says.
    pub fn value(&self) -> &[u8] {
        &self.octets[usize::from(self.value.start)..usize::from(self.value.end)]
    }

    /// The SHA-256 of the value, by which an index names it.
    pub fn value_hash(&self) -> [u8; 32] {
        Sha256::digest(self.value()).into()
    }

    /// The signed octets: what travels, and what to keep in order to publish the record again. Clones share them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("owner", &self.owner)
            .field("name", &self.name().escape_ascii())
            .field("sequence", &self.sequence)
            .field("expires", &self.expires)
            .field("value_len", &self.value().len())
            .finish()
    }
}

/// A record as it was received: well-formed, but anyone may have written it.
#[derive(Clone, Debug)]
pub struct UnverifiedRecord<'b> {
    octets: &'b [u8],
    envelope: Sign1<'b>,
    body: Body<'b>,
    signer: VerifyingKey,
    owner: DeviceId,
    key: Key,
}

impl<'b> UnverifiedRecord<'b> {
    /// Reads the octets of a record.
    ///
    /// # Errors
    ///
    /// [`RecordError::Structure`], [`RecordError::Body`], [`RecordError::Unsigned`], [`RecordError::Key`],
    /// [`RecordError::TooLarge`].
    pub fn parse(octets: &'b [u8]) -> Result<Self, RecordError> {
        if octets.len() > Record::MAX_LEN {
            return Err(RecordError::TooLarge { len: octets.len() });
        }
        let envelope = Sign1::parse(octets)?;
        check_bare(octets)?;
        let body: Body<'b> = cbor::from_slice(envelope.unverified_payload())?;
        let content = body.name.len() + body.value.len();
        if body.name.len() > Record::MAX_NAME_LEN || content > Record::MAX_CONTENT_LEN {
            return Err(RecordError::TooLarge { len: octets.len() });
        }
        let signer = VerifyingKey::from_bytes(body.key)?;
        let owner = signer.device_id();
        let key = Key::of_record(&owner, body.name);
        Ok(Self { octets, envelope, body, signer, owner, key })
    }

    /// Where it claims to belong.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Who is said to have signed it.
    pub fn owner(&self) -> &DeviceId {
        &self.owner
    }

    /// The key that is said to have signed it.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.signer
    }

    /// What its owner is said to call it.
    pub fn name(&self) -> &'b [u8] {
        self.body.name
    }

    /// When it claims to cease to be in force.
    pub fn expires(&self) -> Timestamp {
        Timestamp::from_micros(self.body.expires)
    }

    /// Which version it claims to be.
    pub fn sequence(&self) -> u64 {
        self.body.sequence
    }

    /// Verifies the signature and then the expiry, whoever the owner is.
    ///
    /// # Errors
    ///
    /// [`RecordError::Signature`], [`RecordError::Expired`], [`RecordError::ExpiryTooFar`].
    pub fn verify(self, now: Timestamp) -> Result<Record, RecordError> {
        self.check_signature()?;
        self.check_expiry(now)?;
        Ok(self.into_record())
    }

    /// Whether the signature is its owner's, as far as such signatures are believed.
    pub(crate) fn is_signed(&self, signatures: Signatures) -> bool {
        match signatures {
            Signatures::Real => self.check_signature().is_ok(),
            #[cfg(feature = "sim")]
            Signatures::Simulated => crate::sim::is_simulated(self.octets, &self.signer, EXTERNAL),
        }
    }

    /// Verifies the expiry of a record whose signature somebody else has verified.
    pub(crate) fn verify_given(self, validity: Validity, now: Timestamp) -> Result<Record, RecordError> {
        if validity != Validity::Valid {
            return Err(RecordError::Signature);
        }
        self.check_expiry(now)?;
        Ok(self.into_record())
    }

    /// Verifies as [`verify`](Self::verify) does, and first that this is the record that belongs at `key`.
    ///
    /// # Errors
    ///
    /// [`RecordError::WrongKey`] and those of [`verify`](Self::verify).
    pub fn verify_for(self, key: &Key, now: Timestamp) -> Result<Record, RecordError> {
        self.check_key(key)?;
        self.verify(now)
    }

    /// That this is the record that belongs at `key`.
    pub(crate) fn check_key(&self, key: &Key) -> Result<(), RecordError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Defence::RecordKey) {
            return Ok(());
        }
        if self.key == *key { Ok(()) } else { Err(RecordError::WrongKey) }
    }

    /// Verifies the signature alone, for an owner that reads back what it signed.
    pub(crate) fn verify_own(self) -> Result<Record, RecordError> {
        self.check_signature()?;
        Ok(self.into_record())
    }

    fn check_signature(&self) -> Result<(), RecordError> {
        let mut scratch = [0; Record::MAX_LEN + 64];
        let verified = self.envelope.verify(&self.signer, EXTERNAL, &mut scratch);
        verified.map(drop).map_err(|_| RecordError::Signature)
    }

    fn check_expiry(&self, now: Timestamp) -> Result<(), RecordError> {
        #[cfg(iot_fault)]
        if iot_crypto::fault::is_off(iot_crypto::fault::Check::Expiry) {
            return Ok(());
        }
        let expires = Timestamp::from_micros(self.body.expires);
        if expires <= now {
            return Err(RecordError::Expired { expires });
        }
        if expires.saturating_since(now) > Record::MAX_LIFE {
            return Err(RecordError::ExpiryTooFar { expires });
        }
        Ok(())
    }

    fn into_record(self) -> Record {
        Record {
            name: self.range_of(self.body.name),
            value: self.range_of(self.body.value),
            octets: self.octets.into(),
            key: self.key,
            owner: self.owner,
            sequence: self.body.sequence,
            expires: Timestamp::from_micros(self.body.expires),
        }
    }

    /// Where a part that was borrowed from the octets stands in them.
    fn range_of(&self, part: &[u8]) -> Range<u16> {
        let start = part.as_ptr() as usize - self.octets.as_ptr() as usize;
        start as u16..(start + part.len()) as u16
    }
}

/// Refuses what a signature does not cover: a tag, and anything in the unprotected header. So nobody can make a second
/// form of a record, and the octets of two copies are the same.
fn check_bare(octets: &[u8]) -> Result<(), RecordError> {
    let mut cursor = Cursor::new(octets);
    cursor.array()?;
    cursor.bytes()?;
    if cursor.map()? == 0 { Ok(()) } else { Err(RecordError::Unsigned) }
}

/// Why a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The octets are no `COSE_Sign1`.
    #[error("the record is no signed structure")]
    Structure(#[from] CoseError),
    /// The signed octets are not a record's.
    #[error("the body of the record is malformed")]
    Body(#[from] DecodeError),
    /// It has headers that the signature does not cover.
    #[error("the record has unsigned headers")]
    Unsigned,
    /// Its key is no verifying key.
    #[error("the record carries no usable key")]
    Key(#[from] KeyError),
    /// It is longer than records may be.
    #[error("the record of {len} octets is too large")]
    TooLarge {
        /// Octets of the record.
        len: usize,
    },
    /// It has another owner or another name than the one that was asked for.
    #[error("the record belongs to another key")]
    WrongKey,
    /// The signature is not its owner's.
    #[error("the signature of the record is not its owner's")]
    Signature,
    /// Its expiry has passed.
    #[error("the record expired at {} s", expires.as_secs())]
    Expired {
        /// When it ceased to be in force.
        expires: Timestamp,
    },
    /// Its expiry lies more than [`Record::MAX_LIFE`] ahead.
    #[error("the expiry at {} s lies too far ahead", expires.as_secs())]
    ExpiryTooFar {
        /// When it would cease to be in force.
        expires: Timestamp,
    },
}

/// Why no record was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignRecordError {
    /// The name is longer than [`Record::MAX_NAME_LEN`].
    #[error("the name of {len} octets is too long")]
    NameTooLong {
        /// Octets of the name.
        len: usize,
    },
    /// Name and value are together longer than [`Record::MAX_CONTENT_LEN`].
    #[error("name and value of {len} octets are too large")]
    TooLarge {
        /// Octets of both.
        len: usize,
    },
    /// The holder of the key did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
}
