//! What is made of a log between a mirror's cursor and its sink: filtered, mapped, aggregated in windows of time.
//!
//! A [`Stage`] is a [`Sink`] in front of another: the mirror forwards into it, and what it makes goes on, to another
//! queue, a broker, or whatever can be asked where it stands. What it makes is a new log, under an [`Epoch`] of its
//! own, which the log's and the stage's name give, with the mirror's keeper as its source.
//!
//! A thermometer that is read each second leaves as means of a minute:
//!
//! ```
//! use core::time::Duration;
//! use iot_core::{DeviceId, Instant, Timestamp};
//! use iot_queue::mirror::{Mirror, MirrorConfig};
//! use iot_queue::sink::{Intake, QueueSink};
//! use iot_queue::stage::{Aggregate, Span, Stage, Windows};
//! use iot_queue::{Entry, GapCause, MaxLag, MemoryStorage, Message, Offset, Queue, QueueConfig, Seek, Stored};
//!
//! /// Readings are a time in seconds and a number of tenths of a degree, 8 octets each.
//! struct Means;
//!
//! fn number(octets: &[u8], at: usize) -> Option<u64> {
//!     Some(u64::from_be_bytes(octets.get(at..at + 8)?.try_into().ok()?))
//! }
//!
//! impl Aggregate for Means {
//!     type Sum = (u64, u64);
//!
//!     fn key(&self, reading: &Stored) -> Option<Vec<u8>> {
//!         // One window for each thermometer; what is no reading is left out.
//!         number(&reading.payload, 8).map(|_| reading.key.clone().unwrap_or_default())
//!     }
//!     fn time(&self, reading: &Stored) -> Option<Timestamp> {
//!         number(&reading.payload, 0).map(Timestamp::from_secs)
//!     }
//!     fn begin(&self) -> (u64, u64) {
//!         (0, 0)
//!     }
//!     fn add(&self, (sum, count): &mut (u64, u64), reading: &Stored) {
//!         *sum += number(&reading.payload, 8).unwrap_or(0);
//!         *count += 1;
//!     }
//!     fn finish(&self, span: &Span, (sum, count): (u64, u64)) -> Option<Vec<u8>> {
//!         Some(format!("{} {} {count}", span.start.as_secs(), sum / count).into_bytes())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let config = QueueConfig::default().segment_len(256 << 10)?.segments(4)?;
//! # let (mut gateway, mut centre) =
//! #     (Queue::open(MemoryStorage::new(), config, [1; 8])?, Queue::open(MemoryStorage::new(), config, [2; 8])?);
//! let cursor = gateway.open_cursor("minutes", Seek::Oldest, MaxLag::UNLIMITED)?;
//! for second in 0..=120_u64 {
//!     let reading = [second.to_be_bytes(), (200 + second / 60).to_be_bytes()].concat();
//!     gateway.append(&Message::new(&reading))?;
//! }
//!
//! let mut intake = Intake::new(16);
//! let sink = QueueSink::new(&mut centre, &mut intake, DeviceId::from_bytes([7; 32]));
//! let mut minutes = Stage::new("minutes", Windows::new(Means, Duration::from_secs(60))?, sink);
//! let mut mirror = Mirror::new(MirrorConfig::default(), &gateway, cursor, 1)?;
//! mirror.drive(Instant::START, &mut gateway, &mut minutes)?;
//!
//! // Two minutes are over. In between, what was left out is accounted for.
//! let entries = centre.entries_from(Offset::START).collect::<Result<Vec<_>, _>>()?;
//! let (mut means, mut left_out) = (Vec::new(), 0);
//! for entry in entries {
//!     let Entry::Message(message) = entry else { continue };
//!     match message.gap_notice() {
//!         Some(notice) => {
//!             assert_eq!(notice.gap.cause, GapCause::Filtered);
//!             left_out += notice.gap.until.number() - notice.gap.from.number();
//!         }
//!         None => means.push(String::from_utf8(message.payload)?),
//!     }
//! }
//! assert_eq!(means, ["0 200 60", "60 201 60"]);
//! // Each reading has two places in what is made of it; two means are in two of them.
//! assert_eq!(left_out, 2 * 120);
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - *Exactly once in effect.* The place of a result follows from the place in the log of the message that gave it, and
//!   results come in the order of the log. After whatever happened the other side says what it has: the stage is sent
//!   again what its open windows began with, makes the same of it, and sends what is behind. The mirror's cursor stays
//!   there until then.
//! - *Everything is accounted for.* Between the results gaps say what was left out, with the cause
//!   [`Filtered`](GapCause::Filtered); gaps of the log go on with their own cause and their claim. Behind the last
//!   result that happens every 4096 places.
//! - *The same log gives the same results*, whatever the clock: windows close by the times of messages and by the
//!   places of the log. What the log lost before it was aggregated is lost to its window: the gap tells.
//!
//! A stage that is to make something else of the same log gets another name. One stage is in front of a sink, and that
//! can be asked: blind ones are refused.
//!
//! # Windows
//!
//! | a message | what becomes of it |
//! |---|---|
//! | its time is in the window that is open for its key | it is added |
//! | its time is later | the window is closed and gives its result; another one is opened |
//! | its time is earlier: it is late | it is left out, or added to the open window: [`Misfit`] |
//! | its time is unknown | the same; without an open window it is left out |
//! | it has no key | it is left out |
//!
//! One clock that runs ahead spoils the windows of its own key only. A key of which nothing was heard for
//! [`idle_after`](Windows::idle_after) places of the log gets its result then, and is forgotten: what comes later for
//! the same window is a window of its own. At places that are multiples of [`at_most`](Windows::at_most) windows are
//! split, too, so that a clock that stands still does not hold the log for ever. A result that came so says it:
//! [`Closed`]. In a log in which nothing is appended nothing closes.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use crate::gap::GapNotice;
use crate::message::Stored;
use crate::offset::{Epoch, Gap, GapCause, Offset};
use crate::sink::{Answer, Forwarded, ResumePoint, Sink};

