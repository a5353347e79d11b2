use alloc::vec::Vec;
use core::time::Duration;

use iot_codec::cbor::{self, DecodeError, Limits, List};
use iot_codec::record;
use iot_core::Timestamp;
use iot_crypto::Signer;
use sha2::{Digest as _, Sha256};

use crate::feed::format::{Entry, Head, MAX_NAME_LEN, PAGE, Page, Part};
use crate::id::Key;
use crate::record::{Record, RecordError, SignRecordError, UnverifiedRecord};

#[cfg(test)]
mod tests;

/// How long what a [`Publisher`] publishes lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublisherConfig {
    life: Duration,
    renewal: Duration,
    pages: usize,
    outbox: usize,
}

impl PublisherConfig {
    /// How long a segment lives, 1 second to 29 days; 7 days by default.
    ///
    /// # Panics
    /// When the duration is out of range.
    pub fn life(mut self, life: Duration) -> Self {
        let longest = Record::MAX_LIFE - Duration::from_secs(24 * 60 * 60);
        assert!((Duration::from_secs(1)..=longest).contains(&life), "a segment lives 1 second to 29 days");
        self.life = life;
        self
    }

    /// How soon after one head the next is promised, at least 1 s; 1 hour by default. Call [`Publisher::renew`] at
    /// least that often.
    ///
    /// # Panics
    /// When the duration is shorter.
    pub fn renewal(mut self, renewal: Duration) -> Self {
        assert!(renewal >= Duration::from_secs(1), "a head is renewed once a second at most");
        self.renewal = renewal;
        self
    }

    /// How many full pages of 16 segments the index keeps, 1 to 4,096; 1,024 by default. Beyond that the oldest are
    /// given up though they may still be alive: readers are told that they expired.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn pages(mut self, pages: usize) -> Self {
        assert!((1..=MAX_PAGES).contains(&pages), "an index of 1 to 4096 pages, not {pages}");
        self.pages = pages;
        self
    }

    /// How many records may wait to be confirmed, 3 to 4,096; 64 by default. At the bound
    /// [`seal`](Publisher::seal) refuses.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn outbox(mut self, records: usize) -> Self {
        assert!((3..=MAX_OUTBOX).contains(&records), "an outbox of 3 to 4096 records, not {records}");
        self.outbox = records;
        self
    }
}

impl Default for PublisherConfig {
    fn default() -> Self {
        Self {
            life: Duration::from_secs(7 * 24 * 60 * 60),
            renewal: Duration::from_secs(3600),
            pages: 1024,
            outbox: 64,
        }
    }
}

/// Where a message stands in a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The number of the segment.
    pub segment: u64,
    /// The place in the segment, counted from 0.
    pub index: u32,
}

/// Cuts messages into signed records.
///
/// # Order of things
///
/// [`push`](Self::push) messages; [`seal`](Self::seal) when the segment is full or old enough; **store
/// [`state`](Self::state) durably**; only then put the records of [`outbox`](Self::outbox) into the network, and
/// [`confirm`](Self::confirm) each when enough nodes store it.
///
/// After a crash, [`restore`](Self::restore) from the last stored state. What was sealed is in it, to the byte, so a
/// number is never signed twice with different content; what was only pushed is not, and is pushed again. The
/// [`mark`](Self::mark) is for telling the two apart: it is stored with the state, and means what the application
/// likes, such as the place in a queue up to which everything has been sealed.
#[derive(Clone, Debug)]
pub struct Publisher {
    config: PublisherConfig,
    state: State,
    outbox: Vec<Record>,
    open: Vec<Vec<u8>>,
    open_len: usize,
}

record! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct State {
        0 => feed: Vec<u8>,
        1 => mark: u64,
        2 => next: u64,
        3 => head_sequence: u64,
        4 => pages: u64,
        5 => last_page: Option<[u8; 32]>,
        6 => tail: List<Entry>,
        /// Of each page that still counts, the oldest first: when its last segment expires.
        7 => page_expiries: List<u64>,
    }
}

record! {
    /// What is stored: the state, and the octets of the records that wait to be confirmed.
    struct Snapshot {
        0 => state: State,
        1 => outbox: List<Vec<u8>>,
    }
}

impl Publisher {
    /// The most octets of one message in a feed with this name.
    pub const fn max_message_len(feed: &[u8]) -> usize {
        // A segment of one message has 1 octet for the array and at most 3 for the head of the byte string.
        Record::MAX_CONTENT_LEN - segment_name_len(feed) - 4
    }

    /// The publisher of a new feed.
    ///
    /// # Panics
    ///
    /// When the name is longer than 40 octets.
    pub fn new(feed: &[u8], config: PublisherConfig) -> Self {
        assert!(feed.len() <= MAX_NAME_LEN, "the name of a feed has at most {MAX_NAME_LEN} octets");
        let state = State {
            feed: feed.to_vec(),
            mark: 0,
            next: 0,
            head_sequence: 0,
            pages: 0,
            last_page: None,
            tail: List(Vec::new()),
            page_expiries: List(Vec::new()),
        };
        Self { config, state, outbox: Vec::new(), open: Vec::new(), open_len: 0 }
    }

