use iot_codec::cbor;
use iot_codec::record;
use iot_core::{DeviceId, Timestamp};

use crate::cose::{CoseError, Sign1, SignError, VerifyError};
use crate::{AgreementKey, KeyError, SignatureError, Signer, VerifyingKey};

/// What a device says of its keys, verified: with which key it signs, to which key others seal, and until when.
///
/// A bundle is signed by the key that it names, and that key's thumbprint is the device's identity, so whoever knows
/// the [`DeviceId`] needs to trust nobody for the rest. The expiry bounds the harm of a stolen agreement key: nobody
/// seals to an expired bundle. A device renews its bundle under a higher sequence number and deletes the secrets of
/// old ones when nothing that was sealed to them is still on its way.
///
/// ```cddl
/// bundle = {1: bstr,            ; verifying key: 32 octets of Ed25519, or 33 of P-256, compressed
///           2: bstr .size 32,   ; X25519 agreement key
///           3: uint,            ; sequence number of this bundle
///           4: uint}            ; expiry, microseconds since the Unix epoch
/// ```
///
/// It travels as the payload of a `COSE_Sign1` with the external data `"iot key bundle 1"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBundle {
    verifying_key: VerifyingKey,
    agreement_key: AgreementKey,
    sequence: u64,
    expires: Timestamp,
}

record! {
    struct Body<'b> {
        1 => verifying_key: &'b [u8],
        2 => agreement_key: [u8; 32],
        3 => sequence: u64,
        4 => expires: u64,
    }
}

/// Why octets are not a key bundle that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// They are longer than any bundle.
    #[error("the bundle has {len} octets, more than {max}", max = KeyBundle::MAX_LEN)]
    TooLong {
        /// How many they are.
        len: usize,
    },
    /// They are not a `COSE_Sign1`.
    #[error("the bundle is not a signed structure")]
    Cose(#[from] CoseError),
    /// What is signed is not a bundle.
    #[error("the signed content is not a bundle")]
    Malformed(#[from] cbor::DecodeError),
    /// A key in it is not usable.
    #[error("a key of the bundle is not usable")]
    Key(#[from] KeyError),
    /// It is not signed by the key that it names.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It belongs to another device than the one that was asked for.
    #[error("the bundle belongs to {found}")]
    OtherDevice {
        /// To whom it belongs.
        found: DeviceId,
    },
    /// It has expired.
    #[error("the bundle expired at {} s", expires.as_secs())]
    Expired {
        /// When.
        expires: Timestamp,
    },
}

impl KeyBundle {
    /// Octets of the longest bundle.
    pub const MAX_LEN: usize = 192;

    /// Octets that [`issue_into`](Self::issue_into) needs.
    pub const BUFFER_LEN: usize = Sign1::buffer_len(MAX_BODY_LEN, CONTEXT.len());

    /// Signs a bundle and writes it to the front of `buffer`, which must have
    /// [`BUFFER_LEN`](Self::BUFFER_LEN) octets. Returns the octets of the bundle.
    ///
    /// A later bundle of the same device must have a higher `sequence`.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn issue_into(
        signer: &impl Signer,
        agreement_key: &AgreementKey,
        sequence: u64,
        expires: Timestamp,
        buffer: &mut [u8],
    ) -> Result<usize, SignError> {
        let verifying_key = signer.verifying_key();
        let verifying_key = verifying_key.as_bytes();
        let body =
            Body { verifying_key, agreement_key: *agreement_key.as_bytes(), sequence, expires: expires.as_micros() };
        let mut encoded = [0; MAX_BODY_LEN];
        let encoded = cbor::to_slice(&body, &mut encoded).expect("every body fits its longest form");
        Sign1::sign_into(signer, encoded, CONTEXT, buffer)
    }

    /// [`issue_into`](Self::issue_into) a new vector.
    ///
    /// # Errors
    ///
    /// [`SignError::Signer`] when the holder of the key did not sign.
    #[cfg(feature = "alloc")]
    pub fn issue(
        signer: &impl Signer,
        agreement_key: &AgreementKey,
        sequence: u64,
        expires: Timestamp,
    ) -> Result<alloc::vec::Vec<u8>, SignError> {
        let mut buffer = alloc::vec![0; Self::BUFFER_LEN];
        let len = Self::issue_into(signer, agreement_key, sequence, expires, &mut buffer)?;
        buffer.truncate(len);
        Ok(buffer)
    }

    /// Verifies that `octets` are a bundle of `device` that has not expired at `at`.
    ///
    /// A device without a clock passes the latest time that it has seen signed: what had expired then has expired.
    ///
    /// # Errors
    ///
    /// [`BundleError`].
    pub fn verify(octets: &[u8], device: &DeviceId, at: Timestamp) -> Result<Self, BundleError> {
        if octets.len() > Self::MAX_LEN {
            return Err(BundleError::TooLong { len: octets.len() });
        }
        let signed = Sign1::parse(octets)?;
        let body: Body<'_> = cbor::from_slice(signed.unverified_payload())?;
        let bundle = Self {
            verifying_key: VerifyingKey::from_bytes(body.verifying_key)?,
            agreement_key: AgreementKey::from_bytes(&body.agreement_key)?,
            sequence: body.sequence,
            expires: Timestamp::from_micros(body.expires),
        };
        if bundle.device() != *device {
            return Err(BundleError::OtherDevice { found: bundle.device() });
        }
        let mut scratch = [0; Self::MAX_LEN + CONTEXT.len()];
        signed.verify(&bundle.verifying_key, CONTEXT, &mut scratch).map_err(|refused| match refused {
            VerifyError::Signature(invalid) => BundleError::Signature(invalid),
            VerifyError::Buffer(_) => BundleError::TooLong { len: octets.len() },
        })?;
        bundle.check_expiry(at)?;
        Ok(bundle)
    }

    /// Fails if the bundle has expired at `at`.
    ///
    /// # Errors
    ///
    /// [`BundleError::Expired`].
    pub fn check_expiry(&self, at: Timestamp) -> Result<(), BundleError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::Expiry) {
            return Ok(());
        }
        if at < self.expires { Ok(()) } else { Err(BundleError::Expired { expires: self.expires }) }
    }

    /// Whose bundle it is.
    pub fn device(&self) -> DeviceId {
        self.verifying_key.device_id()
    }

    /// The key with which the device signs.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying_key
    }

    /// The key to which others seal.
    pub const fn agreement_key(&self) -> &AgreementKey {
        &self.agreement_key
    }

    /// The number of the bundle among the device's; the highest is the current one.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// From when on nobody seals to it.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }
}

const CONTEXT: &[u8] = b"iot key bundle 1";

/// A map of two keys and two numbers of 64 bits.
const MAX_BODY_LEN: usize = 1 + (1 + 2 + VerifyingKey::MAX_LEN) + (1 + 2 + AgreementKey::LEN) + 2 * (1 + 9);

#[cfg(test)]
mod tests;
