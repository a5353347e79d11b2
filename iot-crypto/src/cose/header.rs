use core::cmp::Ordering;

use iot_codec::cbor::{Buffer, Cursor, DecodeErrorKind, EncodeError, Kind, Writer};
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
    /// Direct use of a key that both ends have, −6 (RFC 9053 §6.1.1). The number of a recipient.
    Direct,
    /// HMAC with SHA-256 and a tag of 256 bits, 5 (RFC 9053 §3.1).
    Hmac256,
    /// ChaCha20/Poly1305 with a tag of 128 bits, 24 (RFC 9053 §4.3).
    ChaCha20Poly1305,
    /// HPKE-4 integrated encryption, 42: X25519, HKDF-SHA256, ChaCha20-Poly1305 (draft-ietf-cose-hpke-23 §4.1).
    Hpke4,
    /// HPKE-4 key encryption, 50: the same primitives, for one recipient's copy of a content key
    /// (draft-ietf-cose-hpke-23 §4.1).
    Hpke4KeyEncryption,
    /// HPKE-9 integrated encryption, 56: X-Wing, SHAKE256, AES-256-GCM (draft-ietf-cose-hpke-pq-pqt-01, which assumes
    /// that number). Experimental, with feature `x-wing`.
    Hpke9,
    /// HPKE-9 key encryption, 57: the same primitives, for one recipient's copy of a content key (the same draft, which
    /// assumes that number, too). Experimental, with feature `x-wing`.
    Hpke9KeyEncryption,
}

impl Algorithm {
    /// The number in the registry.
    pub const fn number(self) -> i64 {
        match self {
            Self::Ed25519 => -19,
            Self::EdDsa => -8,
            Self::Esp256 => -9,
            Self::Es256 => -7,
            Self::Direct => -6,
            Self::Hmac256 => 5,
            Self::ChaCha20Poly1305 => 24,
            Self::Hpke4 => 42,
            Self::Hpke4KeyEncryption => 50,
            Self::Hpke9 => 56,
            Self::Hpke9KeyEncryption => 57,
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
            -6 => Ok(Self::Direct),
            5 => Ok(Self::Hmac256),
            24 => Ok(Self::ChaCha20Poly1305),
            42 => Ok(Self::Hpke4),
            50 => Ok(Self::Hpke4KeyEncryption),
            56 if cfg!(feature = "x-wing") => Ok(Self::Hpke9),
            57 if cfg!(feature = "x-wing") => Ok(Self::Hpke9KeyEncryption),
            _ => Err(CoseError::Algorithm(number)),
        }
    }
}

/// The two headers of a COSE structure: what this crate needs of them (RFC 9052 §3.1). Other labels are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'b> {
    /// The octets of the protected header as received.
    pub protected: &'b [u8],
    /// The octets of the unprotected header as received, a map.
    pub unprotected: &'b [u8],
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
pub(super) const KID: i64 = 4;
pub(super) const IV: i64 = 5;
const PARTIAL_IV: i64 = 6;
pub(super) const COUNTERSIGNATURE: i64 = 11;
pub(super) const ABBREVIATED_COUNTERSIGNATURE: i64 = 12;
pub(crate) const EK: i64 = -4;
/// A commitment to the content key, from the range for private use (RFC 9052 §11.1). `docs/formats/envelope.md`.
const COMMITMENT: i64 = -65_538;

impl<'b> Headers<'b> {
    /// Both headers of a layer that names an algorithm, where the compiler may share the code.
    #[inline(never)]
    pub(super) fn read(cursor: &mut Cursor<'b>) -> Result<Self, CoseError> {
        Self::read_inline(cursor)
    }

