//! What a queue has promised so far, and what follows for what it may give.

use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use iot_core::{DeviceId, Incarnation, Position, StreamId};

use super::feature::{Feature, Terms};
use super::random::Random;
use super::violation::Violation;
use crate::format::record::{HEADER_LEN, MOVED, MOVED_LEN};
use crate::message::{Entry, Message};
use crate::offset::{Gap, GapCause, Offset};

/// Everything that was ever appended and may still be there, by its number.
#[derive(Debug, Default)]
pub(super) struct Model {
    slots: Vec<Slot>,
    /// Everything below is durable.
    pub(super) durable: u64,
    /// Counts payloads, so that no two are alike.
    serial: u64,
    /// How many places there ever were at a time.
    pub(super) longest: u64,
    pub(super) damage: Damage,
    /// A bit was flipped of a message that was moved: it may count again where it was before, and take the room there.
    pub(super) is_copy_hit: bool,
    /// Time since the program began, on a clock that never stops.
    pub(super) elapsed: Duration,
}

/// What the medium did to what it held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Damage {
    #[default]
    None,
    /// Single bits. Costs at most the message whose octets were hit, and acknowledgements; of one that was moved, perhaps the
    /// room that it had left.
    Bits,
    /// A whole sector. Costs what was in it.
    Sector,
}

#[derive(Debug)]
struct Slot {
    /// What may stand here: more than one after an append that failed. The last is the latest.
    candidates: Vec<Payload>,
    state: State,
    /// What was durable when it was appended, which its record says.
    mark: u64,
    /// A recovery met it where no sync is known to have covered it.
    uncertain: bool,
    /// Writing it failed in this session.
    in_doubt: bool,
    /// A bit of it was flipped.
    hit: bool,
    /// It is known to be lost.
    lost: bool,
    /// A recovery met it where a torn record may stand before it.
    found_unsynced: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody acknowledged it.
    Waiting,
    /// It was acknowledged since the last commit.
    Acknowledged,
    /// It was acknowledged, and then came a crash: the queue knows whether that lasted.
    PerhapsAcknowledged,
    /// It does not come again.
    Settled,
}

/// What was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) bytes: Vec<u8>,
    pub(super) position: Option<Position>,
    pub(super) terms: Terms,
    /// When it was drawn, and what its number is among all that were.
    drawn: Duration,
    serial: u64,
}

impl Payload {
    /// Octets that follow from `serial`, so that no part of one payload is a part of another. Some messages have a
    /// position, and some have none.
    fn new(serial: u64, len: usize, feature: Feature, drawn: Duration) -> Self {
        let mut random = Random::new(serial);
        let terms = Terms::of(feature, serial);
        // Where the test cannot foresee all of a record, it finds it by its payload.
        let len = if terms == (Terms { age_limit: terms.age_limit, ..Terms::default() }) { len } else { len.max(16) };
        let words = (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes());
        let (is_placed, feed) = match feature {
            Feature::Positions => (true, 0),
            Feature::Identifiers => (false, 0),
            _ => (serial.is_multiple_of(3), serial),
        };
        let position = is_placed.then(|| Position {
            source: DeviceId::from_bytes([feed as u8; 32]),
            stream: StreamId::new(feed as u32),
            incarnation: Incarnation::from_bytes(feed.to_le_bytes()),
            sequence: serial,
        });
        Self { bytes: words.take(len).collect(), position, terms, drawn, serial }
    }

    pub(super) fn message(&self) -> Message<'_> {
        let message = self.terms.apply(Message::new(&self.bytes));
        self.position.map_or(message, |position| message.at(position))
    }

    fn has_expired(&self, elapsed: Duration) -> bool {
        let ends = |time: Duration| self.drawn + time <= elapsed;
        self.terms.time_to_live.is_some_and(ends) || self.terms.age_limit.is_some_and(ends)
    }

    fn is(&self, payload: &[u8], position: Option<&Position>) -> bool {
        self.bytes == payload && self.position.as_ref() == position
    }

    /// The body of its record, as the format has it, as far as it is known; and how many octets stand before that.
    fn body(&self) -> (Vec<u8>, usize) {
        if self.terms != (Terms { age_limit: self.terms.age_limit, ..Terms::default() }) {
            return (self.bytes.clone(), self.terms.len(self.position));
        }
        let mut body = Vec::new();
        if let Some(position) = &self.position {
            body.extend(position.source.as_bytes());
            body.extend(position.stream.number().to_le_bytes());
            body.extend(position.incarnation.as_bytes());
            body.extend(position.sequence.to_le_bytes());
        }
        body.extend(&self.bytes);
        (body, 0)
    }
}

