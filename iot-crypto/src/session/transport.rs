use alloc::vec::Vec;

use hkdf::Hkdf;
use iot_core::{SequenceError, Window};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::aead::{Aead as _, RustCrypto, TAG_LEN};

/// Messages of one direction between two changes of its key.
pub(super) const GENERATION_LEN: u64 = 1 << 16;

/// Changes of the key that a receiver makes at once, as a forger may make it try.
pub(super) const MAX_AHEAD: u64 = 8;

type Key = Zeroizing<[u8; 32]>;

/// The nonce of ChaCha20-Poly1305 for a number of Noise (Noise §12.3).
pub(super) fn noise_nonce(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    nonce
}

/// Why a transport message does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    Number(SequenceError),
    Ahead,
    Tag,
}

/// Both keys of a session, as Noise splits them, and what identifies it.
#[derive(Clone)]
pub(super) struct Split {
    pub(super) hash: [u8; 32],
    pub(super) initiator: Key,
    pub(super) responder: Key,
}

/// The key of a generation; the next one follows by Noise's REKEY (§4.2), which does not turn back.
struct Chain {
    key: Key,
    generation: u64,
}

impl Chain {
    fn next(&self) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        let sealed = RustCrypto::seal(&self.key, &noise_nonce(u64::MAX), &[], &mut *key);
        sealed.expect("32 octets can be sealed");
        Self { key, generation: self.generation + 1 }
    }
}

/// The sending direction.
pub(super) struct Outgoing {
    chain: Chain,
    next: u64,
}

impl Outgoing {
    pub(super) fn new(key: Key) -> Self {
        Self { chain: Chain { key, generation: 0 }, next: 0 }
    }

    /// The number of the next message, unless all have been used.
    pub(super) fn next(&self) -> Option<u64> {
        (self.next < u64::MAX).then_some(self.next)
    }

    /// Goes on with the first number of the next generation.
    pub(super) fn rekey(&mut self) {
        let boundary = (self.chain.generation + 1).checked_mul(GENERATION_LEN);
        self.next = boundary.unwrap_or(u64::MAX);
    }

    /// Appends ciphertext and tag to `message`. `None` when all numbers have been used.
    pub(super) fn seal(&mut self, payload: &[u8], message: &mut Vec<u8>) -> Option<u64> {
        let number = self.next()?;
        if number / GENERATION_LEN != self.chain.generation {
            self.chain = self.chain.next();
        }
        let start = message.len();
        message.extend_from_slice(payload);
        let tag = RustCrypto::seal(&self.chain.key, &noise_nonce(number), &[], &mut message[start..]).ok()?;
        message.extend_from_slice(&tag);
        self.next = number + 1;
        Some(number)
    }
}

/// The receiving direction.
pub(super) struct Incoming {
    chain: Chain,
    /// The key of the generation before, for messages that come late.
    before: Option<Key>,
    seen: Window<16>,
}

impl Incoming {
    pub(super) fn new(key: Key) -> Self {
        Self { chain: Chain { key, generation: 0 }, before: None, seen: Window::new() }
    }

    /// Opens a message once. Nothing changes unless the tag verifies.
    pub(super) fn open(&mut self, number: u64, ciphertext: &[u8]) -> Result<Vec<u8>, Closed> {
        self.seen.check(number).map_err(Closed::Number)?;
        let generation = number / GENERATION_LEN;
        let payload = if generation == self.chain.generation {
            open(&self.chain.key, number, ciphertext)?
        } else if generation < self.chain.generation {
            // What is older still lies further back than the window reaches.
            open(self.before.as_ref().ok_or(Closed::Tag)?, number, ciphertext)?
        } else if generation - self.chain.generation <= MAX_AHEAD {
            self.open_ahead(generation, number, ciphertext)?
        } else {
            return Err(Closed::Ahead);
        };
        self.seen.insert(number).map_err(Closed::Number)?;
        Ok(payload)
    }

    fn open_ahead(&mut self, generation: u64, number: u64, ciphertext: &[u8]) -> Result<Vec<u8>, Closed> {
        let mut next = self.chain.next();
        let mut before = self.chain.key.clone();
        while next.generation < generation {
            let after = next.next();
            before = core::mem::replace(&mut next, after).key;
        }
        let payload = open(&next.key, number, ciphertext)?;
        self.chain = next;
        self.before = Some(before);
        Ok(payload)
    }
}

fn open(key: &Key, number: u64, ciphertext: &[u8]) -> Result<Vec<u8>, Closed> {
    let (text, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(Closed::Tag)?;
    let mut text = text.to_vec();
    RustCrypto::open(key, &noise_nonce(number), &[], &mut text, tag).map_err(|_| Closed::Tag)?;
    Ok(text)
}

/// Secrets for stream epochs of one direction, each used once.
pub(super) struct Exporter(Key);

impl Exporter {
    pub(super) fn new(key: &Key, hash: &[u8; 32]) -> Self {
        let (mut extracted, expander) = Hkdf::<Sha256>::extract(Some(hash), &**key);
        extracted.as_mut_slice().zeroize();
        Self(expand(&expander, b"iot session epochs 1"))
    }

    /// The next secret. The one after it does not follow from it.
    pub(super) fn take(&mut self) -> Key {
        let expander = Hkdf::<Sha256>::from_prk(&*self.0).expect("a key of 32 octets is long enough");
        let secret = expand(&expander, b"secret");
        self.0 = expand(&expander, b"next");
        secret
    }
}

fn expand(expander: &Hkdf<Sha256>, purpose: &[u8]) -> Key {
    let mut key = Zeroizing::new([0; 32]);
    expander.expand(purpose, &mut *key).expect("HKDF yields up to 255 hashes");
    key
}

#[cfg(test)]
mod tests;
