//! What the queue saves beside its messages, and how it finds that again.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use iot_core::Instant;

use super::clock::Clock;
use super::{Queue, duplicates};
use crate::checksum;
use crate::config::{Consumers, WhenFull};
use crate::error::OpenError;
use crate::format::control::{
    self, CHECKPOINT, CLOCK, CURSOR, CURSOR_GONE, CURSOR_PLACES, Checkpoint, ClockReading, ClockRecord, DROPPED,
    EXPIRED, Entry, IDENTIFIERS, LEASES, LONGEST_ENTRY, SOURCE,
};
use crate::format::cursor::{self, CursorPlace, CursorRecord};
use crate::format::metadata::Attributes;
use crate::format::record;
use crate::lease::{Lifetime, Saved, Traits};
#[cfg(feature = "std")]
use crate::log::Pending;
use crate::log::{Control, LogError, Lookup, Spare, Window};
use crate::message::Message;
use crate::storage::Storage;

/// How often the clock is saved for its own sake at the most.
pub(super) const SAVE_CLOCK_EVERY: Duration = Duration::from_secs(60);

/// The share of the budget that records of leases and of places of cursors may take: one part in so many.
const RECORDS_SHARE: u64 = 8;

impl<S: Storage> Queue<S> {
    /// Makes everything durable, and saves what changed.
    pub(super) fn commit_all(&mut self) -> Result<u64, LogError> {
        self.quota.retry();
        self.save_leases()?;
        self.save_cursors()?;
        self.trim_drops()?;
        let mut durable = self.log.commit()?;
        let mut front = self.log.front();
        // Without room, a cursor that has passed several segments is saved when it leaves each of them.
        while self.cursors.unsaved() > 0 && self.cursors.first_held() != self.cursors.first_needed() {
            self.save_cursors()?;
            durable = self.log.commit()?;
            if core::mem::replace(&mut front, self.log.front()).start == self.log.front().start {
                break;
            }
        }
        self.trim();
        Ok(durable)
    }

    /// Writes everything, and what changed, for a sync that somebody else does.
    #[cfg(feature = "std")]
    pub(super) fn begin_all(&mut self) -> Result<Option<Pending>, LogError> {
        self.quota.retry();
        self.save_leases()?;
        self.save_cursors()?;
        self.trim_drops()?;
        self.log.begin_commit()
    }

    /// Forgets what is no longer stored.
    pub(super) fn trim(&mut self) {
        let oldest = self.log.oldest();
        self.expiries.trim(oldest);
        if let Some((_, age)) = self.config.retention_choice().limits.filter(|&(_, age)| age < Duration::MAX) {
            self.log.keep_from(self.marks.older_than(age, self.clock.now()));
        }
        if self.config.consumers_choice() == Consumers::CursorsOnly {
            self.leases.forget_before(oldest);
        }
    }

    /// Saves the states of messages that changed, by one write: they outlive the process.
    pub(super) fn write_leases(&mut self) -> Result<(), LogError> {
        self.save_leases()?;
        self.log.write()
    }

    /// Lets the leases know the time, of the queue's own clock.
    pub(super) fn advance(&mut self, now: Instant) {
        self.leases.advance(now);
        self.retry_unread();
        self.cursors.advance_groups(now);
        self.expire_old(now);
        self.settle_expired();
        if self.cursors.any(|max_lag| max_lag.age.is_some()) {
            self.move_laggards();
        }
        if self.clock_due().is_some_and(|due| now >= due) {
            // Whatever keeps it from being written, it is tried again in a while; a failure of the storage shows then.
            if self.enter_clock().is_ok() {
                let _ = self.log.write();
            }
        }
    }

    /// When the clock is to be saved, if something depends on the time that passes while nothing is written. A crash costs
    /// a delay or a time to live up to a minute, and a limit of age up to a sixteenth of what this opening lasted: so a
    /// queue at rest for a year is not filled by what its clock showed.
    pub(super) fn clock_due(&self) -> Option<Instant> {
        let pause = if self.leases.is_timed() { Duration::ZERO } else { self.clock.saved_after() / 16 };
        let needed = self.leases.is_timed() || self.has_ages();
        needed.then(|| self.clock.saved_at().saturating_add(pause.max(SAVE_CLOCK_EVERY)))
    }

    /// Whether something is stored that gets too old.
    fn has_ages(&self) -> bool {
        let next = self.log.next();
        let is_kept = self.config.retention_choice().limits.is_some_and(|(_, age)| age < Duration::MAX);
        (self.config.age_limit().is_some() && self.log.unsettled() > 0)
            || (is_kept && self.log.begin() < next)
            || self.cursors.needed_by_age().any(|(number, _)| number < next)
    }