    /// The publisher as it was when [`state`](Self::state) was called.
    ///
    /// # Errors
    ///
    /// [`RestoreError`] when the octets are not such a state.
    pub fn restore(state: &[u8], config: PublisherConfig) -> Result<Self, RestoreError> {
        let limits = Limits::default().bytes(MAX_STATE_LEN);
        let Snapshot { state, outbox } = cbor::from_slice_within(state, &limits)?;
        let (tail, pages) = (state.tail.0.len() as u64, state.page_expiries.0.len() as u64);
        let indexed = state.pages.checked_mul(PAGE).and_then(|paged| paged.checked_add(tail));
        if state.feed.len() > MAX_NAME_LEN || tail >= PAGE || pages > state.pages || indexed != Some(state.next) {
            return Err(RestoreError::Inconsistent);
        }
        let outbox = outbox.0.iter().map(|octets| UnverifiedRecord::parse(octets)?.verify_own());
        let outbox = outbox.collect::<Result<_, RecordError>>()?;
        Ok(Self { config, state, outbox, open: Vec::new(), open_len: 0 })
    }

    /// Adds a message to the open segment, and says where it will stand.
    ///
    /// # Errors
    ///
    /// [`PushError::SegmentFull`]: seal, and push it again. [`PushError::TooLarge`]: it fits no segment.
    pub fn push(&mut self, message: &[u8]) -> Result<Place, PushError> {
        let limit = Self::max_message_len(&self.state.feed);
        if message.len() > limit {
            return Err(PushError::TooLarge { len: message.len(), limit });
        }
        let len = cbor::encoded_len(message);
        let head = cbor::encoded_len(&(self.open.len() as u64 + 1));
        if head + self.open_len + len > Record::MAX_CONTENT_LEN - segment_name_len(&self.state.feed) {
            return Err(PushError::SegmentFull);
        }
        let place = Place { segment: self.state.next, index: self.open.len() as u32 };
        self.open.push(message.to_vec());
        self.open_len += len;
        Ok(place)
    }

    /// Closes the open segment: signs it, the page if it is the sixteenth, and a new head. Does nothing if no message
    /// was pushed. `mark` is kept with the state.
    ///
    /// # Errors
    ///
    /// [`SealError`]; nothing has changed then.
    pub fn seal(&mut self, signer: &impl Signer, now: Timestamp, mark: u64) -> Result<(), SealError> {
        if self.open.is_empty() {
            self.state.mark = mark;
            return Ok(());
        }
        let limit = self.config.outbox;
        if self.outbox.len() + 3 > limit {
            return Err(SealError::OutboxFull { limit });
        }
        let mut state = self.state.clone();
        let mut signed = Vec::new();
        let expires = whole_seconds(now.saturating_add(self.config.life));
        let value = cbor::to_vec(&List(self.open.clone()));
        let segment = Part::Segment(state.next).name(&state.feed);
        signed.push(Record::sign(signer, &segment, 0, expires, &value)?);
        state.tail.0.push(Entry { hash: Sha256::digest(&value).into(), expires: expires.as_secs() });
        state.next += 1;
        state.mark = mark;
        if state.tail.0.len() as u64 == PAGE {
            signed.push(close_page(&mut state, signer, expires)?);
        }
        signed.push(self.sign_head(&mut state, signer, now)?);
        self.take(state, signed);
        self.open.clear();
        self.open_len = 0;
        Ok(())
    }

    /// Signs a new head with the same segments, as the last head promised, and forgets those that have expired.
    ///
    /// # Errors
    ///
    /// [`SealError::Record`]; nothing has changed then.
    pub fn renew(&mut self, signer: &impl Signer, now: Timestamp) -> Result<(), SealError> {
        let mut state = self.state.clone();
        let head = self.sign_head(&mut state, signer, now)?;
        self.take(state, alloc::vec![head]);
        Ok(())
    }

