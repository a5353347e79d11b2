//! Stands in for `ed25519-dalek`, and remembers what was signed and verified.
//!
//! Most executions of a fuzzer read the keys, make the signatures and verify those that the one before did, and would
//! spend most of their time there. `[patch.crates-io]` puts this crate, of which the interface is as much as the
//! libraries call, in the place of the published one. Both leave the arithmetic to `curve25519-dalek`, and each answer
//! is a function of what was asked, so no claim of a target gets weaker.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{LazyLock, Mutex, PoisonError};

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use sha2::{Digest as _, Sha512};

type Octets = [u8; 32];

static POINTS: Remembered<Octets, Option<VerifyingKey>> = Remembered::new();
static PUBLIC_KEYS: Remembered<Octets, VerifyingKey> = Remembered::new();
static SIGNATURES: Remembered<(Octets, Vec<u8>), Signature> = Remembered::new();
static VERDICTS: Remembered<(Octets, Signature, Vec<u8>), bool> = Remembered::new();

/// A signature does not hold, or octets are no point.
#[derive(Clone, Copy, Debug)]
pub struct SignatureError;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);

impl Signature {
    pub fn from_bytes(octets: &[u8; 64]) -> Self {
        Self(*octets)
    }

    pub fn to_bytes(&self) -> [u8; 64] {
        self.0
    }

    fn of_parts(r: &Octets, s: &Octets) -> Self {
        let mut octets = [0; 64];
        octets[..32].copy_from_slice(r);
        octets[32..].copy_from_slice(s);
        Self(octets)
    }

    fn parts(&self) -> (Octets, Octets) {
        let half = |octets: &[u8]| octets.try_into().expect("half of it");
        (half(&self.0[..32]), half(&self.0[32..]))
    }
}

/// A point, and the octets that it was read from.
#[derive(Clone, Copy)]
pub struct VerifyingKey {
    octets: Octets,
    point: EdwardsPoint,
    is_weak: bool,
}

impl VerifyingKey {
    pub fn from_bytes(octets: &Octets) -> Result<Self, SignatureError> {
        let read = |octets: &Octets| CompressedEdwardsY(*octets).decompress().map(|point| Self::of(*octets, point));
        POINTS.call(*octets, read).ok_or(SignatureError)
    }

    fn of(octets: Octets, point: EdwardsPoint) -> Self {
        Self { octets, point, is_weak: point.is_small_order() }
    }

    pub fn is_weak(&self) -> bool {
        self.is_weak
    }

    pub fn as_bytes(&self) -> &Octets {
        &self.octets
    }

    pub fn verify_strict(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        let asked = (self.octets, *signature, message.to_vec());
        let holds = VERDICTS.call(asked, |(_, signature, message)| self.holds(message, signature));
        if holds { Ok(()) } else { Err(SignatureError) }
    }

    /// RFC 8032 §5.1.7 without the cofactor; neither point may be of small order.
    fn holds(&self, message: &[u8], signature: &Signature) -> bool {
        let (r, s) = signature.parts();
        let (Some(s), Some(point)) = (Scalar::from_canonical_bytes(s).into(), CompressedEdwardsY(r).decompress()) else {
            return false;
        };
        let k = scalar(&[&r, &self.octets, message]);
        let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, &-self.point, &s).compress();
        !point.is_small_order() && !self.is_weak && expected.0 == r
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for VerifyingKey {}

/// What the libraries call by this name when they sign.
pub trait Signer<S> {
    fn sign(&self, message: &[u8]) -> S;
}

pub struct SigningKey(Octets);

impl SigningKey {
    pub fn from_bytes(seed: &Octets) -> Self {
        Self(*seed)
    }

    pub fn as_bytes(&self) -> &Octets {
        &self.0
    }

    pub fn verifying_key(&self) -> VerifyingKey {
        PUBLIC_KEYS.call(self.0, |seed| {
            let point = EdwardsPoint::mul_base(&secret(seed).0);
            VerifyingKey::of(point.compress().0, point)
        })
    }
}

impl Signer<Signature> for SigningKey {
    /// RFC 8032 §5.1.6.
    fn sign(&self, message: &[u8]) -> Signature {
        SIGNATURES.call((self.0, message.to_vec()), |(seed, message)| {
            let (secret, prefix) = secret(seed);
            let r = scalar(&[&prefix, message]);
            let point = EdwardsPoint::mul_base(&r).compress().0;
            let k = scalar(&[&point, self.verifying_key().as_bytes(), message]);
            Signature::of_parts(&point, (k * secret + r).as_bytes())
        })
    }
}

/// The scalar of a seed, and what its signatures begin from (RFC 8032 §5.1.5).
fn secret(seed: &Octets) -> (Scalar, Octets) {
    let (first, prefix) = Signature(Sha512::digest(seed).into()).parts();
    (Scalar::from_bytes_mod_order(clamp_integer(first)), prefix)
}

fn scalar(parts: &[&[u8]]) -> Scalar {
    Scalar::from_hash(parts.iter().fold(Sha512::new(), |hash, part| hash.chain_update(part)))
}

/// What was asked, and the answers.
struct Remembered<K, V>(LazyLock<Mutex<HashMap<K, V>>>);

impl<K: Eq + Hash, V: Copy> Remembered<K, V> {
    /// How many are kept before all are forgotten.
    const CAPACITY: usize = 10_000;

    const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    fn call(&self, asked: K, answer: impl FnOnce(&K) -> V) -> V {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = answers.get(&asked) {
            return *known;
        }
        if answers.len() >= Self::CAPACITY {
            answers.clear();
        }
        let answer = answer(&asked);
        answers.insert(asked, answer);
        answer
    }
}
