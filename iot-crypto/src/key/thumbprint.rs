use iot_core::{DeviceId, KeyId};
use sha2::{Digest, Sha256};

/// The SHA-256 thumbprint of a public COSE key (RFC 9679 §3): the hash of its required members alone, in deterministic
/// CBOR, so that every party computes the same one whatever else the key object says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

/// The curves of octet key pairs (RFC 9053 §7.2, table 18).
#[derive(Clone, Copy)]
pub(super) enum Curve {
    X25519 = 4,
    Ed25519 = 6,
}

impl Thumbprint {
    /// Octets of a thumbprint.
    pub const LEN: usize = 32;

    /// Hashes `{1: 1, -1: curve, -2: x}`: key type OKP, the curve and the public key (RFC 9679 §4.1).
    pub(super) fn of_octet_key_pair(curve: Curve, x: &[u8; 32]) -> Self {
        let head = [0xa3, 0x01, 0x01, 0x20, curve as u8, 0x21, 0x58, 0x20];
        Self(Sha256::new().chain_update(head).chain_update(x).finalize().into())
    }

    /// Hashes `{1: 2, -1: 1, -2: x, -3: y}`: key type EC2, the curve P-256 and both coordinates (RFC 9679 §4.2).
    #[cfg(feature = "es256")]
    pub(super) fn of_p256(x: &[u8; 32], y: &[u8; 32]) -> Self {
        let mut hash = Sha256::new();
        hash.update([0xa4, 0x01, 0x02, 0x20, 0x01, 0x21, 0x58, 0x20]);
        hash.update(x);
        hash.update([0x22, 0x58, 0x20]);
        hash.update(y);
        Self(hash.finalize().into())
    }

    /// Hashes `{1: 7, 3: 56, -1: pub}`: key type AKP, the algorithm HPKE-9 and the public key (RFC 9964).
    #[cfg(feature = "x-wing")]
    pub(super) fn of_x_wing(key: &[u8; super::XWingKey::LEN]) -> Self {
        let head = [0xa3, 0x01, 0x07, 0x03, 0x18, 56, 0x20, 0x59, 0x04, 0xc0];
        Self(Sha256::new().chain_update(head).chain_update(key).finalize().into())
    }

    /// Wraps 32 octets that somebody else computed.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 octets.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The identifier of this key on the wire: the first 8 octets.
    pub fn key_id(&self) -> KeyId {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        KeyId::from_bytes([a, b, c, d, e, f, g, h])
    }

    /// The identity of a device whose first signing key has this thumbprint.
    pub const fn device_id(&self) -> DeviceId {
        DeviceId::from_bytes(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_id_is_the_beginning_of_the_thumbprint() {
        let thumbprint = Thumbprint::of_octet_key_pair(Curve::Ed25519, &[7; 32]);
        assert_eq!(thumbprint.key_id().as_bytes(), &thumbprint.as_bytes()[..8]);
        assert_eq!(thumbprint.device_id().as_bytes(), thumbprint.as_bytes());
    }

    #[test]
    fn curves_separate_thumbprints_of_equal_octets() {
        let x = [9; 32];
        assert_ne!(Thumbprint::of_octet_key_pair(Curve::Ed25519, &x), Thumbprint::of_octet_key_pair(Curve::X25519, &x));
    }
}