impl Slot {
    /// Whether nothing excuses that it does not come.
    fn is_due(&self, elapsed: Duration) -> bool {
        !self.lost && !self.has_expired(elapsed)
    }

    fn has_expired(&self, elapsed: Duration) -> bool {
        self.candidates.iter().any(|candidate| candidate.has_expired(elapsed))
    }
}

impl Model {
    pub(super) fn draw_payload(&mut self, len: usize, feature: Feature) -> Payload {
        self.serial += 1;
        Payload::new(self.serial, len, feature, self.elapsed)
    }

    /// How many places may hold something.
    pub(super) fn len(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Notes that a message was appended at `number`, or may have been.
    pub(super) fn appended(&mut self, number: u64, payload: Payload) {
        let mark = self.durable;
        self.longest = self.longest.max(number + 1);
        match self.slots.get_mut(number as usize) {
            Some(slot) => {
                slot.candidates.push(payload);
                slot.mark = mark;
            }
            None => self.slots.push(Slot {
                candidates: alloc::vec![payload],
                state: State::Waiting,
                mark,
                uncertain: false,
                in_doubt: false,
                hit: false,
                lost: false,
                found_unsynced: false,
            }),
        }
    }

    /// Everything below `durable` is durable, and so is every acknowledgement.
    pub(super) fn committed(&mut self, durable: u64) {
        self.durable_below(durable);
        for slot in &mut self.slots {
            if slot.state == State::Acknowledged {
                slot.state = State::Settled;
            }
        }
    }

    pub(super) fn durable_below(&mut self, durable: u64) {
        for slot in &mut self.slots[self.durable.min(durable) as usize..durable as usize] {
            let latest = slot.candidates.len() - 1;
            slot.candidates.drain(..latest);
        }
        self.durable = self.durable.max(durable);
    }

    pub(super) fn acknowledged(&mut self, number: u64) {
        if let Some(slot) = self.slots.get_mut(number as usize).filter(|slot| slot.state != State::Settled) {
            slot.state = State::Acknowledged;
        }
    }

    /// Acknowledges everything below `number`.
    pub(super) fn acknowledged_before(&mut self, number: u64) {
        (0..number.min(self.len())).for_each(|number| self.acknowledged(number));
    }

    /// Writing failed: until the queue is opened again nobody knows of what is not durable whether it is there.
    pub(super) fn in_doubt(&mut self) {
        self.slots[self.durable as usize..].iter_mut().for_each(|slot| slot.in_doubt = true);
    }

    /// The session ended: what was acknowledged and not committed is in doubt.
    pub(super) fn session_ended(&mut self) {
        for slot in &mut self.slots {
            slot.in_doubt = false;
            if slot.state == State::Acknowledged {
                slot.state = State::PerhapsAcknowledged;
            }
        }
    }

    /// Holds a message that was handed out to what is known of it.
    pub(super) fn came(
        &mut self,
        offset: Offset,
        payload: &[u8],
        position: Option<&Position>,
    ) -> Result<(), Violation> {
        let (damage, elapsed) = (self.damage, self.elapsed);
        let slot = self.slot(offset)?;
        let is_it = |candidate: &&Payload| candidate.is(payload, position);
        let Some(candidate) = slot.candidates.iter().rev().find(is_it) else {
            return Err(Violation::Invented { offset });
        };
        if elapsed < candidate.drawn + candidate.terms.delay {
            return Err(Violation::Early { offset });
        }
        match slot.state {
            State::Settled if damage == Damage::None => return Err(Violation::CameAgain { offset }),
            State::Acknowledged => return Err(Violation::CameAgain { offset }),
            _ => slot.state = State::Waiting,
        }
        Ok(())
    }

    /// All that waits was asked for, and `came` says what came: what might have been acknowledged was.
    pub(super) fn nothing_else_came(&mut self, came: impl Fn(u64) -> bool) -> Result<(), Violation> {
        let (damage, elapsed) = (self.damage, self.elapsed);
        for (number, slot) in (0..).zip(&mut self.slots) {
            match slot.state {
                State::PerhapsAcknowledged if !came(number) => slot.state = State::Settled,
                State::Waiting if !came(number) && slot.is_due(elapsed) && damage < Damage::Sector => {
                    return Err(Violation::NeverCame { offset: Offset::new(number) });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Holds what a reader meets to what is known of it.
    pub(super) fn met(&mut self, entry: &Entry) -> Result<(), Violation> {
        match entry {
            Entry::Message(stored) => {
                let slot = self.slot(stored.offset)?;
                let is = |candidate: &Payload| candidate.is(&stored.payload, stored.position.as_ref());
                let Some(found) = slot.candidates.iter().position(is) else {
                    return Err(Violation::Invented { offset: stored.offset });
                };
                slot.candidates.swap(0, found);
                slot.candidates.truncate(1);
                slot.uncertain = false;
                Ok(())
            }
            Entry::Gap(gap) => self.met_gap(gap),
        }
    }

    fn met_gap(&mut self, gap: &Gap) -> Result<(), Violation> {
        let (damage, elapsed) = (self.damage, self.elapsed);
        for number in gap.from.number()..gap.until.number() {
            let offset = Offset::new(number);
            let slot = self.slot(offset)?;
            let is_explained = slot.in_doubt
                || (gap.cause == GapCause::Expired && slot.has_expired(elapsed))
                || match damage {
                    Damage::None => slot.uncertain && gap.cause == GapCause::Uncertain,
                    Damage::Bits => slot.uncertain || slot.hit,
                    Damage::Sector => true,
                };
            if !is_explained {
                return Err(Violation::WrongGap { offset, cause: gap.cause });
            }
            slot.lost |= !slot.in_doubt;
        }
        Ok(())
    }

    /// Holds the whole log, as an opening found it, to what was promised: `entries` from `oldest` to `next`,
    /// which is no more than was ever appended. `gaps` names what is lost before `oldest`, too.
    pub(super) fn recovered(
        &mut self,
        oldest: u64,
        next: u64,
        entries: &[Entry],
        gaps: &[Gap],
    ) -> Result<(), Violation> {
        if next < self.durable && self.damage < Damage::Sector {
            return Err(Violation::CutShort { durable: Offset::new(self.durable), next: Offset::new(next) });
        }
        self.slots.truncate(next as usize);
        let before = self.durable.min(next);
        for slot in &mut self.slots[before as usize..] {
            (slot.uncertain, slot.found_unsynced) = (true, true);
        }
        if self.damage == Damage::Bits {
            self.check_causes(entries)?;
        }
        gaps.iter().filter(|gap| gap.until.number() <= oldest).try_for_each(|gap| self.met_gap(gap))?;
        let mut expected = 0;
        for entry in entries {
            let (from, until) = match entry {
                Entry::Message(stored) => (stored.offset.number(), stored.offset.number() + 1),
                Entry::Gap(gap) => (gap.from.number(), gap.until.number()),
            };
            self.passed_over(expected, from)?;
            expected = until;
            self.met(entry)?;
        }
        self.passed_over(expected, next)?;
        self.durable = next;
        Ok(())
    }

    /// Holds it to what is known that a reader who expects `expected` meets `found`: of what is in between, nobody needs
    /// anything.
    pub(super) fn passed_over(&self, expected: u64, found: u64) -> Result<(), Violation> {
        let between = self.slots.get(expected as usize..found as usize);
        let between = between.ok_or(Violation::Hole { offset: Offset::new(expected) })?;
        let is_due = |slot: &Slot| slot.state == State::Waiting && slot.is_due(self.elapsed);
        let missing = between.iter().position(is_due).filter(|_| self.damage < Damage::Sector);
        let lost = missing.map(|number| Violation::Lost { offset: Offset::new(expected + number as u64) });
        lost.map_or(Ok(()), Err)
    }

    /// A loss that an opening finds below what a later record says was durable is damage, and nothing else.
    fn check_causes(&self, entries: &[Entry]) -> Result<(), Violation> {
        let slot = |offset: Offset| self.slots.get(offset.number() as usize);
        let marks = entries.iter().filter_map(|entry| match entry {
            Entry::Message(stored) => slot(stored.offset).map(|slot| slot.mark),
            Entry::Gap(_) => None,
        });
        let marked = marks.max().unwrap_or(0);
        let is_wrong = |gap: &Gap| {
            let is_new = slot(gap.from).is_some_and(|slot| !slot.lost && !slot.uncertain);
            gap.cause == GapCause::Uncertain && gap.from.number() < marked && is_new
        };
        let wrong = entries.iter().find_map(|entry| match entry {
            Entry::Gap(gap) if is_wrong(gap) => Some(Violation::WrongGap { offset: gap.from, cause: gap.cause }),
            _ => None,
        });
        wrong.map_or(Ok(()), Err)
    }

    /// Notes which message a flipped bit hit, if it hit the body of one: `octets` are the segment's before that. The body of
    /// one that was moved begins with its number, which is all of it if nothing was appended but an empty payload. Behind a record that a crash tore, the header must hold as it is; that may be
    /// the record of anything, and only of messages it is known here.
    pub(super) fn hit(&mut self, octets: &[u8], flipped: usize) {
        let mut is_behind_torn = false;
        for (number, slot) in (0_u64..).zip(&mut self.slots) {
            let header = if is_behind_torn || slot.found_unsynced { HEADER_LEN as usize } else { 0 };
            for (body, before) in slot.candidates.iter().map(Payload::body) {
                let is_at = |start: usize| octets.get(start..).is_some_and(|octets| octets.starts_with(&body));
                let mut starts = (flipped + 1).saturating_sub(body.len())..=flipped + header + before;
                let mut moved = flipped + 1..=flipped + MOVED_LEN as usize + before;
                let is_copy = |start: usize| is_at(start) && is_moved(octets, start.saturating_sub(before));
                let (is_hit, is_copy_hit) = if body.is_empty() {
                    let is_copy = |start| is_moved(octets, start) && moved_number(octets, start) == Some(number);
                    (false, moved.any(is_copy))
                } else {
                    (starts.clone().any(is_at), starts.any(is_copy) || moved.any(is_copy))
                };
                slot.hit |= is_hit || is_copy_hit;
                self.is_copy_hit |= is_copy_hit;
            }
            is_behind_torn = slot.lost;
        }
    }

    /// Holds a message that was handed out to the order of its key.
    pub(super) fn check_key(&self, offset: Offset) -> Result<(), Violation> {
        let slots = self.slots.get(..=offset.number() as usize).unwrap_or_default();
        let key = |slot: &Slot| slot.candidates.last().and_then(|latest| latest.terms.key);
        let Some((own, earlier)) = slots.split_last().filter(|(own, _)| key(own).is_some()) else { return Ok(()) };
        let waits = |slot: &Slot| {
            let is_known = slot.candidates.len() == 1 && !slot.in_doubt && !slot.lost;
            slot.state == State::Waiting && is_known && key(slot) == key(own)
        };
        match earlier.iter().position(waits) {
            Some(waiting) => Err(Violation::KeyOutOfOrder { offset, waiting: Offset::new(waiting as u64) }),
            None => Ok(()),
        }
    }

    /// Whether one of these messages was appended less than `age` ago.
    pub(super) fn are_younger(&self, numbers: Range<u64>, age: Duration) -> bool {
        let slots = self.slots.get(numbers.start as usize..numbers.end as usize).unwrap_or_default();
        slots
            .iter()
            .filter_map(|slot| slot.candidates.last())
            .any(|latest| self.elapsed < latest.drawn.saturating_add(age))
    }

    /// Whether somebody needs the message for certain.
    pub(super) fn waits(&self, number: u64) -> bool {
        self.slots.get(number as usize).is_some_and(|slot| slot.state == State::Waiting && slot.is_due(self.elapsed))
    }

    /// Whether nothing is known of the message that could have lost it.
    pub(super) fn is_sure(&self, number: u64) -> bool {
        let slot = self.slots.get(number as usize);
        slot.is_some_and(|slot| !slot.lost && !slot.in_doubt && !slot.uncertain && slot.candidates.len() == 1)
    }

    /// Holds a message that came to what was appended there.
    pub(super) fn was_appended(
        &mut self,
        offset: Offset,
        payload: &[u8],
        position: Option<&Position>,
    ) -> Result<(), Violation> {
        let is_it = |candidate: &Payload| candidate.is(payload, position);
        if self.slot(offset)?.candidates.iter().any(is_it) { Ok(()) } else { Err(Violation::Invented { offset }) }
    }

    /// What is there for certain, if anything is.
    pub(super) fn durable_payload(&self, number: u64) -> Option<&Payload> {
        let slot = self.slots.get(number as usize).filter(|slot| number < self.durable && !slot.lost)?;
        slot.candidates.first().filter(|_| slot.candidates.len() == 1)
    }

    /// How many payloads were drawn after this one.
    pub(super) const fn drawn_since(&self, payload: &Payload) -> u64 {
        self.serial - payload.serial
    }

    /// Nobody gets these messages any more.
    pub(super) fn dropped(&mut self, numbers: Range<u64>) {
        let numbers = numbers.start as usize..numbers.end as usize;
        self.slots.get_mut(numbers).unwrap_or_default().iter_mut().for_each(|slot| slot.lost = true);
    }

    fn slot(&mut self, offset: Offset) -> Result<&mut Slot, Violation> {
        self.slots.get_mut(offset.number() as usize).ok_or(Violation::Invented { offset })
    }
}

/// The number that stands before the own body of a moved message that begins at `start`.
fn moved_number(octets: &[u8], start: usize) -> Option<u64> {
    let number = start.checked_sub(MOVED_LEN as usize).and_then(|at| octets.get(at..)?.first_chunk())?;
    Some(u64::from_le_bytes(*number))
}

/// Whether a message whose own body begins at `start` has the header of one that was moved.
fn is_moved(octets: &[u8], start: usize) -> bool {
    let header = start.checked_sub((HEADER_LEN + MOVED_LEN) as usize);
    header.and_then(|header| octets.get(header + 4)) == Some(&MOVED)
}
