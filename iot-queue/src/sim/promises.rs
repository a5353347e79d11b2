//! What the queue promised of single messages and readers besides that nothing is lost: attempts, dead letters, where a
//! cursor stands, what was dropped.

use alloc::collections::BTreeMap;

use super::feature::{MAX_ATTEMPTS, READERS};
use super::violation::Violation;
use crate::lease::{DeadLetter, DeathCause};
use crate::offset::Offset;

#[derive(Debug, Default)]
pub(super) struct Promises {
    attempts: BTreeMap<u64, Attempts>,
    dead: BTreeMap<u64, Lasting>,
    /// Of each reader.
    pub(super) cursors: [CursorPlace; READERS.len()],
    /// Everything below was dropped, as far as it is known, and who had to be told was told of what is below the other.
    pub(super) dropped: u64,
    pub(super) told: u64,
}

/// How often a message was handed out.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    last: u32,
    /// What outlives the process, and what outlives a power cut.
    written: u32,
    synced: u32,
}

/// What something outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lasting {
    Session,
    Process,
    PowerCut,
}

/// Where a cursor stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CursorPlace {
    /// It was open when a commit had ended, and was not deleted since.
    pub(super) exists: bool,
    /// It was deleted when a commit had ended, and not opened since.
    pub(super) is_gone: bool,
    /// What is before was read in this session.
    pub(super) read: u64,
    /// It was never moved on behind this.
    pub(super) advanced: u64,
    /// It stands here or behind this after a power cut.
    pub(super) saved: u64,
    /// It was advanced to here in this session.
    pub(super) here: u64,
}

impl CursorPlace {
    /// Whether there is such a cursor and where it stands outlives a power cut from now on.
    pub(super) fn made_durable(&mut self, is_there: bool) {
        *self = if is_there {
            Self { exists: true, saved: self.here, advanced: self.here, ..*self }
        } else {
            Self { is_gone: true, ..Self::default() }
        };
    }
}

impl Promises {
    /// A message was handed out.
    pub(super) fn handed_out(&mut self, offset: Offset, says: u32) -> Result<(), Violation> {
        let attempts = self.attempts.entry(offset.number()).or_default();
        if says <= attempts.synced {
            return Err(Violation::AttemptsLost { offset, says, is: attempts.synced });
        }
        attempts.last = says;
        if self.dead.contains_key(&offset.number()) {
            return Err(Violation::DeadLetter { offset });
        }
        Ok(())
    }

    /// How often a message was handed out, as far as it is known.
    pub(super) fn attempts(&self, offset: Offset) -> u32 {
        self.attempts.get(&offset.number()).map_or(0, |attempts| attempts.last)
    }

    /// Everything that was known outlives this.
    pub(super) fn saved(&mut self, lasting: Lasting) {
        for attempts in self.attempts.values_mut() {
            attempts.written = attempts.last;
            attempts.synced = if lasting == Lasting::PowerCut { attempts.last } else { attempts.synced };
        }
        self.dead.values_mut().for_each(|dead| *dead = lasting.max(*dead));
    }

    /// The session ended, and what outlives that is still there.
    pub(super) fn session_ended(&mut self, what: Lasting) {
        for attempts in self.attempts.values_mut() {
            attempts.synced = if what == Lasting::Process { attempts.written } else { attempts.synced };
            (attempts.last, attempts.written) = (attempts.synced, attempts.synced);
        }
        self.dead.retain(|_, dead| *dead >= what);
    }

    /// A recovery found nothing from here on.
    pub(super) fn ended_at(&mut self, next: u64) {
        self.attempts.split_off(&next);
        self.dead.split_off(&next);
    }

    /// Holds the dead letters that there are to those that must be there; `waits` says which messages nobody took out.
    pub(super) fn check_dead(&mut self, there: &[DeadLetter], waits: impl Fn(u64) -> bool) -> Result<(), Violation> {
        let is_there = |number: u64| there.iter().any(|dead| dead.offset.number() == number);
        if let Some((&number, _)) = self.dead.iter().find(|&(&number, _)| waits(number) && !is_there(number)) {
            return Err(Violation::DeadLetter { offset: Offset::new(number) });
        }
        for dead in there {
            let has_tried = dead.attempts >= MAX_ATTEMPTS || dead.cause == DeathCause::Rejected;
            let says_why = dead.cause == DeathCause::RanOut || dead.reason == reason(dead.offset);
            if !has_tried || !says_why {
                return Err(Violation::DeadLetter { offset: dead.offset });
            }
            self.dead.entry(dead.offset.number()).or_insert(Lasting::Session);
        }
        Ok(())
    }

    /// Somebody decided about a dead letter.
    pub(super) fn decided(&mut self, number: u64) {
        self.dead.remove(&number);
        self.attempts.remove(&number);
    }
}

/// What is said of a message that failed.
pub(super) fn reason(offset: Offset) -> alloc::string::String {
    alloc::format!("message {offset} failed")
}
