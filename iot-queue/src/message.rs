use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use iot_core::Position;

use crate::offset::{Gap, Offset};

/// What is appended: a payload that the queue does not look into, and how it is to be handed out.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    payload: &'a [u8],
    position: Option<Position>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) id: Option<MessageId>,
    pub(crate) lane: Lane,
    pub(crate) delay: Duration,
    pub(crate) time_to_live: Option<Duration>,
    sealing: Sealing,
}

/// Whether a payload is as the caller gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealing {
    Plain,
    Sealed,
}

/// A payload as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload<'a> {
    Plain(&'a [u8]),
    /// The cipher of the queue made it.
    Sealed(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// The octets that are stored.
    pub(crate) const fn octets(self) -> &'a [u8] {
        match self {
            Self::Plain(octets) | Self::Sealed(octets) => octets,
        }
    }
}

impl<'a> Message<'a> {
    /// A message that is handed out in the order of the log.
    pub const fn new(payload: &'a [u8]) -> Self {
        Self {
            payload,
            position: None,
            key: None,
            id: None,
            lane: Lane::NORMAL,
            delay: Duration::ZERO,
            time_to_live: None,
            sealing: Sealing::Plain,
        }
    }

    /// The same message at `position` of its source; the queue stores it and hands it back.
    #[must_use]
    pub const fn at(self, position: Position) -> Self {
        Self { position: Some(position), ..self }
    }

    /// The same message under a key of up to 255 octets: of one key, a message is handed out only when no earlier one is
    /// left, be it leased, delayed or waiting to be tried again. An empty key is none.
    #[must_use]
    pub const fn key(self, key: &'a [u8]) -> Self {
        Self { key: if key.is_empty() { None } else { Some(key) }, ..self }
    }

    /// The same message in a lane; by default it is [`Lane::NORMAL`].
    #[must_use]
    pub const fn lane(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }

    /// The same message, handed out when `delay` has passed and not before.
    #[must_use]
    pub const fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same message, of no use when `time_to_live` has passed: if nobody holds it then it becomes a
    /// [gap](crate::GapCause::Expired).
    #[must_use]
    pub const fn time_to_live(self, time_to_live: Duration) -> Self {
        Self { time_to_live: Some(time_to_live), ..self }
    }

    /// The same message with a name by which a repetition is known; see
    /// [`QueueConfig::deduplicate_ids`](crate::QueueConfig::deduplicate_ids).
    #[must_use]
    pub const fn id(self, id: MessageId) -> Self {
        Self { id: Some(id), ..self }
    }

    /// The same message with what a cipher made of its payload.
    pub(crate) const fn sealed_as(self, payload: &'a [u8]) -> Self {
        Self { payload, sealing: Sealing::Sealed, ..self }
    }

    pub(crate) const fn sealing(&self) -> Sealing {
        self.sealing
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

/// How urgent a message is: one of eight lanes, of which 0 is the most urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(u8);

impl Lane {
    /// How many lanes there are.
    pub const COUNT: usize = 8;
    /// Lane 0, before all others.
    pub const MOST_URGENT: Self = Self(0);
    /// Lane 4, where messages go of which nothing else is said.
    pub const NORMAL: Self = Self(4);
    /// Lane 7, behind all others.
    pub const LEAST_URGENT: Self = Self(7);

    /// The lane with this number, if there is one: 0 to 7.
    pub const fn new(number: u8) -> Option<Self> {
        if (number as usize) < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// The number of the lane.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self::NORMAL
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Sixteen octets by which an appended message is known again: a UUID, or the front of a hash of what names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; Self::LEN]);

impl MessageId {
    /// Octets of an identifier.
    pub const LEN: usize = 16;

    /// Wraps the octets that the caller chose.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The octets.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// What became of messages some of which may have been appended before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The place of the first message that was appended now; if there is none, the place that the next one gets.
    pub first: Offset,
    /// How many were appended now, one after the other.
    pub appended: usize,
    /// How many were appended before, and not again.
    pub duplicates: usize,
}

/// A message as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the log.
    pub offset: Offset,
    /// Where it stands among its source's messages, if that was known when it was appended.
    pub position: Option<Position>,
    /// The key whose messages keep their order, if it was given one.
    pub key: Option<Vec<u8>>,
    /// Its lane.
    pub lane: Lane,
    /// The name by which a repetition is known, if it was given one.
    pub id: Option<MessageId>,
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

impl Entry {
    /// The first place that it covers.
    pub const fn start(&self) -> Offset {
        match self {
            Self::Message(stored) => stored.offset,
            Self::Gap(gap) => gap.from,
        }
    }

    /// The place behind it.
    pub const fn end(&self) -> Offset {
        match self {
            Self::Message(stored) => stored.offset.next(),
            Self::Gap(gap) => gap.until,
        }
    }
}
