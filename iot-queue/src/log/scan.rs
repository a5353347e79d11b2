//! Reading a segment that has no index: record by record, and past damage to the next record that is sound.

use alloc::vec::Vec;
use core::ops::Range;

use super::controls::Control;
use super::segment_state::Segment;
use super::window::Window;
use crate::format::record::{self, RecordHeader};
use crate::format::segment::{DAMAGED, PLACE_FLAGS};
use crate::format::{ALIGNMENT, segment};
use crate::offset::GapCause;
use crate::storage::{Storage, StorageError};

/// What of the number of an opening stands in each record.
const OPENING_BITS: u32 = (1 << 24) - 1;

/// What reading a segment brought to light besides its messages.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Messages that records here acknowledge.
    pub(crate) acknowledged: Vec<Range<u64>>,
    /// Octets of a record at the end that was begun and is cut off.
    pub(crate) torn: u32,
    /// Control records, in the order of the log.
    pub(crate) controls: Vec<Control>,
    /// Whether something was met that is not as it was written, and that no message was lost by.
    pub(crate) disturbed: bool,
    /// Why there were octets that the medium failed to read.
    pub(crate) unreadable: Option<StorageError>,
    /// Losses that no earlier recovery has recorded as uncertain, and that are; of a life that was left, that may be.
    pub(crate) uncertain: Vec<Range<u64>>,
    /// What earlier recoveries have recorded as uncertain, in this life or in an earlier one.
    pub(crate) recorded: Vec<Range<u64>>,
    /// The highest commit mark.
    pub(crate) mark: u32,
    /// What is not as it was written, in the order of its places.
    pub(crate) damage: Vec<Damage>,
    /// Records that are as they were written.
    pub(crate) intact: u64,
}

/// What became of a record, or of what stood between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// A bit of its header was put right.
    Corrected { at: u32, kind: u8, number: Option<u64> },
    /// Its body does not hold.
    Lost { at: u32, kind: u8, number: Option<u64> },
    /// Nothing says what stood in so many octets.
    Unknown { at: u32, len: u32 },
}

/// Whether the whole segment is known to have been synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// A later segment exists, or a footer: yes.
    Past,
    /// It was left because of a failure, and ends where the last good sync did: yes, but what an opening before that found
    /// uncertain says only a record in the next life.
    Left,
    /// Only as far as the commit marks in it say.
    Newest,
}

