//! What is known of one message that is not simply the next in its turn.

use alloc::string::String;

use iot_core::Instant;

use super::DeathCause;
use crate::config::Consumers;
use crate::message::Lane;

/// A place in the order of a lane. Of two messages the one with the lower rank goes first.
///
/// A message has the place of its number, unless it was released elsewhere: to the front, then its place is below zero,
/// or to the back, then it has the place of the last message that there was, and the order of such releases decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) place: i64,
    pub(crate) after: u64,
}

impl Rank {
    /// The rank of a message in its own place.
    pub(crate) const fn of(number: u64) -> Self {
        Self { place: number as i64, after: 0 }
    }
}

/// What a message was given when it was appended, and keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    pub(crate) lane: Lane,
    /// Stands for the key. Two keys with the same hash wait for one another, which costs time and nothing else.
    pub(crate) key: Option<u64>,
    /// The message is not handed out before.
    pub(crate) not_before: Instant,
    /// The message is of no use from then on.
    pub(crate) expires: Option<Instant>,
}

impl Traits {
    /// What of them counts in a queue with these consumers.
    pub(crate) fn seen_by(self, consumers: Consumers) -> Self {
        match consumers {
            Consumers::Leasing => self,
            Consumers::CursorsOnly => Self { expires: self.expires, ..Self::default() },
        }
    }
}

/// A message that has traits, or that was handed out.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) traits: Traits,
    pub(super) rank: Rank,
    pub(super) attempts: u32,
    pub(super) lifetime: Lifetime,
    /// Whether it was given back for later since the queue was opened.
    pub(super) is_postponed: bool,
    /// Of a lease that ran out: until somebody else gets the message its holder may still acknowledge it.
    pub(super) last_token: Option<u64>,
    pub(super) state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Another message of its key goes first.
    Blocked,
    /// Its time has not come.
    Delayed,
    /// Can be handed out.
    Ready,
    Held {
        token: u64,
        deadline: Instant,
    },
    Dead(Death),
    /// The medium fails to read it.
    Aside(Knowledge),
}

/// What is known of a message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knowledge {
    All,
    /// Not what it was given when it was appended.
    Untold,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Death {
    pub(crate) cause: DeathCause,
    pub(crate) reason: String,
}

/// Whether the time to live that a message was given still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    AsAppended,
    /// It was a dead letter: whoever decides about it is not to find it gone.
    Unlimited,
    /// It ends then: when the message was appended, the clock had not told what it had missed.
    Until(Instant),
}

impl Lifetime {
    /// When the message is of no use any more that was appended for so long.
    pub(super) fn or_appended(self, expires: Option<Instant>) -> Option<Instant> {
        match self {
            Self::AsAppended => expires,
            Self::Unlimited => None,
            Self::Until(expires) => Some(expires),
        }
    }
}

/// What of a message outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) attempts: u32,
    pub(crate) rank: Rank,
    pub(crate) not_before: Instant,
    pub(crate) lifetime: Lifetime,
    pub(crate) phase: SavedPhase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SavedPhase {
    /// Somebody holds it: opening ends that lease.
    Held,
    /// Waits to be handed out.
    Waiting,
    Dead(Death),
}

impl Saved {
    /// Whether it says a time of the queue's clock.
    pub(crate) fn is_timed(&self) -> bool {
        self.not_before > Instant::START || matches!(self.lifetime, Lifetime::Until(_))
    }
}

impl Known {
    pub(super) fn new(number: u64, traits: Traits) -> Self {
        Self {
            traits,
            rank: Rank::of(number),
            attempts: 0,
            lifetime: Lifetime::AsAppended,
            is_postponed: false,
            last_token: None,
            state: State::Blocked,
        }
    }

    /// What names the present lease, if there is one.
    pub(super) fn token(&self) -> Option<u64> {
        if let State::Held { token, .. } = self.state { Some(token) } else { None }
    }

    /// Lets it wait until then.
    pub(super) fn postpone(&mut self, until: Instant) {
        self.traits.not_before = until;
        self.is_postponed = true;
    }

    /// Makes a dead letter of it.
    pub(super) fn bury(&mut self, death: Death) {
        self.traits.expires = None;
        self.lifetime = Lifetime::Unlimited;
        self.last_token = None;
        self.state = State::Dead(death);
    }

    pub(super) fn saved(&self) -> Saved {
        let phase = match &self.state {
            State::Blocked | State::Delayed | State::Ready | State::Aside(_) => SavedPhase::Waiting,
            State::Held { .. } => SavedPhase::Held,
            State::Dead(death) => SavedPhase::Dead(death.clone()),
        };
        let not_before = self.traits.not_before;
        Saved { attempts: self.attempts, rank: self.rank, not_before, lifetime: self.lifetime, phase }
    }
}
