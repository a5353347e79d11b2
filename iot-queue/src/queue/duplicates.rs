//! What was appended before: by its position at its source, or by its identifier.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use iot_core::{DeviceId, Incarnation, Position, Ranges, SequenceError, StreamId};

use crate::format::control::{Checkpoint, IDENTIFIERS, SOURCE};
use crate::format::{octets, record};
use crate::message::{Message, MessageId};

/// Runs of numbers behind gaps that are remembered of a source.
const RUNS: usize = 8;
/// Octets of a record of one source.
const SOURCE_LEN: usize = 64 + RUNS * 16;
/// Identifiers in one record.
const BLOCK: u64 = 16;
const BLOCK_LEN: usize = 16 + BLOCK as usize * MessageId::LEN;

/// Octets of the records that each segment begins with, for so many feeds and identifiers.
pub(crate) fn standing_len(sources: u32, identifiers: u32) -> u64 {
    let blocks = if identifiers == 0 { 0 } else { blocks(identifiers.into()) };
    let len = |payload: usize| u64::from(record::record_len(0, payload as u32));
    u64::from(sources) * len(SOURCE_LEN) + blocks * len(BLOCK_LEN) + len(Checkpoint::LEN)
}

/// One more than the identifiers fill: the oldest block is written over while it is still needed in part.
const fn blocks(identifiers: u64) -> u64 {
    identifiers.div_ceil(BLOCK) + 1
}

/// More are never appended: what says otherwise is none of ours.
const LAST_IDENTIFIER: u64 = 1 << 62;

/// One feed of one source, in one run of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Feed {
    source: DeviceId,
    stream: StreamId,
    incarnation: Incarnation,
}

#[derive(Clone, Debug)]
struct Seen {
    /// Names the record of the feed.
    slot: u64,
    /// The message that was appended last.
    last: u64,
    sequences: Ranges<RUNS>,
}

/// What was appended before, as far as the caller wants to know.
#[derive(Clone, Debug)]
pub(super) struct Duplicates {
    max_feeds: usize,
    max_identifiers: usize,
    feeds: BTreeMap<Feed, Seen>,
    /// Feeds by their last message.
    by_age: BTreeMap<u64, Feed>,
    identifiers: BTreeMap<MessageId, u64>,
    /// The latest identifiers in their order, the last of which was the `next_identifier - 1`-th of all.
    window: VecDeque<MessageId>,
    next_identifier: u64,
    /// Messages that opening could not read, and that are to be noted when they are.
    unread: BTreeSet<u64>,
    /// Feeds that made room for others.
    pub(super) forgotten: u64,
}

/// A record that stands: its kind, the key that it goes by, and what it says.
pub(super) type Standing = (u8, u64, Vec<u8>);

impl Duplicates {
    pub(super) fn new(max_feeds: u32, max_identifiers: u32) -> Self {
        Self {
            max_feeds: max_feeds as usize,
            max_identifiers: max_identifiers as usize,
            feeds: BTreeMap::new(),
            by_age: BTreeMap::new(),
            identifiers: BTreeMap::new(),
            window: VecDeque::new(),
            next_identifier: 0,
            unread: BTreeSet::new(),
            forgotten: 0,
        }
    }

    /// Whether anything is remembered at all.
    pub(super) fn is_on(&self) -> bool {
        self.max_feeds > 0 || self.max_identifiers > 0
    }

    /// For each message, whether it was appended before, or stands twice among these.
    pub(super) fn find<'m>(&self, messages: &'m [Message<'_>]) -> impl Iterator<Item = bool> + use<'m, '_> {
        let (mut positions, mut identifiers) = (BTreeSet::new(), BTreeSet::new());
        messages.iter().map(move |message| {
            let position = message.position().filter(|_| self.max_feeds > 0);
            let id = message.id.filter(|_| self.max_identifiers > 0);
            let known = position.is_some_and(|position| self.has(position) || !positions.insert(*position));
            let named = id.is_some_and(|id| self.identifiers.contains_key(&id) || !identifiers.insert(id));
            known || named
        })
    }

