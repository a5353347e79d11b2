use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use iot_codec::cbor::{self, List};
use iot_codec::record;
use iot_core::{DeviceId, Instant, Timestamp};

use crate::feed::format::{Entry, Head, PAGE, Page, Part};
use crate::feed::gap::Gap;
use crate::feed::publisher::Place;
use crate::id::Key;
use crate::node::{GetDone, GetMode};
use crate::record::Record;

#[cfg(test)]
mod tests;

/// How eagerly a [`Reader`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderConfig {
    poll_interval: Duration,
    grace: Duration,
    retry_delay: Duration,
    attempts: u8,
    parallel: usize,
    pages: usize,
}

impl ReaderConfig {
    /// How often the head is fetched, at least 1 ms; 1 minute by default.
    ///
    /// # Panics
    /// When the duration is shorter.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        assert!(interval >= Duration::from_millis(1), "a poll interval of at least 1 ms");
        self.poll_interval = interval;
        self
    }

    /// How long after the promised time a new head is overdue; 1 minute by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long after a failed fetch the next is tried; 2 s by default.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = delay;
        self
    }

    /// How often a page or a segment is fetched before it counts as unavailable, at least 1; 3 by default.
    ///
    /// # Panics
    /// When the number is 0.
    pub fn attempts(mut self, attempts: u8) -> Self {
        assert!(attempts > 0, "at least one attempt");
        self.attempts = attempts;
        self
    }

    /// How many segments are fetched ahead or wait to be read, 1 to 64; 4 by default.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn parallel(mut self, segments: usize) -> Self {
        assert!((1..=64).contains(&segments), "1 to 64 segments at once, not {segments}");
        self.parallel = segments;
        self
    }

    /// How many pages of the index are held, at least 1; 64 by default, of about 700 octets. A longer backlog is read
    /// in several walks over the index.
    ///
    /// # Panics
    /// When the number is 0.
    pub fn pages(mut self, pages: usize) -> Self {
        assert!(pages > 0, "at least one page");
        self.pages = pages;
        self
    }
}

impl Default for ReaderConfig {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(60),
            grace: Duration::from_secs(60),
            retry_delay: Duration::from_secs(2),
            attempts: 3,
            parallel: 4,
            pages: 64,
        }
    }
}

record! {
    /// How far a reader has come: the next message, and the newest head seen, so that an older one is never believed
    /// after a restart. The default is the beginning of a feed.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Cursor {
        /// The number of the segment.
        0 => pub segment: u64,
        /// The place in the segment, counted from 0.
        1 => pub index: u32,
        /// The highest sequence of a head that was seen.
        2 => pub head_sequence: u64,
    }
}

/// Names a fetch until its result is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(u64);

/// A record that the reader needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Names it in [`Reader::handle_fetched`].
    pub id: FetchId,
    /// Where it is stored.
    pub key: Key,
    /// What its owner calls it.
    pub name: Vec<u8>,
    /// What to accept.
    pub mode: GetMode,
}

/// The result of a [`Fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The verified record, if there is one.
    pub record: Option<Record>,
    /// How many nodes were asked.
    pub asked: usize,
    /// How many of them answered.
    pub answered: usize,
}

impl From<GetDone> for Fetched {
    fn from(done: GetDone) -> Self {
        Self { record: done.record, asked: done.asked, answered: done.answered }
    }
}

/// What a [`Reader`] has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The next message.
    Message {
        /// Where it stands.
        place: Place,
        /// The message, as the publisher pushed it.
        octets: Vec<u8>,
    },
    /// Something is missing; what follows is what comes after it.
    Gap(Gap),
}

/// What a [`Reader`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderStats {
    /// Fetches that were asked for.
    pub fetches: u64,
    /// Heads that were newer than the one before.
    pub heads: u64,
    /// Times that no node returned a head.
    pub heads_missing: u64,
    /// Heads refused because a newer one had been seen: replayed by somebody, or kept by a node that missed the newer.
    pub heads_stale: u64,
    /// Heads, pages and segments refused because their owner signed what contradicts itself.
    pub malformed: u64,
    /// Messages read.
    pub messages: u64,
    /// Gaps reported.
    pub gaps: u64,
}