    /// The same for where it is worth its code: half of the time goes into moving what a call would return.
    #[inline(always)]
    pub(super) fn read_inline(cursor: &mut Cursor<'b>) -> Result<Self, CoseError> {
        let layer = Layer::read_inline(cursor)?;
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::ProtectedAlgorithm) {
            return layer.headers(layer.outside.algorithm.or(layer.inside.algorithm));
        }
        if layer.outside.algorithm.is_some() {
            return Err(CoseError::UnprotectedAlgorithm);
        }
        layer.headers(layer.inside.algorithm)
    }

    /// The identifier of a key, if `kid` has its length.
    pub fn key_id(&self) -> Option<KeyId> {
        Some(KeyId::from_bytes(self.kid?.try_into().ok()?))
    }

    /// The value of a label of the protected header, as it is encoded.
    pub fn protected_value(&self, label: i64) -> Option<&'b [u8]> {
        value(self.protected, label)
    }

    /// The commitment to the content key, if the protected header has one of 32 octets.
    pub(crate) fn commitment(&self) -> Option<&'b [u8; 32]> {
        Cursor::new(self.protected_value(COMMITMENT)?).bytes().ok()?.try_into().ok()
    }

    /// The value of a label of the unprotected header, as it is encoded.
    pub fn unprotected_value(&self, label: i64) -> Option<&'b [u8]> {
        value(self.unprotected, label)
    }
}

/// Both headers of any layer, whether or not it names an algorithm.
pub(super) struct Layer<'b> {
    pub(super) protected: &'b [u8],
    pub(super) unprotected: &'b [u8],
    inside: Bucket<'b>,
    outside: Bucket<'b>,
}

impl<'b> Layer<'b> {
    #[inline(never)]
    pub(super) fn read(cursor: &mut Cursor<'b>) -> Result<Self, CoseError> {
        Self::read_inline(cursor)
    }

    #[inline(always)]
    fn read_inline(cursor: &mut Cursor<'b>) -> Result<Self, CoseError> {
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
        let rest = cursor.rest();
        let outside = Bucket::read(cursor)?;
        let unprotected = &rest[..rest.len() - cursor.rest().len()];
        if inside.others && outside.others {
            refuse_common_labels(protected, unprotected)?;
        }
        Ok(Self { protected, unprotected, inside, outside })
    }

    /// Refuses in a layer that needs no algorithm what no layer may have.
    pub(super) fn check(&self) -> Result<(), CoseError> {
        if self.outside.algorithm.is_some() { Err(CoseError::UnprotectedAlgorithm) } else { self.merged().map(drop) }
    }

    /// The number of the algorithm, which may stand outside if it is the direct use of a key: that recipient has no
    /// protected header (RFC 9052 §8.5.1).
    pub(super) fn recipient_algorithm(&self) -> Result<i64, CoseError> {
        match (self.inside.algorithm, self.outside.algorithm) {
            (Some(number), None) if number != Algorithm::Direct.number() => Ok(number),
            (None, Some(number)) if number == Algorithm::Direct.number() && self.protected.is_empty() => Ok(number),
            (None, None) => Err(CoseError::NoAlgorithm),
            (Some(number), None) => Err(CoseError::Algorithm(number)),
            (_, Some(_)) => Err(CoseError::UnprotectedAlgorithm),
        }
    }

    #[inline(always)]
    pub(super) fn headers(&self, algorithm: Option<i64>) -> Result<Headers<'b>, CoseError> {
        let Bucket { kid, iv, partial_iv, encapsulated_key, .. } = self.merged()?;
        let (protected, unprotected) = (self.protected, self.unprotected);
        let algorithm = Algorithm::from_number(algorithm.ok_or(CoseError::NoAlgorithm)?)?;
        Ok(Headers { protected, unprotected, algorithm, kid, iv, partial_iv, encapsulated_key })
    }

    /// What either header says, without the algorithm. Each label stands in one alone (RFC 9052 §3), and a whole IV not
    /// beside a partial one (§3.1).
    #[inline(always)]
    fn merged(&self) -> Result<Bucket<'b>, CoseError> {
        let (inside, outside) = (&self.inside, &self.outside);
        let merged = Bucket {
            algorithm: None,
            kid: either(KID, inside.kid, outside.kid)?,
            iv: either(IV, inside.iv, outside.iv)?,
            partial_iv: either(PARTIAL_IV, inside.partial_iv, outside.partial_iv)?,
            encapsulated_key: either(EK, inside.encapsulated_key, outside.encapsulated_key)?,
            others: inside.others || outside.others,
        };
        if merged.iv.is_some() && merged.partial_iv.is_some() {
            return Err(CoseError::IvAndPartialIv);
        }
        Ok(merged)
    }
}