    /// Takes note of a message that was appended, and gives the records that change by it.
    pub(super) fn note(&mut self, number: u64, position: Option<&Position>, id: Option<MessageId>) -> Vec<Standing> {
        let mut records = Vec::new();
        if let Some(position) = position.filter(|_| self.max_feeds > 0) {
            records.push(self.note_position(number, position));
        }
        if let Some(id) = id.filter(|_| self.max_identifiers > 0) {
            records.push(self.note_identifier(id));
        }
        records
    }

    /// Takes note that a message is yet to be [noted](Self::note).
    pub(super) fn note_later(&mut self, number: u64) {
        self.unread.insert(number);
    }

    /// Notes a message that was to be noted later, unless it was appended once more since.
    pub(super) fn note_read(
        &mut self,
        number: u64,
        position: Option<&Position>,
        id: Option<MessageId>,
    ) -> Vec<Standing> {
        if !self.unread.remove(&number) {
            return Vec::new();
        }
        let id = id.filter(|id| !self.identifiers.contains_key(id));
        self.note(number, position, id)
    }

    /// Octets and number of the records that come to stand, at the most, by appending so many messages.
    pub(super) fn growth(&self, messages: usize) -> (u32, u32) {
        let feeds = messages.min(self.max_feeds.saturating_sub(self.feeds.len()));
        let blocks = if self.max_identifiers > 0 { messages / BLOCK as usize + 1 } else { 0 };
        let len = |count: usize, payload: usize| count as u32 * record::record_len(0, payload as u32);
        (len(feeds, SOURCE_LEN) + len(blocks, BLOCK_LEN), (feeds + blocks) as u32)
    }

    /// Everything that stands.
    pub(super) fn standing(&self) -> Vec<Standing> {
        let feeds = self.feeds.iter().map(|(feed, seen)| (SOURCE, seen.slot, encode_feed(feed, seen)));
        let oldest = self.next_identifier - self.window.len() as u64;
        let blocks = (oldest / BLOCK..self.next_identifier.div_ceil(BLOCK)).map(|block| self.encode_block(block));
        feeds.chain(blocks).collect()
    }

    /// Puts back what a record says. Those of identifiers come in any order; [`resume`](Self::resume) follows.
    pub(super) fn restore(&mut self, kind: u8, payload: &[u8]) {
        match kind {
            SOURCE if self.max_feeds > 0 && payload.len() == SOURCE_LEN => self.restore_feed(payload),
            IDENTIFIERS if self.max_identifiers > 0 && payload.len() == BLOCK_LEN => {
                let (first, count) = (u64::from_le_bytes(octets(payload, 0)), u64::from_le_bytes(octets(payload, 8)));
                if first > LAST_IDENTIFIER {
                    return;
                }
                let ids = payload[16..].chunks_exact(MessageId::LEN).map(|id| MessageId::from_bytes(octets(id, 0)));
                self.identifiers.extend(ids.zip(first..).take(count as usize));
            }
            _ => {}
        }
    }

    /// Orders what was put back, and drops what is beyond the limits.
    pub(super) fn resume(&mut self) {
        let mut all: Vec<_> = self.identifiers.iter().map(|(&id, &ordinal)| (ordinal, id)).collect();
        all.sort_unstable();
        self.next_identifier = all.last().map_or(0, |&(ordinal, _)| ordinal.saturating_add(1));
        self.window = all.into_iter().map(|(_, id)| id).collect();
        while self.window.len() > self.max_identifiers {
            self.window.pop_front().map(|id| self.identifiers.remove(&id));
        }
        // A gap among them, by damage, would put the others in wrong blocks.
        let first = self.next_identifier - self.window.len() as u64;
        self.identifiers = self.window.iter().copied().zip(first..).collect();
    }

    fn has(&self, position: &Position) -> bool {
        let seen = self.feeds.get(&Feed::of(position));
        seen.is_some_and(|seen| matches!(seen.sequences.check(position.sequence), Err(SequenceError::Repeated { .. })))
    }