/// Reads a feed in order, from a cursor.
///
/// It asks for records with [`poll_fetch`](Self::poll_fetch), takes them with [`handle_fetched`](Self::handle_fetched),
/// and gives messages and gaps with [`poll_item`](Self::poll_item). It believes nothing but what the owner signed: the
/// records come verified, segments and pages must match the hashes of the signed index, and an older head is refused.
/// A gap is reported only when that index proves it, and reading goes on behind it.
///
/// When a page of the index is unavailable, the segments that it names are fetched by their names alone: the signature
/// then binds them to their place.
#[derive(Clone, Debug)]
pub struct Reader {
    owner: DeviceId,
    feed: Vec<u8>,
    config: ReaderConfig,
    cursor: Cursor,
    head: Option<Head>,
    head_at: Instant,
    overdue: u64,
    pages: BTreeMap<u64, Page>,
    page: Option<PageFetch>,
    /// Pages below this one cannot be reached, except those at hand.
    lost: u64,
    segments: BTreeMap<u64, Slot>,
    under_way: BTreeMap<FetchId, Part>,
    next_fetch: u64,
    notices: VecDeque<Gap>,
    stats: ReaderStats,
}

#[derive(Clone, Copy, Debug)]
struct PageFetch {
    number: u64,
    hash: [u8; 32],
    attempts: u8,
    retry_at: Option<Instant>,
}

#[derive(Clone, Debug)]
enum Slot {
    Fetching { attempts: u8 },
    Retry { attempts: u8, at: Instant },
    Ready(VecDeque<Vec<u8>>),
    Expired,
    Unavailable { asked: usize, answered: usize },
    Malformed,
}

/// What the index says of a segment.
enum Indexed {
    Entry(Entry),
    /// The page that names it cannot be reached.
    Lost,
    /// The page that names it must be fetched first.
    Page(u64),
}

impl Reader {
    /// A reader of the feed that `owner` calls `feed`.
    pub fn new(owner: DeviceId, feed: &[u8], cursor: Cursor, config: ReaderConfig) -> Self {
        Self {
            owner,
            feed: feed.to_vec(),
            config,
            cursor,
            head: None,
            head_at: Instant::START,
            overdue: 0,
            pages: BTreeMap::new(),
            page: None,
            lost: 0,
            segments: BTreeMap::new(),
            under_way: BTreeMap::new(),
            next_fetch: 0,
            notices: VecDeque::new(),
            stats: ReaderStats::default(),
        }
    }

    /// Takes in the result of a fetch. A result that was handed in before changes nothing.
    pub fn handle_fetched(&mut self, now: Instant, wall: Timestamp, id: FetchId, fetched: Fetched) {
        match self.under_way.remove(&id) {
            Some(Part::Head) => self.handle_head(now, wall, fetched.record),
            Some(Part::Page(number)) => self.handle_page(now, number, fetched.record),
            Some(Part::Segment(number)) => self.handle_segment(now, number, fetched),
            None => {}
        }
    }

    /// The next record that is needed now. Call until it returns nothing. Each is named once: when a node is busy, keep it
    /// and ask later. At most two more than [`parallel`](ReaderConfig::parallel) wait for their results.
    pub fn poll_fetch(&mut self, now: Instant, wall: Timestamp) -> Option<Fetch> {
        if self.head_at <= now && !self.under_way.values().any(|part| *part == Part::Head) {
            self.head_at = now.saturating_add(self.config.poll_interval);
            return Some(self.fetch(Part::Head, GetMode::Newest));
        }
        let head = self.head.as_ref()?;
        let (first, next) = (self.cursor.segment.max(head.first), head.next);
        for segment in first..next.min(first.saturating_add(self.config.parallel as u64)) {
            let attempts = match self.segments.get(&segment) {
                None => 0,
                Some(Slot::Retry { attempts, at }) if *at <= now => *attempts,
                Some(_) => continue,
            };
            let mode = match self.look_up(segment) {
                Indexed::Page(page) => return self.fetch_page(now, page),
                Indexed::Lost => GetMode::Newest,
                Indexed::Entry(entry) if entry.expires <= wall.as_secs() => {
                    self.segments.insert(segment, Slot::Expired);
                    continue;
                }
                Indexed::Entry(entry) => GetMode::Matching(entry.hash),
            };
            self.segments.insert(segment, Slot::Fetching { attempts: attempts + 1 });
            return Some(self.fetch(Part::Segment(segment), mode));
        }
        None
    }