    /// Enters what the clock shows, and which message is next, so that later openings know how old the others are.
    pub(super) fn enter_clock(&mut self) -> Result<(), LogError> {
        let record = ClockRecord { number: self.log.next(), reading: self.clock.reading() };
        self.clock.save();
        self.log.enter_control(CLOCK, &record.encode())
    }

    /// When the next message is too old, or the first one that a cursor may stay behind.
    pub(super) fn next_outlived(&self) -> Option<Instant> {
        let waiting = self.log.next_unsettled(self.outlived).zip(self.config.age_limit());
        let behind = self.cursors.needed_by_age();
        let times = waiting.into_iter().chain(behind).filter_map(|(number, age)| self.marks.outlives_at(number, age));
        times.min()
    }

    /// Ends the time of messages that nobody acknowledged for as long as the configuration says.
    fn expire_old(&mut self, now: Instant) {
        let Some(age) = self.config.age_limit() else { return };
        let end = self.marks.older_than(age, now);
        if end <= self.outlived {
            return;
        }
        self.outlived = end;
        let mut from = self.log.oldest();
        while let Some(number) = self.log.next_unsettled(from).filter(|&number| number < end) {
            self.leases.outlive(number);
            from = number + 1;
        }
    }

    /// Says that messages expired, and then that nobody needs them: in this order, so that a crash in between brings them
    /// back instead of hiding them.
    pub(super) fn settle_expired(&mut self) {
        let mut numbers = self.leases.take_expired();
        if numbers.is_empty() {
            return;
        }
        numbers.sort_unstable();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some(last) if last.end == number => last.end += 1,
                _ => ranges.push(number..number + 1),
            }
        }
        let most = (self.log.longest_control() as usize - 8) / 16;
        for ranges in ranges.chunks(most) {
            // A full log may have no room for it. The count of expired messages, which checkpoints carry, is kept then.
            let _ = self.log.enter_control(EXPIRED, &control::encode_expired(self.clock.now(), ranges));
            for range in ranges {
                for number in range.clone() {
                    self.log.settle(number);
                }
                self.expiries.insert(range.clone());
            }
        }
        self.set_checkpoint();
    }

    /// Enters messages and, where repetitions count, one by one: so that whatever segment comes next begins with what was
    /// appended before it.
    pub(super) fn enter_noting(&mut self, messages: &[Message<'_>], now: Instant) -> Result<u64, LogError> {
        if !self.duplicates.is_on() {
            return self.log.enter_all(messages, now);
        }
        self.log.writable().map_err(LogError::ReadOnly)?;
        // All or none: what comes to stand by the first of them must leave room for the others.
        let (octets, count) = self.duplicates.growth(messages.len());
        if !self.log.has_room_beside(messages, octets, count) {
            self.log.commit()?;
            if !self.log.has_room_beside(messages, octets, count) {
                return Err(LogError::Full);
            }
        }
        let first = self.log.next();
        for message in messages {
            let number = self.log.enter_where_room_is(core::slice::from_ref(message), now)?;
            for standing in self.duplicates.note(number, message.position(), message.id) {
                self.set_standing(standing);
            }
            self.set_checkpoint();
        }
        Ok(first)
    }

    /// Lets the next segments begin with what is known now, leases apart.
    pub(super) fn set_checkpoint(&mut self) {
        // Of constant length, it finds no room only the first time, in a log that was full before there were any.
        let _ = self.log.set_standing(CHECKPOINT, 0, &self.checkpoint().encode());
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            number: self.log.next(),
            records: self.standing.crcs.len() as u32,
            sum: self.standing.sum,
            reading: self.clock.reading(),
            expired: self.expiries.total(),
        }
    }

    pub(super) fn set_standing(&mut self, (kind, key, payload): duplicates::Standing) {
        // What finds no room is remembered by this opening only, and tried again when it changes. Until then no checkpoint
        // is complete, and the last one that is counts.
        let _ = self.log.set_standing(kind, key, &payload);
        self.standing.note(kind, key, &payload);
    }

    /// Enters records of all states that changed. What finds no room waits for a later try.
    pub(super) fn save_leases(&mut self) -> Result<(), LogError> {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Guard::LeaseRecord) {
            self.leases.changed_mut().clear();
        }
        if self.leases.changed().is_empty() {
            return Ok(());
        }
        let budget = self.records_budget();
        while !self.leases.changed_mut().is_empty() && self.quota.allows(self.log.begin(), budget) {
            let (payload, last) = self.encode_leases(self.leases.changed());
            match self.log.enter_control(LEASES, &payload) {
                Ok(()) => self.quota.take(self.log.next(), payload.len() as u64),
                Err(LogError::Full) => {
                    self.quota.block(self.log.begin());
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            let changed = self.leases.changed_mut();
            *changed = changed.split_off(&(last + 1));
        }
        Ok(())
    }

    /// Octets that records of leases and of places of cursors may take.
    pub(super) fn records_budget(&self) -> u64 {
        self.budget() / RECORDS_SHARE
    }

    /// The payload of a record with the states of the first of these messages, and the last message in it.
    pub(super) fn encode_leases(&self, numbers: &BTreeSet<u64>) -> (Vec<u8>, u64) {
        let most = self.log.longest_control() as usize - LONGEST_ENTRY;
        let timed = |&number: &u64| self.leases.saved(number).is_some_and(|saved| saved.is_timed());
        let clock = numbers.iter().any(timed).then(|| self.clock.now());
        let mut payload = control::encode_leases(clock);
        let (mut open, mut last): (Option<Entry>, u64) = (None, 0);
        for &number in numbers {
            if payload.len() + LONGEST_ENTRY > most {
                break;
            }
            last = number;
            let Some(saved) = self.leases.saved(number) else { continue };
            match &mut open {
                Some(entry) if entry.takes(number, &saved) => entry.count += 1,
                _ => {
                    let former = open.replace(Entry { number, count: 1, saved });
                    former.into_iter().for_each(|entry| entry.encode(&mut payload));
                }
            }
        }
        open.into_iter().for_each(|entry| entry.encode(&mut payload));
        (payload, last)
    }

    /// Puts back what earlier openings saved.
    pub(super) fn restore(&mut self) -> Result<(), OpenError> {
        let consumers = self.config.consumers_choice();
        if consumers == Consumers::CursorsOnly {
            self.log.need_nothing();
        }
        let stored = self.log.first_stored()..self.log.next();
        let known = stored.start.min(self.log.oldest())..stored.end;
        let mut found = Recovered::read(self.log.take_recovered_controls(), known);
        self.restore_cursors(core::mem::take(&mut found.cursors).into_values(), stored);
        if let Some((octets, _)) = self.config.retention_choice().limits {
            self.log.keep_octets(octets);
        }
        self.restore_drops(&found.dropped);
        let drops = self.config.when_full_choice() == WhenFull::DropOldest;
        self.log.keep_spare(if drops { Spare::Kept } else { Spare::Used });
        let mut reading = found.reading;
        let mut window = Window::default();
        let (mut with_traits, mut untold) = (Vec::new(), Vec::new());
        let oldest = self.log.oldest();
        for number in self.log.flagged(oldest, record::HAS_ITEMS) {
            match self.log.read(number, &mut window)? {
                Lookup::Message { attributes, .. } => {
                    reading = reading_at(reading, attributes.appended_at);
                    with_traits.push((number, traits_of(&attributes)));
                }
                Lookup::Unread(_) => untold.push(number),
                Lookup::Lost(_) | Lookup::Absent => {}
            }
        }
        self.clock = Clock::resume(reading);
        self.expiries.count_from(found.expired_before);
        for range in found.expired {
            for number in range.clone() {
                self.log.settle(number);
            }
            self.expiries.insert(range);
        }
        self.expiries.trim(oldest);
        // The first message came after this clock began.
        let began = (oldest == 0).then_some((0, Instant::START)).filter(|_| found.marks.iter().all(|mark| mark.0 > 0));
        for (number, clock) in began.into_iter().chain(found.marks) {
            self.marks.restore(number, clock, oldest);
        }
        // What came later than the clock was saved came before this clock goes on.
        self.marks.open(self.log.next(), self.clock.now());
        self.restore_duplicates(found.checkpoint, &found.standing)?;
        if consumers == Consumers::CursorsOnly {
            self.log.traffic.recovered = self.depth();
            let states = core::mem::take(&mut found.states);
            for (number, traits) in &mut with_traits {
                *traits = traits.seen_by(consumers);
                if let Some(Lifetime::Until(end)) = states.get(number).map(|saved| saved.lifetime) {
                    traits.expires = Some(end);
                }
            }
            with_traits.retain(|&(number, traits)| traits != Traits::default() && !self.expiries.contains(number));
        }
        let mut states = found.states;
        let is_live = |number| consumers == Consumers::CursorsOnly || self.log.next_unsettled(number) == Some(number);
        for (number, traits) in with_traits.into_iter().filter(|&(number, _)| is_live(number)) {
            self.leases.restore(number, traits, states.remove(&number));
        }
        for (number, saved) in states.into_iter().filter(|&(number, _)| is_live(number)) {
            self.leases.restore(number, Traits::default(), Some(saved));
        }
        self.leases.resume(self.clock.now());
        for number in untold.into_iter().filter(|&number| is_live(number) && !self.expiries.contains(number)) {
            self.leases.set_aside_untold(number);
        }
        self.settle_expired();
        // Before anything else is: what it was written to earlier may be used again soon. Without room it waits.
        match self.log.enter_due_standing() {
            Ok(()) | Err(LogError::Full) => Ok(()),
            Err(LogError::Storage(error) | LogError::ReadOnly(error)) => Err(error.into()),
        }
    }

    /// Puts back what was appended before: what a segment began with, and the messages since.
    fn restore_duplicates(&mut self, since: u64, standing: &[Control]) -> Result<(), OpenError> {
        if self.duplicates.is_on() {
            standing.iter().for_each(|record| self.duplicates.restore(record.kind, &record.payload));
            self.duplicates.resume();
            let mut window = Window::default();
            for number in self.log.flagged(since, record::HAS_POSITION | record::HAS_ITEMS) {
                #[cfg(iot_fault)]
                if crate::fault::is_off(crate::fault::Guard::IdentifierWindow) {
                    break;
                }
                match self.log.read(number, &mut window)? {
                    Lookup::Message { position, attributes, .. } => {
                        drop(self.duplicates.note(number, position.as_ref(), attributes.id));
                    }
                    Lookup::Unread(_) => self.duplicates.note_later(number),
                    Lookup::Lost(_) | Lookup::Absent => {}
                }
            }
            self.duplicates.forgotten = 0;
        }
        // Room for these was found when they came to stand, even if a power cut has since taken what was left of a segment.
        for (kind, key, payload) in self.duplicates.standing() {
            self.log.stand(kind, key, &payload);
            self.standing.note(kind, key, &payload);
        }
        if since == 0 || !self.log.stand(CHECKPOINT, 0, &self.checkpoint().encode()) {
            self.set_checkpoint();
        }
        Ok(())
    }
}

