//! Messages that come again: at a start, every so often, so many times, and not later than an end.
//!
//! An [`Occurrence`] is one time of a [`Schedule`], with what is to be done then; it travels as the payload of a delayed
//! [`Message`](crate::Message). Whoever handles one appends the [next](Occurrence::next), and acknowledges this one when
//! that is durable. Its [identifier](Occurrence::id) follows from the name of the schedule and how many came before it,
//! whenever they were handled, so that a queue which [remembers identifiers](crate::QueueConfig::deduplicate_ids) refuses
//! what somebody appends again after a crash in between. It has to remember as many as are appended in the meantime.
//!
//! ```
//! use core::time::Duration;
//! use iot_core::{Instant, Timestamp};
//! use iot_queue::schedule::{Occurrence, Schedule};
//! use iot_queue::{AppendError, MemoryStorage, Message, Queue, QueueConfig};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let config = QueueConfig::default().segment_len(256 << 10)?.segments(4)?;
//! let mut queue = Queue::open(MemoryStorage::new(), config.deduplicate_ids(1000)?, [7; 8])?;
//! let (now, wall) = (Instant::START, Timestamp::from_secs(1_767_225_600));
//!
//! let schedule = Schedule::at(wall).every(Duration::from_secs(60))?.times(5)?;
//! // The name is drawn at random.
//! let first = Occurrence::first([3; 8], schedule, b"look at boiler 12".to_vec());
//! queue.append(&Message::new(&first.to_vec()).id(first.id()).delay(first.wait(wall)))?;
//!
//! for leased in queue.reserve(now, Duration::from_secs(30), 1)? {
//!     let occurrence = Occurrence::read(&leased.payload)?;
//!     assert_eq!(occurrence.payload(), b"look at boiler 12");
//!     if let Some(next) = occurrence.next(wall) {
//!         let wait = next.wait(wall);
//!         assert_eq!(wait, Duration::from_secs(60));
//!         match queue.append(&Message::new(&next.to_vec()).id(next.id()).delay(wait)) {
//!             // Somebody came as far before, and was killed.
//!             Ok(_) | Err(AppendError::Duplicate { .. }) => {}
//!             Err(error) => return Err(error.into()),
//!         }
//!         // Under `Durability::Manual` the next one is durable from here on; otherwise it is so already.
//!         queue.commit()?;
//!     }
//!     queue.ack(leased.lease)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Delays count the time that the queue's owner is powered on, unless it is [told](crate::Queue::tell_wall_clock) the time
//! of day. The octets of an occurrence are defined in `docs/formats/schedule.md`.

use alloc::vec::Vec;
use core::time::Duration;

use iot_codec::cbor::{self, DecodeError, Limits};
use iot_codec::record;
use iot_core::Timestamp;

use crate::error::ConfigError;
use crate::message::MessageId;

/// When something is to be done: once, if nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    start: Timestamp,
    every: Option<Duration>,
    times: Option<u64>,
    until: Option<Timestamp>,
}

impl Schedule {
    /// Once, at this time; at once if it has passed.
    pub const fn at(start: Timestamp) -> Self {
        Self { start, every: None, times: None, until: None }
    }

    /// The same, from another start on.
    #[must_use]
    pub const fn start(self, start: Timestamp) -> Self {
        Self { start, ..self }
    }

    /// Again and again, so long from one to the next, counted from the start: what is late does not make the next one
    /// late. Times that pass while nobody looks are left out. In microseconds, from 1; what is finer is cut off.
    ///
    /// # Errors
    /// When it is shorter than a microsecond, or longer than `u64::MAX` of them.
    pub fn every(self, interval: Duration) -> Result<Self, ConfigError> {
        let micros = u64::try_from(interval.as_micros()).unwrap_or(0);
        in_range("every", micros)?;
        Ok(Self { every: Some(Duration::from_micros(micros)), ..self })
    }

    /// How often it is done, from 1, those that were left out not counted. By default without limit.
    ///
    /// # Errors
    /// When the count is 0.
    pub fn times(self, count: u64) -> Result<Self, ConfigError> {
        in_range("times", count)?;
        Ok(Self { times: Some(count), ..self })
    }

    /// When it is due for the last time, this moment included. By default never. The first time is done in any case.
    #[must_use]
    pub const fn until(self, end: Timestamp) -> Self {
        Self { until: Some(end), ..self }
    }
}

fn in_range(setting: &'static str, value: u64) -> Result<(), ConfigError> {
    let (least, most) = (1, u64::MAX);
    if value < least { Err(ConfigError::OutOfRange { setting, value, least, most }) } else { Ok(()) }
}