mod simple;
mod windows;

pub use self::simple::{Filter, FilterMap};
pub use self::windows::{Aggregate, Closed, Misfit, Span, Windows, WindowsError};

/// Places of the log that may be left out before that is told.
const LONGEST_SILENCE: u64 = 4096;

/// What a stage does with messages. Of the same messages it makes the same, in the same places, and what it makes at a
/// place follows from the messages at or behind [`needed`](Self::needed), as it was before that place. What remembers
/// nothing has only [`take`](Self::take) to say.
pub trait Transform {
    /// How many results there may be for each place of the log.
    const RESULTS: u64;

    /// Takes the next message, and gives what it makes of it: less than [`RESULTS`](Self::RESULTS) with each,
    /// ascending.
    fn take(&mut self, message: Stored) -> Vec<(u64, Stored)>;

    /// The log has no message from the first place up to the second: gives what comes of that, each at one of them.
    fn pass(&mut self, _from: Offset, _until: Offset) -> Vec<(Offset, Stored)> {
        Vec::new()
    }

    /// The first place whose message it needs again to go on where it is, if it needs any.
    fn needed(&self) -> Option<Offset> {
        None
    }

    /// Forgets everything that it was given.
    fn reset(&mut self) {}
}

/// A [`Sink`] in front of another; see [the module](self).
#[derive(Debug)]
pub struct Stage<K, T> {
    name: String,
    transform: T,
    sink: K,
    /// Where what it makes goes on, in places of its own; nothing before the other side has said so or it was sent
    /// something.
    next: Option<u64>,
    /// The end of the last entry that it took.
    taken: Offset,
    /// What was sent on and not acknowledged.
    sent: VecDeque<Mark>,
    answers: VecDeque<Answer>,
}

/// Results up to a place of their own stand for entries up to `until`, of which `needed` is where it would begin again.
#[derive(Clone, Copy, Debug)]
struct Mark {
    end: u64,
    until: Offset,
    needed: Offset,
}

impl<K: Sink, T: Transform> Stage<K, T> {
    /// Puts `transform` in front of `sink`. Its `name` tells what it makes from what others make of the same log.
    pub fn new(name: &str, transform: T, sink: K) -> Self {
        let (sent, answers) = (VecDeque::new(), VecDeque::new());
        Self { name: name.into(), transform, sink, next: None, taken: Offset::START, sent, answers }
    }

    /// The sink behind it.
    pub fn sink_mut(&mut self) -> &mut K {
        &mut self.sink
    }

    /// What it does with messages.
    pub fn transform(&self) -> &T {
        &self.transform
    }

    /// The log that it makes of the log `feed`.
    pub fn results_of(&self, feed: Epoch) -> Epoch {
        // FNV-1a.
        let mix = |hash: u64, &octet: &u8| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
        let hash = feed.as_bytes().iter().chain(self.name.as_bytes()).fold(0xcbf2_9ce4_8422_2325, mix);
        Epoch::from_bytes(hash.to_be_bytes())
    }

    fn needed(&self) -> Offset {
        let told = self.next.map_or(self.taken, |next| Offset::new(next / T::RESULTS));
        self.transform.needed().map_or(told, |needed| needed.min(told)).min(self.taken)
    }

