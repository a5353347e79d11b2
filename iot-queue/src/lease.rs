//! Leases: who holds which message until when, and what becomes of it then.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use iot_core::{Instant, Position};

use crate::message::{Lane, MessageId};
use crate::offset::Offset;

mod aside;
mod backoff;
mod index;
mod machine;
mod order;
mod state;

pub use self::backoff::Backoff;
pub(crate) use self::machine::{Leases, Rules};
pub(crate) use self::state::{Death, Lifetime, Rank, Saved, SavedPhase, Traits};

/// Names one handing out of one message, so that only who holds the message now can acknowledge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId {
    offset: Offset,
    token: u64,
}

impl LeaseId {
    /// The message that is leased.
    pub const fn offset(self) -> Offset {
        self.offset
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}", self.offset, self.token)
    }
}

/// A message that was handed out, and is not handed out again before its lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// What acknowledges or releases the message.
    pub lease: LeaseId,
    /// Its place in the log.
    pub offset: Offset,
    /// How often it was handed out, this time included; by earlier openings too.
    pub attempts: u32,
    /// When the lease ends, by the clock of the caller.
    pub deadline: Instant,
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

/// Where a message goes that its holder gives back.
///
/// Under a key this orders only the oldest message among those of other keys: the order in the key stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Release {
    /// To its own place in the log: before all messages that come later there. Where it goes, too, when a lease runs out.
    #[default]
    InPlace,
    /// Before everything else in its lane.
    Front,
    /// Behind everything in its lane that was appended so far.
    Back,
    /// To its own place, and not before this time has passed.
    After(Duration),
    /// To its own place, after a wait that grows with its attempts.
    Backoff {
        /// How the wait grows.
        backoff: Backoff,
        /// What the random part of the wait is drawn from.
        seed: u64,
    },
}

/// What became of a message that its holder could not handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Nacked {
    /// It went where the holder said.
    Released,
    /// It had all its attempts, and is a dead letter now.
    Dead,
}

/// In which order messages of different lanes are handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaneOrder {
    /// Nothing of a lane before everything of the more urgent ones: a busy lane starves those behind it.
    #[default]
    Strict,
    /// Each lane twice as often as the next less urgent one, as long as both have messages: none starves.
    Weighted,
}

/// A message that is not handed out any more until somebody decides about it.
///
/// It is stored and counts as live until it is acknowledged, by [`Queue::ack_dead`](crate::Queue::ack_dead), or handed
/// out again, by [`Queue::redrive`](crate::Queue::redrive). [`Queue::read`](crate::Queue::read) gives what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its place in the log.
    pub offset: Offset,
    /// How often it was handed out.
    pub attempts: u32,
    /// How it came to this.
    pub cause: DeathCause,
    /// What its last holder said about it; nothing if its lease ran out.
    pub reason: String,
}

/// How a message became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeathCause {
    /// Its last attempt ran out of time, or ended with the process.
    RanOut,
    /// Its last attempt was answered by a nack.
    Nacked,
    /// Its holder said that no further attempt makes sense.
    Rejected,
}

/// Octets of a reason that are kept.
pub(crate) const MAX_REASON_LEN: usize = 200;

/// As much of a reason as is kept: whole characters.
fn cut(reason: &str) -> &str {
    let end = (0..=reason.len().min(MAX_REASON_LEN)).rev().find(|&end| reason.is_char_boundary(end));
    &reason[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests;
