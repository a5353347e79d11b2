use alloc::boxed::Box;
use core::fmt;

use iot_codec::cbor;
use iot_core::DeviceId;

use super::Session;
use crate::{BundleError, SuccessionError};

/// What came of a message that was handed to a handshake.
#[derive(Debug)]
#[must_use = "the handshake goes on in here"]
pub enum Progress<H> {
    /// There is no session yet.
    Waiting {
        /// The handshake, as it goes on.
        handshake: H,
        /// Why the message was passed over, if it was.
        refused: Option<HandshakeError>,
    },
    /// Both sides have the same keys and know each other.
    Established(Box<Session>),
}

/// Why a message of a handshake is refused, or a handshake has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The message is longer than any of a handshake.
    #[error("the message has {len} octets, more than any of a handshake")]
    Length {
        /// How many it has.
        len: usize,
    },
    /// It is none that the handshake waits for.
    #[error("the message is none that the handshake waits for")]
    Unexpected,
    /// It belongs to another session.
    #[error("the message belongs to another session")]
    OtherSession,
    /// The first message is too short for its answer, which might be sent to a victim.
    #[error("the first message has {len} octets, less than a third of its answer, {answer}")]
    Amplification {
        /// How many it has.
        len: usize,
        /// How many the answer would have.
        answer: usize,
    },
    /// Own credentials that do not fit a message.
    #[error("the bundle and the succession take {len} octets, too many for a message")]
    TooLong {
        /// How many.
        len: usize,
    },
    /// Noise refused it: forged, altered, made for another overlay or for another key. Says no more.
    #[error("the message is not authentic")]
    Noise,
    /// Its payload is malformed, although it is authentic.
    #[error("the payload is malformed")]
    Payload(#[from] cbor::DecodeError),
    /// The payload holds no key bundle.
    #[error("the payload holds no key bundle")]
    NoBundle,
    /// A key bundle is refused: the peer's, or one's own before the handshake begins.
    #[error("the key bundle is refused")]
    Bundle(#[from] BundleError),
    /// The succession beside it is refused.
    #[error("the succession is refused")]
    Succession(#[from] SuccessionError),
    /// The key bundle names another agreement key than the one that was used.
    #[error("the key bundle names another agreement key than the one used")]
    OtherKey,
    /// The peer is another device than the one that was asked for.
    #[error("the peer is {found}")]
    OtherPeer {
        /// Who it is.
        found: DeviceId,
    },
    /// No answer came in time.
    #[error("no answer came in time")]
    TimedOut,
    /// More messages were refused than the settings allow.
    #[error("more than {max} messages were refused")]
    TooManyRefused {
        /// How many are allowed.
        max: u32,
    },
}

/// Decides whether a handshake survives a message that was refused.
pub(super) fn pass_over<H>(
    handshake: H,
    count: u32,
    settings: &super::Settings,
    refused: HandshakeError,
) -> Result<Progress<H>, HandshakeError> {
    if settings.link == super::Link::Stream {
        return Err(refused);
    }
    if count > settings.max_refused {
        return Err(HandshakeError::TooManyRefused { max: settings.max_refused });
    }
    Ok(Progress::Waiting { handshake, refused: Some(refused) })
}

/// A `Debug` that shows the identifier alone.
pub(super) fn fmt_redacted(name: &str, id: super::SessionId, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(name).field("id", &id).finish_non_exhaustive()
}