/// Fills `segment`, which knows no messages yet, from its records before `limit`.
///
/// A record with a sound header stands, whatever became of its body: then the message is lost, and named. Between two
/// sound headers everything is passed over, and the numbers say which messages that cost. What follows the last sound
/// header is no part of the log.
pub(crate) fn scan<S: Storage>(
    storage: &S,
    segment: &mut Segment,
    age: Age,
    limit: u32,
    window: &mut Window,
) -> Result<Findings, StorageError> {
    let mut findings = Findings::default();
    let mut lost: Vec<(Range<u64>, u32)> = Vec::new();
    let mut mark = 0;
    let mut former = Former::before_the_first(segment);
    loop {
        let (at, next) = (former.end, segment.next());
        let (found, header) = match next_record(storage, segment, window, former, limit)? {
            Next::Record(found, header) => (found, header),
            Next::End { torn } => {
                findings.torn = torn;
                break;
            }
        };
        if header.offset > next {
            (next..header.offset).for_each(|_| segment.push_lost(GapCause::Damaged));
            lost.push((next..header.offset, at));
        }
        mark = mark.max(header.mark);
        if found != at && found != at.next_multiple_of(segment.header.page_len.max(ALIGNMENT)) {
            findings.disturbed = true;
            findings.damage.push(Damage::Unknown { at, len: found - at });
        } else if header.offset > next {
            findings.damage.push(Damage::Unknown { at, len: found - at });
        }
        let octets = window.get_around(storage, segment, found, record::HEADER_LEN, limit)?.first_chunk();
        let is_intact = octets.is_some_and(|octets| RecordHeader::decode(octets, segment.seed, found).is_some());
        let body = window.get_around(storage, segment, found + record::HEADER_LEN, header.body_len(), limit)?;
        let sound = record::body_matches(&header, segment.seed, body);
        let number = match header.kind {
            record::MESSAGE => Some(header.offset),
            record::MOVED => record::moved_number(segment.seed, body),
            _ => None,
        };
        match (is_intact, sound) {
            (true, true) => findings.intact += 1,
            (_, false) => findings.damage.push(Damage::Lost { at: found, kind: header.kind, number }),
            (false, true) => findings.damage.push(Damage::Corrected { at: found, kind: header.kind, number }),
        }
        match header.kind {
            record::MESSAGE if sound => segment.push(found, header.flags),
            record::MESSAGE => {
                segment.push_lost(GapCause::Damaged);
                lost.push((header.offset..header.offset + 1, found));
            }
            record::ACKNOWLEDGEMENTS if sound => findings.acknowledged.extend(record::decode_ranges(body)),
            record::MOVED => match number {
                Some(number) => {
                    let place = if sound && header.flags & record::LOST == 0 {
                        found | u32::from(header.flags) & PLACE_FLAGS
                    } else {
                        DAMAGED
                    };
                    segment.guests.push((number, place));
                }
                None => findings.disturbed = true,
            },
            record::UNCERTAINTIES if sound => {
                let numbers: Vec<_> = record::decode_ranges(body).collect();
                if numbers.iter().any(|numbers| numbers.start < segment.header.first) {
                    // A footer says what is uncertain in its own life only.
                    segment.controls.push(found);
                }
                findings.recorded.extend(numbers);
            }
            record::FIRST_CONTROL.. if sound => {
                findings.controls.push(Control { kind: header.kind, payload: body.to_vec() });
                segment.controls.push(found);
            }
            _ => findings.disturbed |= !sound,
        }
        former = Former { end: found + header.record_len(), opening: header.opening };
    }
    if age != Age::Past {
        findings.uncertain = lost.into_iter().filter(|&(_, at)| at >= mark).map(|(numbers, _)| numbers).collect();
    }
    let uncertain = if age == Age::Newest { findings.uncertain.as_slice() } else { &[] };
    for numbers in findings.recorded.iter().chain(uncertain) {
        segment.reclassify(numbers.clone(), GapCause::Uncertain);
    }
    findings.unreadable = window.failure;
    findings.mark = mark;
    let recorded = &findings.recorded;
    findings.uncertain.retain(|numbers| !recorded.iter().any(|recorded| recorded.contains(&numbers.start)));
    let end = former.end;
    (segment.end, segment.written) = (end, end);
    segment.synced = if age == Age::Newest { mark.clamp(segment::RECORDS, end) } else { end };
    Ok(findings)
}

/// The record before the one that is looked for.
#[derive(Clone, Copy)]
struct Former {
    end: u32,
    /// The low 24 bits of the number of the opening that wrote it.
    opening: u32,
}

impl Former {
    /// What the first record of a segment follows.
    fn before_the_first(segment: &Segment) -> Self {
        Self { end: segment::RECORDS, opening: segment.header.opening & OPENING_BITS }
    }

    /// Whether a record with this header was written behind this one. What an earlier opening left there, torn, and this
    /// one passed over, may be one bit from a header that holds: but the first record of an opening says that a sync
    /// covered everything before it.
    fn may_come_before(self, header: &RecordHeader) -> bool {
        header.opening == self.opening || header.mark >= self.end
    }
}

/// What comes where a record ended.
enum Next {
    Record(u32, RecordHeader),
    End { torn: u32 },
}