    /// The next message or gap.
    pub fn poll_item(&mut self) -> Option<Item> {
        if let Some(gap) = self.notices.pop_front() {
            return Some(self.gap(gap));
        }
        if let Some(to) = self.head.as_ref().map(|head| head.first).filter(|first| self.cursor.segment < *first) {
            let from = self.cursor.segment;
            self.advance_to(to);
            return Some(self.gap(Gap::Expired { from, to }));
        }
        loop {
            let segment = self.cursor.segment;
            match self.segments.get_mut(&segment)? {
                Slot::Fetching { .. } | Slot::Retry { .. } => return None,
                Slot::Ready(messages) => {
                    let message = messages.pop_front();
                    if messages.is_empty() {
                        let place = Place { segment, index: self.cursor.index };
                        self.advance_to(segment + 1);
                        let Some(octets) = message else { continue };
                        self.stats.messages += 1;
                        return Some(Item::Message { place, octets });
                    }
                    let place = Place { segment, index: self.cursor.index };
                    self.cursor.index += 1;
                    self.stats.messages += 1;
                    return message.map(|octets| Item::Message { place, octets });
                }
                Slot::Expired => {
                    let expired = |number: &u64| matches!(self.segments.get(number), Some(Slot::Expired));
                    let to = (segment..).find(|number| !expired(number)).unwrap_or(segment + 1);
                    self.advance_to(to);
                    return Some(self.gap(Gap::Expired { from: segment, to }));
                }
                Slot::Unavailable { asked, answered } => {
                    let gap = Gap::Unavailable { segment, asked: *asked, answered: *answered };
                    self.advance_to(segment + 1);
                    return Some(self.gap(gap));
                }
                Slot::Malformed => {
                    self.advance_to(segment + 1);
                    return Some(self.gap(Gap::Malformed { segment }));
                }
            }
        }
    }

    /// When [`poll_fetch`](Self::poll_fetch) may next return something, if no result is handed in and no item is taken
    /// before.
    pub fn poll_timeout(&self) -> Instant {
        let segments = self.segments.values().filter_map(|slot| match slot {
            Slot::Retry { at, .. } => Some(*at),
            _ => None,
        });
        let page = self.page.and_then(|page| page.retry_at);
        segments.chain(page).fold(self.head_at, Instant::min)
    }

    /// How far it has come; start another reader there.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Whether everything that the newest head names has been read. `None` while no head is known.
    pub fn caught_up(&self) -> Option<bool> {
        self.head.as_ref().map(|head| self.cursor.segment >= head.next)
    }

    /// What it has counted.
    pub fn stats(&self) -> ReaderStats {
        self.stats
    }

    fn fetch(&mut self, part: Part, mode: GetMode) -> Fetch {
        let id = FetchId(self.next_fetch);
        self.next_fetch += 1;
        self.stats.fetches += 1;
        self.under_way.insert(id, part);
        let name = part.name(&self.feed);
        Fetch { id, key: Key::of_record(&self.owner, &name), name, mode }
    }

    fn handle_head(&mut self, now: Instant, wall: Timestamp, record: Option<Record>) {
        self.head_at = now.saturating_add(self.config.poll_interval);
        match record {
            None => self.stats.heads_missing += 1,
            Some(record) if record.sequence() < self.cursor.head_sequence => self.stats.heads_stale += 1,
            Some(record) if record.sequence() == self.cursor.head_sequence && self.head.is_some() => {}
            Some(record) => match cbor::from_slice::<Head>(record.value()) {
                Ok(head) if self.accepts(&head) => {
                    self.cursor.head_sequence = record.sequence();
                    self.stats.heads += 1;
                    self.segments = self.segments.split_off(&head.first);
                    self.head = Some(head);
                }
                Ok(_) | Err(_) => self.stats.malformed += 1,
            },
        }
        let Some(head) = &self.head else { return };
        let promised = Timestamp::from_micros(head.renewed_by);
        let sequence = self.cursor.head_sequence;
        if promised.saturating_add(self.config.grace) < wall && self.overdue < sequence {
            self.overdue = sequence;
            self.notices.push_back(Gap::HeadOverdue { sequence, promised });
        }
    }

