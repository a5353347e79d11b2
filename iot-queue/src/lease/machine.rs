//! The state of all leases. It knows no log and no clock: numbers and times come in, and what is to be done comes out.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;

use super::aside::Retry;
use super::index::Index;
use super::order::{Candidates, Turn};
use super::state::{Death, Known, Lifetime, Rank, Saved, SavedPhase, State, Traits};
use super::{DeathCause, LaneOrder, LeaseId, Nacked, Release, cut};
use crate::offset::Offset;

/// What the caller of the queue chose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A message is handed out so often, unless it is released in between.
    pub(crate) max_attempts: u32,
    pub(crate) lane_order: LaneOrder,
}

/// Who holds which message until when, and which messages wait for what.
///
/// A message of the normal lane without key, delay or time to live that nobody has held takes no memory here: it is
/// known by its number being [fresh](Turn). Every other live message is [`Known`].
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    rules: Rules,
    /// The latest time that was given.
    pub(super) now: Instant,
    pub(super) known: BTreeMap<u64, Known>,
    pub(super) index: Index,
    pub(super) retry: Retry,
    turn: Turn,
    /// Ends of times to live.
    expiries: BTreeSet<(Instant, u64)>,
    /// Live messages by the hash of their key, dead letters apart.
    keys: BTreeSet<(u64, u64)>,
    dead_lettered: u64,
    /// The lowest place that a release to the front gave away, and the last number of a release to the back.
    front: i64,
    back: u64,
    next_token: u64,
    /// Messages whose state differs from what is saved.
    changed: BTreeSet<u64>,
    /// Messages whose time to live has passed, until they are taken.
    expired: Vec<u64>,
}

impl Leases {
    /// No leases. Tokens count from `first_token`, drawn at random, so that leases of an earlier opening are stale.
    pub(crate) fn new(rules: Rules, first_token: u64) -> Self {
        Self {
            rules,
            now: Instant::START,
            known: BTreeMap::new(),
            index: Index::default(),
            retry: Retry::default(),
            turn: Turn::default(),
            expiries: BTreeSet::new(),
            keys: BTreeSet::new(),
            dead_lettered: 0,
            front: 0,
            back: 0,
            next_token: first_token,
            changed: BTreeSet::new(),
            expired: Vec::new(),
        }
    }

    /// Takes note of a message that was just appended.
    pub(crate) fn admit(&mut self, number: u64, traits: Traits) {
        if traits == Traits::default() {
            return;
        }
        self.insert(number, Known::new(number, traits));
        self.arrange(number);
    }

    /// Puts back a live message that an earlier opening knew, with what it saved of it last, if anything. Once all are
    /// put back [`resume`](Self::resume) follows.
    pub(crate) fn restore(&mut self, number: u64, traits: Traits, saved: Option<Saved>) {
        let mut known = Known::new(number, traits);
        if let Some(saved) = saved {
            known.rank = saved.rank;
            known.attempts = saved.attempts;
            known.lifetime = saved.lifetime;
            known.traits.not_before = saved.not_before;
            known.traits.expires = saved.lifetime.or_appended(known.traits.expires);
            self.front = self.front.min(saved.rank.place);
            self.back = self.back.max(saved.rank.after);
            match saved.phase {
                SavedPhase::Dead(death) => known.state = State::Dead(death),
                SavedPhase::Waiting => {}
                SavedPhase::Held => {
                    known.rank = Rank::of(number);
                    if known.attempts >= self.rules.max_attempts {
                        self.changed.insert(number);
                        known.bury(Death::ran_out());
                    }
                }
            }
        }
        self.insert(number, known);
    }

