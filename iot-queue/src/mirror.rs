//! Forwarding a queue's log to another place, in order, until it has arrived there.
//!
//! A [`Mirror`] forwards to a [`Sink`]: another queue ([`QueueSink`](crate::sink::QueueSink)), a peer behind any byte
//! stream ([`StreamSink`], with a [`StreamServer`] at the other end), or a broker (packages of their own below
//! `iot-queue/sinks/`). It knows no transport and reads no clock; [`drive`](Mirror::drive) does all there is to do at a
//! time, and [`poll_timeout`](Mirror::poll_timeout) says when to call again if nothing happens before.
//!
//! # What is promised
//!
//! - *In order, none missing.* Entries go out in the order of the log, gaps among them, up to
//!   [`window`](MirrorConfig::window) at a time without an answer. Only durable messages go out: what a power cut can
//!   take back must not be known elsewhere under a number that is used again.
//! - *None twice*, where the other side can be asked: after whatever happened, the mirror asks what is there and goes
//!   on behind it. No window of time plays a part in that.
//! - *Nothing goes before it has arrived.* The mirror reads through a [cursor](Queue::open_cursor) of the queue's,
//!   which holds what the other side has not [confirmed](Mirror::confirmed), as far as its [`MaxLag`](crate::MaxLag)
//!   allows: so a mirror that nobody drives any more does not fill the disk, and one that is opened anew goes on where
//!   the cursor is. Where an answer does not mean that the other side keeps what it has at a power cut, a tail stays
//!   behind it: [`settle_after`](MirrorConfig::settle_after).
//! - *What is missing is said.* What the log lost, and what it dropped before it was forwarded, travels as a
//!   [`GapNotice`], with its cause, and with the signed claim of whoever dropped it.
//!
//! | what happened | where it goes on |
//! | --- | --- |
//! | the connection was lost, either process was killed, an outage of whatever length | where the other side says |
//! | the other side lost the end of what it had, at a power cut | where it says; the tail is still there |
//! | the other side remembers nothing: wiped, or everything was taken out of it | where the cursor is |
//! | this queue was wiped and begun anew | at its start, as another log, under another [`Epoch`] |
//! | the log dropped messages that had not been forwarded, or the cursor stayed too far behind | behind them, with a gap first |
//! | the other side has more than this log ever had | nowhere: [`MirrorEvent::Ahead`], for a log was copied or set back |
//!
//! # Sinks that cannot be asked
//!
//! After a [`ResumePoint::Blind`] the mirror goes on where the cursor is, and repeats what was under way. The receiver
//! behind the sink tells by position what it has, and drops repetitions: `iot_core::Tracker` does that. A sink that sends
//! the [place](Forwarded::place) of each entry along lets it see what is missing, too, and covers entries that have no
//! position of their own. What the receiver has not acknowledged is sent again when nothing new was heard for as long as
//! [`answer_within`](MirrorConfig::answer_within) says.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use iot_core::{Instant, Position};

use crate::cursor::{CursorId, Seek};
use crate::error::CursorError;
use crate::gap::GapNotice;
use crate::message::Entry;
use crate::offset::{Epoch, Gap, Offset};
use crate::queue::Queue;
use crate::sink::{Answer, Forwarded, ResumePoint, Sink};
use crate::storage::Storage;

mod config;
mod flight;
mod settling;
mod stream;
mod wire;

pub use self::config::{MirrorConfig, MirrorConfigError};
pub use self::stream::{StreamError, StreamServer, StreamSink};
pub use self::wire::StreamFault;

use self::flight::Flight;
use self::settling::Settling;

/// Events that wait to be polled; further ones replace the last.
const MAX_EVENTS: usize = 64;

