use alloc::{boxed::Box, string::String};
use core::fmt::{self, Write};

use crate::cbor::DecodeError;

/// Why bytes did not become a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeserializeError {
    /// The bytes were refused, or an item is not of the kind that the type asks for.
    #[error(transparent)]
    Item(#[from] DecodeError),
    /// The type has a field that the map does not hold.
    #[error("field {field} is missing in the map at offset {offset}")]
    MissingField {
        /// The name of the field.
        field: &'static str,
        /// Where the map begins.
        offset: usize,
    },
    /// The type refuses the value.
    #[error("{message} at offset {offset}")]
    Refused {
        /// What the type says, as far as its first 128 bytes.
        message: Box<str>,
        /// Where the innermost item concerned begins.
        offset: usize,
    },
}

/// Stands for an offset that the type, which sees no offsets, left open.
const OPEN: usize = usize::MAX;

impl DeserializeError {
    /// Names the item at `offset`, unless an inner one has already been named.
    #[cold]
    pub(super) fn at(mut self, item: usize) -> Self {
        match &mut self {
            Self::MissingField { offset, .. } | Self::Refused { offset, .. } if *offset == OPEN => *offset = item,
            _ => {}
        }
        self
    }
}

impl ::serde::de::Error for DeserializeError {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Refused { message: bounded(message), offset: OPEN }
    }

    #[cold]
    fn missing_field(field: &'static str) -> Self {
        Self::MissingField { field, offset: OPEN }
    }
}

/// Why a value was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SerializeError {
    /// Two keys of a map have the same encoding.
    #[error("duplicate map key")]
    DuplicateKey,
    /// The value nests deeper than any reader follows.
    #[error("nesting exceeds the maximum of {maximum}")]
    TooDeep {
        /// [`Limits::MAX_DEPTH`](crate::cbor::Limits::MAX_DEPTH).
        maximum: usize,
    },
    /// A map ends beyond what any reader follows: the limit of bytes has 32 bits.
    #[error("a map ends beyond the maximum of {maximum} bytes")]
    TooLong {
        /// `u32::MAX`.
        maximum: u32,
    },
    /// A map got a value without a key, a key without a value, or a tag something else than a number.
    #[error("the type misuses its serializer")]
    Misuse,
    /// The type refuses to be written.
    #[error("{message}")]
    Refused {
        /// What the type says, as far as its first 128 bytes.
        message: Box<str>,
    },
}

impl ::serde::ser::Error for SerializeError {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Refused { message: bounded(message) }
    }
}

/// The front of `message`: a type may quote its input, and hostile input must not be doubled by its refusal.
fn bounded(message: impl fmt::Display) -> Box<str> {
    let mut front = Front(String::new());
    // It stops the formatting where it is full.
    let _ = write!(front, "{message}");
    front.0.into_boxed_str()
}

struct Front(String);

impl Write for Front {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.len() + character.len_utf8() > 128 {
                return Err(fmt::Error);
            }
            self.0.push(character);
        }
        Ok(())
    }
}