    /// Arranges what [`restore`](Self::restore) put back.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.now = now;
        let numbers: Vec<_> = self.known.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.arrange(number));
    }

    /// Ends what ends by `now`: leases, delays, times to live. A time earlier than one that was given before counts as
    /// that one.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(&(_, number)) = self.index.timers.first().filter(|&&(at, _)| at <= self.now) {
            match self.known.get(&number).map(|known| &known.state) {
                Some(&State::Held { token, .. }) => self.run_out(number, token),
                // The delay is over.
                _ => self.arrange(number),
            }
        }
        while let Some(&(_, number)) = self.expiries.first().filter(|&&(at, _)| at <= self.now) {
            self.expiries.pop_first();
            let held = self.known.get(&number).is_some_and(|known| matches!(known.state, State::Held { .. }));
            // Who holds it may still acknowledge it.
            if !held {
                self.expire(number);
            }
        }
    }

    /// Lets what was given since the opening end so much later: leases, and delays and times to live, of messages from
    /// `first` on those that they were appended with.
    pub(crate) fn put_off(&mut self, missed: Duration, first: u64) {
        let now = self.now;
        for (&number, known) in &mut self.known {
            let is_new = number >= first;
            let waits = known.traits.not_before > now && (is_new || known.is_postponed);
            let ends = known.traits.expires.filter(|_| is_new);
            let is_held = known.token().is_some();
            if !waits && ends.is_none() && !is_held {
                continue;
            }
            self.index.leave(number, known);
            if let State::Held { deadline, .. } = &mut known.state {
                *deadline = deadline.saturating_add(missed);
            }
            if waits {
                known.traits.not_before = known.traits.not_before.saturating_add(missed);
            }
            if let Some(ends) = ends {
                let later = ends.saturating_add(missed);
                self.expiries.remove(&(ends, number));
                self.expiries.insert((later, number));
                known.traits.expires = Some(later);
                known.lifetime = Lifetime::Until(later);
            }
            if waits || ends.is_some() {
                self.changed.insert(number);
            }
            self.index.enter(number, known);
        }
    }

    /// When [`advance`](Self::advance) has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let first = |times: &BTreeSet<(Instant, u64)>| times.first().map(|&(at, _)| at);
        first(&self.index.timers).into_iter().chain(first(&self.expiries)).min()
    }

    /// What can be handed out, in order; `backlog` gives the first live message from a number on.
    pub(crate) fn candidates<F: Fn(u64) -> Option<u64>>(&self, backlog: F) -> Candidates<'_, F> {
        let lanes = (self.rules.lane_order, self.turn.credits);
        Candidates::new(&self.index.ready, &self.known, lanes, self.turn.fresh, backlog)
    }

    /// Where the last run of [`candidates`](Self::candidates) stopped.
    pub(crate) fn turn(&self) -> Turn {
        self.turn
    }

    /// Goes on where a run of [`candidates`](Self::candidates) stopped whose messages were all granted or forgotten.
    pub(crate) fn keep(&mut self, turn: Turn) {
        self.turn = turn;
    }

    /// Whether this live message could be handed out, its turn apart.
    pub(crate) fn is_ready(&self, number: u64) -> bool {
        self.known.get(&number).is_none_or(|known| known.state == State::Ready)
    }

    /// Hands a message out that [is ready](Self::is_ready). Gives the lease and the number of the attempt.
    pub(crate) fn grant(&mut self, number: u64, deadline: Instant) -> (LeaseId, u32) {
        let token = self.next_token;
        self.next_token = token.wrapping_add(1);
        let known = self.known.entry(number).or_insert_with(|| Known::new(number, Traits::default()));
        self.index.change(number, known, State::Held { token, deadline });
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Guard::Exclusion) {
            self.index.change(number, known, State::Ready);
        }
        known.attempts = known.attempts.saturating_add(1);
        known.last_token = None;
        let attempts = known.attempts;
        self.changed.insert(number);
        (LeaseId { offset: Offset::new(number), token }, attempts)
    }

    /// Moves the end of a lease. Says whether it was the present one.
    pub(crate) fn touch(&mut self, lease: LeaseId, deadline: Instant) -> bool {
        let held = self.holds(lease);
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Guard::Touch) {
            return held;
        }
        if held {
            self.change(lease.offset.number(), State::Held { token: lease.token, deadline });
        }
        held
    }

    /// Ends a lease for good. Says whether it was the present one, or the last one and nobody has the message since.
    pub(crate) fn end(&mut self, lease: LeaseId) -> bool {
        let number = lease.offset.number();
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Guard::Token) && self.known.contains_key(&number) {
            self.forget(number);
            return true;
        }
        let ends = self
            .known
            .get(&number)
            .is_some_and(|known| known.last_token == Some(lease.token) || known.token() == Some(lease.token));
        if ends {
            self.forget(number);
        }
        ends
    }

    /// Ends a lease so that the message is handed out again; `end` is the number that the next message gets. Says
    /// whether it was the present one.
    pub(crate) fn release(&mut self, lease: LeaseId, to: Release, end: u64) -> bool {
        let held = self.holds(lease);
        if held {
            self.send(lease.offset.number(), to, end);
        }
        held
    }

    /// Ends a lease because its holder could not handle the message. Nothing when it is not the present one.
    pub(crate) fn nack(&mut self, lease: LeaseId, reason: &str, to: Release, end: u64) -> Option<Nacked> {
        let number = lease.offset.number();
        let attempts = self.known.get(&number).filter(|_| self.holds(lease))?.attempts;
        #[cfg(iot_fault)]
        let attempts = if crate::fault::is_off(crate::fault::Guard::MaxAttempts) { 0 } else { attempts };
        if attempts < self.rules.max_attempts {
            self.send(number, to, end);
            return Some(Nacked::Released);
        }
        self.die(number, Death { cause: DeathCause::Nacked, reason: cut(reason).to_string() });
        Some(Nacked::Dead)
    }

    /// Ends a lease because no attempt makes sense any more. Says whether it was the present one.
    pub(crate) fn reject(&mut self, lease: LeaseId, reason: &str) -> bool {
        let held = self.holds(lease);
        if held {
            self.die(lease.offset.number(), Death { cause: DeathCause::Rejected, reason: cut(reason).to_string() });
        }
        held
    }

    /// Makes a dead letter a message again, as if it had never been handed out. Says whether it was one.
    pub(crate) fn redrive(&mut self, number: u64, to: Release, end: u64) -> bool {
        if !self.index.dead.contains(&number) {
            return false;
        }
        let Some(mut known) = self.remove(number) else { return false };
        known.attempts = 0;
        known.state = State::Blocked;
        self.insert(number, known);
        self.send(number, to, end);
        true
    }

    /// Forgets a message, and whoever holds it, because nobody needs it any more or it is no longer to be had.
    pub(crate) fn forget(&mut self, number: u64) {
        self.changed.remove(&number);
        if let Some(key) = self.remove(number).and_then(|known| known.traits.key) {
            self.unblock(key);
        }
    }

    /// Ends the time of a live message, unless somebody holds it or has to decide about it.
    pub(crate) fn outlive(&mut self, number: u64) {
        match self.known.get(&number).map(|known| &known.state) {
            Some(State::Held { .. } | State::Dead(_)) => {}
            Some(_) => self.expire(number),
            None => self.expired.push(number),
        }
    }

    /// Forgets all messages before `number`.
    pub(crate) fn forget_before(&mut self, number: u64) {
        while let Some((&first, _)) = self.known.first_key_value().filter(|&(&first, _)| first < number) {
            self.forget(first);
        }
    }

    /// What of a message is to be saved. A time that has come is left out.
    pub(crate) fn saved(&self, number: u64) -> Option<Saved> {
        let saved = self.known.get(&number)?.saved();
        let not_before = if saved.not_before > self.now { saved.not_before } else { Instant::START };
        Some(Saved { not_before, ..saved })
    }

    /// The messages whose state differs from what is saved.
    pub(crate) fn changed(&self) -> &BTreeSet<u64> {
        &self.changed
    }

    /// The messages whose state differs from what is saved. Whoever saves them empties the set.
    pub(crate) fn changed_mut(&mut self) -> &mut BTreeSet<u64> {
        &mut self.changed
    }

    /// Messages whose time to live has passed since they were taken last. They are forgotten already.
    pub(crate) fn take_expired(&mut self) -> Vec<u64> {
        core::mem::take(&mut self.expired)
    }

    /// Dead letters from a number on, in the order of the log.
    pub(crate) fn dead_from(&self, number: u64) -> impl Iterator<Item = (u64, u32, &Death)> + '_ {
        self.index.dead.range(number..).filter_map(|&number| {
            let known = self.known.get(&number)?;
            let State::Dead(death) = &known.state else { return None };
            Some((number, known.attempts, death))
        })
    }

    pub(crate) fn is_dead(&self, number: u64) -> bool {
        self.index.dead.contains(&number)
    }

    /// How many messages became dead letters since the machine was made.
    pub(crate) fn dead_lettered(&self) -> u64 {
        self.dead_lettered
    }

    /// Whether a delay or a time to live runs.
    pub(crate) fn is_timed(&self) -> bool {
        self.index.delayed > 0 || !self.expiries.is_empty()
    }

    pub(crate) fn held(&self) -> usize {
        self.index.held
    }

    pub(crate) fn delayed(&self) -> usize {
        self.index.delayed
    }

    pub(crate) fn dead(&self) -> usize {
        self.index.dead.len()
    }

    /// How many messages are known one by one.
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.known.len()
    }

    /// Whether somebody holds this message.
    pub(crate) fn is_held(&self, number: u64) -> bool {
        self.known.get(&number).is_some_and(|known| known.token().is_some())
    }

    fn holds(&self, lease: LeaseId) -> bool {
        self.known.get(&lease.offset.number()).is_some_and(|known| known.token() == Some(lease.token))
    }

    fn run_out(&mut self, number: u64, token: u64) {
        let attempts = self.known.get(&number).map_or(0, |known| known.attempts);
        #[cfg(iot_fault)]
        let attempts = if crate::fault::is_off(crate::fault::Guard::MaxAttempts) { 0 } else { attempts };
        if attempts >= self.rules.max_attempts {
            return self.die(number, Death::ran_out());
        }
        if let Some(known) = self.known.get_mut(&number) {
            known.last_token = Some(token);
            known.rank = Rank::of(number);
        }
        self.arrange(number);
    }

    /// Sends a message where its holder says, which ends his lease.
    fn send(&mut self, number: u64, to: Release, end: u64) {
        let now = self.now;
        let Some(known) = self.known.get_mut(&number) else { return };
        known.rank = Rank::of(number);
        known.last_token = None;
        match to {
            Release::InPlace => {}
            Release::Front => {
                self.front = self.front.saturating_sub(1);
                known.rank.place = self.front;
            }
            Release::Back => {
                self.back = self.back.saturating_add(1);
                known.rank = Rank { after: self.back, ..Rank::of(end.saturating_sub(1)) };
            }
            Release::After(delay) => known.postpone(now.saturating_add(delay)),
            Release::Backoff { backoff, seed } => {
                known.postpone(now.saturating_add(backoff.delay(known.attempts, seed)));
            }
        }
        self.changed.insert(number);
        self.arrange(number);
    }

    fn die(&mut self, number: u64, death: Death) {
        let Some(mut known) = self.remove(number) else { return };
        let key = known.traits.key;
        known.bury(death);
        self.dead_lettered += 1;
        #[cfg(feature = "tracing")]
        crate::trace::dead_letter(number);
        self.insert(number, known);
        self.changed.insert(number);
        if let Some(key) = key {
            self.unblock(key);
        }
    }

    /// Takes out a message whose time is over, and those behind it in its key whose time is over too.
    fn expire(&mut self, mut number: u64) {
        loop {
            self.changed.remove(&number);
            self.expired.push(number);
            let Some(key) = self.remove(number).and_then(|known| known.traits.key) else { return };
            let now = self.now;
            let over = |known: &Known| {
                known.state == State::Blocked && known.traits.expires.is_some_and(|expires| expires <= now)
            };
            match self.head(key) {
                Some(head) if self.known.get(&head).is_some_and(over) => number = head,
                _ => return self.unblock(key),
            }
        }
    }

    /// Finds the state of a message that nobody holds, by its key, its times and its rank.
    pub(super) fn arrange(&mut self, number: u64) {
        let Some(known) = self.known.get(&number) else { return };
        let traits = known.traits;
        if matches!(known.state, State::Dead(_)) {
            return;
        }
        if traits.expires.is_some_and(|expires| expires <= self.now) {
            return self.expire(number);
        }
        let blocked = traits.key.is_some_and(|key| self.head(key) != Some(number));
        #[cfg(iot_fault)]
        let blocked = blocked && !crate::fault::is_off(crate::fault::Guard::KeyOrder);
        let state = match blocked {
            true => State::Blocked,
            #[cfg(iot_fault)]
            false if crate::fault::is_off(crate::fault::Guard::Delay) => State::Ready,
            false if traits.not_before > self.now => State::Delayed,
            false => State::Ready,
        };
        self.change(number, state);
    }

    /// Arranges the oldest message of a key.
    fn unblock(&mut self, key: u64) {
        let blocked = |head: &u64| self.known.get(head).is_some_and(|known| known.state == State::Blocked);
        if let Some(head) = self.head(key).filter(blocked) {
            self.arrange(head);
        }
    }

    fn head(&self, key: u64) -> Option<u64> {
        self.keys.range((key, 0)..).next().filter(|&&(found, _)| found == key).map(|&(_, number)| number)
    }

    /// Takes in a message that is blocked or dead.
    pub(super) fn insert(&mut self, number: u64, known: Known) {
        if let Some(key) = known.traits.key.filter(|_| known.state == State::Blocked) {
            let former = self.head(key).filter(|&former| former > number);
            self.keys.insert((key, number));
            // A dead letter that comes back goes before the rest of its key.
            let is_free = |former: &u64| self.known.get(former).is_some_and(|known| known.token().is_none());
            if let Some(former) = former.filter(is_free) {
                self.change(former, State::Blocked);
            }
        }
        if let Some(expires) = known.traits.expires {
            self.expiries.insert((expires, number));
        }
        self.index.enter(number, &known);
        self.known.insert(number, known);
    }

    /// Takes a message out of everything but the changed ones.
    pub(super) fn remove(&mut self, number: u64) -> Option<Known> {
        let known = self.known.remove(&number)?;
        self.index.leave(number, &known);
        if let Some(key) = known.traits.key {
            self.keys.remove(&(key, number));
        }
        if let Some(expires) = known.traits.expires {
            self.expiries.remove(&(expires, number));
        }
        Some(known)
    }

    fn change(&mut self, number: u64, state: State) {
        if let Some(known) = self.known.get_mut(&number) {
            self.index.change(number, known, state);
        }
    }
}

impl Death {
    fn ran_out() -> Self {
        Self { cause: DeathCause::RanOut, reason: "".to_string() }
    }
}
