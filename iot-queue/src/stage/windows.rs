//! Aggregates of windows of time.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use iot_core::Timestamp;

use crate::message::{Lane, Stored};
use crate::offset::Offset;

use super::Transform;

/// What is aggregated, and how. Everything in it follows from its arguments: of the same messages come the same
/// results.
pub trait Aggregate {
    /// What is known of a window that is open.
    type Sum;

    /// Whose window a message belongs to; nothing leaves it out.
    fn key(&self, message: &Stored) -> Option<Vec<u8>>;

    /// The time of a message, if it is known: that of its source, for example.
    fn time(&self, message: &Stored) -> Option<Timestamp>;

    /// A window that is empty.
    fn begin(&self) -> Self::Sum;

    /// Adds a message.
    fn add(&self, sum: &mut Self::Sum, message: &Stored);

    /// What goes on of a window that is closed; nothing leaves it out.
    fn finish(&self, span: &Span, sum: Self::Sum) -> Option<Vec<u8>>;
}

/// Which window a result is of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// Whose.
    pub key: Vec<u8>,
    /// Its begin, a multiple of its length.
    pub start: Timestamp,
    /// How many messages were added.
    pub messages: u64,
    /// The place of the first in the log.
    pub first: Offset,
    /// The place of the last.
    pub last: Offset,
    /// Why it was closed.
    pub closed: Closed,
}

/// Why a window was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// A message came of a later one.
    Later,
    /// Nothing came of its key for long. Should more of it come, there is another result for the same time.
    Idle,
    /// It was split, because it has held the log for long. There is another result for the same time.
    Split,
}

/// What becomes of a message whose time is unknown, or before the window that is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misfit {
    /// It is left out, and [counted](Windows::misfits).
    #[default]
    LeftOut,
    /// It is added to the window that is open.
    Joins,
}

/// Aggregates messages of each key in windows of one length, one after the other; see [the module](super).
///
/// In memory is what is known of each key that was heard of within [`idle_after`](Self::idle_after) places.
pub struct Windows<A: Aggregate> {
    aggregate: A,
    /// Microseconds.
    length: u64,
    at_most: u64,
    idle_after: u64,
    late: Misfit,
    untimed: Misfit,
    misfits: u64,
    open: BTreeMap<Vec<u8>, Window<A::Sum>>,
    /// The keys by the place of the last message that was heard of them.
    heard: BTreeMap<u64, Vec<u8>>,
    /// The places that the open windows begin at.
    firsts: BTreeSet<u64>,
}

struct Window<S> {
    /// Its number, and that of the stretch of the log that it began in.
    number: u64,
    stretch: u64,
    first: u64,
    last: u64,
    /// The last place at which the key was heard of.
    heard: u64,
    messages: u64,
    sum: S,
}

impl<A: Aggregate> Windows<A> {
    /// Windows of this length, from a microsecond; they begin at its multiples.
    ///
    /// # Errors
    /// [`WindowsError::Length`].
    pub fn new(aggregate: A, length: Duration) -> Result<Self, WindowsError> {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        if micros == 0 {
            return Err(WindowsError::Length);
        }
        Ok(Self {
            aggregate,
            length: micros,
            at_most: 1 << 20,
            idle_after: 1 << 16,
            late: Misfit::LeftOut,
            untimed: Misfit::LeftOut,
            misfits: 0,
            open: BTreeMap::new(),
            heard: BTreeMap::new(),
            firsts: BTreeSet::new(),
        })
    }

    /// Splits windows at the places that are multiples of this, from 1, when the next message of their key comes. By
    /// default 1,048,576. The cursor holds up to twice as many places, and those of [`idle_after`](Self::idle_after).
    #[must_use]
    pub fn at_most(self, places: u64) -> Self {
        Self { at_most: places.max(1), ..self }
    }

    /// Closes the windows of keys of which nothing was heard for so many places, from 1. By default 65,536.
    #[must_use]
    pub fn idle_after(self, places: u64) -> Self {
        Self { idle_after: places.max(1), ..self }
    }

    /// What becomes of messages that are late. By default they are left out.
    #[must_use]
    pub fn late(self, misfit: Misfit) -> Self {
        Self { late: misfit, ..self }
    }

    /// What becomes of messages whose time is unknown. By default they are left out, and always where no window is
    /// open.
    #[must_use]
    pub fn untimed(self, misfit: Misfit) -> Self {
        Self { untimed: misfit, ..self }
    }

    /// How many messages were left out since this was made, because they were late or their time was unknown. What is
    /// taken again after a restart counts again.
    pub fn misfits(&self) -> u64 {
        self.misfits
    }