/// The next record from `at` on, past damage if there is any. It is believed only if as many messages fit in between as
/// its number says are missing.
fn next_record<S: Storage>(
    storage: &S,
    segment: &Segment,
    window: &mut Window,
    former: Former,
    limit: u32,
) -> Result<Next, StorageError> {
    let at = former.end;
    if let Some(header) = stands_at(storage, segment, window, (at, former), limit)? {
        return Ok(Next::Record(at, header));
    }
    let torn = torn_at(window.get_around(storage, segment, at, record::HEADER_LEN, limit)?, segment.seed, limit - at);
    let found = find_after(storage, segment, window, at, limit, |header, found| {
        let at_most = u64::from((found - at) / record::HEADER_LEN);
        header.offset.checked_sub(segment.next()).is_some_and(|missing| missing <= at_most)
    })?;
    let page = at.checked_next_multiple_of(segment.header.page_len.max(ALIGNMENT)).filter(|&page| page < limit);
    if let Some(page) = page.filter(|&page| found.as_ref().is_none_or(|&(found, _)| found > page)) {
        if let Some(header) = stands_at(storage, segment, window, (page, former), limit)? {
            return Ok(Next::Record(page, header));
        }
    }
    Ok(found.map_or(Next::End { torn }, |(found, header)| Next::Record(found, header)))
}

/// The record right where the one before it ended, or where the next page begins. Nothing can be missing in between.
fn stands_at<S: Storage>(
    storage: &S,
    segment: &Segment,
    window: &mut Window,
    (at, former): (u32, Former),
    limit: u32,
) -> Result<Option<RecordHeader>, StorageError> {
    let Ok(bytes) = window.get_around(storage, segment, at, record::HEADER_LEN, limit)?.try_into() else {
        return Ok(None);
    };
    let corrected = || RecordHeader::decode_or_correct(bytes, segment.seed, at).filter(|it| former.may_come_before(it));
    let header = RecordHeader::decode(bytes, segment.seed, at).or_else(corrected);
    Ok(header.filter(|header| header.record_len() <= limit - at && header.offset == segment.next()))
}

/// The number that the first intact record of the segment's life carries, if it holds any.
pub(crate) fn first_intact<S: Storage>(
    storage: &S,
    segment: &Segment,
    limit: u32,
) -> Result<Option<u64>, StorageError> {
    let found = find_after(storage, segment, &mut Window::default(), segment::RECORDS, limit, |_, _| true)?;
    Ok(found.map(|(_, header)| header.offset))
}

/// Whether the segment's life holds an intact record, or may hold one where the medium fails to read.
pub(crate) fn may_hold_any<S: Storage>(storage: &S, segment: &Segment, limit: u32) -> Result<bool, StorageError> {
    let mut window = Window::default();
    let found = find_after(storage, segment, &mut window, segment::RECORDS, limit, |_, _| true)?;
    Ok(found.is_some() || window.failure.is_some())
}

/// The first intact record from `from` on that `believe` takes.
fn find_after<S: Storage>(
    storage: &S,
    segment: &Segment,
    window: &mut Window,
    from: u32,
    limit: u32,
    believe: impl Fn(&RecordHeader, u32) -> bool,
) -> Result<Option<(u32, RecordHeader)>, StorageError> {
    let tag = record::tag(segment.seed);
    let mut at = from;
    while limit.saturating_sub(at) >= record::HEADER_LEN {
        window.get_around(storage, segment, at, record::HEADER_LEN, limit)?;
        let rest = window.rest(at);
        let other = rest.chunks_exact(ALIGNMENT as usize).take_while(|word| word[0] != tag).count();
        if other > 0 {
            at += other as u32 * ALIGNMENT;
            continue;
        }
        let bytes = rest.first_chunk().expect("the window was asked for a header");
        let fits = |header: &RecordHeader| header.record_len() <= limit - at && believe(header, at);
        if let Some(header) = RecordHeader::decode(bytes, segment.seed, at).filter(fits) {
            return Ok(Some((at, header)));
        }
        at += ALIGNMENT;
    }
    Ok(None)
}

/// How many octets the record claims that was begun where the log ends, if one was.
fn torn_at(bytes: &[u8], seed: u32, rest: u32) -> u32 {
    let Some(bytes) = bytes.first_chunk::<{ record::HEADER_LEN as usize }>() else { return 0 };
    if bytes[0] != record::tag(seed) || segment::is_blank(bytes) {
        return 0;
    }
    RecordHeader::fields(bytes).map_or(rest, |header| header.record_len().min(rest))
}