    /// Whether a head agrees with itself and takes nothing back that the one before said.
    fn accepts(&self, head: &Head) -> bool {
        let tail = head.tail.0.len() as u64;
        tail < PAGE
            && head.pages.checked_mul(PAGE).and_then(|paged| paged.checked_add(tail)) == Some(head.next)
            && head.first <= head.next
            && head.last_page.is_some() == (head.pages > 0)
            && self.head.as_ref().is_none_or(|old| old.next <= head.next && old.first <= head.first)
    }

    fn look_up(&self, segment: u64) -> Indexed {
        let Some(head) = &self.head else { return Indexed::Lost };
        let page = segment / PAGE;
        let place = (segment % PAGE) as usize;
        if page >= head.pages {
            return head.tail.0.get(place).map_or(Indexed::Lost, |entry| Indexed::Entry(*entry));
        }
        match self.pages.get(&page) {
            Some(page) => page.entries.0.get(place).map_or(Indexed::Lost, |entry| Indexed::Entry(*entry)),
            None if page < self.lost => Indexed::Lost,
            None => Indexed::Page(page),
        }
    }

    /// Fetches the next page on the way down to `wanted`: the one before the lowest at hand, or the last.
    fn fetch_page(&mut self, now: Instant, wanted: u64) -> Option<Fetch> {
        if let Some(page) = &mut self.page {
            if page.retry_at.is_none_or(|at| at > now) {
                return None;
            }
            page.retry_at = None;
            page.attempts += 1;
            let (number, hash) = (page.number, page.hash);
            return Some(self.fetch(Part::Page(number), GetMode::Matching(hash)));
        }
        let head = self.head.as_ref()?;
        let (number, hash) = match self.pages.range(wanted..).next() {
            Some((above, page)) => (above - 1, page.previous),
            None => (head.pages - 1, head.last_page),
        };
        let Some(hash) = hash else {
            self.lost = self.lost.max(number + 1);
            return None;
        };
        self.page = Some(PageFetch { number, hash, attempts: 1, retry_at: None });
        Some(self.fetch(Part::Page(number), GetMode::Matching(hash)))
    }

    fn handle_page(&mut self, now: Instant, number: u64, record: Option<Record>) {
        let Some(mut fetch) = self.page.take() else { return };
        let page = record.map(|record| cbor::from_slice::<Page>(record.value()));
        match page {
            Some(Ok(page)) if page.entries.0.len() as u64 == PAGE => {
                self.pages.insert(number, page);
                if self.pages.len() > self.config.pages {
                    self.pages.pop_last();
                }
            }
            Some(_) => {
                self.stats.malformed += 1;
                self.lost = self.lost.max(number + 1);
            }
            None if fetch.attempts < self.config.attempts => {
                fetch.retry_at = Some(now.saturating_add(self.config.retry_delay));
                self.page = Some(fetch);
            }
            None => self.lost = self.lost.max(number + 1),
        }
    }

    fn handle_segment(&mut self, now: Instant, number: u64, fetched: Fetched) {
        let Some(slot) = self.segments.get_mut(&number) else { return };
        let Slot::Fetching { attempts } = *slot else { return };
        *slot = match fetched.record {
            Some(record) => match cbor::from_slice::<List<Vec<u8>>>(record.value()) {
                Ok(List(messages)) => {
                    let read = if number == self.cursor.segment { self.cursor.index as usize } else { 0 };
                    Slot::Ready(messages.into_iter().skip(read).collect())
                }
                Err(_) => {
                    self.stats.malformed += 1;
                    Slot::Malformed
                }
            },
            None if attempts < self.config.attempts => {
                Slot::Retry { attempts, at: now.saturating_add(self.config.retry_delay) }
            }
            None => Slot::Unavailable { asked: fetched.asked, answered: fetched.answered },
        };
    }

    fn advance_to(&mut self, segment: u64) {
        self.cursor.segment = segment;
        self.cursor.index = 0;
        self.segments = self.segments.split_off(&segment);
        self.pages = self.pages.split_off(&(segment / PAGE));
    }

    fn gap(&mut self, gap: Gap) -> Item {
        self.stats.gaps += 1;
        Item::Gap(gap)
    }
}
