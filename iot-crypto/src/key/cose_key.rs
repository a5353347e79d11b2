mod operations;
mod parts;
mod set;
mod write;
#[cfg(feature = "x-wing")]
mod x_wing;

use core::fmt;

use iot_codec::cbor::{Cursor, DecodeError};

use self::operations::Operations;
use self::parts::{CRV, D, KID, KTY, PART_LEN, Parts, X, Y, read_labels};
use super::KeyError;
use super::agreement::{AgreementKey, AgreementSecret};
use super::signing::SigningKey;
use super::verifying::VerifyingKey;

pub use operations::Operation;
pub use set::CoseKeySet;

/// A `COSE_Key` (RFC 9052 §7): a public or secret key as an object that says what it is, read but not yet used.
///
/// ```cddl
/// COSE_Key = {
///   1: 1 / 2,                ; kty: OKP or EC2
///   ? 2: bstr,               ; kid
///   ? 3: int,                ; alg
///   ? 4: [* int / tstr],     ; key_ops
///   -1: 6 / 4 / 1,           ; crv: Ed25519, X25519 or P-256
///   ? -2: bstr .size 32,     ; x
///   ? -3: bstr .size 32 / bool, ; y, or its sign; EC2 only
///   ? -4: bstr .size 32,     ; d: the secret
///   * label => any           ; passed over
/// }
/// ```
///
/// It must be deterministic CBOR, with each label once. What takes a key out of it checks that the key may be used so:
/// `alg` and `key_ops`, where they stand, must allow it; a public key comes out of a public object alone, so that
/// nobody publishes a secret by mistake; and a public part beside a secret must be its own. The `kid` is passed over:
/// this crate names keys by their thumbprints, and [`kid`](Self::kid) gives it to whoever wants to compare it.
#[derive(Clone, Copy)]
pub struct CoseKey<'b> {
    kind: KeyKind,
    kid: Option<&'b [u8]>,
    algorithm: Option<i64>,
    operations: Option<Operations>,
    x: Option<&'b [u8; PART_LEN]>,
    y: Option<Y<'b>>,
    secret: Option<&'b [u8; PART_LEN]>,
}

/// What kind of key a [`CoseKey`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// Signatures with Ed25519 (OKP, curve 6).
    Ed25519,
    /// Agreement with X25519 (OKP, curve 4).
    X25519,
    /// ECDSA on P-256 (EC2, curve 1).
    P256,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Y<'b> {
    Coordinate(&'b [u8; PART_LEN]),
    Sign(bool),
}

