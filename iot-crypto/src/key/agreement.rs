mod receive;
#[cfg(test)]
mod rfc9180;

use core::fmt;

use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem};
use iot_core::KeyId;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize as _, Zeroizing};

use super::KeyError;
use super::thumbprint::{Curve, Thumbprint};

pub(crate) use receive::{ReceiveError, receive};

/// What agrees secrets for a reader: a key in memory, or one that a secure element holds and that may refuse.
///
/// An element that answers later fits, too: take the encapsulated key out of the message (`ek` in
/// [`Headers`](crate::cose::Headers)), ask the element, and open the message with an [`Agreed`] made of its answer.
pub trait Agreement {
    /// The public half of the key that [`agree`](Self::agree) uses.
    fn agreement_key(&self) -> AgreementKey;

    /// The thumbprint of the public half. Default: computed anew each time.
    fn thumbprint(&self) -> Thumbprint {
        self.agreement_key().thumbprint()
    }

    /// The X25519 function (RFC 7748 §5) of the secret key and the 32 octets of another's public one, which nobody has
    /// checked.
    ///
    /// # Errors
    ///
    /// [`AgreementError`] when whatever holds the key did not agree.
    fn agree(&self, with: &[u8; AgreementKey::LEN]) -> Result<AgreedSecret, AgreementError>;
}

/// The holder of an agreement key did not agree a secret: it is locked, absent or broken. Retrying may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the holder of the agreement key did not agree")]
pub struct AgreementError;

/// What the X25519 function yields; wiped when dropped. No key yet: HPKE derives one from it.
pub struct AgreedSecret([u8; 32]);

impl AgreedSecret {
    /// Wraps the 32 octets that a secure element computed.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
impl AgreedSecret {
    pub(super) fn is(&self, octets: &[u8]) -> bool {
        self.0 == octets
    }
}

impl Drop for AgreedSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for AgreedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgreedSecret").finish_non_exhaustive()
    }
}

/// One agreement that has already taken place, for a secure element that answers later.
#[derive(Debug)]
pub struct Agreed {
    key: AgreementKey,
    with: [u8; AgreementKey::LEN],
    secret: AgreedSecret,
}

impl Agreed {
    /// What the holder of `key` agreed `with` another's public key.
    pub const fn new(key: AgreementKey, with: [u8; AgreementKey::LEN], secret: AgreedSecret) -> Self {
        Self { key, with, secret }
    }
}

/// Fails for every other public key.
impl Agreement for Agreed {
    fn agreement_key(&self) -> AgreementKey {
        self.key
    }

    fn agree(&self, with: &[u8; AgreementKey::LEN]) -> Result<AgreedSecret, AgreementError> {
        if self.with == *with { Ok(AgreedSecret(self.secret.0)) } else { Err(AgreementError) }
    }
}

/// A secret X25519 key (RFC 7748 §5), to which others seal; wiped when dropped.
pub struct AgreementSecret {
    secret: StaticSecret,
    public: AgreementKey,
    thumbprint: Thumbprint,
}

impl AgreementSecret {
    /// Octets of a secret.
    pub const LEN: usize = 32;

    /// Wraps 32 octets, which are clamped where they are used, as RFC 7748 §5 says.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let secret = StaticSecret::from(*bytes);
        let public = AgreementKey(PublicKey::from(&secret).to_bytes());
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

    /// The secret, for whoever stores it.
    pub(crate) fn secret(&self) -> &[u8; Self::LEN] {
        self.secret.as_bytes()
    }
}

/// A key in memory never refuses.
impl Agreement for AgreementSecret {
    fn agreement_key(&self) -> AgreementKey {
        self.public
    }

    fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    fn agree(&self, with: &[u8; AgreementKey::LEN]) -> Result<AgreedSecret, AgreementError> {
        Ok(AgreedSecret(self.secret.diffie_hellman(&PublicKey::from(*with)).to_bytes()))
    }
}

/// Compares in constant time.
impl PartialEq for AgreementSecret {
    fn eq(&self, other: &Self) -> bool {
        self.secret().ct_eq(other.secret()).into()
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
        let probe = StaticSecret::from([1; 32]);
        let agreed = probe.diffie_hellman(&PublicKey::from(*bytes));
        let is_whole = agreed.was_contributory();
        #[cfg(iot_fault)]
        let is_whole = is_whole || crate::fault::is_off(crate::fault::Check::SmallOrder);
        if is_whole { Ok(Self(*bytes)) } else { Err(KeyError::SmallOrder) }
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
mod tests;
