use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;

use iot_core::{Instant, Position};

use crate::offset::Offset;

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
    /// How often it was handed out since the queue was opened, this time included.
    pub attempts: u32,
    /// Where it stands among its source's messages, if that was known when it was appended.
    pub position: Option<Position>,
    /// The octets that were appended.
    pub payload: Vec<u8>,
}

/// Who holds which message until when. Together, held and returned messages are never more than may be leased.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    held: BTreeMap<u64, Held>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// Messages that were held once and wait to be handed out again.
    returned: BTreeMap<u64, Returned>,
    /// Messages from here on were never handed out.
    fresh: u64,
    next_token: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    token: u64,
    deadline: Instant,
    attempts: u32,
}

#[derive(Clone, Copy, Debug)]
struct Returned {
    attempts: u32,
    /// Of a lease that ran out: until somebody else gets the message its holder may still acknowledge it.
    token: Option<u64>,
}

impl Leases {
    /// No leases. Tokens count from `first_token`, drawn at random, so that leases of an earlier opening are stale.
    pub(crate) fn new(first_token: u64) -> Self {
        Self {
            held: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            returned: BTreeMap::new(),
            fresh: 0,
            next_token: first_token,
        }
    }

    /// Takes back what was not acknowledged in time.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(&(deadline, number)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            if let Some(held) = self.held.remove(&number) {
                self.returned.insert(number, Returned { attempts: held.attempts, token: Some(held.token) });
            }
        }
    }

    /// When the next lease ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Messages that wait to be handed out again, in log order: they come before all fresh ones.
    pub(crate) fn returned(&self) -> impl Iterator<Item = u64> + '_ {
        self.returned.keys().copied()
    }

    /// Where messages begin that were never handed out.
    pub(crate) fn fresh(&self) -> u64 {
        self.fresh
    }

    pub(crate) fn count(&self) -> usize {
        self.held.len()
    }

    /// Hands a message out that nobody holds. Gives the lease and the number of the attempt.
    pub(crate) fn grant(&mut self, number: u64, deadline: Instant) -> (LeaseId, u32) {
        let attempts = self.returned.remove(&number).map_or(0, |returned| returned.attempts).saturating_add(1);
        let token = self.next_token;
        self.next_token = token.wrapping_add(1);
        self.held.insert(number, Held { token, deadline, attempts });
        self.deadlines.insert((deadline, number));
        self.fresh = self.fresh.max(number + 1);
        (LeaseId { offset: Offset::new(number), token }, attempts)
    }

    /// Ends a lease for good. Says whether it was the present one.
    pub(crate) fn end(&mut self, lease: LeaseId) -> bool {
        if self.take(lease).is_some() {
            return true;
        }
        let number = lease.offset.number();
        let ran_out = self.returned.get(&number).is_some_and(|returned| returned.token == Some(lease.token));
        if ran_out {
            self.returned.remove(&number);
        }
        ran_out
    }

    /// Ends a lease so that the message is handed out again. Says whether it was the present one.
    pub(crate) fn give_back(&mut self, lease: LeaseId) -> bool {
        let Some(held) = self.take(lease) else { return false };
        self.returned.insert(lease.offset.number(), Returned { attempts: held.attempts, token: None });
        true
    }

    /// Forgets a message, and whoever holds it, because it is no longer to be had.
    pub(crate) fn forget(&mut self, number: u64) {
        self.returned.remove(&number);
        if let Some(held) = self.held.remove(&number) {
            self.deadlines.remove(&(held.deadline, number));
        }
        self.fresh = self.fresh.max(number + 1);
    }

    fn take(&mut self, lease: LeaseId) -> Option<Held> {
        let number = lease.offset.number();
        let held = *self.held.get(&number).filter(|held| held.token == lease.token)?;
        self.held.remove(&number);
        self.deadlines.remove(&(held.deadline, number));
        Some(held)
    }
}