/// Why octets are not a COSE key, or not one for the use that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoseKeyError {
    /// They are not the deterministic CBOR of a key.
    #[error("the key object is malformed")]
    Malformed(#[from] DecodeError),
    /// A part is missing.
    #[error("the key object has no label {label}")]
    Missing {
        /// The part's label.
        label: i64,
    },
    /// A part stands there that keys of this kind do not have.
    #[error("the label {label} has no place in a key of this kind")]
    Unexpected {
        /// The part's label.
        label: i64,
    },
    /// The key type and the curve are not ones that this crate knows.
    #[error("keys of type {key_type} on the curve {curve} are not supported")]
    Unsupported {
        /// `kty`.
        key_type: i64,
        /// `crv`.
        curve: i64,
    },
    /// The object is of another key type than the one that was asked for.
    #[error("the key object is of type {found}, not {expected}")]
    KeyType {
        /// `kty` of what was asked for.
        expected: i64,
        /// `kty` that stands there.
        found: i64,
    },
    /// It is a key of another kind than the one that was asked for.
    #[error("the key is one of {found:?}")]
    OtherKind {
        /// What it is.
        found: KeyKind,
    },
    /// A part is shorter or longer than the curve's.
    #[error("the part with the label {label} has {len} octets")]
    Length {
        /// The part's label.
        label: i64,
        /// Octets of the part.
        len: usize,
    },
    /// A public key was asked for, and the object holds the secret one.
    #[error("the key object holds a secret where a public key is due")]
    Secret,
    /// A secret key was asked for, and the object holds the public one alone.
    #[error("the key object holds no secret")]
    NoSecret,
    /// `alg` reserves the key for another algorithm.
    #[error("the key is reserved for the algorithm {0}")]
    Algorithm(i64),
    /// `key_ops` does not allow this use.
    #[error("the key may not be used to {0}")]
    Operation(Operation),
    /// The public part does not belong to the secret.
    #[error("the public part is not that of the secret")]
    Mismatch,
    /// The octets of the key are not usable.
    #[error("the key is not usable")]
    Key(#[from] KeyError),
}

impl<'b> CoseKey<'b> {
    /// Octets of the longest key that this crate writes.
    pub const MAX_LEN: usize = 2 + 2 + (1 + 1 + 8) + 2 + 3 * (1 + 2 + PART_LEN);

    /// Reads one key that fills `octets`.
    ///
    /// # Errors
    ///
    /// [`CoseKeyError`].
    pub fn parse(octets: &'b [u8]) -> Result<Self, CoseKeyError> {
        let mut cursor = Cursor::new(octets);
        let key = Self::read(&mut cursor)?;
        cursor.finish()?;
        Ok(key)
    }

    fn read(cursor: &mut Cursor<'b>) -> Result<Self, CoseKeyError> {
        let mut parts = Parts::default();
        read_labels(cursor, |label, cursor| parts.read(label, cursor))?;
        parts.check()
    }

    /// What kind of key it is.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// `kid`, as whoever wrote the object chose it: proves nothing.
    pub const fn kid(&self) -> Option<&'b [u8]> {
        self.kid
    }

    /// `alg`: the only algorithm with which the key may be used, if the object says one.
    pub const fn algorithm(&self) -> Option<i64> {
        self.algorithm
    }

    /// Whether it holds the secret.
    pub const fn is_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// The public key of a public object, to verify with.
    ///
    /// # Errors
    ///
    /// [`CoseKeyError`].
    pub fn verifying_key(&self) -> Result<VerifyingKey, CoseKeyError> {
        self.check_use(Operation::Verify)?;
        if self.is_secret() {
            return Err(CoseKeyError::Secret);
        }
        self.public_signing_part()?.ok_or(CoseKeyError::Missing { label: X })
    }

    /// The Ed25519 secret, to sign with.
    ///
    /// # Errors
    ///
    /// [`CoseKeyError`].
    pub fn signing_key(&self) -> Result<SigningKey, CoseKeyError> {
        self.check_kind(KeyKind::Ed25519)?;
        self.check_use(Operation::Sign)?;
        let key = SigningKey::from_seed(self.secret.ok_or(CoseKeyError::NoSecret)?);
        match self.public_signing_part()? {
            Some(public) if public != key.verifying_key() => Err(CoseKeyError::Mismatch),
            _ => Ok(key),
        }
    }

    /// The secret on P-256, to sign with.
    ///
    /// # Errors
    ///
    /// [`CoseKeyError`].
    #[cfg(feature = "es256")]
    pub fn p256_signing_key(&self) -> Result<super::es256::P256SigningKey, CoseKeyError> {
        self.check_kind(KeyKind::P256)?;
        self.check_use(Operation::Sign)?;
        let key = super::es256::P256SigningKey::from_bytes(self.secret.ok_or(CoseKeyError::NoSecret)?)?;
        match self.public_signing_part()? {
            Some(public) if public != key.verifying_key() => Err(CoseKeyError::Mismatch),
            _ => Ok(key),
        }
    }

    /// The X25519 key of a public object, to seal to.
    ///
    /// # Errors
    ///
    /// [`CoseKeyError`].
    pub fn agreement_key(&self) -> Result<AgreementKey, CoseKeyError> {
        self.check_kind(KeyKind::X25519)?;
        self.check_use(Operation::Derive)?;
        if self.is_secret() {
            return Err(CoseKeyError::Secret);
        }
        Ok(AgreementKey::from_bytes(self.x.ok_or(CoseKeyError::Missing { label: X })?)?)
    }

    /// The X25519 secret, to open with.
    ///
    /// # Errors
    ///
    /// [`CoseKeyError`].
    pub fn agreement_secret(&self) -> Result<AgreementSecret, CoseKeyError> {
        self.check_kind(KeyKind::X25519)?;
        self.check_use(Operation::Derive)?;
        let secret = AgreementSecret::from_bytes(self.secret.ok_or(CoseKeyError::NoSecret)?);
        match self.x {
            Some(x) if x != secret.public().as_bytes() => Err(CoseKeyError::Mismatch),
            _ => Ok(secret),
        }
    }

    fn public_signing_part(&self) -> Result<Option<VerifyingKey>, CoseKeyError> {
        let Some(x) = self.x else { return Ok(None) };
        match self.kind {
            KeyKind::Ed25519 => Ok(Some(VerifyingKey::from_bytes(x)?)),
            KeyKind::P256 => p256_point(x, self.y.ok_or(CoseKeyError::Missing { label: Y })?).map(Some),
            found @ KeyKind::X25519 => Err(CoseKeyError::OtherKind { found }),
        }
    }

    fn check_kind(&self, kind: KeyKind) -> Result<(), CoseKeyError> {
        if self.kind == kind { Ok(()) } else { Err(CoseKeyError::OtherKind { found: self.kind }) }
    }

    fn check_use(&self, operation: Operation) -> Result<(), CoseKeyError> {
        if let Some(algorithm) = self.algorithm.filter(|number| !self.kind.algorithms().contains(number)) {
            return Err(CoseKeyError::Algorithm(algorithm));
        }
        match self.operations {
            Some(operations) if !operations.allow(operation, self.is_secret()) => {
                Err(CoseKeyError::Operation(operation))
            }
            _ => Ok(()),
        }
    }
}

