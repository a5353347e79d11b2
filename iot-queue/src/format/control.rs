//! What the queue says of its messages in control records: leases, times to live that ended, its clock, and what was
//! appended before.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use iot_core::Instant;

use super::octets;
use super::record::decode_ranges;
use crate::lease::{Death, DeathCause, Lifetime, Rank, Saved, SavedPhase};

/// States of messages; of two about one message the later counts.
pub(crate) const LEASES: u8 = 16;
/// Ranges of messages whose time to live has ended.
pub(crate) const EXPIRED: u8 = 17;
/// What the queue's own clock showed.
pub(crate) const CLOCK: u8 = 18;
/// The highest number that was seen of a source, and the lower ones that were not.
pub(crate) const SOURCE: u8 = 19;
/// Identifiers of messages.
pub(crate) const IDENTIFIERS: u8 = 20;
/// Ends the records that a segment begins with.
pub(crate) const CHECKPOINT: u8 = 21;
/// A cursor: its name, its limits and where it stands. See [`cursor`](super::cursor).
pub(crate) const CURSOR: u8 = 22;
/// Where cursors stand.
pub(crate) const CURSOR_PLACES: u8 = 23;
/// A cursor that was deleted.
pub(crate) const CURSOR_GONE: u8 = 24;
/// What was dropped to make room and not everybody was told of; without a payload, nothing.
pub(crate) const DROPPED: u8 = 25;

const PHASE: u8 = 0b11;
const HAS_COUNT: u8 = 1 << 2;
const HAS_RANK: u8 = 1 << 3;
const HAS_NOT_BEFORE: u8 = 1 << 4;
const UNLIMITED: u8 = 1 << 5;
/// Of a dead letter: how it came to that.
const CAUSE_SHIFT: u8 = 6;
/// Of any other message.
const HAS_END: u8 = 1 << 6;

/// Octets of the longest number.
const LONGEST_NUMBER: usize = 10;

/// Octets of the longest entry.
pub(crate) const LONGEST_ENTRY: usize = 1 + 7 * LONGEST_NUMBER + 1 + crate::lease::MAX_REASON_LEN;

/// The state that consecutive messages share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) count: u16,
    pub(crate) saved: Saved,
}

impl Entry {
    /// Whether the message `number` in state `saved` may join: only the state of a message that is simply held is
    /// shared.
    pub(crate) fn takes(&self, number: u64, saved: &Saved) -> bool {
        let plain = |saved: &Saved, number: u64| saved.phase == SavedPhase::Held && saved.rank == Rank::of(number);
        self.count < u16::MAX
            && number == self.number + u64::from(self.count)
            && plain(&self.saved, self.number)
            && plain(saved, number)
            && (saved.attempts, saved.not_before, saved.lifetime)
                == (self.saved.attempts, self.saved.not_before, self.saved.lifetime)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let saved = &self.saved;
        let (phase, death) = match &saved.phase {
            SavedPhase::Held => (0, None),
            SavedPhase::Waiting => (1, None),
            SavedPhase::Dead(death) => (2, Some(death)),
        };
        let cause = death.map_or(0, |death| match death.cause {
            DeathCause::RanOut => 0,
            DeathCause::Nacked => 1,
            DeathCause::Rejected => 2,
        });
        let has_rank = saved.rank != Rank::of(self.number);
        let has_not_before = saved.not_before != Instant::START;
        let end = if let Lifetime::Until(end) = saved.lifetime { Some(end) } else { None };
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.push(
            phase
                | flag(self.count > 1, HAS_COUNT)
                | flag(has_rank, HAS_RANK)
                | flag(has_not_before, HAS_NOT_BEFORE)
                | flag(saved.lifetime == Lifetime::Unlimited, UNLIMITED)
                | flag(end.is_some(), HAS_END)
                | cause << CAUSE_SHIFT,
        );
        put_number(self.number, out);
        put_number(saved.attempts.into(), out);
        if self.count > 1 {
            put_number(self.count.into(), out);
        }
        if has_rank {
            put_number(zigzag(saved.rank.place), out);
            put_number(saved.rank.after, out);
        }
        if has_not_before {
            put_number(saved.not_before.as_micros(), out);
        }
        if let Some(end) = end {
            put_number(end.as_micros(), out);
        }
        if let Some(death) = death {
            out.push(death.reason.len() as u8);
            out.extend_from_slice(death.reason.as_bytes());
        }
    }