    fn note_position(&mut self, number: u64, position: &Position) -> Standing {
        let feed = Feed::of(position);
        let slot = match self.feeds.get(&feed) {
            Some(seen) => seen.slot,
            None => self.free_slot(),
        };
        let seen = self.feeds.entry(feed).or_insert_with(|| Seen { slot, last: number, sequences: Ranges::new() });
        self.by_age.remove(&seen.last);
        seen.last = number.max(seen.last);
        self.by_age.insert(seen.last, feed);
        while let Err(SequenceError::Full { .. }) = seen.sequences.insert(position.sequence) {
            seen.sequences.give_up();
        }
        (SOURCE, slot, encode_feed(&feed, seen))
    }

    /// A slot that no feed has, if need be that of the feed that was silent longest.
    fn free_slot(&mut self) -> u64 {
        if self.feeds.len() < self.max_feeds {
            return self.feeds.len() as u64;
        }
        let oldest = self.by_age.pop_first().and_then(|(_, feed)| self.feeds.remove(&feed));
        self.forgotten += 1;
        oldest.map_or(0, |seen| seen.slot)
    }

    fn note_identifier(&mut self, id: MessageId) -> Standing {
        if self.window.len() == self.max_identifiers {
            self.window.pop_front().map(|id| self.identifiers.remove(&id));
        }
        self.window.push_back(id);
        self.identifiers.insert(id, self.next_identifier);
        self.next_identifier += 1;
        self.encode_block((self.next_identifier - 1) / BLOCK)
    }

    fn encode_block(&self, block: u64) -> Standing {
        let oldest = self.next_identifier - self.window.len() as u64;
        let first = (block * BLOCK).max(oldest);
        let end = ((block + 1) * BLOCK).min(self.next_identifier);
        let mut payload = Vec::with_capacity(BLOCK_LEN);
        payload.extend_from_slice(&first.to_le_bytes());
        payload.extend_from_slice(&(end - first).to_le_bytes());
        let ids = self.window.range((first - oldest) as usize..(end - oldest) as usize);
        ids.for_each(|id| payload.extend_from_slice(id.as_bytes()));
        payload.resize(BLOCK_LEN, 0);
        (IDENTIFIERS, block % blocks(self.max_identifiers as u64), payload)
    }

    fn restore_feed(&mut self, payload: &[u8]) {
        let feed = Feed {
            source: DeviceId::from_bytes(octets(payload, 0)),
            stream: StreamId::new(u32::from_le_bytes(octets(payload, 32))),
            incarnation: Incarnation::from_bytes(octets(payload, 36)),
        };
        let word = |at| u64::from_le_bytes(octets(payload, at));
        let count = u32::from_le_bytes(octets(payload, 44)) as usize;
        let runs = (0..count.min(RUNS)).map(|run| word(64 + run * 16)..word(72 + run * 16));
        let Ok(sequences) = Ranges::from_ranges(word(56), runs) else { return };
        if !self.feeds.contains_key(&feed) {
            let slot = self.free_slot();
            self.by_age.insert(word(48), feed);
            self.feeds.insert(feed, Seen { slot, last: word(48), sequences });
        }
    }
}

impl Feed {
    const fn of(position: &Position) -> Self {
        Self { source: position.source, stream: position.stream, incarnation: position.incarnation }
    }
}

fn encode_feed(feed: &Feed, seen: &Seen) -> Vec<u8> {
    let runs = seen.sequences.seen();
    let mut payload = Vec::with_capacity(SOURCE_LEN);
    payload.extend_from_slice(feed.source.as_bytes());
    payload.extend_from_slice(&feed.stream.number().to_le_bytes());
    payload.extend_from_slice(feed.incarnation.as_bytes());
    payload.extend_from_slice(&(runs.len() as u32).to_le_bytes());
    payload.extend_from_slice(&seen.last.to_le_bytes());
    payload.extend_from_slice(&seen.sequences.low_water().to_le_bytes());
    for run in runs {
        payload.extend_from_slice(&run.start.to_le_bytes());
        payload.extend_from_slice(&run.end.to_le_bytes());
    }
    payload.resize(SOURCE_LEN, 0);
    payload
}