/// What a message was given, as the leases know it.
pub(super) fn traits_of(attributes: &Attributes<'_>) -> Traits {
    let Attributes { key, lane, appended_at, delay, time_to_live, .. } = *attributes;
    Traits {
        lane,
        key: key.map(hash),
        not_before: if delay.is_zero() { Instant::START } else { appended_at.saturating_add(delay) },
        expires: time_to_live.map(|time_to_live| appended_at.saturating_add(time_to_live)),
    }
}

/// FNV-1a, 64 bits.
fn hash(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
}

/// The control records of a log, read in its order.
#[derive(Debug, Default)]
struct Recovered {
    stored: Range<u64>,
    states: BTreeMap<u64, Saved>,
    expired: Vec<Range<u64>>,
    /// How many messages had expired when the last checkpoint was set, and the records in `expired` since do not tell.
    expired_before: u64,
    reading: ClockReading,
    /// Numbers that the next message was to get, and the clock then.
    marks: Vec<(u64, Instant)>,
    /// The last complete checkpoint, and the records before it.
    checkpoint: u64,
    standing: Vec<Control>,
    cursors: BTreeMap<u32, CursorRecord>,
    /// The last record of what was dropped.
    dropped: Vec<u8>,
}

impl Recovered {
    /// What the records say of messages that are `stored`.
    fn read(controls: Vec<Control>, stored: Range<u64>) -> Self {
        let mut found = Self { stored, ..Self::default() };
        let mut standing = Vec::new();
        let mut total = 0;
        for control in controls {
            match control.kind {
                LEASES => found.take_leases(&control.payload),
                EXPIRED => {
                    if let Some((clock, ranges)) = control::decode_expired(&control.payload) {
                        found.reading = reading_at(found.reading, clock);
                        for range in ranges {
                            total = range.end.saturating_sub(range.start).saturating_add(total);
                            let within = range.start.max(found.stored.start)..range.end.min(found.stored.end);
                            found.expired.extend(Some(within).filter(|within| !within.is_empty()));
                        }
                    }
                }
                CLOCK => {
                    if let Some(ClockRecord { number, reading }) = ClockRecord::decode(&control.payload) {
                        found.take_reading(reading);
                        found.marks.push((number, reading.clock));
                    }
                }
                SOURCE | IDENTIFIERS => standing.push(control),
                DROPPED => found.dropped = control.payload,
                CURSOR | CURSOR_PLACES | CURSOR_GONE => found.take_cursors(&control),
                CHECKPOINT => {
                    let records = core::mem::take(&mut standing);
                    if let Some(checkpoint) = Checkpoint::decode(&control.payload) {
                        found.take_reading(checkpoint.reading);
                        found.marks.push((checkpoint.number, checkpoint.reading.clock));
                        total = checkpoint.expired.max(total);
                        let crcs = records.iter().map(|record| checksum::crc32c(0, &record.payload));
                        let sum = crcs.fold(0, u32::wrapping_add);
                        if (checkpoint.records as usize, checkpoint.sum) == (records.len(), sum) {
                            (found.checkpoint, found.standing) = (checkpoint.number, records);
                        }
                    }
                }
                _ => {}
            }
        }
        let listed: u64 = found.expired.iter().map(|range| range.end - range.start).sum();
        found.expired_before = total.saturating_sub(listed);
        found
    }

