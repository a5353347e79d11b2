use core::cmp::Ordering;

use iot_codec::cbor::{Buffer, Cursor, DecodeErrorKind, Kind, Writer};
use iot_core::KeyId;

use super::CoseError;

/// The algorithms that this crate implements, by their COSE numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519, −19 (RFC 9864 §2.2). What this crate writes.
    Ed25519,
    /// `EdDSA`, −8 (RFC 9053 §2.2), the older number. Read, with Ed25519 keys only.
    EdDsa,
    /// ECDSA on P-256 with SHA-256, −9 (RFC 9864 §2.1). Written for keys on P-256, with feature `es256`.
    Esp256,
    /// `ES256`, −7 (RFC 9053 §2.1), the older number. Read, with keys on P-256 only.
    Es256,
    /// HMAC with SHA-256 and a tag of 256 bits, 5 (RFC 9053 §3.1).
    Hmac256,
    /// ChaCha20/Poly1305 with a tag of 128 bits, 24 (RFC 9053 §4.3).
    ChaCha20Poly1305,
    /// HPKE-4 integrated encryption, 42: X25519, HKDF-SHA256, ChaCha20-Poly1305 (draft-ietf-cose-hpke-23 §4.1).
    Hpke4,
    /// HPKE-4 key encryption, 50: the same primitives, for one recipient's copy of a content key
    /// (draft-ietf-cose-hpke-23 §4.1).
    Hpke4KeyEncryption,
}

impl Algorithm {
    /// The number in the registry.
    pub const fn number(self) -> i64 {
        match self {
            Self::Ed25519 => -19,
            Self::EdDsa => -8,
            Self::Esp256 => -9,
            Self::Es256 => -7,
            Self::Hmac256 => 5,
            Self::ChaCha20Poly1305 => 24,
            Self::Hpke4 => 42,
            Self::Hpke4KeyEncryption => 50,
        }
    }

    /// Whether signatures are made with it.
    pub(crate) const fn signs(self) -> bool {
        matches!(self, Self::Ed25519 | Self::EdDsa | Self::Esp256 | Self::Es256)
    }

    const fn from_number(number: i64) -> Result<Self, CoseError> {
        match number {
            -19 => Ok(Self::Ed25519),
            -8 => Ok(Self::EdDsa),
            -9 if cfg!(feature = "es256") => Ok(Self::Esp256),
            -7 if cfg!(feature = "es256") => Ok(Self::Es256),
            5 => Ok(Self::Hmac256),
            24 => Ok(Self::ChaCha20Poly1305),
            42 => Ok(Self::Hpke4),
            50 => Ok(Self::Hpke4KeyEncryption),
            _ => Err(CoseError::Algorithm(number)),
        }
    }
}

/// The two headers of a COSE structure: what this crate needs of them (RFC 9052 §3.1). Other labels are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'b> {
    /// The octets of the protected header as received.
    pub protected: &'b [u8],
    /// `alg` (1), from the protected header.
    pub algorithm: Algorithm,
    /// `kid` (4), from either header: names a key, proves nothing.
    pub kid: Option<&'b [u8]>,
    /// `IV` (5), the whole nonce, from either header.
    pub iv: Option<&'b [u8]>,
    /// `Partial IV` (6), the end of the nonce, from either header; never beside an `IV`.
    pub partial_iv: Option<&'b [u8]>,
    /// `ek` (−4), the encapsulated key of HPKE, from either header (draft-ietf-cose-hpke-23 §3.1).
    pub encapsulated_key: Option<&'b [u8]>,
}

const ALG: i64 = 1;
const CRIT: i64 = 2;
const KID: i64 = 4;
const IV: i64 = 5;
const PARTIAL_IV: i64 = 6;
pub(crate) const EK: i64 = -4;

impl<'b> Headers<'b> {
    pub(super) fn read(cursor: &mut Cursor<'b>) -> Result<Self, CoseError> {
        let protected = cursor.bytes()?;
        let inside = match protected {
            // RFC 9052 §3: an empty map is written as a string without octets.
            [] => Bucket::default(),
            _ => {
                let mut map = Cursor::new(protected);
                let inside = Bucket::read(&mut map)?;
                map.finish()?;
                inside
            }
        };
        let outside = Bucket::read(cursor)?;
        if outside.algorithm.is_some() {
            return Err(CoseError::UnprotectedAlgorithm);
        }
        let (iv, partial_iv) =
            (either(IV, inside.iv, outside.iv)?, either(PARTIAL_IV, inside.partial_iv, outside.partial_iv)?);
        if iv.is_some() && partial_iv.is_some() {
            return Err(CoseError::IvAndPartialIv);
        }
        Ok(Self {
            protected,
            algorithm: Algorithm::from_number(inside.algorithm.ok_or(CoseError::NoAlgorithm)?)?,
            kid: either(KID, inside.kid, outside.kid)?,
            iv,
            partial_iv,
            encapsulated_key: either(EK, inside.encapsulated_key, outside.encapsulated_key)?,
        })
    }

