use core::fmt;

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::elliptic_curve::Generate as _;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::KeyError;
use super::signing::{Signer, SignerError};
use super::verifying::{Signature, VerifyingKey};
use crate::SignatureError;

/// A public key on P-256, with the compressed encoding by which it is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    key: p256::ecdsa::VerifyingKey,
    compressed: [u8; 33],
}

impl Point {
    /// Decodes a point, compressed or not (SEC 1 §2.3.4). The compact form, which `p256` knows too, would be a second
    /// name of the same key.
    pub(super) fn from_sec1(octets: &[u8]) -> Result<Self, KeyError> {
        if !matches!(octets.first(), Some(2..=4)) {
            return Err(KeyError::NotAPoint);
        }
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(octets).map_err(|_| KeyError::NotAPoint)?;
        Ok(Self::new(key))
    }

    fn new(key: p256::ecdsa::VerifyingKey) -> Self {
        let encoded = key.to_sec1_point(true);
        let compressed = encoded.as_bytes().try_into().expect("a compressed point of P-256 has 33 octets");
        Self { key, compressed }
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 33] {
        &self.compressed
    }

    /// The affine coordinates, big endian.
    pub(super) fn coordinates(&self) -> ([u8; 32], [u8; 32]) {
        let encoded = self.key.as_affine().to_sec1_point(false);
        let (mut x, mut y) = ([0; 32], [0; 32]);
        // The octet in front says that both coordinates follow.
        x.copy_from_slice(&encoded.as_bytes()[1..33]);
        y.copy_from_slice(&encoded.as_bytes()[33..]);
        (x, y)
    }

    pub(super) fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        let signature = p256::ecdsa::Signature::from_slice(signature.as_bytes()).map_err(|_| SignatureError)?;
        // With (r, s), (r, -s) satisfies the equation, and anyone can compute it.
        if signature.normalize_s() != signature {
            return Err(SignatureError);
        }
        self.key.verify(message, &signature).map_err(|_| SignatureError)
    }
}

impl Signature {
    /// The same ECDSA signature with the smaller s, which is the only one that this crate accepts; `None` if the octets
    /// are not an ECDSA signature on P-256.
    ///
    /// Other libraries and most secure elements write either form, each every other time. Structures that this crate
    /// signs always have the smaller one. Of a structure that another library signed, whoever wants to accept both
    /// forms replaces the signature first.
    pub fn with_low_s(self) -> Option<Self> {
        let signature = p256::ecdsa::Signature::from_slice(self.as_bytes()).ok()?;
        Some(Self::from_bytes(signature.normalize_s().to_bytes().into()))
    }
}

/// A secret key on P-256, held in memory and wiped when dropped; for hosts and tests. Devices that sign with ES256
/// have a secure element behind [`Signer`].
pub struct P256SigningKey(p256::ecdsa::SigningKey);

impl P256SigningKey {
    /// Octets of a secret.
    pub const LEN: usize = 32;

    /// Wraps a secret scalar, big endian.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAScalar`] for zero and from the order of the group on.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, KeyError> {
        p256::ecdsa::SigningKey::from_slice(bytes).map(Self).map_err(|_| KeyError::NotAScalar)
    }

    /// Draws a new key from the caller's generator.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(p256::ecdsa::SigningKey::generate_from_rng(rng))
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::of_p256(Point::new(*self.0.verifying_key()))
    }

    /// Signs the SHA-256 of `message` with a nonce by RFC 6979; a key in memory never refuses.
    pub fn sign(&self, message: &[u8]) -> Signature {
        let signature: p256::ecdsa::Signature = self.0.sign(message);
        Signature::from_bytes(signature.normalize_s().to_bytes().into())
    }

    pub(super) fn secret(&self) -> Zeroizing<[u8; Self::LEN]> {
        Zeroizing::new(self.0.to_bytes().into())
    }
}

impl Signer for P256SigningKey {
    fn verifying_key(&self) -> VerifyingKey {
        self.verifying_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        Ok(self.sign(message))
    }
}

/// Compares in constant time.
impl PartialEq for P256SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.secret().as_slice().ct_eq(other.secret().as_slice()).into()
    }
}

impl Eq for P256SigningKey {}

