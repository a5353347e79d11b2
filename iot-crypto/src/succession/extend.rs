use iot_codec::cbor::{Buffer, Writer, to_slice};
use iot_core::DeviceId;

use super::{Body, External, MAX_BODY_LEN, Succession};
use crate::cose::{Sign1, SignError};
use crate::{BufferTooSmall, Signer, SignerError, Thumbprint, VerifyingKey};

/// Why no link was added to a succession.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtendError {
    /// The device has rotated as often as it can.
    #[error("the succession has {max} links, and no place for another", max = Succession::MAX_ROTATIONS)]
    Full,
    /// The signer does not hold the device's current key.
    #[error("the signer does not hold the current key")]
    NotCurrent,
    /// The successor is not the key that was committed to.
    #[error("the successor is not the key that was committed to")]
    NotCommitted,
    /// The holder of the key did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The caller's buffer is too short.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
}

impl Succession<'_> {
    /// Octets of a buffer in which any chain can be begun or extended.
    pub const BUFFER_LEN: usize = Self::MAX_LEN + super::TO_BE_SIGNED_LEN;

    /// Rotates for the first time: `first`, the key that is the device's identity, signs that `successor` follows, and
    /// commits to the key after that by its thumbprint. Writes the chain to the front of `buffer`, which must have
    /// [`BUFFER_LEN`](Self::BUFFER_LEN) octets, and returns its octets.
    ///
    /// Make the key after the next, and store it apart from those in use, before committing to it: only its holder can
    /// rotate again. The successor must be the key to which the device's bundles committed.
    ///
    /// # Errors
    ///
    /// [`ExtendError`].
    pub fn begin_into(
        first: &impl Signer,
        successor: &VerifyingKey,
        commitment: &Thumbprint,
        buffer: &mut [u8],
    ) -> Result<usize, ExtendError> {
        let buffer = BufferTooSmall::check(buffer, Self::BUFFER_LEN)?;
        let key = first.verifying_key();
        let mut writer = Writer::new(Buffer::new(&mut *buffer));
        let written = writer.array(2).and_then(|()| writer.bytes(key.as_bytes()));
        written.expect("the buffer takes the longest chain");
        let len = writer.into_output().len();
        append(first, &key.device_id(), 1, successor, commitment, buffer, len)
    }

    /// Rotates once more: the current key, which `signer` holds, signs that `successor` follows, and commits to the key
    /// after that by its thumbprint. Writes the longer chain to the front of `buffer`, which must have
    /// [`BUFFER_LEN`](Self::BUFFER_LEN) octets, and returns its octets.
    ///
    /// # Errors
    ///
    /// [`ExtendError`].
    pub fn extend_into(
        &self,
        signer: &impl Signer,
        successor: &VerifyingKey,
        commitment: &Thumbprint,
        buffer: &mut [u8],
    ) -> Result<usize, ExtendError> {
        if self.rotations() == Self::MAX_ROTATIONS {
            return Err(ExtendError::Full);
        }
        if signer.verifying_key() != *self.current_key() {
            return Err(ExtendError::NotCurrent);
        }
        if successor.thumbprint() != self.announced() {
            return Err(ExtendError::NotCommitted);
        }
        let buffer = BufferTooSmall::check(buffer, Self::BUFFER_LEN)?;
        let octets = self.as_bytes();
        buffer[..octets.len()].copy_from_slice(octets);
        // The head of an array of up to six members is one octet.
        buffer[0] += 1;
        append(signer, &self.device(), self.rotations() + 1, successor, commitment, buffer, octets.len())
    }
}

/// Signs the link `index` and writes it behind the `len` octets of the chain. Returns the octets of both.
fn append(
    signer: &impl Signer,
    device: &DeviceId,
    index: usize,
    successor: &VerifyingKey,
    commitment: &Thumbprint,
    buffer: &mut [u8],
    len: usize,
) -> Result<usize, ExtendError> {
    let mut body = [0; MAX_BODY_LEN];
    let body = to_slice(&Body { key: successor.as_bytes(), commitment: *commitment.as_bytes() }, &mut body)
        .expect("every body fits its longest form");
    let external = External::new(device, index);
    match Sign1::sign_into(signer, body, external.as_bytes(), &mut buffer[len..]) {
        Ok(link_len) => Ok(len + link_len),
        Err(SignError::Signer(refused)) => Err(refused.into()),
        Err(SignError::Buffer(short)) => Err(short.into()),
    }
}
