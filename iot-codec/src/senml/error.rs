use crate::cbor::DecodeError;

/// Why a pack was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SenmlError {
    /// The CBOR is not well-formed, exceeds a limit, or is no pack. The offset is that in the normalized pack where the
    /// form is at fault, and that in the input where the encoding is.
    #[error(transparent)]
    Cbor(#[from] DecodeError),
    /// The JSON is not well-formed, or is no pack.
    #[error("json that is no pack at line {line}, column {column}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1; 0 stands for the end of the line before.
        column: usize,
    },
    /// The JSON is longer than [`Limits::bytes`](crate::cbor::Limits::bytes).
    #[error("json exceeds the limit of {maximum} bytes")]
    TooManyBytes {
        /// The limit.
        maximum: usize,
    },
    /// The JSON holds more than [`Limits::items`](crate::cbor::Limits::items): a record counts one, and a label and its
    /// value two, as in CBOR.
    #[error("json exceeds the limit of {maximum} items")]
    TooManyItems {
        /// The limit.
        maximum: u32,
    },
    /// The names and units of the measurements together are longer than
    /// [`Limits::bytes`](crate::cbor::Limits::bytes).
    #[error("names and units exceed {maximum} bytes at record {record}")]
    NamesTooLong {
        /// The index of the record.
        record: usize,
        /// The limit.
        maximum: usize,
    },
    /// JSON has no infinities and no NaN.
    #[error("record {record} holds a number that json cannot hold")]
    NotFinite {
        /// The index of the record.
        record: usize,
    },
    /// A label that ends in `_` must be understood, and is not (RFC 8428 §4.4).
    #[error("record {record} has a label that must be understood")]
    MustUnderstand {
        /// The index of the record.
        record: usize,
    },
    /// A version, or a feature of RFC 9100, that this crate does not know.
    #[error("record {record} is of version {version}")]
    UnknownVersion {
        /// The index of the record.
        record: usize,
        /// The version.
        version: u32,
    },
    /// A name that is empty, or has characters that names must not have (RFC 8428 §4.5.1).
    #[error("record {record} has no valid name")]
    InvalidName {
        /// The index of the record.
        record: usize,
    },
    /// A record with neither a value nor a sum (RFC 8428 §4.2).
    #[error("record {record} has neither a value nor a sum")]
    MissingValue {
        /// The index of the record.
        record: usize,
    },
}