impl KeyKind {
    /// The algorithms that this crate uses with keys of the kind.
    const fn algorithms(self) -> &'static [i64] {
        match self {
            // Ed25519 and EdDSA.
            Self::Ed25519 => &[-19, -8],
            // HPKE-4, sealing and wrapping.
            Self::X25519 => &[42, 50],
            // ESP256 and ES256.
            Self::P256 => &[-9, -7],
        }
    }

    /// `kty` and `crv`.
    const fn numbers(self) -> (i64, i64) {
        match self {
            Self::Ed25519 => (1, 6),
            Self::X25519 => (1, 4),
            Self::P256 => (2, 1),
        }
    }

    const fn from_numbers(key_type: i64, curve: i64) -> Result<Self, CoseKeyError> {
        match (key_type, curve) {
            (1, 6) => Ok(Self::Ed25519),
            (1, 4) => Ok(Self::X25519),
            (2, 1) => Ok(Self::P256),
            _ => Err(CoseKeyError::Unsupported { key_type, curve }),
        }
    }
}

impl fmt::Debug for CoseKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CoseKey");
        shown.field("kind", &self.kind).field("is_secret", &self.is_secret()).field("algorithm", &self.algorithm);
        shown.finish_non_exhaustive()
    }
}

#[cfg(feature = "es256")]
fn p256_point(x: &[u8; PART_LEN], y: Y<'_>) -> Result<VerifyingKey, CoseKeyError> {
    let mut point = [0; 1 + 2 * PART_LEN];
    point[1..=PART_LEN].copy_from_slice(x);
    let len = match y {
        Y::Coordinate(y) => {
            point[0] = 4;
            point[1 + PART_LEN..].copy_from_slice(y);
            1 + 2 * PART_LEN
        }
        Y::Sign(sign) => {
            point[0] = 2 | u8::from(sign);
            1 + PART_LEN
        }
    };
    Ok(VerifyingKey::of_p256(super::es256::Point::from_sec1(&point[..len])?))
}

#[cfg(not(feature = "es256"))]
const fn p256_point(_: &[u8; PART_LEN], _: Y<'_>) -> Result<VerifyingKey, CoseKeyError> {
    Err(CoseKeyError::Key(KeyError::Unsupported { algorithm: crate::cose::Algorithm::Esp256.number() }))
}

#[cfg(test)]
mod tests;
