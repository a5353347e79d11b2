use alloc::vec::Vec;
use core::ops::Range;

use super::ranges::Ranges;
use crate::format::ALIGNMENT;
use crate::format::segment::{self, DAMAGED, ELSEWHERE, PLACE_FLAGS, SegmentHeader, UNCERTAIN};
use crate::offset::GapCause;
use crate::storage::SegmentNumber;

/// What the log knows of a segment in its present life: where each message stands and which are acknowledged, 4 octets
/// and a bit a message.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: SegmentNumber,
    pub(crate) header: SegmentHeader,
    pub(crate) seed: u32,
    /// Where each message from `header.first` on stands, with the lowest flags of its record, or why it does not.
    index: Vec<u32>,
    /// A bit a message: set when nobody needs the message any more, be it acknowledged or lost.
    settled: Vec<u64>,
    unsettled: u64,
    /// How many messages are lost.
    lost: u64,
    /// Where each control record stands.
    pub(crate) controls: Vec<u32>,
    /// The number and the place, as in the index, of each message of an earlier segment that was moved here.
    pub(crate) guests: Vec<(u64, u32)>,
    /// How many of them somebody needs here: they are neither acknowledged, nor lost, nor moved on.
    pub(crate) hosted: u64,
    /// The commit that covers what was settled here last. The highest number there is, as long as the owner may not have
    /// heard of a loss here: only that he could takes it back, whatever is settled here after the loss.
    pub(crate) settled_in: u64,
    /// Acknowledged messages, of whatever segment, that records of this one name; a footer repeats them.
    pub(crate) recorded: Ranges,
    /// Where the next record goes, and up to where the medium has seen writes and syncs.
    pub(crate) end: u32,
    pub(crate) written: u32,
    pub(crate) synced: u32,
    pub(crate) phase: Phase,
    /// Octets that the medium writes together: each write ends at a multiple of it, and so does a footer begin.
    pub(crate) granule: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Takes records.
    Open,
    /// Takes a footer and nothing else.
    Closing,
    /// Has a footer.
    Sealed,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    At(u32),
    Lost(GapCause),
    /// In a later segment, unless it is acknowledged.
    Elsewhere,
}

impl Segment {
    pub(crate) fn new(number: SegmentNumber, header: SegmentHeader) -> Self {
        Self {
            number,
            header,
            seed: header.seed(),
            index: Vec::new(),
            settled: Vec::new(),
            unsettled: 0,
            lost: 0,
            controls: Vec::new(),
            guests: Vec::new(),
            hosted: 0,
            settled_in: 0,
            recorded: Ranges::default(),
            end: segment::RECORDS,
            written: segment::RECORDS,
            synced: segment::RECORDS,
            phase: Phase::Open,
            granule: ALIGNMENT,
        }
    }

    /// The same segment on a medium that writes so many octets together.
    pub(crate) fn written_by(self, granule: u32) -> Self {
        Self { granule, ..self }
    }

    /// Enters the next message, which stands at `position` in a record with these flags.
    pub(crate) fn push(&mut self, position: u32, flags: u8) {
        self.push_place(position | (u32::from(flags) & PLACE_FLAGS));
        self.unsettled += 1;
    }

    /// Enters the next message as lost.
    pub(crate) fn push_lost(&mut self, cause: GapCause) {
        self.push_place(entry(cause));
        self.lost += 1;
        self.set(self.index.len() - 1);
    }

    /// Notes that no earlier commit than this one frees the segment.
    pub(crate) fn wait_for(&mut self, commit: u64) {
        self.settled_in = self.settled_in.max(commit);
    }

    /// Notes that nobody needs the message any more. Says whether anybody did.
    pub(crate) fn settle(&mut self, number: u64) -> bool {
        let Some(at) = self.slot(number).filter(|&at| !self.is_set(at)) else { return false };
        self.set(at);
        self.unsettled -= 1;
        true
    }

