use core::fmt;

use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, Serializable as _};
use iot_core::KeyId;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::KeyError;
use super::thumbprint::{Curve, Thumbprint};

/// A secret X25519 key (RFC 7748 §5), to which others seal; wiped when dropped.
pub struct AgreementSecret {
    secret: <X25519HkdfSha256 as Kem>::PrivateKey,
    public: AgreementKey,
    thumbprint: Thumbprint,
}

impl AgreementSecret {
    /// Octets of a secret.
    pub const LEN: usize = 32;

    /// Wraps 32 octets, which are clamped as RFC 7748 §5 says.
    ///
    /// # Panics
    ///
    /// Never: every string of 32 octets is an X25519 secret.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(bytes)
            .expect("every string of 32 octets is an X25519 secret");
        let public = <X25519HkdfSha256 as Kem>::sk_to_pk(&secret);
        let public = AgreementKey(public.to_bytes().into());
        Self { secret, public, thumbprint: public.thumbprint() }
    }

    /// Draws a new key from the caller's generator.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        rng.fill_bytes(&mut *bytes);
        Self::from_bytes(&bytes)
    }

    /// The public half.
    pub const fn public(&self) -> &AgreementKey {
        &self.public
    }

    /// The thumbprint of the public half.
    pub const fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// The identifier of the key on the wire.
    pub fn key_id(&self) -> KeyId {
        self.thumbprint.key_id()
    }

    /// The clamped secret, for whoever stores it.
    pub(super) fn secret(&self) -> Zeroizing<[u8; Self::LEN]> {
        Zeroizing::new(self.secret.to_bytes().into())
    }

    pub(crate) const fn as_hpke(&self) -> &<X25519HkdfSha256 as Kem>::PrivateKey {
        &self.secret
    }
}

/// Compares in constant time.
impl PartialEq for AgreementSecret {
    fn eq(&self, other: &Self) -> bool {
        self.secret().as_slice().ct_eq(other.secret().as_slice()).into()
    }
}

impl Eq for AgreementSecret {}

impl fmt::Debug for AgreementSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgreementSecret").field("key_id", &self.key_id()).finish_non_exhaustive()
    }
}

/// A public X25519 key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AgreementKey([u8; 32]);

impl AgreementKey {
    /// Octets of a key.
    pub const LEN: usize = 32;

    /// Wraps 32 octets.
    ///
    /// # Errors
    ///
    /// [`KeyError::SmallOrder`] for the points with which every agreement yields the same secret (RFC 7748 §6.1).
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, KeyError> {
        let probe = x25519_dalek::StaticSecret::from([1; 32]);
        let agreed = probe.diffie_hellman(&x25519_dalek::PublicKey::from(*bytes));
        if agreed.was_contributory() { Ok(Self(*bytes)) } else { Err(KeyError::SmallOrder) }
    }

    /// The 32 octets.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The thumbprint of the key as a COSE key (RFC 9679).
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of_octet_key_pair(Curve::X25519, &self.0)
    }

    /// The identifier of this key on the wire.
    pub fn key_id(&self) -> KeyId {
        self.thumbprint().key_id()
    }

    pub(crate) fn to_hpke(self) -> <X25519HkdfSha256 as Kem>::PublicKey {
        <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&self.0).expect("every string of 32 octets is an X25519 key")
    }
}

impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AgreementKey").field(&self.key_id()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::hex;

    /// RFC 7748 §5.2, the first iteration of the last vector: the scalar 9 times the base point.
    #[test]
    fn derives_the_public_key_as_the_rfc_does() {
        let secret = hex("0900000000000000000000000000000000000000000000000000000000000000");
        let public = hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
        assert_eq!(AgreementSecret::from_bytes(&secret).public().as_bytes(), &public);
    }

    #[test]
    fn refuses_points_of_small_order() {
        let mut one = [0; 32];
        one[0] = 1;
        assert_eq!(AgreementKey::from_bytes(&[0; 32]), Err(KeyError::SmallOrder));
        assert_eq!(AgreementKey::from_bytes(&one), Err(KeyError::SmallOrder));
    }
}
