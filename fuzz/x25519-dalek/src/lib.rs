//! Stands in for `x25519-dalek`, and remembers what was agreed.
//!
//! Most executions of a fuzzer agree on the same keys as the one before, and would spend two thirds of their time
//! there. `[patch.crates-io]` puts this crate, of which the interface is as much as the libraries call, in the place of the
//! published one. Both leave the arithmetic to `curve25519-dalek`, and an agreement is a function of its two keys, so
//! no claim of a target gets weaker.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{LazyLock, Mutex, PoisonError};

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::traits::IsIdentity;
use zeroize_crate::Zeroize;

type Octets = [u8; 32];

static PUBLIC_KEYS: Remembered<Octets> = Remembered::new();
static AGREED: Remembered<(Octets, Octets)> = Remembered::new();

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey(Octets);

impl PublicKey {
    pub fn to_bytes(&self) -> Octets {
        self.0
    }

    pub fn as_bytes(&self) -> &Octets {
        &self.0
    }
}

impl From<Octets> for PublicKey {
    fn from(octets: Octets) -> Self {
        Self(octets)
    }
}

impl AsRef<[u8]> for PublicKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&StaticSecret> for PublicKey {
    fn from(secret: &StaticSecret) -> Self {
        Self(PUBLIC_KEYS.call(secret.0, |secret| EdwardsPoint::mul_base_clamped(secret).to_montgomery()))
    }
}

#[derive(Clone)]
pub struct StaticSecret(Octets);

impl StaticSecret {
    pub fn diffie_hellman(&self, their_public: &PublicKey) -> SharedSecret {
        let agree = |(secret, public)| MontgomeryPoint(public).mul_clamped(secret);
        SharedSecret(AGREED.call((self.0, their_public.0), agree))
    }

    pub fn to_bytes(&self) -> Octets {
        self.0
    }

    pub fn as_bytes(&self) -> &Octets {
        &self.0
    }
}

impl From<Octets> for StaticSecret {
    fn from(octets: Octets) -> Self {
        Self(octets)
    }
}

impl Drop for StaticSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

pub struct SharedSecret(Octets);

impl SharedSecret {
    pub fn to_bytes(&self) -> Octets {
        self.0
    }

    pub fn as_bytes(&self) -> &Octets {
        &self.0
    }

    pub fn was_contributory(&self) -> bool {
        !MontgomeryPoint(self.0).is_identity()
    }
}

impl AsRef<[u8]> for SharedSecret {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Points, by what they follow from.
struct Remembered<K>(LazyLock<Mutex<HashMap<K, Octets>>>);

impl<K: Copy + Eq + Hash> Remembered<K> {
    /// How many are kept before all are forgotten.
    const CAPACITY: usize = 10_000;

    const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    fn call(&self, argument: K, find: impl FnOnce(K) -> MontgomeryPoint) -> Octets {
        let mut points = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if points.len() == Self::CAPACITY {
            points.clear();
        }
        *points.entry(argument).or_insert_with(|| find(argument).to_bytes())
    }
}