    /// Notes that somebody needs the message after all, and needs it here.
    pub(crate) fn unsettle(&mut self, number: u64) {
        if let Some(at) = self.slot(number).filter(|&at| self.is_set(at)) {
            self.settled[at / 64] &= !(1 << (at % 64));
            self.unsettled += 1;
        }
    }

    /// Notes that the message, which is settled or lost here, stands in a later segment, in a record with these flags.
    pub(crate) fn give_away(&mut self, number: u64, flags: u32) {
        if let Some(at) = self.slot(number).filter(|&at| self.index[at] >= UNCERTAIN) {
            self.index[at] = ELSEWHERE | flags;
        }
    }

    /// Notes that the medium does not hold the message. Says whether anybody needed it.
    pub(crate) fn lose(&mut self, number: u64) -> bool {
        let needed = self.settle(number);
        if let Some(at) = self.slot(number) {
            let was_there = core::mem::replace(&mut self.index[at], DAMAGED) < UNCERTAIN;
            self.lost += u64::from(was_there);
        }
        needed
    }

    /// Ends the segment at `end`: it takes no more, and forgets what stood behind. Gives, for each message that did,
    /// whether somebody needs it.
    pub(crate) fn cut(&mut self, end: u32) -> Vec<bool> {
        let kept = self.index.iter().rposition(|&place| place >= UNCERTAIN || place < end).map_or(0, |last| last + 1);
        let needed = (kept..self.index.len()).map(|at| !self.is_set(at)).collect();
        self.truncate(self.header.first + kept as u64);
        self.controls.truncate(self.controls.partition_point(|&place| place < end));
        self.guests.truncate(self.guests_before(end));
        self.end = end;
        self.written = self.written.min(end);
        self.phase = Phase::Sealed;
        needed
    }

    /// How many guests stand before `end`.
    pub(crate) fn guests_before(&self, end: u32) -> usize {
        self.guests.iter().rposition(|&(_, place)| place < end).map_or(0, |last| last + 1)
    }

    /// Moves everything that stands at `from` or behind it by `octets`.
    pub(crate) fn shift(&mut self, from: u32, octets: u32) {
        let behind = |place: &&mut u32| **place < UNCERTAIN && **place >= from;
        let index = self.index.iter_mut().rev().take_while(|place| **place >= from).filter(behind);
        let controls = self.controls.iter_mut().rev().take_while(|place| **place >= from);
        let guests = self.guests.iter_mut().map(|(_, place)| place).filter(behind);
        index.chain(controls).chain(guests).for_each(|place| *place += octets);
        self.end += octets;
    }

    /// Forgets the messages from `next` on.
    pub(crate) fn truncate(&mut self, next: u64) {
        while self.next() > next.max(self.header.first) {
            self.settle(self.next() - 1);
            let is_lost = self.index.pop().is_some_and(|place| place >= UNCERTAIN);
            self.lost -= u64::from(is_lost);
        }
    }

    /// The number of the message that would come next.
    pub(crate) fn next(&self) -> u64 {
        self.header.first + self.index.len() as u64
    }

    /// How many messages are neither acknowledged nor lost nor moved away, those apart that were moved here.
    pub(crate) fn unsettled(&self) -> u64 {
        self.unsettled
    }

    /// Whether nobody needs anything in it.
    pub(crate) fn is_settled(&self) -> bool {
        self.unsettled == 0 && self.hosted == 0
    }

    /// The first message at or after `number` that somebody needs.
    pub(crate) fn next_unsettled(&self, number: u64) -> Option<u64> {
        let mut at = usize::try_from(number.saturating_sub(self.header.first)).ok()?;
        while at < self.index.len() {
            let word = !self.settled[at / 64] >> (at % 64);
            if word != 0 {
                let found = at + word.trailing_zeros() as usize;
                return (found < self.index.len()).then(|| self.header.first + found as u64);
            }
            at = (at / 64 + 1) * 64;
        }
        None
    }