    /// Reads the entry at the front of `bytes`, and takes it off.
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (&flags, mut rest) = bytes.split_first()?;
        let has = |flag| flags & flag != 0;
        let number = take_number(&mut rest)?;
        let attempts = u32::try_from(take_number(&mut rest)?).ok()?;
        let count = if has(HAS_COUNT) { u16::try_from(take_number(&mut rest)?).ok()? } else { 1 };
        let rank = match has(HAS_RANK) {
            true => Rank { place: unzigzag(take_number(&mut rest)?), after: take_number(&mut rest)? },
            false => Rank::of(number),
        };
        let not_before = if has(HAS_NOT_BEFORE) { take_number(&mut rest)? } else { 0 };
        let end = if flags & PHASE < 2 && has(HAS_END) { Some(take_number(&mut rest)?) } else { None };
        let phase = match flags & PHASE {
            0 => SavedPhase::Held,
            1 => SavedPhase::Waiting,
            _ => SavedPhase::Dead(take_death(flags, &mut rest)?),
        };
        let lifetime = match end {
            Some(end) => Lifetime::Until(Instant::from_micros(end)),
            None if has(UNLIMITED) => Lifetime::Unlimited,
            None => Lifetime::AsAppended,
        };
        *bytes = rest;
        let not_before = Instant::from_micros(not_before);
        Some(Self { number, count, saved: Saved { attempts, rank, not_before, lifetime, phase } })
    }
}

fn take_death(flags: u8, bytes: &mut &[u8]) -> Option<Death> {
    let (&len, rest) = bytes.split_first()?;
    let (reason, rest) = rest.split_at_checked(len.into())?;
    let cause = match flags >> CAUSE_SHIFT {
        0 => DeathCause::RanOut,
        1 => DeathCause::Nacked,
        _ => DeathCause::Rejected,
    };
    *bytes = rest;
    Some(Death { cause, reason: String::from_utf8_lossy(reason).into_owned() })
}

/// The payload of [`LEASES`] before its entries: what the queue's own clock showed, if an entry has a time.
pub(crate) fn encode_leases(clock: Option<Instant>) -> Vec<u8> {
    let mut payload = Vec::from([u8::from(clock.is_some())]);
    payload.extend(clock.iter().flat_map(|clock| clock.as_micros().to_le_bytes()));
    payload
}

/// What the queue's own clock showed, if it says, and the entries in the payload of [`LEASES`].
pub(crate) fn decode_leases(payload: &[u8]) -> Option<(Option<Instant>, impl Iterator<Item = Entry> + '_)> {
    let (clock, mut entries) = match payload.split_first()? {
        (0, entries) => (None, entries),
        (_, rest) => rest.split_first_chunk::<8>().map(|(clock, entries)| (Some(instant(*clock)), entries))?,
    };
    Some((clock, core::iter::from_fn(move || Entry::decode(&mut entries))))
}

/// The payload of [`EXPIRED`].
pub(crate) fn encode_expired(clock: Instant, ranges: &[Range<u64>]) -> Vec<u8> {
    let mut payload = clock.as_micros().to_le_bytes().to_vec();
    for range in ranges {
        payload.extend_from_slice(&range.start.to_le_bytes());
        payload.extend_from_slice(&(range.end - range.start).to_le_bytes());
    }
    payload
}

pub(crate) fn decode_expired(payload: &[u8]) -> Option<(Instant, impl Iterator<Item = Range<u64>> + '_)> {
    let (clock, ranges) = payload.split_first_chunk::<8>()?;
    Some((instant(*clock), decode_ranges(ranges)))
}

/// What the queue's own clock showed, and, if it was known, the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockReading {
    pub(crate) clock: Instant,
    /// Microseconds since the Unix epoch; 0 when unknown.
    pub(crate) wall: u64,
}

impl ClockReading {
    pub(crate) const LEN: usize = 16;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut payload = [0; Self::LEN];
        payload[..8].copy_from_slice(&self.clock.as_micros().to_le_bytes());
        payload[8..].copy_from_slice(&self.wall.to_le_bytes());
        payload
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let payload: &[u8; Self::LEN] = payload.try_into().ok()?;
        Some(Self { clock: instant(octets(payload, 0)), wall: u64::from_le_bytes(octets(payload, 8)) })
    }
}

/// The payload of [`CLOCK`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockRecord {
    /// The number that the next message was to get then: those before it are no younger.
    pub(crate) number: u64,
    pub(crate) reading: ClockReading,
}

impl ClockRecord {
    pub(crate) const LEN: usize = 8 + ClockReading::LEN;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut payload = [0; Self::LEN];
        payload[..8].copy_from_slice(&self.number.to_le_bytes());
        payload[8..].copy_from_slice(&self.reading.encode());
        payload
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let (number, reading) = payload.split_first_chunk()?;
        Some(Self { number: u64::from_le_bytes(*number), reading: ClockReading::decode(reading)? })
    }
}

/// The payload of [`CHECKPOINT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The records before this one say what was known when the next message was to get this number.
    pub(crate) number: u64,
    /// How many records of sources and identifiers stand before this one.
    pub(crate) records: u32,
    /// The CRCs of their payloads, added up.
    pub(crate) sum: u32,
    pub(crate) reading: ClockReading,
    /// Messages whose time to live ended, over the whole life of the queue.
    pub(crate) expired: u64,
}

