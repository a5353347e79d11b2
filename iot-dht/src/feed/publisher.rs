use alloc::vec::Vec;
use core::time::Duration;

use iot_codec::cbor::{self, Kind, Limits, List};
use iot_codec::record;
use iot_core::Timestamp;
use iot_crypto::Signer;
use iot_crypto::cose::{CoseError, Sign1};
use sha2::{Digest as _, Sha256};

use crate::feed::format::{Element, Entry, Head, MAX_NAME_LEN, PAGE, Page, Part};
use crate::feed::gap::Numbers;
use crate::feed::publisher::config::{MAX_OUTBOX, MAX_PAGES};
use crate::id::Key;
use crate::record::{Record, RecordError, SignRecordError, UnverifiedRecord};

mod config;
mod error;
#[cfg(test)]
mod tests;

pub use crate::feed::publisher::config::PublisherConfig;
pub use crate::feed::publisher::error::{PushError, RestoreError, SealError};

/// Where something stands in a feed.
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
/// [`push`](Self::push) messages; [`seal`](Self::seal) when the segment is full, and [`flush`](Self::flush) when readers
/// should not wait for that; **store [`state`](Self::state) durably**; only then put the records of
/// [`outbox`](Self::outbox) into the network, and [`confirm`](Self::confirm) each when enough nodes store it.
///
/// After a crash, [`restore`](Self::restore) from the last stored state. What was sealed or flushed is in it, to the
/// byte, so a number is never signed twice with different content; what was only pushed is not, and is pushed again. The
/// [`mark`](Self::mark) is for telling the two apart: it is stored with the state, and means what the application
/// likes, such as the place in a queue up to which everything has been sealed.
///
/// # Few small messages
///
/// A device that writes one message an hour flushes after each, so that it can be read at once, and seals when a push
/// says that the segment is full. Readers who were away then fetch a segment for as many messages as fit it.
#[derive(Clone, Debug)]
pub struct Publisher {
    config: PublisherConfig,
    state: State,
    outbox: Vec<Record>,
    /// What was pushed after the last flush.
    pushed: Vec<Element>,
    /// Octets of all elements of the open segment.
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
        /// What of the open segment was flushed.
        8 => open: Option<Open>,
        /// What the last head gave as the first segment: it never goes back, not even when what expired joins a page
        /// whose last segment lives.
        9 => first: u64,
    }
}

record! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Open {
        0 => elements: List<Element>,
        1 => sequence: u64,
        2 => entry: Entry,
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
        // Beside the message a segment has 1 octet for the array, at most 3 for the head of the byte string, and 1 that
        // says that more will follow.
        Record::MAX_CONTENT_LEN - segment_name_len(feed) - 5
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
            open: None,
            first: 0,
        };
        Self { config, state, outbox: Vec::new(), pushed: Vec::new(), open_len: 0 }
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
        let open_len = state.open.iter().flat_map(|open| &open.elements.0).map(cbor::encoded_len).sum();
        let counts = [state.next, state.head_sequence, state.open.as_ref().map_or(0, |open| open.sequence)];
        if state.feed.len() > MAX_NAME_LEN
            || tail >= PAGE
            || pages > state.pages
            || indexed != Some(state.next)
            || state.first > state.next
            || open_len > Record::MAX_CONTENT_LEN - segment_name_len(&state.feed)
            || counts.contains(&u64::MAX)
        {
            return Err(RestoreError::Inconsistent);
        }
        let outbox = outbox.0.iter().map(|octets| UnverifiedRecord::parse(octets)?.verify_own());
        let outbox = outbox.collect::<Result<_, RecordError>>()?;
        Ok(Self { config, state, outbox, pushed: Vec::new(), open_len })
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
        self.push_element(Element::Message(message.to_vec()))
    }

    /// Adds what a device signed about numbers that it never used ([`Skipped`](iot_crypto::stream::Skipped)). Readers
    /// who know the device report it as [`Gap::NeverWritten`](crate::feed::Gap::NeverWritten).
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push), and [`PushError::Statement`].
    pub fn push_skipped(&mut self, statement: &[u8]) -> Result<Place, PushError> {
        Sign1::parse(statement)?;
        // What is an array in a segment is a statement; a tag, which no signature covers, is left out.
        let mut cursor = cbor::Cursor::new(statement);
        if cursor.peek().map_err(CoseError::from)? == Kind::Tag {
            cursor.tag().map_err(CoseError::from)?;
        }
        self.push_element(Element::Skipped(cursor.rest().to_vec()))
    }

    /// Adds that the owner of the feed had these messages and lost them. Readers report it as
    /// [`Gap::ClaimedDropped`](crate::feed::Gap::ClaimedDropped).
    ///
    /// # Errors
    ///
    /// [`PushError::SegmentFull`], [`PushError::EmptyRange`].
    pub fn push_dropped(&mut self, numbers: Numbers) -> Result<Place, PushError> {
        let Numbers { start, end, .. } = numbers;
        if start >= end {
            return Err(PushError::EmptyRange { start, end });
        }
        self.push_element(Element::Dropped(numbers))
    }

    /// Signs the open segment as far as it goes, and a new head, so that it can be read; it goes on to grow. Does
    /// nothing if nothing was pushed. `mark` is kept with the state.
    ///
    /// # Errors
    ///
    /// [`SealError`]; nothing has changed then.
    pub fn flush(&mut self, signer: &impl Signer, now: Timestamp, mark: u64) -> Result<(), SealError> {
        self.drop_expired(now);
        if self.pushed.is_empty() {
            self.state.mark = mark;
            return Ok(());
        }
        self.check_outbox(2)?;
        let mut state = self.state.clone();
        let (mut elements, sequence) = self.open_elements();
        elements.push(Element::More);
        let (segment, entry) = self.sign_segment(signer, now, sequence, &elements)?;
        elements.pop();
        state.open = Some(Open { elements: List(elements), sequence: sequence + 1, entry });
        state.mark = mark;
        let head = self.sign_head(&mut state, signer, now)?;
        self.take(state, alloc::vec![segment, head]);
        self.pushed.clear();
        Ok(())
    }

    /// Closes the open segment: signs it, the page if it is the sixteenth, and a new head. Does nothing if the segment
    /// is empty. `mark` is kept with the state.
    ///
    /// # Errors
    ///
    /// [`SealError`]; nothing has changed then.
    pub fn seal(&mut self, signer: &impl Signer, now: Timestamp, mark: u64) -> Result<(), SealError> {
        self.drop_expired(now);
        if self.pending() == 0 {
            self.state.mark = mark;
            return Ok(());
        }
        self.check_outbox(3)?;
        let mut state = self.state.clone();
        let (elements, sequence) = self.open_elements();
        let (segment, entry) = self.sign_segment(signer, now, sequence, &elements)?;
        let mut signed = alloc::vec![segment];
        state.tail.0.push(entry);
        state.next += 1;
        state.open = None;
        state.mark = mark;
        if state.tail.0.len() as u64 == PAGE {
            signed.push(close_page(&mut state, signer, self.expiry(now))?);
        }
        signed.push(self.sign_head(&mut state, signer, now)?);
        self.take(state, signed);
        self.pushed.clear();
        self.open_len = 0;
        Ok(())
    }

    /// Signs a new head with the same segments, as the last head promised, and forgets those that have expired.
    ///
    /// # Errors
    ///
    /// [`SealError::Record`]; nothing has changed then.
    pub fn renew(&mut self, signer: &impl Signer, now: Timestamp) -> Result<(), SealError> {
        self.drop_expired(now);
        let mut state = self.state.clone();
        let head = self.sign_head(&mut state, signer, now)?;
        self.take(state, alloc::vec![head]);
        Ok(())
    }

    /// The records that are not confirmed, the oldest first. A new head takes the place of an unconfirmed older one, and
    /// a longer version of the open segment that of a shorter one. What has expired unconfirmed is dropped with the next
    /// seal, flush or renewal, because no node would take it.
    pub fn outbox(&self) -> impl Iterator<Item = &Record> + '_ {
        self.outbox.iter()
    }

    /// Takes a record off the outbox: enough nodes store it. Confirming an older head changes nothing.
    pub fn confirm(&mut self, key: &Key, sequence: u64) {
        self.outbox.retain(|record| record.key() != key || record.sequence() != sequence);
    }

    /// Everything that a publisher must remember, except what was pushed after the last flush.
    pub fn state(&self) -> Vec<u8> {
        let outbox = self.outbox.iter().map(|record| record.as_bytes().to_vec()).collect();
        cbor::to_vec(&Snapshot { state: self.state.clone(), outbox: List(outbox) })
    }

    /// What the last [`seal`](Self::seal) or [`flush`](Self::flush) was given.
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

    /// Elements of the open segment, flushed or not.
    pub fn pending(&self) -> usize {
        self.state.open.as_ref().map_or(0, |open| open.elements.0.len()) + self.pushed.len()
    }

    /// The name of the record of a segment, for an application that keeps records and publishes them again.
    pub fn segment_name(&self, segment: u64) -> Vec<u8> {
        Part::Segment(segment).name(&self.state.feed)
    }

    fn push_element(&mut self, element: Element) -> Result<Place, PushError> {
        let len = cbor::encoded_len(&element);
        let count = self.pending();
        // Room for the element that says that more will follow.
        let head = cbor::encoded_len(&(count as u64 + 2));
        if head + self.open_len + len + 1 > Record::MAX_CONTENT_LEN - segment_name_len(&self.state.feed) {
            return Err(PushError::SegmentFull);
        }
        self.pushed.push(element);
        self.open_len += len;
        Ok(Place { segment: self.state.next, index: count as u32 })
    }

    /// All elements of the open segment, and the sequence of its next version.
    fn open_elements(&self) -> (Vec<Element>, u64) {
        let (mut elements, sequence) =
            self.state.open.as_ref().map_or((Vec::new(), 0), |open| (open.elements.0.clone(), open.sequence));
        elements.extend_from_slice(&self.pushed);
        (elements, sequence)
    }

    fn sign_segment(
        &self,
        signer: &impl Signer,
        now: Timestamp,
        sequence: u64,
        elements: &[Element],
    ) -> Result<(Record, Entry), SignRecordError> {
        let expires = self.expiry(now);
        let value = cbor::to_vec(&List(elements.to_vec()));
        let record = Record::sign(signer, &self.segment_name(self.state.next), sequence, expires, &value)?;
        let entry = Entry { hash: Sha256::digest(&value).into(), expires: expires.as_secs() };
        Ok((record, entry))
    }

    fn sign_head(&self, state: &mut State, signer: &impl Signer, now: Timestamp) -> Result<Record, SignRecordError> {
        let expired = state.page_expiries.0.iter().take_while(|expires| **expires <= now.as_secs()).count();
        let given_up = state.page_expiries.0.len().saturating_sub(self.config.pages);
        state.page_expiries.0.drain(..expired.max(given_up));
        let renewed_by = now.saturating_add(self.config.renewal);
        let mut first = (state.pages - state.page_expiries.0.len() as u64) * PAGE;
        if state.page_expiries.0.is_empty() {
            first += state.tail.0.iter().take_while(|entry| entry.expires <= now.as_secs()).count() as u64;
        }
        state.first = state.first.max(first);
        let head = Head {
            first: state.first,
            next: state.next,
            pages: state.pages,
            last_page: state.last_page,
            tail: state.tail.clone(),
            renewed_by: renewed_by.as_micros(),
            open: state.open.as_ref().map(|open| open.entry),
        };
        state.head_sequence += 1;
        let name = Part::Head.name(&state.feed);
        // The head outlives its promise, so that a reader learns that the promise was not kept.
        let expires =
            now.saturating_add(self.config.life.max(self.config.renewal.saturating_mul(2)).min(MAX_HEAD_LIFE));
        Record::sign(signer, &name, state.head_sequence, whole_seconds(expires), &cbor::to_vec(&head))
    }

    fn expiry(&self, now: Timestamp) -> Timestamp {
        whole_seconds(now.saturating_add(self.config.life))
    }

    fn check_outbox(&self, more: usize) -> Result<(), SealError> {
        let limit = self.config.outbox;
        if self.outbox.len() + more > limit { Err(SealError::OutboxFull { limit }) } else { Ok(()) }
    }

    fn drop_expired(&mut self, now: Timestamp) {
        self.outbox.retain(|record| record.expires() > now);
    }

    /// Makes what was signed the state; it takes the place of older versions, which nobody needs any more.
    fn take(&mut self, state: State, signed: Vec<Record>) {
        self.outbox.retain(|old| signed.iter().all(|new| new.key() != old.key()));
        self.outbox.extend(signed);
        self.state = state;
    }
}

fn close_page(state: &mut State, signer: &impl Signer, expires: Timestamp) -> Result<Record, SignRecordError> {
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
const MAX_STATE_LEN: u32 = (MAX_OUTBOX * (Record::MAX_LEN + 3) + MAX_PAGES * 9 + 8192) as u32;

const MAX_HEAD_LIFE: Duration = Duration::from_secs(29 * 24 * 60 * 60);

/// Octets of the longest name of a segment: the feed's, `/s/` and twenty digits.
const fn segment_name_len(feed: &[u8]) -> usize {
    feed.len() + 3 + 20
}

fn whole_seconds(timestamp: Timestamp) -> Timestamp {
    Timestamp::from_secs(timestamp.as_secs())
}
