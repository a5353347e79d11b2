use iot_codec::cbor::DecodeError;
use iot_crypto::cose::CoseError;

use crate::record::{RecordError, SignRecordError};

/// Why nothing was added to the open segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The open segment has no room for it: seal, and push it again.
    #[error("the open segment is full")]
    SegmentFull,
    /// It fits no segment.
    #[error("the message of {len} octets exceeds {limit}")]
    TooLarge {
        /// Octets of the message.
        len: usize,
        /// The most that fit.
        limit: usize,
    },
    /// What should say that numbers were skipped is no untagged `COSE_Sign1`.
    #[error("the statement is no signed structure")]
    Statement(#[from] CoseError),
    /// A range of numbers has none in it.
    #[error("there are no numbers from {start} up to {end}")]
    EmptyRange {
        /// Where it starts.
        start: u64,
        /// Before which it ends.
        end: u64,
    },
}

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Too many records wait to be confirmed.
    #[error("the outbox of {limit} records is full")]
    OutboxFull {
        /// The configured bound.
        limit: usize,
    },
    /// The record was not signed.
    #[error(transparent)]
    Record(#[from] SignRecordError),
}

/// Why a publisher was not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The octets are not a state's.
    #[error("the state of the publisher is malformed")]
    Malformed(#[from] DecodeError),
    /// Its numbers contradict each other.
    #[error("the state of the publisher is inconsistent")]
    Inconsistent,
    /// A record of its outbox is none.
    #[error("the outbox of the publisher is malformed")]
    Outbox(#[from] RecordError),
}
