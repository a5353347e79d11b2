//! COSE structures (RFC 9052), written and read without allocation.
//!
//! Reading is strict: deterministic CBOR, each label once, the algorithm in the protected header, no critical header
//! that this crate does not know. The protected octets are kept as they were received, so a signature or a tag covers
//! just what the sender wrote.

mod countersignature;
mod encrypt;
mod encrypt0;
mod header;
mod mac0;
mod recipient;
mod sign;
mod sign1;
mod symmetric;

pub use countersignature::{Countersignature, Countersigned};
pub use encrypt::{Encrypt, EncryptError};
pub use encrypt0::Encrypt0;
pub use header::{Algorithm, Headers};
pub use mac0::{Mac0, MacError};
pub use recipient::{Recipient, UnwrapError};
pub use sign::{CoseSignature, CosignError, Sign};
pub use sign1::{Sign1, SignError, UnsignedSign1, VerifyError};
pub use symmetric::{ContentKey, DecryptError, MacKey};

pub(crate) use encrypt::{COMMITTING_PROTECTED_LEN, Layout as EncryptLayout};
pub(crate) use encrypt0::{EncStructure, encapsulated_key, hpke_head_len, open_in_place, seal_in_place};
#[cfg(feature = "x-wing")]
pub(crate) use encrypt0::{open_x_wing_in_place, seal_x_wing_in_place, x_wing_encapsulated};
pub(crate) use header::Protected;
pub(crate) use recipient::ReaderKey as RecipientKey;
pub(crate) use sign1::{Filling, PADDING, put_signature, sign1_len, write_unsigned};
pub(crate) use symmetric::{TAG_LEN, nonce_of};

use iot_codec::cbor::{Cursor, DecodeError, Kind};

/// Why octets are not a COSE structure that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoseError {
    /// They are not the deterministic CBOR of the structure.
    #[error("the structure is malformed")]
    Malformed(#[from] DecodeError),
    /// The structure has another CBOR tag than the one of its kind (RFC 9052 §2, table 1).
    #[error("the tag is {found} where {expected} is due")]
    Tag {
        /// The tag of the structure that was asked for.
        expected: u64,
        /// The tag that stands there.
        found: u64,
    },
    /// The structure has more or fewer members than its kind.
    #[error("the structure has {found} members where {expected} are due")]
    Members {
        /// The members of the structure that was asked for.
        expected: usize,
        /// The members that stand there.
        found: usize,
    },
    /// No algorithm stands in the protected header.
    #[error("the protected header names no algorithm")]
    NoAlgorithm,
    /// The algorithm stands in the unprotected header, where anyone can change it.
    #[error("the algorithm stands in the unprotected header")]
    UnprotectedAlgorithm,
    /// The algorithm is not one that this crate implements.
    #[error("the algorithm {0} is not supported")]
    Algorithm(i64),
    /// A label stands in both headers (RFC 9052 §3).
    #[error("the label {0} stands in both headers")]
    DuplicateLabel(i64),
    /// A whole IV stands beside a partial one (RFC 9052 §3.1).
    #[error("an IV stands beside a partial IV")]
    IvAndPartialIv,
    /// The message demands an understanding of headers that this crate does not have (RFC 9052 §3.1, `crit`).
    #[error("the message has critical headers")]
    Critical,
    /// The payload is not in the structure (it is `nil`, RFC 9052 §2), so it must be handed in beside it.
    #[error("the payload is detached")]
    Detached,
    /// A payload was handed in beside a structure that has one.
    #[error("the payload is not detached")]
    Attached,
    /// There are more signatures or recipients than the structure may have.
    #[error("{found} entries stand where at most {max} may")]
    TooMany {
        /// How many stand there.
        found: usize,
        /// How many may.
        max: usize,
    },
    /// There is no signature or no recipient.
    #[error("no entry stands where at least one is due")]
    Empty,
    /// A key, signature or tag is not as long as its algorithm says.
    #[error("the value of {len} octets has the wrong length")]
    Length {
        /// Octets that stand there.
        len: usize,
    },
}

/// Steps into the array of a structure, past its tag if it has one.
fn enter(cursor: &mut Cursor<'_>, tag: u64, members: usize) -> Result<(), CoseError> {
    if cursor.peek()? == Kind::Tag {
        let found = cursor.tag()?;
        if found != tag {
            return Err(CoseError::Tag { expected: tag, found });
        }
    }
    let found = cursor.array()?;
    if found == members { Ok(()) } else { Err(CoseError::Members { expected: members, found }) }
}

/// The content of a structure, or the one that the caller has where the structure leaves it out.
#[inline]
fn content<'b>(cursor: &mut Cursor<'b>, detached: Option<&'b [u8]>) -> Result<&'b [u8], CoseError> {
    match (cursor.bytes(), detached) {
        (Ok(content), None) => Ok(content),
        (Ok(_), Some(_)) => Err(CoseError::Attached),
        (Err(error), detached) => detached_content(cursor, error, detached),
    }
}

#[cold]
fn detached_content<'b>(
    cursor: &mut Cursor<'b>,
    error: DecodeError,
    detached: Option<&'b [u8]>,
) -> Result<&'b [u8], CoseError> {
    cursor.null().map_err(|_| error)?;
    detached.ok_or(CoseError::Detached)
}

/// The entries of an array of at most `max`, each read once so that it can be read again without an error.
fn entries<'b>(
    cursor: &mut Cursor<'b>,
    max: usize,
    read: impl Fn(&mut Cursor<'b>) -> Result<(), CoseError>,
) -> Result<(&'b [u8], usize), CoseError> {
    let found = cursor.array()?;
    if found > max {
        return Err(CoseError::TooMany { found, max });
    }
    if found == 0 {
        return Err(CoseError::Empty);
    }
    let rest = cursor.rest();
    for _ in 0..found {
        read(cursor)?;
    }
    Ok((&rest[..rest.len() - cursor.rest().len()], found))
}

/// An array of three members inside another structure: both headers and a string.
fn three_members(cursor: &mut Cursor<'_>) -> Result<(), CoseError> {
    let found = cursor.array()?;
    if found == 3 { Ok(()) } else { Err(CoseError::Members { expected: 3, found }) }
}

/// Octets of the head of a string or an array (RFC 8949 §3).
pub(crate) const fn head_len(count: usize) -> usize {
    match count {
        0..=0x17 => 1,
        0x18..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    }
}