    fn take(&mut self, entry: &Forwarded, results: &mut Vec<Forwarded>) {
        let (from, until) = (entry.start(), entry.end());
        let begin = from.number().saturating_mul(T::RESULTS);
        let next = self.next.unwrap_or(begin);
        self.next = Some(next);
        if next < begin && self.taken == Offset::START {
            // The other side lost what was let go of here.
            self.tell(begin, &GapNotice::unsigned(gap_of(next, begin, GapCause::Expired)), results);
        }
        match entry {
            Forwarded::Message(message) => {
                for (index, result) in self.transform.take(message.clone()) {
                    self.enter(begin.saturating_add(index), result, GapCause::Filtered, results);
                }
            }
            Forwarded::Gap(notice) => {
                let left_out = GapNotice::unsigned(gap_of(0, 0, GapCause::Filtered));
                self.tell(begin, &left_out, results);
                for (offset, result) in self.transform.pass(from, until) {
                    let place = offset.number().saturating_mul(T::RESULTS);
                    self.tell(place, notice, results);
                    self.enter(place, result, notice.gap.cause, results);
                }
                self.tell(until.number().saturating_mul(T::RESULTS), notice, results);
            }
        }
        self.taken = until;
        let end = until.number().saturating_mul(T::RESULTS);
        if self.next.is_some_and(|next| end.saturating_sub(next) >= LONGEST_SILENCE * T::RESULTS) {
            self.tell(end, &GapNotice::unsigned(gap_of(0, 0, GapCause::Filtered)), results);
        }
    }

    /// A result at a place of its own, unless the other side has that; what is before it was left out.
    fn enter(&mut self, place: u64, result: Stored, cause: GapCause, results: &mut Vec<Forwarded>) {
        if self.next.is_some_and(|next| next > place) {
            return;
        }
        self.tell(place, &GapNotice::unsigned(gap_of(0, 0, cause)), results);
        results.push(Forwarded::Message(Stored { offset: Offset::new(place), ..result }));
        self.next = Some(place.saturating_add(1));
    }

    /// Nothing comes up to this place of its own, as `notice` says.
    fn tell(&mut self, until: u64, notice: &GapNotice, results: &mut Vec<Forwarded>) {
        let Some(next) = self.next.filter(|&next| next < until) else { return };
        let gap = gap_of(next, until, notice.gap.cause);
        results.push(Forwarded::Gap(GapNotice { gap, ..notice.clone() }));
        self.next = Some(until);
    }

    fn say_processed(&mut self) {
        let answer = Answer::Processed { until: self.taken, needed: self.needed() };
        match self.answers.back_mut() {
            Some(last @ Answer::Processed { .. }) => *last = answer,
            _ => self.answers.push_back(answer),
        }
    }
}

impl<K: Sink<Error: 'static>, T: Transform> Sink for Stage<K, T> {
    type Error = StageError<K::Error>;

    fn ask(&mut self, feed: Epoch) -> Result<(), Self::Error> {
        self.transform.reset();
        self.answers.clear();
        self.sent.clear();
        (self.next, self.taken) = (None, Offset::START);
        let results = self.results_of(feed);
        self.sink.ask(results).map_err(StageError::Sink)
    }

    fn send(&mut self, entries: &[Forwarded]) -> Result<(), Self::Error> {
        let mut results = Vec::new();
        entries.iter().for_each(|entry| self.take(entry, &mut results));
        if let Some(last) = results.last() {
            self.sent.push_back(Mark { end: last.end().number(), until: self.taken, needed: self.needed() });
            self.sink.send(&results).map_err(StageError::Sink)
        } else {
            if self.sent.is_empty() {
                self.say_processed();
            }
            Ok(())
        }
    }

    fn poll_answer(&mut self) -> Result<Option<Answer>, Self::Error> {
        while self.answers.is_empty() {
            let Some(answer) = self.sink.poll_answer().map_err(StageError::Sink)? else { return Ok(None) };
            match answer {
                Answer::Resume(ResumePoint::From(next)) => {
                    self.next = Some(next.number());
                    let place = Offset::new(next.number().div_ceil(T::RESULTS));
                    self.answers.push_back(Answer::Resume(ResumePoint::Replay(place)));
                }
                Answer::Resume(ResumePoint::Unknown) => {
                    self.answers.push_back(Answer::Resume(ResumePoint::Unknown));
                }
                Answer::Refused => self.answers.push_back(Answer::Refused),
                Answer::Acknowledged(until) => {
                    let count = self.sent.partition_point(|mark| mark.end <= until.number());
                    let last = self.sent.drain(..count).next_back();
                    if self.sent.is_empty() {
                        self.say_processed();
                    } else if let Some(Mark { until, needed, .. }) = last {
                        self.answers.push_back(Answer::Processed { until, needed });
                    }
                }
                Answer::Resume(ResumePoint::Blind | ResumePoint::Replay(_))
                | Answer::Received(_)
                | Answer::Processed { .. } => return Err(StageError::Unsuitable),
            }
        }
        Ok(self.answers.pop_front())
    }
}

fn gap_of(from: u64, until: u64, cause: GapCause) -> Gap {
    Gap { from: Offset::new(from), until: Offset::new(until), cause }
}

/// Why a stage cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StageError<E> {
    /// The sink behind it failed.
    #[error("the sink behind the stage failed")]
    Sink(#[source] E),
    /// The sink behind it cannot say what it has, or is a stage itself; the caller takes another one.
    #[error("the sink behind the stage cannot say what it has")]
    Unsuitable,
}
