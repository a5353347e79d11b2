use sha2::{Digest as _, Sha256};

use super::OpenError;
use crate::binding::Audience;
use crate::cose::{
    self, Algorithm, ContentKey, CoseError, DecryptError, EncStructure, Encrypt, Encrypt0, Headers, Recipient,
    UnwrapError,
};
use crate::sealer::{MAX_ENC_STRUCTURE_LEN, MAX_PROTECTED_LEN};
use crate::{Agreement, Suite, Thumbprint};

/// What stands behind a routing header, told apart by the tag. What has none, or 16, is sealed to one reader, with
/// HPKE-4 unless its protected header says HPKE-9; and what has 96 to several, with HPKE-4-KE unless the first of them
/// says HPKE-9-KE. If then another one does not, it is refused.
pub(super) fn suite(envelope: &[u8]) -> Suite {
    match envelope {
        [0xd2, ..] => Suite::Signed,
        #[cfg(feature = "x-wing")]
        [0xd8, 0x60, ..] if first_algorithm(envelope) == Some(Algorithm::Hpke9KeyEncryption) => {
            Suite::Hpke9KeyEncryption
        }
        [0xd8, 0x60, ..] => Suite::Hpke4KeyEncryption,
        #[cfg(feature = "x-wing")]
        _ if Encrypt0::parse(envelope).is_ok_and(|it| it.headers().algorithm == Algorithm::Hpke9) => Suite::Hpke9,
        _ => Suite::Hpke4,
    }
}

/// The algorithm of the first recipient that is read.
#[cfg(feature = "x-wing")]
fn first_algorithm(envelope: &[u8]) -> Option<Algorithm> {
    Encrypt::parse(envelope).ok()?.recipients().next().map(|recipient| recipient.headers().algorithm)
}

/// The keys of a reader.
#[derive(Debug)]
pub(super) struct Secrets<'k, A> {
    agreement: &'k [A],
    #[cfg(feature = "x-wing")]
    pub(super) x_wing: &'k [crate::XWingSecret],
}

impl<'k, A> Secrets<'k, A> {
    pub(super) const fn new(agreement: &'k [A]) -> Self {
        Self {
            agreement,
            #[cfg(feature = "x-wing")]
            x_wing: &[],
        }
    }
}

impl<A: Agreement> Secrets<'_, A> {
    /// Decrypts an envelope in place with the secret that it names, and says for whom it is.
    pub(super) fn open<'m>(
        &self,
        suite: Suite,
        routing: &'m [u8],
        envelope: &'m mut [u8],
    ) -> Result<(Audience<'m>, &'m mut [u8]), OpenError> {
        match suite {
            Suite::Signed => Ok((Audience::Everybody { routing }, envelope)),
            Suite::Hpke4 => open_one(self.agreement, routing, envelope),
            Suite::Hpke4KeyEncryption => open_many(self.agreement, routing, envelope),
            #[cfg(feature = "x-wing")]
            Suite::Hpke9 => open_x_wing(self.x_wing, routing, envelope),
            #[cfg(feature = "x-wing")]
            Suite::Hpke9KeyEncryption => open_many(self.x_wing, routing, envelope),
        }
    }
}

/// A secret to which content keys are encrypted.
trait Unwraps {
    const ALGORITHM: Algorithm;

    fn is_named(&self, thumbprint: &[u8; 32]) -> bool;

    fn unwrap_key(&self, recipient: &Recipient<'_>, content: Algorithm) -> Result<ContentKey, UnwrapError>;
}

impl<A: Agreement> Unwraps for A {
    const ALGORITHM: Algorithm = Algorithm::Hpke4KeyEncryption;

    fn is_named(&self, thumbprint: &[u8; 32]) -> bool {
        self.thumbprint().as_bytes() == thumbprint
    }

    fn unwrap_key(&self, recipient: &Recipient<'_>, content: Algorithm) -> Result<ContentKey, UnwrapError> {
        recipient.unwrap_key(self, content)
    }
}

#[cfg(feature = "x-wing")]
impl Unwraps for crate::XWingSecret {
    const ALGORITHM: Algorithm = Algorithm::Hpke9KeyEncryption;

    fn is_named(&self, thumbprint: &[u8; 32]) -> bool {
        self.public().thumbprint().as_bytes() == thumbprint
    }

    fn unwrap_key(&self, recipient: &Recipient<'_>, content: Algorithm) -> Result<ContentKey, UnwrapError> {
        recipient.unwrap_key_x_wing(self, content)
    }
}

fn open_one<'m, A: Agreement>(
    secrets: &[A],
    routing: &[u8],
    envelope: &'m mut [u8],
) -> Result<(Audience<'m>, &'m mut [u8]), OpenError> {
    let sealed = Encrypt0::parse(envelope)?;
    let headers = sealed.headers();
    if headers.algorithm != Algorithm::Hpke4 {
        return Err(CoseError::Algorithm(headers.algorithm.number()).into());
    }
    let key = headers.key_id().ok_or(OpenError::NoKeyId)?;
    let secret =
        secrets.iter().find(|secret| secret.thumbprint().key_id() == key).ok_or(OpenError::OtherReader(key))?;
    let encapsulated = cose::encapsulated_key(headers)?;
    let authenticated = authenticated("Encrypt0", headers, &[routing])?;
    let ciphertext = envelope.len() - sealed.ciphertext().len();
    let plaintext = cose::open_in_place(secret, &encapsulated, authenticated.as_bytes(), &mut envelope[ciphertext..])?;
    Ok((Audience::of_reader(Algorithm::Hpke4, &secret.thumbprint()), plaintext))
}