    /// Closes the window of a key, and gives its result.
    fn close(&mut self, key: Vec<u8>, closed: Closed) -> Option<Stored> {
        let window = self.open.remove(&key)?;
        self.heard.remove(&window.heard);
        self.firsts.remove(&window.first);
        let span = Span {
            start: Timestamp::from_micros(window.number.saturating_mul(self.length)),
            messages: window.messages,
            first: Offset::new(window.first),
            last: Offset::new(window.last),
            closed,
            key,
        };
        let payload = self.aggregate.finish(&span, window.sum)?;
        let key = Some(span.key).filter(|key| !key.is_empty() && key.len() <= LONGEST_KEY);
        Some(Stored { offset: Offset::START, position: None, key, lane: Lane::NORMAL, id: None, payload })
    }

    /// Closes the window of the key of which nothing was heard since so long before `place`, if there is one.
    fn close_idle(&mut self, place: u64) -> Option<Stored> {
        let key = self.heard.get(&place.checked_sub(self.idle_after)?)?.clone();
        self.close(key, Closed::Idle)
    }

    /// Adds a message at this place to the window of its key, which is open.
    fn add(&mut self, key: &[u8], place: u64, message: &Stored) {
        if let Some(window) = self.open.get_mut(key) {
            self.aggregate.add(&mut window.sum, message);
            window.messages += 1;
            window.last = place;
        }
    }

    /// Takes note that something was heard of a key at this place.
    fn hear(&mut self, key: &[u8], place: u64) {
        if let Some(window) = self.open.get_mut(key) {
            if let Some(key) = self.heard.remove(&window.heard) {
                self.heard.insert(place, key);
            }
            window.heard = place;
        }
    }

    /// Takes a message of this key, and gives the result of the window before, if it closes that.
    fn sort_in(&mut self, key: Vec<u8>, place: u64, message: &Stored) -> Option<Stored> {
        self.hear(&key, place);
        let stretch = place / self.at_most;
        let number = self.aggregate.time(message).map(|time| time.as_micros() / self.length);
        let open = self.open.get(&key).map(|window| (window.stretch, window.number));
        let is_split = open.is_some_and(|(begun, open)| begun < stretch && number.is_none_or(|number| number <= open));
        let misfit = match (number, open) {
            (None, _) if is_split => {
                self.misfits += 1;
                return self.close(key, Closed::Split);
            }
            (None, _) => self.untimed,
            (Some(number), Some((begun, open))) if begun == stretch && number < open => self.late,
            (Some(number), Some((begun, open))) if begun == stretch && number == open => Misfit::Joins,
            (Some(number), _) => {
                let result = self.close(key.clone(), if is_split { Closed::Split } else { Closed::Later });
                let sum = self.aggregate.begin();
                let window = Window { number, stretch, first: place, last: place, heard: place, messages: 0, sum };
                self.open.insert(key.clone(), window);
                self.heard.insert(place, key.clone());
                self.firsts.insert(place);
                self.add(&key, place, message);
                return result;
            }
        };
        if misfit == Misfit::Joins && open.is_some() {
            self.add(&key, place, message);
        } else {
            self.misfits += 1;
        }
        None
    }
}

/// Octets of the longest key of a message.
const LONGEST_KEY: usize = 255;

impl<A: Aggregate> Transform for Windows<A> {
    /// One for the key that has been idle so long, one for that of the message.
    const RESULTS: u64 = 2;

    fn take(&mut self, message: Stored) -> Vec<(u64, Stored)> {
        let place = message.offset.number();
        let idle = self.close_idle(place);
        let own = self.aggregate.key(&message).and_then(|key| self.sort_in(key, place, &message));
        idle.map(|result| (0, result)).into_iter().chain(own.map(|result| (1, result))).collect()
    }

    fn pass(&mut self, from: Offset, until: Offset) -> Vec<(Offset, Stored)> {
        let idle_after = self.idle_after;
        let heard = from.number().saturating_sub(idle_after)..until.number().saturating_sub(idle_after);
        let places: Vec<_> = self.heard.range(heard).map(|(&heard, _)| heard + idle_after).collect();
        places.into_iter().filter_map(|place| Some((Offset::new(place), self.close_idle(place)?))).collect()
    }

    fn needed(&self) -> Option<Offset> {
        self.firsts.first().copied().map(Offset::new)
    }

    fn reset(&mut self) {
        self.open.clear();
        self.heard.clear();
        self.firsts.clear();
    }
}

impl<A: Aggregate> fmt::Debug for Windows<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Windows")
            .field("length_us", &self.length)
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}

/// Why windows are not possible; the caller corrects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowsError {
    /// See [`Windows::new`].
    #[error("a window has to last for a microsecond at least")]
    Length,
}