    /// The records that are not confirmed, the oldest first. A new head takes the place of an unconfirmed older one.
    pub fn outbox(&self) -> impl Iterator<Item = &Record> + '_ {
        self.outbox.iter()
    }

    /// Takes a record off the outbox: enough nodes store it. Confirming an older head changes nothing.
    pub fn confirm(&mut self, key: &Key, sequence: u64) {
        self.outbox.retain(|record| record.key() != key || record.sequence() != sequence);
    }

    /// Everything that a publisher must remember, open messages excepted.
    pub fn state(&self) -> Vec<u8> {
        let outbox = self.outbox.iter().map(|record| record.as_bytes().to_vec()).collect();
        cbor::to_vec(&Snapshot { state: self.state.clone(), outbox: List(outbox) })
    }

    /// What the last [`seal`](Self::seal) was given.
    pub fn mark(&self) -> u64 {
        self.state.mark
    }

    /// The name of the feed.
    pub fn feed(&self) -> &[u8] {
        &self.state.feed
    }

    /// The number that the next sealed segment will have.
    pub fn next_segment(&self) -> u64 {
        self.state.next
    }

    /// Messages of the open segment.
    pub fn pending(&self) -> usize {
        self.open.len()
    }

    /// The name of the record of a segment, for an application that keeps records and publishes them again.
    pub fn segment_name(&self, segment: u64) -> Vec<u8> {
        Part::Segment(segment).name(&self.state.feed)
    }

    fn sign_head(&self, state: &mut State, signer: &impl Signer, now: Timestamp) -> Result<Record, SealError> {
        let expired = state.page_expiries.0.iter().take_while(|expires| **expires <= now.as_secs()).count();
        let given_up = state.page_expiries.0.len().saturating_sub(self.config.pages);
        state.page_expiries.0.drain(..expired.max(given_up));
        let renewed_by = now.saturating_add(self.config.renewal);
        let mut first = (state.pages - state.page_expiries.0.len() as u64) * PAGE;
        if state.page_expiries.0.is_empty() {
            first += state.tail.0.iter().take_while(|entry| entry.expires <= now.as_secs()).count() as u64;
        }
        let head = Head {
            first,
            next: state.next,
            pages: state.pages,
            last_page: state.last_page,
            tail: state.tail.clone(),
            renewed_by: renewed_by.as_micros(),
        };
        state.head_sequence += 1;
        let name = Part::Head.name(&state.feed);
        // The head outlives its promise, so that a reader learns that the promise was not kept.
        let expires =
            now.saturating_add(self.config.life.max(self.config.renewal.saturating_mul(2)).min(MAX_HEAD_LIFE));
        let value = cbor::to_vec(&head);
        Ok(Record::sign(signer, &name, state.head_sequence, whole_seconds(expires), &value)?)
    }

    /// Makes what was signed the state; a new head takes the place of an older one that nobody needs any more.
    fn take(&mut self, state: State, signed: Vec<Record>) {
        self.outbox.retain(|old| signed.iter().all(|new| new.key() != old.key()));
        self.outbox.extend(signed);
        self.state = state;
    }
}

fn close_page(state: &mut State, signer: &impl Signer, expires: Timestamp) -> Result<Record, SealError> {
    let entries = core::mem::take(&mut state.tail.0);
    let page = cbor::to_vec(&Page { previous: state.last_page, entries: List(entries) });
    let name = Part::Page(state.pages).name(&state.feed);
    let record = Record::sign(signer, &name, 0, expires, &page)?;
    state.last_page = Some(Sha256::digest(&page).into());
    state.pages += 1;
    state.page_expiries.0.push(expires.as_secs());
    Ok(record)
}

/// More octets than any state has: a full outbox, the expiry of each page, and the rest.
const MAX_STATE_LEN: u32 = (MAX_OUTBOX * (Record::MAX_LEN + 3) + MAX_PAGES * 9 + 4096) as u32;

/// The most records that may wait to be confirmed.
const MAX_OUTBOX: usize = 4096;

/// The most pages that the index keeps.
const MAX_PAGES: usize = 4096;

const MAX_HEAD_LIFE: Duration = Duration::from_secs(29 * 24 * 60 * 60);

/// Octets of the longest name of a segment: the feed's, `/s/` and twenty digits.
const fn segment_name_len(feed: &[u8]) -> usize {
    feed.len() + 3 + 20
}

fn whole_seconds(timestamp: Timestamp) -> Timestamp {
    Timestamp::from_secs(timestamp.as_secs())
}

/// Why a message was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The open segment has no room for it: seal, and push it again.
    #[error("the open segment is full")]
    SegmentFull,
    /// It fits no segment.
    #[error("the message of {len} octets exceeds {limit}")]
    TooLarge {
        /// Octets of the message.
        len: usize,
        /// The most that fit.
        limit: usize,
    },
}

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Too many records wait to be confirmed.
    #[error("the outbox of {limit} records is full")]
    OutboxFull {
        /// The configured bound.
        limit: usize,
    },
    /// The record was not signed.
    #[error(transparent)]
    Record(#[from] SignRecordError),
}

/// Why a publisher was not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The octets are not a state's.
    #[error("the state of the publisher is malformed")]
    Malformed(#[from] DecodeError),
    /// Its numbers contradict each other.
    #[error("the state of the publisher is inconsistent")]
    Inconsistent,
    /// A record of its outbox is none.
    #[error("the outbox of the publisher is malformed")]
    Outbox(#[from] RecordError),
}