impl fmt::Debug for P256SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("P256SigningKey").field("key_id", &self.verifying_key().key_id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::hex;

    /// RFC 6979 §A.2.5: the key, and its signatures with SHA-256.
    const SECRET: &str = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
    const X: &str = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6";
    const Y: &str = "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
    const SAMPLE: &str = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                          f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    const TEST: &str = "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367\
                        019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083";

    fn key() -> P256SigningKey {
        P256SigningKey::from_bytes(&hex(SECRET)).unwrap()
    }

    #[test]
    fn derives_the_public_key_as_the_rfc_does() {
        assert_eq!(key().verifying_key().as_p256().unwrap().coordinates(), (hex(X), hex(Y)));
        let mut compressed = [0; 33];
        compressed[0] = 3;
        compressed[1..].copy_from_slice(&hex::<32>(X));
        assert_eq!(key().verifying_key().as_bytes(), &compressed);
        assert_eq!(VerifyingKey::from_bytes(&compressed), Ok(key().verifying_key()));
    }

    #[test]
    fn signs_as_the_rfc_does_but_for_the_sign_of_s() {
        assert_eq!(key().sign(b"test").as_bytes(), &hex(TEST));
        let published = Signature::from_bytes(hex(SAMPLE));
        assert_eq!(published.as_bytes()[..32], key().sign(b"sample").as_bytes()[..32]);
        assert_eq!(published.with_low_s(), Some(key().sign(b"sample")));
    }

    #[test]
    fn accepts_the_smaller_s_alone() {
        let public = key().verifying_key();
        let published = Signature::from_bytes(hex(SAMPLE));
        assert_eq!(public.verify(b"sample", &published), Err(SignatureError));
        assert_eq!(public.verify(b"sample", &published.with_low_s().unwrap()), Ok(()));
        assert_eq!(public.verify(b"test", &Signature::from_bytes(hex(TEST))), Ok(()));
        assert_eq!(public.verify(b"sample", &Signature::from_bytes(hex(TEST))), Err(SignatureError));
    }

    #[test]
    fn refuses_values_outside_the_group() {
        let public = key().verifying_key();
        for octets in [[0; 64], [0xff; 64]] {
            assert_eq!(public.verify(b"test", &Signature::from_bytes(octets)), Err(SignatureError));
            assert_eq!(Signature::from_bytes(octets).with_low_s(), None);
        }
        assert_eq!(P256SigningKey::from_bytes(&[0; 32]), Err(KeyError::NotAScalar));
        assert_eq!(P256SigningKey::from_bytes(&[0xff; 32]), Err(KeyError::NotAScalar));
        // x = 1 has no point, and neither has a first octet that promises no compressed one.
        let mut point = [0; 33];
        (point[0], point[32]) = (2, 1);
        assert_eq!(VerifyingKey::from_bytes(&point), Err(KeyError::NotAPoint));
        point[0] = 5;
        assert_eq!(VerifyingKey::from_bytes(&point), Err(KeyError::NotAPoint));
    }

    #[test]
    fn an_ed25519_signature_is_none_under_p256_and_the_other_way_round() {
        let ed25519 = crate::SigningKey::from_seed(&[1; 32]);
        assert_eq!(key().verifying_key().verify(b"m", &ed25519.sign(b"m")), Err(SignatureError));
        assert_eq!(ed25519.verifying_key().verify(b"m", &key().sign(b"m")), Err(SignatureError));
    }

    #[test]
    fn the_compact_form_of_a_point_is_refused() {
        let key = P256SigningKey::from_bytes(&hex(SECRET)).unwrap().verifying_key();
        let mut point = *Point::from_sec1(key.as_bytes()).unwrap().as_bytes();
        for tag in (0..2).chain(5..=255) {
            point[0] = tag;
            assert_eq!(VerifyingKey::from_bytes(&point), Err(KeyError::NotAPoint), "{tag}");
        }
    }

    /// RFC 9679 §6: the thumbprint of a key on P-256.
    #[test]
    fn thumbprint_is_the_one_of_the_rfc() {
        let mut point = [4; 65];
        point[1..33].copy_from_slice(&hex::<32>("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d"));
        point[33..].copy_from_slice(&hex::<32>("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c"));
        let key = VerifyingKey::of_p256(Point::from_sec1(&point).unwrap());
        let expected = hex("496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec");
        assert_eq!(key.thumbprint().as_bytes(), &expected);
    }
}