fn either<'b>(label: i64, a: Option<&'b [u8]>, b: Option<&'b [u8]>) -> Result<Option<&'b [u8]>, CoseError> {
    #[cfg(iot_fault)]
    if crate::fault::is_off(crate::fault::Check::Labels) {
        return Ok(a.or(b));
    }
    if a.is_some() && b.is_some() { Err(CoseError::DuplicateLabel(label)) } else { Ok(a.or(b)) }
}

/// Each numeric label of a map that was read before, with its encoded value.
fn labels(map: &[u8]) -> impl Iterator<Item = (i64, &[u8])> {
    let mut cursor = Cursor::new(map);
    let mut count = cursor.map().unwrap_or(0);
    core::iter::from_fn(move || {
        count = count.checked_sub(1)?;
        let label = cursor.int().ok()?;
        Some((label, cursor.raw_item().ok()?.as_bytes()))
    })
}

pub(super) fn value(map: &[u8], label: i64) -> Option<&[u8]> {
    labels(map).find_map(|(found, value)| (found == label).then_some(value))
}

/// Labels that nothing else looks at stand in one header alone, too (RFC 9052 §3). Textual ones are not compared.
#[cold]
fn refuse_common_labels(protected: &[u8], unprotected: &[u8]) -> Result<(), CoseError> {
    // Both ascend, so one pass suffices however many there are.
    let mut outside = labels(unprotected).map(|(label, _)| label).peekable();
    for (label, _) in labels(protected) {
        while outside.next_if(|other| rank(*other) < rank(label)).is_some() {}
        if outside.peek() == Some(&label) {
            return Err(CoseError::DuplicateLabel(label));
        }
    }
    Ok(())
}

/// One of the two header maps.
#[derive(Default)]
struct Bucket<'b> {
    algorithm: Option<i64>,
    kid: Option<&'b [u8]>,
    iv: Option<&'b [u8]>,
    partial_iv: Option<&'b [u8]>,
    encapsulated_key: Option<&'b [u8]>,
    /// Whether there are labels beside these.
    others: bool,
}

impl<'b> Bucket<'b> {
    #[inline(always)]
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
                _ => {
                    bucket.others = true;
                    cursor.skip()?;
                }
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
pub(super) const fn rank(label: i64) -> u64 {
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

/// The protected header `{1: algorithm, 4: key, commitment: ..}` of a structure that this crate writes.
pub(crate) struct Protected {
    octets: [u8; Self::MAX_LEN],
    len: usize,
}

impl Protected {
    const MAX_LEN: usize = 1 + 3 + (1 + 2 + 32) + (5 + 2 + 32);

    pub(crate) fn new(algorithm: Algorithm, key: &KeyId) -> Self {
        Self::with(algorithm, Some(key.as_bytes()), None)
    }

    /// With a key's identifier of at most 32 octets, and a commitment to the content key.
    pub(crate) fn with(algorithm: Algorithm, key: Option<&[u8]>, commitment: Option<&[u8; 32]>) -> Self {
        let mut octets = [0; Self::MAX_LEN];
        let mut writer = Writer::new(Buffer::new(&mut octets));
        let written = (|| {
            writer.map(1 + u64::from(key.is_some()) + u64::from(commitment.is_some()))?;
            writer.int(ALG)?;
            writer.int(algorithm.number())?;
            if let Some(key) = key {
                writer.int(KID)?;
                writer.bytes(key)?;
            }
            if let Some(commitment) = commitment {
                writer.int(COMMITMENT)?;
                writer.bytes(commitment)?;
            }
            Ok::<_, EncodeError>(())
        })();
        written.expect("every header of an algorithm, a key and a commitment fits");
        let len = writer.into_output().len();
        Self { octets, len }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    /// Octets of the header of `algorithm` with a [`KeyId`], whatever the key.
    pub(crate) const fn len(algorithm: Algorithm) -> usize {
        match algorithm {
            Algorithm::Ed25519 | Algorithm::EdDsa | Algorithm::Esp256 | Algorithm::Es256 => 13,
            Algorithm::Hmac256 | Algorithm::Direct => 13,
            Algorithm::ChaCha20Poly1305 | Algorithm::Hpke4 | Algorithm::Hpke4KeyEncryption => 14,
            Algorithm::Hpke9 | Algorithm::Hpke9KeyEncryption => 14,
        }
    }
}
