mod draft;

use iot_codec::cbor;
use iot_codec::record;
use iot_core::{DeviceId, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::cose::{CoseError, Sign1, SignError, VerifyError};
use crate::{AgreementKey, KeyError, SignatureError, Signer, Succession, Thumbprint, VerifyingKey};

pub use draft::BundleDraft;

/// What a device says of its keys, verified: with which key it signs, to which key others seal, and until when.
///
/// A bundle is signed by the key that it names. That key's thumbprint is the device's identity, or the device's
/// [`Succession`] leads to the key; so whoever knows the [`DeviceId`] needs to trust nobody for the rest. The expiry
/// bounds the harm of a stolen agreement key: nobody seals to an expired bundle. A device renews its bundle under a
/// higher sequence number and deletes the secrets of old ones when nothing that was sealed to them is still on its way.
///
/// A bundle can commit to the signing key that comes next, by its thumbprint. A device that is to rotate one day does
/// so from its first bundle on: a verifier that saw the commitment ([`KnownDevice`](crate::KnownDevice)) refuses a
/// thief who rotates first.
///
/// ```cddl
/// bundle = {1: bstr,               ; verifying key: 32 octets of Ed25519, or 33 of P-256, compressed
///           2: bstr .size 32,      ; X25519 agreement key
///           3: uint,               ; sequence number of this bundle among those of the verifying key
///           4: uint,               ; expiry, microseconds since the Unix epoch
///           ? 5: bstr .size 32,    ; thumbprint of the verifying key that comes next
///           ? 8: bstr .size 32}    ; thumbprint of an X-Wing key, which travels beside the bundle
/// ```
///
/// It travels as the payload of a `COSE_Sign1` with the external data `"iot key bundle 1"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBundle {
    device: DeviceId,
    rotations: usize,
    verifying_key: VerifyingKey,
    agreement_key: AgreementKey,
    sequence: u64,
    expires: Timestamp,
    commitment: Option<Thumbprint>,
    #[cfg(feature = "x-wing")]
    x_wing: Option<Thumbprint>,
    digest: [u8; 32],
}

record! {
    struct Body<'b> {
        1 => verifying_key: &'b [u8],
        2 => agreement_key: [u8; 32],
        3 => sequence: u64,
        4 => expires: u64,
        5 => commitment: Option<[u8; 32]>,
        8 => x_wing: Option<[u8; 32]>,
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
    /// It is signed by another key than the one to which the succession leads.
    #[error("the bundle is signed by another key than the current one")]
    NotCurrent,
    /// It commits to another next key than the succession.
    #[error("the bundle commits to another next key than the succession")]
    OtherCommitment,
    /// It has expired.
    #[error("the bundle expired at {} s", expires.as_secs())]
    Expired {
        /// When.
        expires: Timestamp,
    },
}

impl KeyBundle {
    /// Octets of the longest bundle.
    pub const MAX_LEN: usize = 256;

    /// Octets that [`issue_into`](Self::issue_into) needs.
    pub const BUFFER_LEN: usize = Sign1::buffer_len(MAX_BODY_LEN, CONTEXT.len());

