//! What a source signs outside of its messages: small records, each kind with external data of its own.

use iot_codec::cbor::{self, Buffer, Encode, Writer};
use iot_core::{DeviceId, KeyId};

use crate::cose::{CoseError, Sign1, SignError, UnsignedSign1, VerifyError};
use crate::{BufferTooSmall, Directory, SignatureError, Signer, VerifyingKey};

/// Why octets are not a signed statement of a source that the reader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// They are longer than any statement.
    #[error("the statement has {len} octets, more than {max}", max = MAX_STATEMENT_LEN)]
    TooLong {
        /// How many they are.
        len: usize,
    },
    /// They are not a `COSE_Sign1`.
    #[error("the statement is not a signed structure")]
    Cose(#[from] CoseError),
    /// A key is not named, or not by 8 octets.
    #[error("the statement names no key")]
    NoKeyId,
    /// It is signed with a key that the directory does not know.
    #[error("the signing key {0} is not known")]
    UnknownSender(KeyId),
    /// What is signed is not the statement that was expected.
    #[error("the signed content is not the statement that was expected")]
    Malformed(#[from] cbor::DecodeError),
    /// It is not signed by the source, or is another kind of statement, or made for another reader.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It says of a range that it is empty or reversed.
    #[error("the range {start}..{end} is empty or reversed")]
    EmptyRange {
        /// The first number.
        start: u64,
        /// One past the last number.
        end: u64,
    },
    /// It answers another challenge.
    #[error("the statement answers another challenge")]
    OtherChallenge,
}

/// The external data of a statement's signature.
///
/// ```cddl
/// external = [context: tstr, * party: bstr .size 32]
/// ```
pub(crate) struct Context<'a> {
    pub(crate) name: &'static str,
    /// Whom it concerns; the source last.
    pub(crate) parties: &'a [&'a DeviceId],
}

impl Encode for Context<'_> {
    fn encode<O: cbor::Output>(&self, writer: &mut Writer<O>) -> Result<(), cbor::EncodeError> {
        writer.array(1 + self.parties.len() as u64)?;
        writer.text(self.name)?;
        self.parties.iter().try_for_each(|party| writer.bytes(party.as_bytes()))
    }
}

/// Octets of the longest statement.
pub(crate) const MAX_STATEMENT_LEN: usize = 192;

/// Octets that signing any statement needs.
pub(crate) const STATEMENT_BUFFER_LEN: usize = Sign1::buffer_len(MAX_BODY_LEN, MAX_CONTEXT_LEN);

/// Octets of the longest record that is stated, and of the longest external data: a text of 20 octets and two parties.
const MAX_BODY_LEN: usize = 64;
const MAX_CONTEXT_LEN: usize = 1 + 21 + 2 * (2 + DeviceId::LEN);

/// Signs `body` and writes the structure to the front of `buffer`, which must have [`STATEMENT_BUFFER_LEN`] octets.
pub(crate) fn sign_into(
    signer: &impl Signer,
    body: &impl Encode,
    context: &Context<'_>,
    buffer: &mut [u8],
) -> Result<usize, SignError> {
    let (mut payload, mut external) = ([0; MAX_BODY_LEN], [0; MAX_CONTEXT_LEN]);
    let payload = cbor::to_slice(body, &mut payload).expect("no statement is longer");
    Sign1::sign_into(signer, payload, encoded(context, &mut external), buffer)
}

/// The first half of [`sign_into`]: everything but signing.
pub(crate) fn prepare<'b>(
    key: &VerifyingKey,
    body: &impl Encode,
    context: &Context<'_>,
    buffer: &'b mut [u8],
) -> Result<UnsignedSign1<'b>, BufferTooSmall> {
    let (mut payload, mut external) = ([0; MAX_BODY_LEN], [0; MAX_CONTEXT_LEN]);
    let payload = cbor::to_slice(body, &mut payload).expect("no statement is longer");
    Sign1::prepare(key, payload, encoded(context, &mut external), buffer)
}

/// Who signed a statement, as the directory says.
pub(crate) fn signer_of<'b>(
    octets: &'b [u8],
    directory: &impl Directory,
) -> Result<(Sign1<'b>, DeviceId, VerifyingKey), StatementError> {
    if octets.len() > MAX_STATEMENT_LEN {
        return Err(StatementError::TooLong { len: octets.len() });
    }
    let signed = Sign1::parse(octets)?;
    let key = signed.headers().key_id().ok_or(StatementError::NoKeyId)?;
    let (source, key) = directory.sender(key).ok_or(StatementError::UnknownSender(key))?;
    Ok((signed, source, key))
}

/// Verifies a statement, and returns its record's octets.
pub(crate) fn verify<'b>(
    signed: &Sign1<'b>,
    key: &VerifyingKey,
    context: &Context<'_>,
) -> Result<&'b [u8], StatementError> {
    let mut scratch = [0; MAX_STATEMENT_LEN + MAX_CONTEXT_LEN + 32];
    let mut external = [0; MAX_CONTEXT_LEN];
    signed.verify(key, encoded(context, &mut external), &mut scratch).map_err(|refused| match refused {
        VerifyError::Signature(invalid) => StatementError::Signature(invalid),
        VerifyError::Buffer(short) => StatementError::TooLong { len: short.needed },
    })
}

fn encoded<'s>(context: &Context<'_>, space: &'s mut [u8]) -> &'s [u8] {
    let mut writer = Writer::new(Buffer::new(space));
    context.encode(&mut writer).expect("no context is longer");
    writer.into_output().into_written()
}
