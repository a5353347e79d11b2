use core::fmt;

use hkdf::Hkdf;
use iot_codec::cbor::{Buffer, Writer};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::binding::BindingHash;
use crate::aead::{KEY_LEN, NONCE_LEN};
use crate::cose::Algorithm;

/// How many sequence numbers share a key.
pub const GENERATION_LEN: u64 = 65_536;

/// The generation to which a sequence number belongs.
#[inline]
pub(super) const fn generation_of(sequence: u64) -> u64 {
    sequence / GENERATION_LEN
}

/// The keys of one generation of an epoch, and the secret from which those of later ones follow. There is no way back.
pub(super) struct Ratchet {
    pub(super) generation: u64,
    pub(super) keys: Keys,
    pub(super) next: Chain,
}

impl Ratchet {
    /// The ratchet of a new epoch, whose first generation has this number.
    pub(super) fn new(chain: &Chain, binding: &BindingHash, generation: u64) -> Self {
        Self { generation, keys: chain.keys(binding), next: chain.next(binding) }
    }

    /// The next generation.
    pub(super) fn following(&self, binding: &BindingHash) -> Self {
        Self::new(&self.next, binding, self.generation + 1)
    }
}

/// The key of a generation, and the base IV from which each message's nonce follows.
pub(crate) struct Keys {
    pub(crate) key: Zeroizing<[u8; KEY_LEN]>,
    pub(crate) base_iv: Zeroizing<[u8; NONCE_LEN]>,
}

impl Keys {
    /// The nonce of a message: the partial IV, padded on the left, XOR the base IV (RFC 9052 §3.1).
    #[inline]
    pub(crate) fn nonce(&self, sequence: u64) -> [u8; NONCE_LEN] {
        let mut nonce = *self.base_iv;
        for (octet, of_sequence) in nonce[NONCE_LEN - 8..].iter_mut().zip(sequence.to_be_bytes()) {
            *octet ^= of_sequence;
        }
        nonce
    }
}

/// The secret of a generation.
pub(super) struct Chain(pub(super) Zeroizing<[u8; 32]>);

impl Chain {
    /// The secret of an epoch's first generation.
    pub(super) fn of_epoch(epoch: &Hkdf<Sha256>, binding: &BindingHash) -> Self {
        Self(expand(epoch, binding, "chain"))
    }

    fn next(&self, binding: &BindingHash) -> Self {
        Self(expand(&self.hkdf(), binding, "chain"))
    }

    fn keys(&self, binding: &BindingHash) -> Keys {
        let hkdf = self.hkdf();
        Keys { key: expand(&hkdf, binding, "key"), base_iv: expand(&hkdf, binding, "iv") }
    }

    fn hkdf(&self) -> Hkdf<Sha256> {
        Hkdf::from_prk(&*self.0).expect("a secret is as long as the hash")
    }
}

/// HKDF-Expand (RFC 5869 §2.3) in the manner of RFC 8613 §3.2.1, with the parties and the place in the binding.
///
/// ```cddl
/// info = [binding: bstr .size 32, algorithm: 24, purpose: "chain" / "key" / "iv" / "leaf", length: uint]
/// ```
pub(crate) fn expand<const N: usize>(hkdf: &Hkdf<Sha256>, binding: &BindingHash, purpose: &str) -> Zeroizing<[u8; N]> {
    let mut info = [0; INFO_LEN];
    let mut writer = Writer::new(Buffer::new(&mut info));
    let written = (|| {
        writer.array(4)?;
        writer.bytes(binding.as_bytes())?;
        writer.int(Algorithm::ChaCha20Poly1305.number())?;
        writer.text(purpose)?;
        writer.unsigned(N as u64)
    })();
    written.expect("the longest purpose fits");
    let mut octets = Zeroizing::new([0; N]);
    hkdf.expand(writer.into_output().into_written(), &mut *octets).expect("no more octets than the hash gives");
    octets
}

/// Octets of the longest `info`.
const INFO_LEN: usize = 1 + (2 + BindingHash::LEN) + 2 + (1 + 5) + 2;

impl fmt::Debug for Ratchet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ratchet").field("generation", &self.generation).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
