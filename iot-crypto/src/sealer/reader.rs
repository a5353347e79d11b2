use rand_core::CryptoRng;

use crate::binding::Audience;
use crate::cose::{self, Algorithm, EncryptError, Protected, RecipientKey};
use crate::{AgreementKey, KeyBundle};

/// The key of a reader to which messages are sealed. It decides the suite.
#[derive(Clone, Debug)]
pub(super) enum ReaderKey {
    Hpke4(AgreementKey),
    #[cfg(feature = "x-wing")]
    Hpke9(crate::XWingKey),
}

impl ReaderKey {
    /// For whom a message that is sealed to the key is signed.
    pub(super) fn audience(&self) -> Audience<'static> {
        match self {
            Self::Hpke4(key) => Audience::of_reader(Algorithm::Hpke4, &key.thumbprint()),
            #[cfg(feature = "x-wing")]
            Self::Hpke9(key) => Audience::of_reader(Algorithm::Hpke9, &key.thumbprint()),
        }
    }

    /// The protected header of the envelope.
    pub(super) fn protected(&self) -> Protected {
        match self {
            Self::Hpke4(key) => Protected::new(Algorithm::Hpke4, &key.key_id()),
            #[cfg(feature = "x-wing")]
            Self::Hpke9(key) => Protected::new(Algorithm::Hpke9, &key.key_id()),
        }
    }

    /// Octets of the envelope in front of its ciphertext.
    pub(super) const fn head_len(&self, ciphertext_len: usize) -> usize {
        let encapsulated_len = match self {
            Self::Hpke4(_) => AgreementKey::LEN,
            #[cfg(feature = "x-wing")]
            Self::Hpke9(_) => crate::XWingKey::ENCAPSULATED_LEN,
        };
        cose::hpke_head_len(encapsulated_len, ciphertext_len)
    }

    /// Encrypts what stands before the place of the tag in `ciphertext`, and writes the head.
    pub(super) fn seal_in_place(
        &self,
        protected: &Protected,
        authenticated: &[u8],
        rng: &mut impl CryptoRng,
        head: &mut [u8],
        ciphertext: &mut [u8],
    ) -> Result<(), EncryptError> {
        match self {
            Self::Hpke4(key) => cose::seal_in_place(key, protected, authenticated, rng, head, ciphertext),
            #[cfg(feature = "x-wing")]
            Self::Hpke9(key) => cose::seal_x_wing_in_place(key, protected, authenticated, rng, head, ciphertext),
        }
    }
}

/// The keys of several readers, all of one kind, which decides the suite.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReaderKeys<'k> {
    Hpke4(&'k [KeyBundle]),
    #[cfg(feature = "x-wing")]
    Hpke9(&'k [crate::XWingKey]),
}

impl<'k> ReaderKeys<'k> {
    pub(super) const fn count(&self) -> usize {
        match self {
            Self::Hpke4(bundles) => bundles.len(),
            #[cfg(feature = "x-wing")]
            Self::Hpke9(keys) => keys.len(),
        }
    }

    /// The key in this place.
    pub(super) const fn key(&self, index: usize) -> RecipientKey<'k> {
        match self {
            Self::Hpke4(bundles) => RecipientKey::Hpke4(bundles[index].agreement_key()),
            #[cfg(feature = "x-wing")]
            Self::Hpke9(keys) => RecipientKey::Hpke9(&keys[index]),
        }
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hpke4(_) => Algorithm::Hpke4KeyEncryption,
            #[cfg(feature = "x-wing")]
            Self::Hpke9(_) => Algorithm::Hpke9KeyEncryption,
        }
    }

    /// Octets of an encapsulated key.
    pub(super) const fn encapsulated_len(&self) -> usize {
        match self {
            Self::Hpke4(_) => AgreementKey::LEN,
            #[cfg(feature = "x-wing")]
            Self::Hpke9(_) => crate::XWingKey::ENCAPSULATED_LEN,
        }
    }
}
