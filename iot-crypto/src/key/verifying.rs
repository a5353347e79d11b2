use core::fmt;

use iot_core::{DeviceId, KeyId};

use super::KeyError;
use super::thumbprint::{Curve, Thumbprint};
use crate::SignatureError;
use crate::cose::Algorithm;

/// A public signing key: Ed25519 or, with feature `es256`, ECDSA on P-256.
///
/// Whatever the kind, it is a point of full order, and a signature under it has one form: nobody who lacks the secret
/// can make a second signature of a first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(Kind);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ed25519(ed25519_dalek::VerifyingKey),
    #[cfg(feature = "es256")]
    P256(super::es256::Point),
}

impl VerifyingKey {
    /// Octets of the longest key, whatever the features.
    pub const MAX_LEN: usize = P256_LEN;

    /// Decodes a key: 32 octets are one of Ed25519 (RFC 8032 §5.1.3), 33 a compressed point of P-256 (SEC 1 §2.3.3).
    ///
    /// # Errors
    ///
    /// [`KeyError`]; without feature `es256`, 33 octets are [`KeyError::Unsupported`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.len() {
            ED25519_LEN => Self::from_ed25519(bytes.try_into().expect("the length was looked at")),
            P256_LEN => Self::from_p256(bytes),
            len => Err(KeyError::Length { len }),
        }
    }

    fn from_ed25519(bytes: &[u8; ED25519_LEN]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        let is_weak = key.is_weak();
        #[cfg(iot_fault)]
        let is_weak = is_weak && !crate::fault::is_off(crate::fault::Check::SmallOrder);
        if is_weak { Err(KeyError::SmallOrder) } else { Ok(Self::of_ed25519(key)) }
    }

    pub(super) const fn of_ed25519(key: ed25519_dalek::VerifyingKey) -> Self {
        Self(Kind::Ed25519(key))
    }

    #[cfg(feature = "es256")]
    fn from_p256(bytes: &[u8]) -> Result<Self, KeyError> {
        super::es256::Point::from_sec1(bytes).map(Self::of_p256)
    }

    #[cfg(not(feature = "es256"))]
    const fn from_p256(_: &[u8]) -> Result<Self, KeyError> {
        Err(KeyError::Unsupported { algorithm: Algorithm::Esp256.number() })
    }

    #[cfg(feature = "es256")]
    pub(super) const fn of_p256(point: super::es256::Point) -> Self {
        Self(Kind::P256(point))
    }

    /// The 32 or 33 octets that [`from_bytes`](Self::from_bytes) reads.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Kind::Ed25519(key) => key.as_bytes(),
            #[cfg(feature = "es256")]
            Kind::P256(point) => point.as_bytes(),
        }
    }

    /// The algorithm with which the holder signs: [`Algorithm::Ed25519`] or [`Algorithm::Esp256`].
    pub const fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Kind::Ed25519(_) => Algorithm::Ed25519,
            #[cfg(feature = "es256")]
            Kind::P256(_) => Algorithm::Esp256,
        }
    }

    /// Whether signatures of `algorithm`, by its newer or older number, are verified with this key.
    pub(crate) fn verifies(&self, algorithm: Algorithm) -> bool {
        match self.algorithm() {
            Algorithm::Esp256 => matches!(algorithm, Algorithm::Esp256 | Algorithm::Es256),
            _ => matches!(algorithm, Algorithm::Ed25519 | Algorithm::EdDsa),
        }
    }

    /// The thumbprint of the key as a COSE key (RFC 9679).
    pub fn thumbprint(&self) -> Thumbprint {
        match &self.0 {
            Kind::Ed25519(key) => Thumbprint::of_octet_key_pair(Curve::Ed25519, key.as_bytes()),
            #[cfg(feature = "es256")]
            Kind::P256(point) => {
                let (x, y) = point.coordinates();
                Thumbprint::of_p256(&x, &y)
            }
        }
    }

    /// The identifier of this key on the wire.
    pub fn key_id(&self) -> KeyId {
        self.thumbprint().key_id()
    }

    /// The identity of the device whose first signing key this is.
    pub fn device_id(&self) -> DeviceId {
        self.thumbprint().device_id()
    }

    /// Verifies strictly. Ed25519: only canonical encodings, no points of small order, the cofactorless equation
    /// (RFC 8032 §5.1.7 with the checks of Chalkias et al., 2020). ECDSA: only the smaller of the two values of s that
    /// the equation allows.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] when the signature is not this key's over exactly this message.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::Signature) {
            return Ok(());
        }
        match &self.0 {
            Kind::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
                key.verify_strict(message, &signature).map_err(|_| SignatureError)
            }
            #[cfg(feature = "es256")]
            Kind::P256(point) => point.verify(message, signature),
        }
    }

    #[cfg(feature = "es256")]
    pub(super) const fn as_p256(&self) -> Option<&super::es256::Point> {
        match &self.0 {
            Kind::P256(point) => Some(point),
            Kind::Ed25519(_) => None,
        }
    }

    /// The form in which a signature by this key's holder is written.
    pub(crate) fn normal_form(&self, signature: Signature) -> Signature {
        match &self.0 {
            Kind::Ed25519(_) => signature,
            #[cfg(feature = "es256")]
            Kind::P256(_) => signature.with_low_s().unwrap_or(signature),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifyingKey").field(&self.key_id()).finish()
    }
}

/// A signature, not yet verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Octets of a signature.
    pub const LEN: usize = 64;

    /// Wraps the 64 octets of a signature.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The 64 octets.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Signature({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

const ED25519_LEN: usize = 32;
const P256_LEN: usize = 33;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_points_of_small_order() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(VerifyingKey::from_bytes(&identity), Err(KeyError::SmallOrder));
        assert_eq!(VerifyingKey::from_bytes(&[0; 32]), Err(KeyError::SmallOrder));
    }

    #[test]
    fn refuses_octets_that_are_no_point() {
        let mut bytes = [0; 32];
        bytes[0] = 2;
        assert_eq!(VerifyingKey::from_bytes(&bytes), Err(KeyError::NotAPoint));
    }

    #[test]
    fn refuses_octets_of_another_length() {
        assert_eq!(VerifyingKey::from_bytes(&[2; 31]), Err(KeyError::Length { len: 31 }));
        assert_eq!(VerifyingKey::from_bytes(&[2; 34]), Err(KeyError::Length { len: 34 }));
    }

    #[cfg(not(feature = "es256"))]
    #[test]
    fn names_the_algorithm_that_is_not_built_in() {
        assert_eq!(VerifyingKey::from_bytes(&[2; 33]), Err(KeyError::Unsupported { algorithm: -9 }));
    }
}
