use core::fmt;

use ed25519_dalek::Signer as _;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::verifying::{Signature, VerifyingKey};

/// What signs for a device: a key in memory, or one that a secure element holds and that may refuse.
pub trait Signer {
    /// The public half of the key that [`sign`](Self::sign) uses. It says which algorithm that is.
    fn verifying_key(&self) -> VerifyingKey;

    /// Signs `message` with Ed25519 (RFC 8032 §5.1.6) or, with feature `es256` and a key on P-256, with ECDSA over its
    /// SHA-256 (RFC 9053 §2.1), as r and s of 32 octets each.
    ///
    /// What is written of an ECDSA signature has the smaller s; a structure of this crate puts that right, and
    /// `Signature::with_low_s` does it for other uses.
    ///
    /// # Errors
    ///
    /// [`SignerError`] when whatever holds the key did not sign.
    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError>;
}

/// A key that several share.
#[cfg(feature = "alloc")]
impl<S: Signer + ?Sized> Signer for alloc::sync::Arc<S> {
    fn verifying_key(&self) -> VerifyingKey {
        (**self).verifying_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        (**self).sign(message)
    }
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
        VerifyingKey::of_ed25519(self.0.verifying_key())
    }

    /// Signs `message` with Ed25519; a key in memory never refuses.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature::from_bytes(self.0.sign(message).to_bytes())
    }

    /// The seed, for whoever stores it.
    pub(super) fn seed(&self) -> &[u8; Self::SEED_LEN] {
        self.0.as_bytes()
    }
}

/// Compares in constant time.
impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for SigningKey {}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SignatureError;
    use crate::vectors::hex;

    /// RFC 8032 §7.1: what it calls 1, 2, 3 and SHA(abc).
    #[test]
    fn signs_as_the_rfc_does() {
        signs(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            &[],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
             d25bf5f0595bbe24655141438e7a100b",
        );
        signs(
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            &[0x72],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c\
             387b2eaeb4302aeeb00d291612bb0c00",
        );
        signs(
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            &[0xaf, 0x82],
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659\
             4a7c15e9716ed28dc027beceea1ec40a",
        );
        signs(
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            &hex::<64>(
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd\
                 454d4423643ce80e2a9ac94fa54ca49f",
            ),
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030\
             3dca179c138ac17ad9bef1177331a704",
        );
    }

    fn signs(seed: &str, public: &str, message: &[u8], expected: &str) {
        let key = SigningKey::from_seed(&hex(seed));
        assert_eq!(key.verifying_key().as_bytes(), hex::<32>(public));
        let signature = key.sign(message);
        assert_eq!(signature.as_bytes(), &hex::<64>(expected));
        assert_eq!(key.verifying_key().verify(message, &signature), Ok(()));
        assert_eq!(key.verifying_key().verify(b"another message", &signature), Err(SignatureError));
    }

    #[test]
    fn keys_are_equal_when_their_seeds_are() {
        let mut other = [7; 32];
        other[31] ^= 1;
        assert!(SigningKey::from_seed(&[7; 32]) == SigningKey::from_seed(&[7; 32]));
        assert!(SigningKey::from_seed(&[7; 32]) != SigningKey::from_seed(&other));
    }
}