    fn take_leases(&mut self, payload: &[u8]) {
        let Some((clock, entries)) = control::decode_leases(payload) else { return };
        self.reading = clock.map_or(self.reading, |clock| reading_at(self.reading, clock));
        for Entry { number, count, saved } in entries {
            let end = number.saturating_add(count.into()).min(self.stored.end);
            for number in number.max(self.stored.start)..end {
                let rank = if count > 1 { crate::lease::Rank::of(number) } else { saved.rank };
                self.states.insert(number, Saved { rank, ..saved.clone() });
            }
        }
    }

    fn take_cursors(&mut self, control: &Control) {
        match control.kind {
            CURSOR => {
                if let Some(record) = CursorRecord::decode(&control.payload) {
                    self.cursors.insert(record.place.slot, record);
                }
            }
            CURSOR_PLACES => {
                for place in CursorPlace::decode_all(&control.payload) {
                    if let Some(record) = self.cursors.get_mut(&place.slot) {
                        record.place = place;
                    }
                }
            }
            _ => drop(cursor::decode_gone(&control.payload).map(|slot| self.cursors.remove(&slot))),
        }
    }

    fn take_reading(&mut self, reading: ClockReading) {
        let wall = if reading.wall == 0 { reading_at(self.reading, reading.clock).wall } else { reading.wall };
        let clock = self.reading.clock.max(reading.clock);
        self.reading = ClockReading { clock, wall };
    }
}

