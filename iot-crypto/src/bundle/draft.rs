use iot_codec::cbor;
use iot_core::Timestamp;

use super::{Body, CONTEXT, KeyBundle, MAX_BODY_LEN};
use crate::cose::{Sign1, SignError, UnsignedSign1};
use crate::{AgreementKey, BufferTooSmall, Signer, Thumbprint, VerifyingKey};

/// What a [`KeyBundle`] is to say, before it is signed.
///
/// ```
/// # use iot_core::Timestamp;
/// # use iot_crypto::{AgreementSecret, BundleDraft, KeyBundle, SigningKey};
/// let (first, next) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
/// let agreement = AgreementSecret::from_bytes(&[3; 32]);
/// let draft = BundleDraft::new(agreement.public(), 1, Timestamp::from_secs(1_800_000_000));
/// let draft = draft.committing_to(&next.verifying_key().thumbprint());
/// let mut octets = [0; KeyBundle::BUFFER_LEN];
/// let len = draft.issue_into(&first, &mut octets)?;
/// # let device = first.verifying_key().device_id();
/// let bundle = KeyBundle::verify(&octets[..len], &device, Timestamp::from_secs(1_767_225_600))?;
/// assert_eq!(bundle.commitment(), Some(next.verifying_key().thumbprint()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BundleDraft<'k> {
    agreement_key: &'k AgreementKey,
    sequence: u64,
    expires: Timestamp,
    commitment: Option<Thumbprint>,
    x_wing: Option<Thumbprint>,
}

impl<'k> BundleDraft<'k> {
    /// A bundle that names the key to which others seal. A later bundle by the same verifying key must have a higher
    /// `sequence`; nobody seals to the key from `expires` on.
    pub const fn new(agreement_key: &'k AgreementKey, sequence: u64, expires: Timestamp) -> Self {
        Self { agreement_key, sequence, expires, commitment: None, x_wing: None }
    }

    /// Commits to the verifying key that comes next, by its thumbprint. Default: to none.
    ///
    /// Each bundle of a key commits to the same one: verifiers refuse another.
    #[must_use]
    pub const fn committing_to(mut self, next: &Thumbprint) -> Self {
        self.commitment = Some(*next);
        self
    }

    /// Names an X-Wing key, too, to which hosts may seal, by its thumbprint: the key itself travels beside the bundle,
    /// which stays as small. Who does not know X-Wing passes over it. Default: none. **Experimental.**
    #[cfg(feature = "x-wing")]
    #[must_use]
    pub const fn with_x_wing(mut self, key: &crate::XWingKey) -> Self {
        self.x_wing = Some(key.thumbprint());
        self
    }

    /// Signs the bundle and writes it to the front of `buffer`, which must have
    /// [`KeyBundle::BUFFER_LEN`] octets. Returns the octets of the bundle.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn issue_into(&self, signer: &impl Signer, buffer: &mut [u8]) -> Result<usize, SignError> {
        let buffer = BufferTooSmall::check(buffer, KeyBundle::BUFFER_LEN)?;
        let mut encoded = [0; MAX_BODY_LEN];
        Sign1::sign_into(signer, self.encode(&signer.verifying_key(), &mut encoded), CONTEXT, buffer)
    }

    /// The first half of [`issue_into`](Self::issue_into), for a `key` whose holder answers later: everything but
    /// signing.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn begin<'b>(&self, key: &VerifyingKey, buffer: &'b mut [u8]) -> Result<UnsignedSign1<'b>, BufferTooSmall> {
        let buffer = BufferTooSmall::check(buffer, KeyBundle::BUFFER_LEN)?;
        Sign1::prepare(key, self.encode(key, &mut [0; MAX_BODY_LEN]), CONTEXT, buffer)
    }

    fn encode<'e>(&self, key: &VerifyingKey, encoded: &'e mut [u8; MAX_BODY_LEN]) -> &'e [u8] {
        let body = Body {
            verifying_key: key.as_bytes(),
            agreement_key: *self.agreement_key.as_bytes(),
            sequence: self.sequence,
            expires: self.expires.as_micros(),
            commitment: self.commitment.map(|thumbprint| *thumbprint.as_bytes()),
            x_wing: self.x_wing.map(|thumbprint| *thumbprint.as_bytes()),
        };
        cbor::to_slice(&body, encoded).expect("every body fits its longest form")
    }

    /// [`issue_into`](Self::issue_into) a new vector.
    ///
    /// # Errors
    ///
    /// [`SignError::Signer`] when the holder of the key did not sign.
    #[cfg(feature = "alloc")]
    pub fn issue(&self, signer: &impl Signer) -> Result<alloc::vec::Vec<u8>, SignError> {
        let mut buffer = alloc::vec![0; KeyBundle::BUFFER_LEN];
        let len = self.issue_into(signer, &mut buffer)?;
        buffer.truncate(len);
        Ok(buffer)
    }
}