/// Forwards one queue's log to one sink; see [the module](self).
#[derive(Debug)]
pub struct Mirror {
    config: MirrorConfig,
    feed: Epoch,
    cursor: CursorId,
    /// Where the cursor is, as far as this mirror has moved it.
    kept: Offset,
    seed: u64,
    state: State,
    /// Everything before is at the other side, as far as it said.
    acknowledged: Offset,
    /// What is from here on the sink needs again to go on behind that: the same, where it is no stage.
    needed: Offset,
    /// Where sending goes on.
    next: Offset,
    /// The end of what was sent at any time since the other side first knew the log. Where it has forgotten it, it may
    /// come to remember more than this mirror has sent.
    reached: Option<Offset>,
    flight: Flight,
    settling: Settling,
    /// Whether a connection was lost since the other side last said what it has: it may have less now.
    in_doubt: bool,
    /// Failures in a row.
    failures: u32,
    /// Entries that may be under way at the moment: less than the window after a refusal.
    limit: usize,
    /// How many were acknowledged since the limit changed.
    grown: usize,
    /// When the other side last said something, or was first to say something.
    heard: Instant,
    events: VecDeque<MirrorEvent>,
    stats: MirrorStats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To ask at this time.
    Resting(Instant),
    /// The other side is to answer where to go on.
    Asking,
    Sending,
    /// Somebody must look after it.
    Halted,
}

/// What a mirror tells besides what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MirrorEvent {
    /// The other side has everything before this place, and forwarding goes on there.
    Resumed(Offset),
    /// The other side is without what it had acknowledged, from the first place up to the second: it lost it, or
    /// remembers nothing of this log. What is still stored of it is sent again.
    Forgotten(Offset, Offset),
    /// The log does not hold these, and the other side never had them: they travel as this gap.
    Missed(Gap),
    /// The other side has something at or behind this place that this log has not: the log was copied, or set back to
    /// an older state. The mirror has halted, for what it would send is not what was there.
    Ahead(Offset),
    /// The other side has something at or behind this place that this mirror has not sent: another one forwards a copy
    /// of this log. The mirror has halted.
    Fenced(Offset),
    /// What the other side said makes no sense: it acknowledged what was never sent.
    Nonsense(Offset),
}

/// What a mirror did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorStats {
    /// Entries that were sent, repetitions included.
    pub sent: u64,
    /// Octets of the payloads among them.
    pub octets: u64,
    /// Entries that were acknowledged.
    pub acknowledged: u64,
    /// Times that the other side was asked.
    pub asked: u64,
    /// Times that it did not take what was sent, and was asked again.
    pub refused: u64,
    /// Times that the connection was lost, or nothing was heard for too long.
    pub failures: u64,
    /// Entries that are under way.
    pub under_way: u64,
}

impl Mirror {
    /// A mirror of the log of `queue`, which reads it through `cursor` and moves that behind what the other side has
    /// confirmed. One mirror uses a cursor, and nobody else does. What it moves lasts, as all that a cursor does, from
    /// the queue's next [`commit`](Queue::commit) or durable append on.
    ///
    /// `seed` is what the random part of each wait is drawn from: mirrors with different seeds do not come back
    /// together.
    ///
    /// # Errors
    /// [`CursorError::NotFound`].
    pub fn new<S: Storage>(
        config: MirrorConfig,
        queue: &Queue<S>,
        cursor: CursorId,
        seed: u64,
    ) -> Result<Self, CursorError> {
        let status = queue.cursors().find(|status| status.id == cursor).ok_or(CursorError::NotFound)?;
        let confirmed = status.position;
        Ok(Self {
            config,
            feed: queue.epoch(),
            cursor,
            kept: confirmed,
            seed,
            state: State::Resting(Instant::START),
            acknowledged: confirmed,
            needed: confirmed,
            next: confirmed,
            reached: None,
            flight: Flight::default(),
            settling: Settling::new(config.settle_time(), confirmed),
            in_doubt: true,
            failures: 0,
            limit: config.window_messages(),
            grown: 0,
            heard: Instant::START,
            events: VecDeque::new(),
            stats: MirrorStats::default(),
        })
    }