impl Checkpoint {
    pub(crate) const LEN: usize = 40;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut payload = [0; Self::LEN];
        payload[..8].copy_from_slice(&self.number.to_le_bytes());
        payload[8..24].copy_from_slice(&self.reading.encode());
        payload[24..32].copy_from_slice(&self.expired.to_le_bytes());
        payload[32..36].copy_from_slice(&self.records.to_le_bytes());
        payload[36..].copy_from_slice(&self.sum.to_le_bytes());
        payload
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let payload: &[u8; Self::LEN] = payload.try_into().ok()?;
        Some(Self {
            number: u64::from_le_bytes(octets(payload, 0)),
            records: u32::from_le_bytes(octets(payload, 32)),
            sum: u32::from_le_bytes(octets(payload, 36)),
            reading: ClockReading::decode(&payload[8..24])?,
            expired: u64::from_le_bytes(octets(payload, 24)),
        })
    }
}

/// Seven bits an octet, the lowest first; all but the last octet have their high bit set.
fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for at in 0..LONGEST_NUMBER {
        let (&octet, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(octet & 0x7f) << (7 * at);
        if octet < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Negative numbers between the positive ones, so that both are short.
const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn instant(micros: [u8; 8]) -> Instant {
    Instant::from_micros(u64::from_le_bytes(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let held = Saved {
            attempts: 3,
            rank: Rank::of(7),
            not_before: Instant::START,
            lifetime: Lifetime::AsAppended,
            phase: SavedPhase::Held,
        };
        let death = |cause, reason: &str| SavedPhase::Dead(Death { cause, reason: reason.into() });
        let front = Rank { place: -4, after: 0 };
        let later = Instant::from_micros(9);
        [
            held.clone(),
            Saved { phase: SavedPhase::Waiting, rank: front, ..held.clone() },
            Saved { phase: SavedPhase::Waiting, not_before: later, ..held.clone() },
            Saved { phase: SavedPhase::Waiting, rank: Rank { place: 9, after: 2 }, not_before: later, ..held.clone() },
            Saved { phase: death(DeathCause::Nacked, "schön heiß"), lifetime: Lifetime::Unlimited, ..held.clone() },
            Saved { phase: death(DeathCause::Rejected, ""), ..held.clone() },
            Saved { phase: death(DeathCause::RanOut, ""), attempts: u32::MAX, ..held.clone() },
            Saved { lifetime: Lifetime::Until(later), ..held.clone() },
            Saved { phase: SavedPhase::Waiting, lifetime: Lifetime::Until(Instant::MAX), ..held.clone() },
            Saved { rank: Rank { place: i64::MIN, after: u64::MAX }, not_before: Instant::MAX, ..held },
        ]
        .into_iter()
        .map(|saved| Entry { number: 7, count: 1 + u16::from(saved.attempts > 3), saved })
        .collect()
    }

    #[test]
    fn entries_come_back_and_what_is_cut_off_ends_the_list() {
        for clock in [None, Some(Instant::from_micros(77))] {
            let mut payload = encode_leases(clock);
            entries().iter().for_each(|entry| entry.encode(&mut payload));
            let (read_clock, read) = decode_leases(&payload).expect("it was just encoded");
            assert_eq!((read_clock, read.collect::<Vec<_>>()), (clock, entries()));
            for end in 0..payload.len() {
                assert!(decode_leases(&payload[..end]).is_none_or(|(_, read)| read.count() < entries().len()));
            }
        }
    }

    #[test]
    fn messages_that_are_simply_held_share_an_entry() {
        let held = entries().swap_remove(0);
        let next = Saved { rank: Rank::of(8), ..held.saved.clone() };
        assert!(held.takes(8, &next));
        assert!(!held.takes(9, &Saved { rank: Rank::of(9), ..next.clone() }));
        assert!(!held.takes(8, &Saved { attempts: 4, ..next.clone() }));
        assert!(!held.takes(8, &Saved { phase: SavedPhase::Waiting, ..next }));
        assert!(held.encoded_len() == 3 && entries().iter().all(|entry| entry.encoded_len() <= LONGEST_ENTRY));
    }

    impl Entry {
        fn encoded_len(&self) -> usize {
            let mut out = Vec::new();
            self.encode(&mut out);
            out.len()
        }
    }

    #[test]
    fn readings_checkpoints_and_expiries_come_back() {
        let reading = ClockReading { clock: Instant::from_micros(5), wall: 6 };
        let clock = ClockRecord { number: 4, reading };
        assert_eq!(ClockRecord::decode(&clock.encode()), Some(clock));
        assert_eq!(ClockRecord::decode(&clock.encode()[1..]), None);
        let checkpoint = Checkpoint { number: 1, records: 2, sum: 4, reading, expired: 3 };
        assert_eq!(Checkpoint::decode(&checkpoint.encode()), Some(checkpoint));
        assert_eq!(Checkpoint::decode(&checkpoint.encode()[1..]), None);
        let payload = encode_expired(Instant::from_micros(7), &[3..5, 9..10]);
        let (clock, ranges) = decode_expired(&payload).expect("it was just encoded");
        assert_eq!((clock, ranges.collect::<Vec<_>>()), (Instant::from_micros(7), [3..5, 9..10].to_vec()));
    }
}