/// `reading`, gone on to `clock`.
fn reading_at(reading: ClockReading, clock: Instant) -> ClockReading {
    let passed = clock.saturating_since(reading.clock).as_micros() as u64;
    let wall = if reading.wall == 0 { 0 } else { reading.wall.saturating_add(passed) };
    ClockReading { clock: reading.clock.max(clock), wall }
}

/// How much of the log records of leases and of places of cursors take: they must not fill it when a message is tried
/// again and again, or a cursor goes back and forth.
#[derive(Clone, Debug, Default)]
pub(super) struct Quota {
    /// Octets by the number that the next message was to get then. They come back when the log begins behind it.
    taken: VecDeque<(u64, u64)>,
    octets: u64,
    /// Where the log began when there was no room.
    blocked: Option<u64>,
}

/// Steps in which octets come back, at the most.
const QUOTA_STEPS: usize = 64;

impl Quota {
    pub(super) fn allows(&mut self, oldest: u64, budget: u64) -> bool {
        while let Some(&(_, octets)) = self.taken.front().filter(|&&(number, _)| number < oldest) {
            self.taken.pop_front();
            self.octets -= octets;
        }
        self.blocked != Some(oldest) && self.octets < budget
    }

    pub(super) fn take(&mut self, number: u64, payload: u64) {
        let octets = payload + u64::from(record::HEADER_LEN);
        self.octets += octets;
        let is_full = self.taken.len() >= QUOTA_STEPS;
        match self.taken.back_mut() {
            Some(last) if is_full || last.0 == number => *last = (number, last.1 + octets),
            _ => self.taken.push_back((number, octets)),
        }
    }

    fn block(&mut self, oldest: u64) {
        self.blocked = Some(oldest);
    }

    fn retry(&mut self) {
        self.blocked = None;
    }
}

/// The records of what was appended before that each segment is to begin with: the CRC of each by its kind and key, and
/// all of them added up.
#[derive(Debug, Default)]
pub(super) struct Standing {
    crcs: BTreeMap<(u8, u64), u32>,
    sum: u32,
}

impl Standing {
    fn note(&mut self, kind: u8, key: u64, payload: &[u8]) {
        let crc = checksum::crc32c(0, payload);
        let former = self.crcs.insert((kind, key), crc).unwrap_or(0);
        self.sum = self.sum.wrapping_sub(former).wrapping_add(crc);
    }
}