    /// Signs a bundle and writes it to the front of `buffer`, which must have
    /// [`BUFFER_LEN`](Self::BUFFER_LEN) octets. Returns the octets of the bundle.
    ///
    /// A later bundle by the same key must have a higher `sequence`. It commits to no next key: [`BundleDraft`] does.
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
        BundleDraft::new(agreement_key, sequence, expires).issue_into(signer, buffer)
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
        BundleDraft::new(agreement_key, sequence, expires).issue(signer)
    }

    /// Verifies that `octets` are a bundle, not expired at `at`, of a `device` that signs with its first key.
    ///
    /// A device without a clock passes the latest time that it has seen signed: what had expired then has expired.
    ///
    /// # Errors
    ///
    /// [`BundleError`].
    pub fn verify(octets: &[u8], device: &DeviceId, at: Timestamp) -> Result<Self, BundleError> {
        let (bundle, signed) = Self::read(octets)?;
        if bundle.device != *device {
            return Err(BundleError::OtherDevice { found: bundle.device });
        }
        bundle.finish(&signed, at)
    }

    /// Verifies that `octets` are a bundle, not expired at `at`, of a device that has rotated: signed by the key to
    /// which `succession` leads. What the bundle commits to must be what the succession announced.
    ///
    /// # Errors
    ///
    /// [`BundleError`].
    pub fn verify_with(octets: &[u8], succession: &Succession<'_>, at: Timestamp) -> Result<Self, BundleError> {
        let (mut bundle, signed) = Self::read(octets)?;
        if bundle.verifying_key != *succession.current_key() {
            return Err(BundleError::NotCurrent);
        }
        if bundle.commitment.is_some_and(|commitment| commitment != succession.announced()) {
            return Err(BundleError::OtherCommitment);
        }
        bundle.device = succession.device();
        bundle.rotations = succession.rotations();
        bundle.finish(&signed, at)
    }

    /// Verifies a bundle of whichever device it names, which signs with its first key. Who that is, the caller decides.
    #[cfg(feature = "session")]
    pub(crate) fn verify_of_anyone(octets: &[u8], at: Timestamp) -> Result<Self, BundleError> {
        let (bundle, signed) = Self::read(octets)?;
        bundle.finish(&signed, at)
    }

    /// Reads a bundle, of the device whose first key it names.
    fn read(octets: &[u8]) -> Result<(Self, Sign1<'_>), BundleError> {
        if octets.len() > Self::MAX_LEN {
            return Err(BundleError::TooLong { len: octets.len() });
        }
        let signed = Sign1::parse(octets)?;
        let body: Body<'_> = cbor::from_slice(signed.unverified_payload())?;
        let verifying_key = VerifyingKey::from_bytes(body.verifying_key)?;
        let bundle = Self {
            device: verifying_key.device_id(),
            rotations: 0,
            verifying_key,
            agreement_key: AgreementKey::from_bytes(&body.agreement_key)?,
            sequence: body.sequence,
            expires: Timestamp::from_micros(body.expires),
            commitment: body.commitment.map(Thumbprint::from_bytes),
            #[cfg(feature = "x-wing")]
            x_wing: body.x_wing.map(Thumbprint::from_bytes),
            digest: Sha256::digest(signed.unverified_payload()).into(),
        };
        Ok((bundle, signed))
    }

    fn finish(self, signed: &Sign1<'_>, at: Timestamp) -> Result<Self, BundleError> {
        let mut scratch = [0; Self::MAX_LEN + CONTEXT.len()];
        signed.verify(&self.verifying_key, CONTEXT, &mut scratch).map_err(|refused| match refused {
            VerifyError::Signature(invalid) => BundleError::Signature(invalid),
            VerifyError::Buffer(short) => BundleError::TooLong { len: short.needed },
        })?;
        self.check_expiry(at)?;
        Ok(self)
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
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// How often the device has rotated its signing key before this bundle.
    pub const fn rotations(&self) -> usize {
        self.rotations
    }

    /// The key with which the device signs.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying_key
    }

    /// The key to which others seal.
    pub const fn agreement_key(&self) -> &AgreementKey {
        &self.agreement_key
    }

    /// The number of the bundle among those of its verifying key; the highest is the current one.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The thumbprint of the verifying key that comes next, if the bundle commits to it.
    pub const fn commitment(&self) -> Option<Thumbprint> {
        self.commitment
    }

    /// The SHA-256 of all that the bundle says, be it understood here or not: two bundles that say the same have the
    /// same.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The thumbprint of the X-Wing key to which others may seal, if the bundle names one. **Experimental.**
    #[cfg(feature = "x-wing")]
    pub const fn x_wing(&self) -> Option<Thumbprint> {
        self.x_wing
    }

    /// From when on nobody seals to it.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }
}

const CONTEXT: &[u8] = b"iot key bundle 1";

/// A map of two keys, two numbers of 64 bits and a thumbprint or, with feature `x-wing`, two.
const MAX_BODY_LEN: usize =
    1 + (3 + VerifyingKey::MAX_LEN) + (3 + AgreementKey::LEN) + 2 * (1 + 9) + THUMBPRINTS * (3 + Thumbprint::LEN);

const THUMBPRINTS: usize = if cfg!(feature = "x-wing") { 2 } else { 1 };

#[cfg(test)]
mod tests;
