//! What a program uses besides appending, reserving and acknowledging: one thing a program, so that the model of each
//! stays simple.

use core::time::Duration;

use iot_core::Position;

use super::random::Random;
use crate::config::{QueueConfig, WhenFull};
use crate::format::metadata;
use crate::message::{Lane, Message, MessageId};
use crate::retention::Retention;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    Plain,
    /// Messages of a key are handed out in their order.
    Keys,
    /// Lanes are handed out in their order.
    Lanes,
    /// Delays and times to live.
    Times,
    /// What failed twice becomes a dead letter.
    DeadLetters,
    /// What is durable is not taken once more, by its position.
    Positions,
    /// The same, by its identifier.
    Identifiers,
    /// A named cursor reads the log.
    Cursor,
    /// Several do, each at its own pace.
    Cursors,
    /// The same, and it is moved on when it stays this many messages behind.
    Laggard,
    /// A group of consumers shares the work of a cursor.
    Group,
    /// A full queue drops the oldest.
    Drops,
    /// The same, and the record of that is signed.
    SignedDrops,
    /// What nobody acknowledged for a while expires.
    Ages,
}

/// The names of the cursors.
pub(super) const READERS: [&str; 3] = ["reader", "another", "third"];

/// The maximum lag of [`Feature::Laggard`], in messages.
pub(super) const MAX_LAG: u64 = 12;

/// Of [`Feature::Ages`], and how long some queues keep what nobody needs.
pub(super) const MAX_AGE: Duration = Duration::from_secs(20);

/// Of [`Feature::DeadLetters`].
pub(super) const MAX_ATTEMPTS: u32 = 2;

/// Of [`Feature::Identifiers`].
pub(super) const ID_WINDOW: u32 = 16;

impl Feature {
    pub(super) const fn draw(random: &mut Random, segments: u32) -> Self {
        match random.below(20) {
            0 => Self::Keys,
            1 => Self::Lanes,
            2 => Self::Times,
            3 => Self::DeadLetters,
            4 => Self::Positions,
            5 => Self::Cursor,
            6 => Self::Laggard,
            7 if segments > 3 => Self::Drops,
            8 => Self::Identifiers,
            9 => Self::Group,
            10 if segments > 3 => Self::SignedDrops,
            11 => Self::Ages,
            12 => Self::Cursors,
            _ => Self::Plain,
        }
    }

    /// What a queue is configured like for it.
    pub(super) fn configure(self, config: QueueConfig, random: &mut Random) -> QueueConfig {
        let configured = match self {
            Self::DeadLetters => config.max_attempts(MAX_ATTEMPTS),
            Self::Positions => config.deduplicate_positions(1),
            Self::Identifiers => config.deduplicate_ids(ID_WINDOW),
            Self::Drops | Self::SignedDrops => Ok(config.when_full(WhenFull::DropOldest)),
            Self::Ages => Ok(config.expire_after(Some(MAX_AGE))),
            Self::Cursor | Self::Cursors | Self::Group => Ok(config.retention(random.choose(&[
                Retention::NONE,
                Retention::NONE,
                Retention::WHILE_ROOM,
                Retention::WHILE_ROOM.max_octets(9000),
                Retention::WHILE_ROOM.max_age(MAX_AGE),
            ]))),
            _ => Ok(config),
        };
        configured.expect("each of the values above is in its range")
    }

    /// How many cursors there are.
    pub(super) const fn cursors(self) -> usize {
        match self {
            Self::Cursor | Self::Laggard | Self::Group => 1,
            Self::Cursors => READERS.len(),
            _ => 0,
        }
    }

    /// Whether a full queue drops the oldest.
    pub(super) const fn drops(self) -> bool {
        matches!(self, Self::Drops | Self::SignedDrops)
    }

    /// Whether messages that nobody had come in the order of the log.
    pub(super) const fn keeps_log_order(self) -> bool {
        !matches!(self, Self::Keys | Self::Lanes | Self::Times)
    }

    /// Whether everything that waits is given to who asks for it.
    pub(super) const fn gives_all(self) -> bool {
        !matches!(self, Self::Keys | Self::Times)
    }
}

/// How a message is to be handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) key: Option<[u8; 1]>,
    pub(super) lane: Lane,
    pub(super) delay: Duration,
    pub(super) time_to_live: Option<Duration>,
    pub(super) id: Option<MessageId>,
    /// When it may have expired without saying so itself.
    pub(super) age_limit: Option<Duration>,
}

impl Terms {
    /// Those of the message with this number among all that are drawn.
    pub(super) fn of(feature: Feature, serial: u64) -> Self {
        let terms = Self::default();
        match feature {
            Feature::Keys => Self { key: (!serial.is_multiple_of(4)).then_some([serial as u8 % 4]), ..terms },
            Feature::Lanes => Self { lane: Lane::new((serial * 5 % 8) as u8).unwrap_or_default(), ..terms },
            Feature::Times => Self {
                delay: Duration::from_secs(if serial.is_multiple_of(4) { serial % 32 } else { 0 }),
                time_to_live: serial.is_multiple_of(3).then(|| Duration::from_secs(5 + serial % 40)),
                ..terms
            },
            Feature::Ages => Self { age_limit: Some(MAX_AGE), ..terms },
            Feature::Identifiers => Self { id: Some(identifier(serial)), ..terms },
            _ => terms,
        }
    }

    pub(super) fn apply<'a>(&'a self, message: Message<'a>) -> Message<'a> {
        let message = self.key.as_ref().map_or(message, |key| message.key(key));
        let message = self.time_to_live.map_or(message, |time| message.time_to_live(time));
        let message = self.id.map_or(message, |id| message.id(id));
        message.lane(self.lane).delay(self.delay)
    }

    /// Octets of what says so in a record.
    pub(super) fn len(&self, position: Option<Position>) -> usize {
        let message = self.apply(Message::new(&[]));
        metadata::items_len(&message) as usize + if position.is_some() { 52 } else { 0 }
    }
}

fn identifier(serial: u64) -> MessageId {
    let mut octets = [7; MessageId::LEN];
    octets[..8].copy_from_slice(&serial.to_le_bytes());
    MessageId::from_bytes(octets)
}
