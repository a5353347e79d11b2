use iot_codec::cbor::{Buffer, Writer, to_slice};
use iot_core::DeviceId;

use super::{Body, External, MAX_BODY_LEN, Succession};
use crate::cose::{Sign1, UnsignedSign1};
use crate::{BufferTooSmall, Signature, SignatureError, Signer, SignerError, Thumbprint, VerifyingKey};

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
    /// The signature that came back is not the key's over what was to be signed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The caller's buffer is too short.
    #[error(transparent)]
    Buffer(#[from] BufferTooSmall),
}

/// A succession whose last link waits for its signature, because what holds the key answers later.
///
/// [`Succession::begin`] and [`Succession::extend`] make it.
#[derive(Debug)]
pub struct UnsignedLink<'b> {
    link: UnsignedSign1<'b>,
    /// Octets of the chain before the link.
    len: usize,
}

impl UnsignedLink<'_> {
    /// What the holder of the key that rotates away is to sign.
    pub const fn to_be_signed(&self) -> &[u8] {
        self.link.to_be_signed()
    }

    /// Puts the signature in, and returns the octets of the chain at the front of the buffer.
    ///
    /// # Errors
    ///
    /// [`ExtendError::Signature`] when the signature is not the key's over what was to be signed.
    pub fn finish(self, signature: Signature) -> Result<usize, ExtendError> {
        Ok(self.len + self.link.finish(signature)?)
    }

    fn sign(self, signer: &impl Signer) -> Result<usize, ExtendError> {
        let signature = signer.sign(self.to_be_signed())?;
        self.finish(signature)
    }
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
        Self::begin(&first.verifying_key(), successor, commitment, buffer)?.sign(first)
    }

    /// The first half of [`begin_into`](Self::begin_into), for a key whose holder answers later: everything but
    /// signing.
    ///
    /// # Errors
    ///
    /// [`ExtendError`].
    pub fn begin<'b>(
        first: &VerifyingKey,
        successor: &VerifyingKey,
        commitment: &Thumbprint,
        buffer: &'b mut [u8],
    ) -> Result<UnsignedLink<'b>, ExtendError> {
        let buffer = BufferTooSmall::check(buffer, Self::BUFFER_LEN)?;
        let mut writer = Writer::new(Buffer::new(&mut *buffer));
        let written = writer.array(2).and_then(|()| writer.bytes(first.as_bytes()));
        written.expect("the buffer takes the longest chain");
        let len = writer.into_output().len();
        append(first, &first.device_id(), 1, successor, commitment, buffer, len)
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
        if signer.verifying_key() != *self.current_key() {
            return Err(ExtendError::NotCurrent);
        }
        self.extend(successor, commitment, buffer)?.sign(signer)
    }

    /// The first half of [`extend_into`](Self::extend_into), for a current key whose holder answers later: everything
    /// but signing.
    ///
    /// # Errors
    ///
    /// [`ExtendError`].
    pub fn extend<'b>(
        &self,
        successor: &VerifyingKey,
        commitment: &Thumbprint,
        buffer: &'b mut [u8],
    ) -> Result<UnsignedLink<'b>, ExtendError> {
        if self.rotations() == Self::MAX_ROTATIONS {
            return Err(ExtendError::Full);
        }
        if successor.thumbprint() != self.announced() {
            return Err(ExtendError::NotCommitted);
        }
        let buffer = BufferTooSmall::check(buffer, Self::BUFFER_LEN)?;
        let octets = self.as_bytes();
        buffer[..octets.len()].copy_from_slice(octets);
        // The head of an array of up to six members is one octet.
        buffer[0] += 1;
        append(self.current_key(), &self.device(), self.rotations() + 1, successor, commitment, buffer, octets.len())
    }
}

/// Writes the link `index`, which waits for a signature by `key`, behind the `len` octets of the chain.
fn append<'b>(
    key: &VerifyingKey,
    device: &DeviceId,
    index: usize,
    successor: &VerifyingKey,
    commitment: &Thumbprint,
    buffer: &'b mut [u8],
    len: usize,
) -> Result<UnsignedLink<'b>, ExtendError> {
    let mut body = [0; MAX_BODY_LEN];
    let body = to_slice(&Body { key: successor.as_bytes(), commitment: *commitment.as_bytes() }, &mut body)
        .expect("every body fits its longest form");
    let external = External::new(device, index);
    let link = Sign1::prepare(key, body, external.as_bytes(), &mut buffer[len..])?;
    Ok(UnsignedLink { link, len })
}
