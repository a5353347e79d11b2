use alloc::vec::Vec;

use iot_core::Position;

use crate::offset::{Gap, Offset};

/// What is appended: a payload that the queue does not look into, and where it stands among its source's messages, if
/// the caller knows.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    payload: &'a [u8],
    position: Option<Position>,
}

impl<'a> Message<'a> {
    /// A message without a position.
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { payload, position: None }
    }

    /// The same message at `position` of its source; the queue stores it and hands it back.
    #[must_use]
    pub const fn at(self, position: Position) -> Self {
        Self { position: Some(position), ..self }
    }

    /// The octets of the message.
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Where the message stands among its source's messages.
    pub const fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }
}

/// A message as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the log.
    pub offset: Offset,
    /// Where it stands among its source's messages, if that was known when it was appended.
    pub position: Option<Position>,
    /// The octets that were appended.
    pub payload: Vec<u8>,
}

/// What a reader of the log meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A message, whole and as it was appended.
    Message(Stored),
    /// Messages that the log numbered and cannot give.
    Gap(Gap),
}
