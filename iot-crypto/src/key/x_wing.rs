use alloc::boxed::Box;
use core::fmt;

use hpke::kem::XWing;
use hpke::{Deserializable as _, Kem, Serializable as _};
use iot_core::KeyId;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::KeyError;
use super::thumbprint::Thumbprint;

/// A public X-Wing key (draft-connolly-cfrg-xwing-kem-06): ML-KEM-768 and X25519 in one, so that what is sealed to it
/// stays hidden until both are broken. **Experimental**, and for hosts: it has 1,216 octets.
#[derive(Clone, PartialEq, Eq)]
pub struct XWingKey {
    octets: Box<[u8; Self::LEN]>,
    thumbprint: Thumbprint,
}

impl XWingKey {
    /// Octets of a key.
    pub const LEN: usize = 1_216;

    /// Octets of what a sender encapsulates to a key.
    pub(crate) const ENCAPSULATED_LEN: usize = 1_120;

    /// Wraps 1,216 octets: the key of ML-KEM-768, and behind it that of X25519.
    ///
    /// # Errors
    ///
    /// [`KeyError::Length`], and [`KeyError::NotAPoint`] if the coefficients of ML-KEM-768 are not reduced (FIPS 203
    /// §7.2).
    pub fn from_bytes(octets: &[u8]) -> Result<Self, KeyError> {
        let octets: Box<[u8; Self::LEN]> =
            Box::<[u8]>::from(octets).try_into().map_err(|_| KeyError::Length { len: octets.len() })?;
        <XWing as Kem>::PublicKey::from_bytes(&octets[..]).map_err(|_| KeyError::NotAPoint)?;
        let thumbprint = Thumbprint::of_x_wing(&octets);
        Ok(Self { octets, thumbprint })
    }

    /// The 1,216 octets.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.octets
    }

    /// The thumbprint of the key as a COSE key (RFC 9679) of the type AKP (RFC 9964) for HPKE-9.
    pub const fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// The identifier of this key on the wire.
    pub fn key_id(&self) -> KeyId {
        self.thumbprint.key_id()
    }

    pub(crate) fn to_hpke(&self) -> <XWing as Kem>::PublicKey {
        <XWing as Kem>::PublicKey::from_bytes(&self.octets[..]).expect("the octets were read before")
    }
}

impl fmt::Debug for XWingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("XWingKey").field(&self.key_id()).finish()
    }
}

/// A secret X-Wing key, to which others seal; wiped when dropped. **Experimental.**
pub struct XWingSecret {
    seed: Box<[u8; Self::LEN]>,
    public: XWingKey,
}

impl XWingSecret {
    /// Octets of a secret: the seed of both keys.
    pub const LEN: usize = 32;

    /// Derives the key from its seed.
    pub fn from_bytes(seed: &[u8; Self::LEN]) -> Self {
        let seed = Box::new(*seed);
        let public = XWing::sk_to_pk(&hpke_secret(&seed));
        let mut octets = Box::new([0; XWingKey::LEN]);
        public.write_exact(&mut octets[..]);
        let thumbprint = Thumbprint::of_x_wing(&octets);
        Self { seed, public: XWingKey { octets, thumbprint } }
    }

    /// Draws a new key from the caller's generator.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; Self::LEN]);
        rng.fill_bytes(&mut *seed);
        Self::from_bytes(&seed)
    }

    /// The public half.
    pub const fn public(&self) -> &XWingKey {
        &self.public
    }

    /// The seed, for whoever stores it.
    pub(super) const fn seed(&self) -> &[u8; Self::LEN] {
        &self.seed
    }

    pub(crate) fn to_hpke(&self) -> <XWing as Kem>::PrivateKey {
        hpke_secret(&self.seed)
    }
}

fn hpke_secret(seed: &[u8; XWingSecret::LEN]) -> <XWing as Kem>::PrivateKey {
    <XWing as Kem>::PrivateKey::from_bytes(seed).expect("every string of 32 octets is a seed")
}

impl Drop for XWingSecret {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

/// Compares in constant time.
impl PartialEq for XWingSecret {
    fn eq(&self, other: &Self) -> bool {
        self.seed.ct_eq(&*other.seed).into()
    }
}

impl Eq for XWingSecret {}

impl fmt::Debug for XWingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XWingSecret").field("key_id", &self.public.key_id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