/// One time of a [`Schedule`], and what is to be done then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    name: [u8; Self::NAME_LEN],
    /// How many intervals it lies behind the start.
    number: u64,
    /// How many came before it, those that were left out not counted.
    ordinal: u64,
    /// How many times are left is in it.
    schedule: Schedule,
    payload: Vec<u8>,
}

impl Occurrence {
    /// Octets of a name.
    pub const NAME_LEN: usize = 8;

    /// The first time of a schedule. The name is the caller's to draw at random, one for each schedule of a queue.
    pub const fn first(name: [u8; Self::NAME_LEN], schedule: Schedule, payload: Vec<u8>) -> Self {
        Self { name, number: 0, ordinal: 0, schedule, payload }
    }

    /// The time after this one; `None` if this was the last. It is `wall` by the time of day. When it is due depends on
    /// that, and its [identifier](Self::id) does not.
    #[must_use]
    pub fn next(&self, wall: Timestamp) -> Option<Self> {
        let every = self.schedule.every?.as_micros() as u64;
        let times = self.schedule.times.map(|left| left.saturating_sub(1)).filter(|&left| left > 0);
        if self.schedule.times.is_some() && times.is_none() {
            return None;
        }
        let passed = wall.as_micros().saturating_sub(self.schedule.start.as_micros()).div_ceil(every);
        let number = passed.max(self.number.checked_add(1)?);
        let ordinal = self.ordinal.checked_add(1)?;
        let due = self.schedule.start.as_micros().checked_add(every.checked_mul(number)?)?;
        if self.schedule.until.is_some_and(|until| until.as_micros() < due) {
            return None;
        }
        Some(Self { number, ordinal, schedule: Schedule { times, ..self.schedule }, ..self.clone() })
    }

    /// When this is to be done.
    pub fn due(&self) -> Timestamp {
        let every = self.schedule.every.map_or(0, |every| every.as_micros() as u64);
        let after = Duration::from_micros(every.saturating_mul(self.number));
        self.schedule.start.saturating_add(after)
    }

    /// How long its message is to be delayed when it is `wall` by the time of day.
    pub fn wait(&self, wall: Timestamp) -> Duration {
        self.due().saturating_since(wall)
    }

    /// The identifier of its message: the name, and how many came before it.
    pub fn id(&self) -> MessageId {
        let mut id = [0; MessageId::LEN];
        id[..Self::NAME_LEN].copy_from_slice(&self.name);
        id[Self::NAME_LEN..].copy_from_slice(&self.ordinal.to_be_bytes());
        MessageId::from_bytes(id)
    }

    /// What is to be done.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload of its message: up to 77 octets longer than what is to be done.
    pub fn to_vec(&self) -> Vec<u8> {
        let Self { name, number, ordinal, schedule: Schedule { start, every, times, until }, payload } = self;
        cbor::to_vec(&OccurrenceItem {
            name: *name,
            payload,
            start: start.as_micros(),
            number: *number,
            every: every.map(|every| every.as_micros() as u64),
            times: *times,
            until: until.map(Timestamp::as_micros),
            ordinal: *ordinal,
        })
    }

    /// Reads the payload of a message.
    ///
    /// # Errors
    /// When the message is no occurrence.
    pub fn read(octets: &[u8]) -> Result<Self, OccurrenceError> {
        let limits = Limits::default().bytes(u32::try_from(octets.len()).unwrap_or(u32::MAX)).items(64);
        let item: OccurrenceItem<'_> = cbor::from_slice_within(octets, &limits)?;
        let mut schedule = Schedule::at(Timestamp::from_micros(item.start));
        if let Some(every) = item.every {
            schedule = schedule.every(Duration::from_micros(every))?;
        }
        if let Some(times) = item.times {
            schedule = schedule.times(times)?;
        }
        schedule.until = item.until.map(Timestamp::from_micros);
        let OccurrenceItem { name, number, ordinal, .. } = item;
        Ok(Self { name, number, ordinal, schedule, payload: item.payload.into() })
    }
}