    /// Does everything that there is to do now: asks, sends as much as may be under way, and hears what was said. Sends
    /// up to a window of entries, reads them from `queue` for that, and moves the cursor there.
    ///
    /// # Errors
    /// See [`MirrorError`]. The mirror has taken note of it, and goes on with a later call.
    pub fn drive<S: Storage, K: Sink>(
        &mut self,
        now: Instant,
        queue: &mut Queue<S>,
        sink: &mut K,
    ) -> Result<(), MirrorError<K::Error>> {
        let outcome = self.drive_sink(now, queue, sink);
        if let Err(MirrorError::Sink(_)) = outcome {
            self.handle_failure(now);
        }
        outcome
    }

    fn drive_sink<S: Storage, K: Sink>(
        &mut self,
        now: Instant,
        queue: &mut Queue<S>,
        sink: &mut K,
    ) -> Result<(), MirrorError<K::Error>> {
        self.handle_timeout(now);
        if self.poll_ask(now) {
            sink.ask(self.feed).map_err(MirrorError::Sink)?;
        }
        loop {
            let entries = self.poll_entries(now, queue).map_err(MirrorError::Source)?;
            if !entries.is_empty() {
                sink.send(&entries).map_err(MirrorError::Sink)?;
            }
            let mut heard = false;
            while let Some(answer) = sink.poll_answer().map_err(MirrorError::Sink)? {
                self.handle_answer(now, queue, answer);
                heard = true;
            }
            if self.poll_ask(now) {
                sink.ask(self.feed).map_err(MirrorError::Sink)?;
            } else if !heard {
                return Ok(());
            }
        }
    }

    /// Takes what the other side said about the log in `queue`.
    pub fn handle_answer<S: Storage>(&mut self, now: Instant, queue: &mut Queue<S>, answer: Answer) {
        match answer {
            Answer::Resume(point) => self.handle_resume(now, queue, point),
            Answer::Acknowledged(until) => self.handle_acknowledged(now, until),
            Answer::Processed { until, needed } => self.handle_processed(now, until, needed),
            Answer::Received(position) => self.handle_received(now, &position),
            Answer::Refused => self.handle_refused(now),
        }
    }

