use core::fmt;

use ed25519_dalek::Signer as _;
use iot_core::{DeviceId, KeyId};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::KeyError;
use super::thumbprint::{Curve, Thumbprint};
use crate::SignatureError;

/// What signs for a device: a key in memory, or one that a secure element holds and that may refuse.
pub trait Signer {
    /// The public half of the key that [`sign`](Self::sign) uses.
    fn verifying_key(&self) -> VerifyingKey;

    /// Signs `message` with Ed25519 (RFC 8032 §5.1.6).
    ///
    /// # Errors
    ///
    /// [`SignerError`] when whatever holds the key did not sign.
    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError>;
}

/// The holder of a signing key did not sign: it is locked, absent or broken. Retrying may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the holder of the signing key did not sign")]
pub struct SignerError;

/// A secret Ed25519 key (RFC 8032 §5.1.5), held in memory and wiped when dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Octets of a seed.
    pub const SEED_LEN: usize = 32;

    /// Derives the key from its 32-octet seed, the private key of RFC 8032.
    pub fn from_seed(seed: &[u8; Self::SEED_LEN]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Draws a new key from the caller's generator.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; Self::SEED_LEN]);
        rng.fill_bytes(&mut *seed);
        Self::from_seed(&seed)
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Signs `message` with Ed25519; a key in memory never refuses.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl Signer for SigningKey {
    fn verifying_key(&self) -> VerifyingKey {
        self.verifying_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        Ok(self.sign(message))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("key_id", &self.verifying_key().key_id()).finish_non_exhaustive()
    }
}

/// A public Ed25519 key that is a point of full order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// Octets of a key.
    pub const LEN: usize = 32;

    /// Decodes a key (RFC 8032 §5.1.3).
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAPoint`] and [`KeyError::SmallOrder`].
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        if key.is_weak() { Err(KeyError::SmallOrder) } else { Ok(Self(key)) }
    }

    /// The 32 octets.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        self.0.as_bytes()
    }

    /// The thumbprint of the key as a COSE key (RFC 9679).
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of_octet_key_pair(Curve::Ed25519, self.as_bytes())
    }

    /// The identifier of this key on the wire.
    pub fn key_id(&self) -> KeyId {
        self.thumbprint().key_id()
    }

    /// The identity of the device whose first signing key this is.
    pub fn device_id(&self) -> DeviceId {
        self.thumbprint().device_id()
    }

    /// Verifies strictly: only canonical encodings, no points of small order, the cofactorless equation
    /// (RFC 8032 §5.1.7 with the checks of Chalkias et al., 2020).
    ///
    /// # Errors
    ///
    /// [`SignatureError`] when the signature is not this key's over exactly this message.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::Signature) {
            return Ok(());
        }
        self.0.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).map_err(|_| SignatureError)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifyingKey").field(&self.key_id()).finish()
    }
}

/// An Ed25519 signature, not yet verified.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::hex;

    /// RFC 8032 §7.1, test 2.
    #[test]
    fn signs_as_the_rfc_does() {
        let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let key = SigningKey::from_seed(&seed);
        let public: [u8; 32] = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(key.verifying_key().as_bytes(), &public);
        let expected: [u8; 64] = hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
        let signature = key.sign(&[0x72]);
        assert_eq!(signature.as_bytes(), &expected);
        assert_eq!(key.verifying_key().verify(&[0x72], &signature), Ok(()));
        assert_eq!(key.verifying_key().verify(&[0x73], &signature), Err(SignatureError));
    }

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
    fn debug_shows_no_secret() {
        extern crate std;
        let key = SigningKey::from_seed(&[0xab; 32]);
        assert!(!std::format!("{key:?}").contains("abab"));
    }
}