    /// The identifier of a key, if `kid` has its length.
    pub fn key_id(&self) -> Option<KeyId> {
        Some(KeyId::from_bytes(self.kid?.try_into().ok()?))
    }
}

fn either<'b>(label: i64, a: Option<&'b [u8]>, b: Option<&'b [u8]>) -> Result<Option<&'b [u8]>, CoseError> {
    if a.is_some() && b.is_some() { Err(CoseError::DuplicateLabel(label)) } else { Ok(a.or(b)) }
}

/// One of the two header maps.
#[derive(Default)]
struct Bucket<'b> {
    algorithm: Option<i64>,
    kid: Option<&'b [u8]>,
    iv: Option<&'b [u8]>,
    partial_iv: Option<&'b [u8]>,
    encapsulated_key: Option<&'b [u8]>,
}

impl<'b> Bucket<'b> {
    #[inline]
    fn read(cursor: &mut Cursor<'b>) -> Result<Self, CoseError> {
        let mut bucket = Self::default();
        let mut count = cursor.map()?;
        let mut least = 0;
        // Labels ascend in their encoding (RFC 8949 §4.2.1), so none stands twice: first the numbers, then all others.
        while count > 0 {
            let Ok(label) = cursor.int() else { break };
            let rank = rank(label);
            if rank < least {
                let kind =
                    if rank + 1 == least { DecodeErrorKind::DuplicateKey } else { DecodeErrorKind::UnsortedKeys };
                return Err(cursor.error(kind).into());
            }
            least = rank + 1;
            match label {
                ALG => bucket.algorithm = Some(cursor.int()?),
                CRIT => return Err(CoseError::Critical),
                KID => bucket.kid = Some(cursor.bytes()?),
                IV => bucket.iv = Some(cursor.bytes()?),
                PARTIAL_IV => bucket.partial_iv = Some(cursor.bytes()?),
                EK => bucket.encapsulated_key = Some(cursor.bytes()?),
                _ => cursor.skip()?,
            }
            count -= 1;
        }
        if count > 0 {
            skip_other_labels(cursor, count)?;
        }
        Ok(bucket)
    }
}

/// The place of a numeric label in the order of encodings: 0, 1, 2, … and then −1, −2, …
const fn rank(label: i64) -> u64 {
    if label >= 0 { label as u64 } else { !label as u64 | 1 << 63 }
}

/// Passes over labels that are no numbers, each with its value.
#[cold]
fn skip_other_labels(cursor: &mut Cursor<'_>, count: usize) -> Result<(), CoseError> {
    let mut previous: &[u8] = &[];
    for _ in 0..count {
        let rest = cursor.rest();
        if matches!(cursor.peek()?, Kind::Unsigned | Kind::Negative) {
            // Either the number itself is at fault, or its place.
            cursor.int()?;
            return Err(cursor.error(DecodeErrorKind::UnsortedKeys).into());
        }
        cursor.skip()?;
        let encoded = &rest[..rest.len() - cursor.rest().len()];
        match previous.cmp(encoded) {
            Ordering::Less => previous = encoded,
            Ordering::Equal => return Err(cursor.error(DecodeErrorKind::DuplicateKey).into()),
            Ordering::Greater => return Err(cursor.error(DecodeErrorKind::UnsortedKeys).into()),
        }
        cursor.skip()?;
    }
    Ok(())
}

/// The protected header `{1: algorithm, 4: key}` of a structure that this crate writes.
pub(crate) struct Protected {
    octets: [u8; Self::MAX_LEN],
    len: usize,
}

impl Protected {
    const MAX_LEN: usize = 14;

    pub(crate) fn new(algorithm: Algorithm, key: &KeyId) -> Self {
        let mut octets = [0; Self::MAX_LEN];
        let mut writer = Writer::new(Buffer::new(&mut octets));
        let written = (|| {
            writer.map(2)?;
            writer.int(ALG)?;
            writer.int(algorithm.number())?;
            writer.int(KID)?;
            writer.bytes(key.as_bytes())
        })();
        written.expect("every header of an algorithm and a key fits");
        let len = writer.into_output().len();
        Self { octets, len }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    /// Octets of the header of `algorithm`, whatever the key.
    pub(crate) const fn len(algorithm: Algorithm) -> usize {
        match algorithm {
            Algorithm::Ed25519 | Algorithm::EdDsa | Algorithm::Esp256 | Algorithm::Es256 => 13,
            Algorithm::Hmac256 => 13,
            Algorithm::ChaCha20Poly1305 | Algorithm::Hpke4 | Algorithm::Hpke4KeyEncryption => 14,
        }
    }
}
