//! Payloads that are encrypted at rest, by whoever owns the queue: the queue has no cryptography.

use alloc::vec::Vec;
use core::fmt;

use crate::offset::{Epoch, Offset};

/// Encrypts payloads before they are written, and decrypts them when they are read.
///
/// A payload is sealed once, when its message is appended. What it became is then stored, moved to another segment, written
/// again after a failure and read by later openings as it is, octet by octet.
///
/// # Nonces
///
/// A [`PayloadPlace`] is no nonce, nor can one be derived from it and the key alone: the same place is sealed again, with
/// another payload, whenever an append failed, found no room, or was lost with the power before it was durable. Parts of
/// what was lost may still stand on the medium, beside what took its place; so may everything that earlier lives of a
/// segment held. Each call of [`seal`](Self::seal) therefore needs a nonce of its own, under one key: drawn at random
/// and long enough for that, or counted behind a part that is drawn for each opening; a counter that begins anew with the
/// process, or comes out of the place, repeats. What opening needs of the nonce goes into the sealed payload.
///
/// The place is to be authenticated beside the payload: then a sealed payload that somebody puts in another place, or in
/// another queue under the same key, does not open.
pub trait PayloadCipher: fmt::Debug + Send + Sync {
    /// Octets by which a sealed payload is longer, whatever its length.
    fn overhead(&self) -> u32;

    /// Seals the payload in place: it becomes longer by [`overhead`](Self::overhead).
    ///
    /// # Errors
    /// When the key cannot be used, or no fresh nonce is left. Then nothing is appended.
    fn seal(&mut self, place: PayloadPlace, payload: &mut Vec<u8>) -> Result<(), PayloadSealingError>;

    /// Opens in place what [`seal`](Self::seal) made, in this opening of the queue or an earlier one, with whatever key
    /// it was that was in use then.
    ///
    /// # Errors
    /// When the payload is not what was sealed for this place under a key that is known.
    fn open(&self, place: PayloadPlace, payload: &mut Vec<u8>) -> Result<(), PayloadOpeningError>;
}

/// Which message a payload belongs to. It stays the same wherever the message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadPlace {
    /// The queue.
    pub epoch: Epoch,
    /// The place of the message.
    pub offset: Offset,
}

impl PayloadPlace {
    /// The octets to be authenticated: the epoch, and the offset as 8 octets, the lowest first.
    pub fn octets(&self) -> [u8; 16] {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(self.epoch.as_bytes());
        octets[8..].copy_from_slice(&self.offset.number().to_le_bytes());
        octets
    }
}

/// A [`PayloadCipher`] could not seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload could not be encrypted")]
pub struct PayloadSealingError;

/// A [`PayloadCipher`] could not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload could not be decrypted")]
pub struct PayloadOpeningError;