#[cfg(feature = "x-wing")]
fn open_x_wing<'m>(
    secrets: &[crate::XWingSecret],
    routing: &[u8],
    envelope: &'m mut [u8],
) -> Result<(Audience<'m>, &'m mut [u8]), OpenError> {
    let sealed = Encrypt0::parse(envelope)?;
    let headers = sealed.headers();
    let key = headers.key_id().ok_or(OpenError::NoKeyId)?;
    let secret = secrets.iter().find(|secret| secret.public().key_id() == key).ok_or(OpenError::OtherReader(key))?;
    let encapsulated = cose::x_wing_encapsulated(headers)?;
    let authenticated = authenticated("Encrypt0", headers, &[routing])?;
    let ciphertext = envelope.len() - sealed.ciphertext().len();
    let ciphertext = &mut envelope[ciphertext..];
    let plaintext = cose::open_x_wing_in_place(secret, &encapsulated, authenticated.as_bytes(), ciphertext)?;
    Ok((Audience::of_reader(Algorithm::Hpke9, &secret.public().thumbprint()), plaintext))
}

fn open_many<'m, S: Unwraps>(
    secrets: &[S],
    routing: &[u8],
    envelope: &'m mut [u8],
) -> Result<(Audience<'m>, &'m mut [u8]), OpenError> {
    let sealed = Encrypt::parse(envelope)?;
    let (hash, content_key) = unwrap_own(secrets, &sealed)?;
    let headers = sealed.headers();
    // Without it a sender could make one ciphertext that says different things to different readers.
    if !is_committed(headers, &content_key) {
        return Err(OpenError::Commitment);
    }
    let nonce = cose::nonce_of(headers).map_err(|_| OpenError::Decryption)?;
    let recipients: [u8; 32] = Sha256::digest(sealed.recipient_octets()).into();
    let authenticated = authenticated("Encrypt", headers, &[routing, &recipients])?;
    let (ciphertext_len, recipients_len) = (sealed.ciphertext().len(), sealed.recipient_octets().len());
    let end = envelope.len() - recipients_len - cose::head_len(sealed.recipient_count());
    let (content, tag) =
        envelope[end - ciphertext_len..end].split_last_chunk_mut::<{ cose::TAG_LEN }>().ok_or(OpenError::Decryption)?;
    content_key.decrypt(&nonce, authenticated.as_bytes(), content, tag)?;
    Ok((Audience::Readers { algorithm: S::ALGORITHM, hash }, content))
}

/// The hash of the thumbprints of all readers, and the content key from the first recipient that is this reader.
fn unwrap_own<S: Unwraps>(secrets: &[S], sealed: &Encrypt<'_>) -> Result<([u8; 32], ContentKey), OpenError> {
    let mut hash = Sha256::new();
    let mut last: Option<&[u8; 32]> = None;
    let mut own = None;
    let mut count = 0;
    for recipient in sealed.recipients() {
        let headers = recipient.headers();
        if headers.algorithm != S::ALGORITHM {
            return Err(CoseError::Algorithm(headers.algorithm.number()).into());
        }
        let thumbprint: &[u8; 32] = headers.kid.and_then(|kid| kid.try_into().ok()).ok_or(OpenError::NoKeyId)?;
        // One order, so that one set of readers has one hash, and nobody twice.
        if last.replace(thumbprint).is_some_and(|last| last >= thumbprint) {
            return Err(OpenError::ReaderOrder);
        }
        hash.update(thumbprint);
        count += 1;
        let secret = secrets.iter().find(|secret| secret.is_named(thumbprint));
        own = own.or(secret.map(|secret| (secret, recipient)));
    }
    if count != sealed.recipient_count() {
        return Err(OpenError::ForeignRecipient);
    }
    let first = || sealed.recipients().next().and_then(|it| it.headers().kid?.try_into().ok());
    let Some((secret, recipient)) = own else {
        let first = first().ok_or(OpenError::NoKeyId)?;
        return Err(OpenError::OtherReader(Thumbprint::from_bytes(first).key_id()));
    };
    let content_key = secret.unwrap_key(&recipient, sealed.headers().algorithm).map_err(|refused| match refused {
        UnwrapError::Agreement(refused) => OpenError::Agreement(refused),
        UnwrapError::NoEncapsulatedKey => OpenError::NoEncapsulatedKey,
        _ => OpenError::Decryption,
    })?;
    Ok((hash.finalize().into(), content_key))
}

fn is_committed(headers: &Headers<'_>, content_key: &ContentKey) -> bool {
    #[cfg(iot_fault)]
    if crate::fault::is_off(crate::fault::Check::KeyCommitment) {
        return true;
    }
    headers.commitment() == Some(&content_key.commitment())
}

fn authenticated(
    context: &str,
    headers: &Headers<'_>,
    external: &[&[u8]],
) -> Result<EncStructure<MAX_ENC_STRUCTURE_LEN>, OpenError> {
    let len = headers.protected.len();
    if len > MAX_PROTECTED_LEN {
        return Err(CoseError::Length { len }.into());
    }
    EncStructure::new(context, headers.protected, external).ok_or(OpenError::Decryption)
}

impl From<DecryptError> for OpenError {
    fn from(refused: DecryptError) -> Self {
        match refused {
            DecryptError::NoEncapsulatedKey => Self::NoEncapsulatedKey,
            DecryptError::Agreement(refused) => Self::Agreement(refused),
            DecryptError::Algorithm(number) => Self::Cose(CoseError::Algorithm(number)),
            _ => Self::Decryption,
        }
    }
}