    /// Messages at or after `number`, needed or not, whose records have one of these flags.
    pub(crate) fn flagged(&self, number: u64, flags: u8) -> impl Iterator<Item = u64> + '_ {
        let start = usize::try_from(number.saturating_sub(self.header.first)).unwrap_or(usize::MAX);
        let has = move |place: u32| place < UNCERTAIN && place & u32::from(flags) != 0;
        let found = self.index.iter().enumerate().skip(start).filter(move |&(_, &place)| has(place));
        found.map(|(at, _)| self.header.first + at as u64)
    }

    pub(crate) fn place(&self, number: u64) -> Option<Place> {
        self.slot(number).map(|at| place(self.index[at]))
    }

    /// Runs of lost messages, as ranges of numbers.
    pub(crate) fn losses(&self) -> impl Iterator<Item = (Range<u64>, GapCause)> + '_ {
        let mut at = 0;
        core::iter::from_fn(move || {
            at += self.index[at..].iter().position(|&place| place >= UNCERTAIN)?;
            let (start, kind) = (at, self.index[at]);
            at += self.index[at..].iter().take_while(|&&place| place == kind).count();
            let Place::Lost(cause) = place(kind) else { return None };
            Some((self.header.first + start as u64..self.header.first + at as u64, cause))
        })
    }

    /// Runs of messages that are lost where no sync is known to have covered them.
    pub(crate) fn uncertain(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.losses().filter(|&(_, cause)| cause == GapCause::Uncertain).map(|(numbers, _)| numbers)
    }

    /// How many messages at or after `number` are lost.
    pub(crate) fn lost_from(&self, number: u64) -> u64 {
        match number.checked_sub(self.header.first) {
            Some(at) if self.lost > 0 && at > 0 => {
                let rest = self.index.get(at as usize..).unwrap_or_default();
                rest.iter().filter(|&&place| place >= UNCERTAIN).count() as u64
            }
            _ => self.lost,
        }
    }

    /// Calls what is lost in `numbers` by its `cause`.
    pub(crate) fn reclassify(&mut self, numbers: Range<u64>, cause: GapCause) {
        for number in numbers.start.max(self.header.first)..numbers.end.min(self.next()) {
            let at = (number - self.header.first) as usize;
            if self.index[at] >= UNCERTAIN {
                self.index[at] = entry(cause);
            }
        }
    }

    pub(crate) fn index(&self) -> &[u32] {
        &self.index
    }

    /// How many places a footer would hold.
    pub(crate) fn places(&self) -> u32 {
        (self.index.len() + self.controls.len()) as u32
    }

    /// Whether it holds nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.end == segment::RECORDS
    }

    /// Octets of the footer that sealing now would write.
    pub(crate) fn footer_len(&self) -> u32 {
        segment::footer_len(self.places(), self.pairs())
    }

    /// How many ranges and messages of earlier segments a footer would hold.
    pub(crate) fn pairs(&self) -> u32 {
        self.recorded.count() + self.guests.len() as u32
    }

    fn push_place(&mut self, place: u32) {
        self.index.push(place);
        self.settled.resize(self.index.len().div_ceil(64), 0);
        // A message that was entered and forgotten leaves its bit behind.
        let at = self.index.len() - 1;
        self.settled[at / 64] &= !(1 << (at % 64));
    }

    fn slot(&self, number: u64) -> Option<usize> {
        let at = usize::try_from(number.checked_sub(self.header.first)?).ok()?;
        (at < self.index.len()).then_some(at)
    }

    fn is_set(&self, at: usize) -> bool {
        self.settled[at / 64] >> (at % 64) & 1 == 1
    }

    fn set(&mut self, at: usize) {
        self.settled[at / 64] |= 1 << (at % 64);
    }
}

fn entry(cause: GapCause) -> u32 {
    match cause {
        GapCause::Uncertain => UNCERTAIN,
        // The log knows no further cause.
        _ => DAMAGED,
    }
}

fn place(entry: u32) -> Place {
    match entry {
        DAMAGED => Place::Lost(GapCause::Damaged),
        UNCERTAIN => Place::Lost(GapCause::Uncertain),
        place if place & !PLACE_FLAGS == ELSEWHERE => Place::Elsewhere,
        place => Place::At(place & !PLACE_FLAGS),
    }
}