/// Why a message is no occurrence of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OccurrenceError {
    /// It is something else.
    #[error("the message is no occurrence of a schedule")]
    Malformed(#[from] DecodeError),
    /// Its schedule is not possible.
    #[error("the message has a schedule that is not possible")]
    Impossible(#[from] ConfigError),
}

record! {
    struct OccurrenceItem<'b> {
        1 => name: [u8; Occurrence::NAME_LEN],
        2 => payload: &'b [u8],
        3 => start: u64,
        4 => number: u64,
        5 => every: Option<u64>,
        6 => times: Option<u64>,
        7 => until: Option<u64>,
        8 => ordinal: u64,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use std::string::{String, ToString as _};

    use proptest::prelude::*;

    use super::*;
    use crate::config::QueueConfig;
    use crate::error::AppendError;
    use crate::message::Message;
    use crate::queue::Queue;
    use crate::storage::MemoryStorage;

    const START: Timestamp = Timestamp::from_secs(1_767_225_600);

    fn after(seconds: u64) -> Timestamp {
        START.saturating_add(Duration::from_secs(seconds))
    }

    fn minutely() -> Schedule {
        Schedule::at(START).every(Duration::from_secs(60)).unwrap()
    }

    /// When a schedule is due, in seconds behind the start, for who does each so many seconds late.
    fn due(schedule: Schedule, late: u64) -> Vec<u64> {
        let first = Occurrence::first([1; 8], schedule, Vec::new());
        let times =
            core::iter::successors(Some(first), |done| done.next(done.due().saturating_add(Duration::from_secs(late))));
        times.take(5).map(|time| time.due().saturating_since(START).as_secs()).collect()
    }

    #[test]
    fn comes_again_so_often_and_until_its_end() {
        assert_eq!(due(Schedule::at(START), 0), [0]);
        assert_eq!(due(Schedule::at(START).times(9).unwrap().until(after(9)), 0), [0]);
        assert_eq!(due(minutely(), 0), [0, 60, 120, 180, 240]);
        assert_eq!(due(minutely().times(3).unwrap(), 0), [0, 60, 120]);
        assert_eq!(due(minutely().times(1).unwrap(), 0), [0]);
        // At its very end it is still done.
        assert_eq!(due(minutely().until(after(120)), 0), [0, 60, 120]);
        assert_eq!(due(minutely().until(after(119)), 0), [0, 60]);
        assert_eq!(due(minutely().until(Timestamp::EPOCH), 0), [0]);
    }

    #[test]
    fn what_is_late_makes_nothing_late_and_leaves_out_what_has_passed() {
        assert_eq!(due(minutely(), 59), [0, 60, 120, 180, 240]);
        assert_eq!(due(minutely(), 60), [0, 60, 120, 180, 240]);
        assert_eq!(due(minutely(), 61), [0, 120, 240, 360, 480]);
        // Those that were left out are not counted.
        assert_eq!(due(minutely().times(3).unwrap(), 150), [0, 180, 360]);
        // A clock that was put back makes nothing come twice.
        let second = Occurrence::first([1; 8], minutely(), Vec::new()).next(START).unwrap();
        let third = second.next(Timestamp::EPOCH).unwrap();
        assert_eq!((third.due(), third.wait(after(100))), (after(120), Duration::from_secs(20)));
        assert_eq!(third.wait(after(121)), Duration::ZERO);
    }

    #[test]
    fn each_time_has_an_identifier_of_its_own() {
        let first = Occurrence::first([7; 8], minutely(), b"x".to_vec());
        let second = first.next(START).unwrap();
        let third = second.next(after(1000)).unwrap();
        assert_eq!(first.id().as_bytes()[..8], [7; 8]);
        assert_eq!(first.next(after(30)).unwrap(), second);
        assert_eq!([&first, &second, &third].map(|time| time.id().as_bytes()[15]), [0, 1, 2]);
    }

    /// A crash may lose an acknowledgement and keep what was appended before it. What is handled again then is handled at
    /// another time, and when its identifier followed from that time, the schedule went on twice from there.
    #[test]
    fn a_crash_before_the_acknowledgement_lasts_makes_no_second_schedule() {
        let config = QueueConfig::default().segment_len(256 << 10).unwrap().deduplicate_ids(10).unwrap();
        let mut queue = Queue::open(MemoryStorage::new(), config, [7; 8]).unwrap();
        let mut append = |it: &Occurrence| queue.append(&Message::new(&it.to_vec()).id(it.id()));
        let second = Occurrence::first([7; 8], minutely().times(4).unwrap(), Vec::new()).next(START).unwrap();
        append(&second).unwrap();
        let (third, again) = (second.next(after(61)).unwrap(), second.next(after(131)).unwrap());
        assert_eq!((third.due(), again.due()), (after(120), after(180)));
        append(&third).unwrap();
        assert!(matches!(append(&again), Err(AppendError::Duplicate { .. })));
        // The one after it counts on from the one that is there.
        assert_eq!(third.next(after(131)).unwrap().id(), again.next(after(131)).unwrap().id());
        append(&third.next(after(131)).unwrap()).unwrap();
        assert_eq!(queue.stats().depth, 3);
    }

    #[test]
    fn refuses_settings_that_are_not_possible() {
        let words = |result: Result<Schedule, ConfigError>| result.unwrap_err().to_string();
        assert_eq!(words(minutely().times(0)), "times of 0 is not between 1 and 18446744073709551615");
        assert!(minutely().every(Duration::from_nanos(999)).is_err());
        assert!(minutely().every(Duration::MAX).is_err());
        // What lies behind the end of all time does not come.
        let longest = Schedule::at(START).every(Duration::from_micros(u64::MAX)).unwrap();
        assert_eq!(Occurrence::first([1; 8], longest, Vec::new()).next(START), None);
    }

    fn whole() -> Occurrence {
        let schedule = minutely().times(5).unwrap().until(after(600));
        Occurrence::first(*b"schedule", schedule, b"look".to_vec()).next(START).unwrap()
    }

    fn vectors() -> Vec<(String, Vec<u8>)> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats/schedule.md");
        let page = std::fs::read_to_string(path).expect("the page is there");
        let section = page.split("## Vectors").nth(1).and_then(|text| text.split("```").nth(1)).expect("a block");
        let line = |line: &str| {
            let (name, digits) = line.split_once(' ').expect("two columns");
            let digits = digits.replace(' ', "");
            let pairs = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16));
            (name.into(), pairs.collect::<Result<_, _>>().expect("hexadecimal"))
        };
        section.lines().filter(|line| !line.is_empty()).map(line).collect()
    }

    #[test]
    fn occurrences_are_the_vectors_of_the_page() {
        let occurrences = [Occurrence::first([1; 8], Schedule::at(START), b"once".to_vec()), whole()];
        let vectors = vectors();
        assert_eq!(vectors.len(), occurrences.len());
        for ((name, octets), occurrence) in vectors.iter().zip(occurrences) {
            assert_eq!(occurrence.to_vec(), *octets, "{name}");
            assert_eq!(Occurrence::read(octets), Ok(occurrence), "{name}");
        }
    }

    #[test]
    fn refuses_what_is_cut_longer_or_not_possible() {
        let octets = whole().to_vec();
        for len in 0..octets.len() {
            assert!(Occurrence::read(&octets[..len]).is_err(), "{len}");
        }
        assert!(Occurrence::read(&[&octets[..], &[0]].concat()).is_err());
        let never = Occurrence { schedule: Schedule { times: Some(0), ..minutely() }, ..whole() };
        assert!(matches!(Occurrence::read(&never.to_vec()), Err(OccurrenceError::Impossible(_))));
        let longest = Some(Duration::from_micros(u64::MAX));
        let schedule =
            Schedule { start: Timestamp::MAX, every: longest, times: Some(u64::MAX), until: Some(Timestamp::MAX) };
        let longest =
            Occurrence { name: [9; 8], number: u64::MAX, ordinal: u64::MAX, schedule, payload: vec![0; 70_000] };
        assert_eq!(longest.to_vec().len(), longest.payload.len() + 77);
        assert_eq!(longest.next(START), None);
        assert_eq!(longest.due(), Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote_and_survives_what_it_did_not(
            (start, number, ordinal, payload) in (0..1_u64 << 50, 0..1_u64 << 20, 0..u64::MAX, any::<Vec<u8>>()),
            every in proptest::option::of(1..1_u64 << 40),
            times in proptest::option::of(1_u64..),
            until in proptest::option::of(0..1_u64 << 61),
            (flipped, wall) in (any::<usize>(), 0..1_u64 << 61),
        ) {
            let (start, until) = (Timestamp::from_micros(start), until.map(Timestamp::from_micros));
            let schedule = Schedule { start, every: every.map(Duration::from_micros), times, until };
            let occurrence = Occurrence { name: [5; 8], number, ordinal, schedule, payload };
            let mut octets = occurrence.to_vec();
            prop_assert_eq!(Occurrence::read(&octets), Ok(occurrence.clone()));
            let wall = Timestamp::from_micros(wall);
            if let Some(next) = occurrence.next(wall) {
                prop_assert!(next.due() >= wall.max(occurrence.due()) && next.number > number);
                prop_assert_eq!(next.ordinal, ordinal + 1);
                prop_assert!(until.is_none_or(|until| next.due() <= until));
            }
            let at = flipped % (8 * octets.len());
            octets[at / 8] ^= 1 << (at % 8);
            if let Ok(read) = Occurrence::read(&octets) {
                prop_assert_ne!(&read, &occurrence);
            }
        }
    }
}