    /// The connection was lost, or could not be made: what was under way is in doubt. The mirror asks again after a
    /// wait that grows with the failures in a row.
    pub fn handle_failure(&mut self, now: Instant) {
        if self.state == State::Halted {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.stats.failures += 1;
        self.flight.clear();
        self.in_doubt = true;
        let seed = self.seed.wrapping_add(self.stats.failures);
        self.state = State::Resting(now.saturating_add(self.config.backoff_choice().delay(self.failures, seed)));
    }

    /// Tells the time: takes note when nothing was heard for too long, and of what has settled.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.in_doubt {
            self.settling.handle_timeout(now, self.needed);
        }
        if self.silence_ends().is_some_and(|end| end <= now) {
            self.handle_failure(now);
        }
    }

    /// When the next call is due if nothing is heard and nothing is appended before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let resting = match self.state {
            State::Resting(until) => Some(until),
            _ => self.silence_ends(),
        };
        let settles = if self.in_doubt { None } else { self.settling.poll_timeout(self.needed) };
        resting.into_iter().chain(settles).min()
    }

    /// What happened, in the order in which it did.
    pub fn poll_event(&mut self) -> Option<MirrorEvent> {
        self.events.pop_front()
    }

    /// Whether the other side is to be asked now. Then it has been, as far as the mirror is concerned.
    pub fn poll_ask(&mut self, now: Instant) -> bool {
        if !matches!(self.state, State::Resting(until) if until <= now) {
            return false;
        }
        self.state = State::Asking;
        self.heard = now;
        self.stats.asked += 1;
        true
    }

    /// The next entries that may go out, in order; none while the other side has not said where to go on, or when a
    /// window is under way. They count as sent. Moves the cursor behind what was confirmed.
    ///
    /// # Errors
    /// When the log cannot be read there, or the cursor is gone.
    pub fn poll_entries<S: Storage>(
        &mut self,
        now: Instant,
        queue: &mut Queue<S>,
    ) -> Result<Vec<Forwarded>, CursorError> {
        let mut entries = Vec::new();
        if self.confirmed() > self.kept {
            queue.advance_cursor(self.cursor, self.confirmed())?;
            self.kept = self.confirmed();
        }
        if self.state != State::Sending {
            return Ok(entries);
        }
        if self.flight.is_empty() {
            self.heard = now;
        }
        while self.may_send() {
            match queue.next_durable(self.cursor, self.next) {
                Ok(Some(Entry::Message(message))) => self.enter(Forwarded::Message(message), &mut entries),
                Ok(Some(Entry::Gap(gap))) => {
                    self.push_event(MirrorEvent::Missed(gap));
                    self.enter(Forwarded::Gap(GapNotice::of(gap, queue.dropped())), &mut entries);
                }
                Err(error) if entries.is_empty() => return Err(error),
                Err(_) | Ok(None) => break,
            }
        }
        Ok(entries)
    }

    /// Where the other side says that the log in `queue` goes on.
    fn handle_resume<S: Storage>(&mut self, now: Instant, queue: &mut Queue<S>, point: ResumePoint) {
        if self.state != State::Asking {
            return;
        }
        let durable = queue.durable();
        // What the log still holds of it is sent again, but not what was acknowledged for good.
        let settled = self.settling.settled();
        let (from, has) = match point {
            ResumePoint::From(offset) => (offset, Some(offset)),
            ResumePoint::Replay(offset) => (settled.min(offset), Some(offset)),
            ResumePoint::Unknown | ResumePoint::Blind => (settled, None),
        };
        if let Some(reached) = self.reached.filter(|&reached| has > Some(reached)) {
            return self.halt(MirrorEvent::Fenced(reached));
        }
        if has > Some(durable) {
            return self.halt(MirrorEvent::Ahead(durable));
        }
        let is_told = !matches!(point, ResumePoint::Blind | ResumePoint::Replay(_));
        if from < self.acknowledged && is_told {
            self.push_event(MirrorEvent::Forgotten(from, self.acknowledged));
        }
        self.reached = has.map(|has| has.max(self.reached.unwrap_or(has)));
        self.flight.clear();
        if from > self.acknowledged {
            // It took some of what was in doubt: it works, if with pauses.
            self.failures = 0;
        }
        (self.acknowledged, self.needed, self.next) = (from, from, from);
        if from < self.kept && queue.seek_cursor(self.cursor, Seek::Offset(from)).is_ok() {
            // From now on that is needed again, as far as it is still stored. In a queue that takes no changes, nothing
            // goes anyway.
            self.kept = from;
        }
        self.settling.go_back(from);
        if core::mem::take(&mut self.in_doubt) {
            self.settling.begin_anew();
        }
        self.settling.handle_timeout(now, from);
        self.heard = now;
        self.state = State::Sending;
        self.push_event(MirrorEvent::Resumed(from));
    }

    /// Everything before `until` is stored at the other side.
    pub fn handle_acknowledged(&mut self, now: Instant, until: Offset) {
        self.handle_processed(now, until, until);
    }

    /// What a [`Stage`](crate::stage::Stage) made of everything before `until` is stored at the other side; of that, it
    /// needs again what is at or behind `needed`.
    fn handle_processed(&mut self, now: Instant, until: Offset, needed: Offset) {
        if self.state != State::Sending || (until <= self.acknowledged && needed <= self.needed) {
            return;
        }
        if until > self.next {
            self.push_event(MirrorEvent::Nonsense(until));
            return self.handle_failure(now);
        }
        let count = self.flight.pop_before(until);
        self.note_progress(now, until.max(self.acknowledged), needed.max(self.needed), count);
    }

    /// The entry at `position` has arrived at the receiver behind a sink that cannot be asked; see
    /// [`Forwarded::place`] for those that have no position.
    pub fn handle_received(&mut self, now: Instant, position: &Position) {
        if self.state != State::Sending {
            return;
        }
        if let Some((until, count)) = self.flight.receive(self.feed, position) {
            self.note_progress(now, until, until, count);
        }
    }

    /// The other side took nothing since its last acknowledgement, because something came in between. It is asked again
    /// at once, and less is under way for a while.
    pub fn handle_refused(&mut self, now: Instant) {
        if self.state != State::Sending {
            return;
        }
        self.stats.refused += 1;
        self.flight.clear();
        self.limit = (self.limit / 2).max(1);
        self.grown = 0;
        self.state = State::Resting(now);
    }

    /// The place before which everything is at the other side, for good. The cursor goes there.
    pub fn confirmed(&self) -> Offset {
        self.settling.settled()
    }

    /// The place before which everything was acknowledged by the other side.
    pub fn acknowledged(&self) -> Offset {
        self.acknowledged
    }

    /// The log that is forwarded.
    pub fn feed(&self) -> Epoch {
        self.feed
    }

    /// Whether the mirror does nothing any more, as the last event said.
    pub fn is_halted(&self) -> bool {
        self.state == State::Halted
    }

    /// What the mirror did so far.
    pub fn stats(&self) -> MirrorStats {
        MirrorStats { under_way: self.flight.len() as u64, ..self.stats }
    }

    /// The place where sending goes on, if something durable there could be sent at once.
    #[cfg(feature = "std")]
    pub(crate) fn awaits(&self) -> Option<Offset> {
        (self.state == State::Sending && self.may_send()).then_some(self.next)
    }

    /// Whether it is not in use of a connection, and asks when it is time.
    #[cfg(feature = "std")]
    pub(crate) fn is_resting(&self) -> bool {
        matches!(self.state, State::Resting(_))
    }

    fn may_send(&self) -> bool {
        self.flight.len() < self.limit && self.flight.octets() < self.config.window_octet_count()
    }

    fn enter(&mut self, entry: Forwarded, entries: &mut Vec<Forwarded>) {
        let end = entry.end();
        let (position, octets) = match &entry {
            Forwarded::Message(message) => (message.position, message.payload.len()),
            Forwarded::Gap(notice) => (None, notice.claim.len() + notice.signature.len()),
        };
        self.flight.push(end, position, octets);
        self.next = end;
        self.reached = self.reached.map(|reached| reached.max(end));
        self.stats.sent += 1;
        self.stats.octets += octets as u64;
        // A run of single gaps of one cause travels as one.
        match (entries.last_mut(), &entry) {
            (Some(Forwarded::Gap(last)), Forwarded::Gap(next))
                if last.gap.until == next.gap.from && last.gap.cause == next.gap.cause && last.claim == next.claim =>
            {
                last.gap.until = next.gap.until;
            }
            _ => entries.push(entry),
        }
    }

    fn note_progress(&mut self, now: Instant, until: Offset, needed: Offset, count: usize) {
        (self.acknowledged, self.needed) = (until, needed);
        self.settling.handle_timeout(now, needed);
        self.heard = now;
        self.failures = 0;
        self.stats.acknowledged += count as u64;
        self.grown += count;
        if self.grown >= self.limit {
            self.limit = self.limit.saturating_mul(2).min(self.config.window_messages());
            self.grown = 0;
        }
    }

    fn halt(&mut self, event: MirrorEvent) {
        self.flight.clear();
        self.state = State::Halted;
        self.push_event(event);
    }

    fn push_event(&mut self, event: MirrorEvent) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_back();
        }
        self.events.push_back(event);
    }

    /// When it has been silent for too long at the other side.
    fn silence_ends(&self) -> Option<Instant> {
        let waits = match self.state {
            State::Asking => true,
            State::Sending => !self.flight.is_empty(),
            State::Resting(_) | State::Halted => false,
        };
        waits.then(|| self.heard.saturating_add(self.config.answer_time()))
    }
}

/// Why a mirror could not go on for the time being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError<E> {
    /// The other side cannot be reached.
    #[error("the sink of the mirror failed")]
    Sink(#[source] E),
    /// The log cannot be read, or the cursor is gone.
    #[error("the queue that is mirrored cannot be read")]
    Source(#[source] CursorError),
}
