use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use iot_codec::cbor::{self, List};
use iot_codec::record;
use iot_core::{DeviceId, Instant, KeyId, Timestamp};
use iot_crypto::stream::Skipped;
use iot_crypto::{Directory, VerifyingKey};

use crate::feed::format::{Element, Part};
use crate::feed::gap::{Gap, Numbers};
use crate::feed::publisher::Place;
use crate::feed::reader::index::{Heard, Index, Indexed};
use crate::id::Key;
use crate::node::{GetDone, GetMode};
use crate::record::{Record, UnverifiedRecord};

mod config;
mod index;
#[cfg(test)]
mod tests;

pub use crate::feed::reader::config::ReaderConfig;
pub use crate::feed::reader::index::Fork;

record! {
    /// How far a reader has come: the next message, and the newest head seen, so that an older one is never believed
    /// after a restart, and its promise is not forgotten. The default is the beginning of a feed.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Cursor {
        /// The number of the segment.
        0 => pub segment: u64,
        /// The place in the segment, counted from 0.
        1 => pub index: u32,
        /// The highest sequence of a head that was seen.
        2 => pub head_sequence: u64,
        /// When that head promised the next, in microseconds since the Unix epoch; `None` if no head was seen.
        3 => pub promised_micros: Option<u64>,
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
    /// Something is missing; what follows is what comes after it. Only of a segment that is still growing, an
    /// unavailable version may yet be followed by what was missing.
    Gap(Gap),
    /// The owner has signed two feeds under this name; the reader goes on with the one that it knew first. Told once
    /// for each head of the other.
    Fork(Box<Fork>),
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
    /// Records refused because they are not what was asked for.
    pub refused: u64,
    /// Heads refused because they deny what an earlier one said.
    pub forks: u64,
    /// Statements about skipped numbers that no known device has signed.
    pub unproven: u64,
    /// Messages read.
    pub messages: u64,
    /// Gaps reported.
    pub gaps: u64,
}

/// The [`Directory`] of a reader who knows no device but the owner of the feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerOnly;

impl Directory for OwnerOnly {
    fn sender(&self, _: KeyId) -> Option<(DeviceId, VerifyingKey)> {
        None
    }
}

/// Reads a feed in order, from a cursor.
///
/// It asks for records with [`poll_fetch`](Self::poll_fetch), takes them with [`handle_fetched`](Self::handle_fetched),
/// and gives messages and gaps with [`poll_item`](Self::poll_item). It believes nothing but what the owner signed: the
/// records come verified, must be those that were asked for, segments and pages must match the hashes of the signed
/// index, an older head is refused, and one that contradicts an earlier is reported with the proof. A gap is reported
/// only when it is proved, and reading goes on behind it.
///
/// When a page of the index is unavailable, the segments that it names are fetched by their names alone: the signature
/// then binds them to their place.
///
/// # Work and memory
///
/// A result costs one decoding, and one hash where the index names one. An item costs at most the verification of one
/// signature for each statement about skipped numbers before it, of which a segment holds about seven. It holds one
/// head, [`pages`](ReaderConfig::pages), and twice [`parallel`](ReaderConfig::parallel) segments.
#[derive(Clone, Debug)]
pub struct Reader {
    owner: DeviceId,
    feed: Vec<u8>,
    config: ReaderConfig,
    cursor: Cursor,
    index: Index,
    /// The owner's key, once it has signed a head.
    owner_key: Option<VerifyingKey>,
    head_at: Instant,
    overdue: u64,
    /// The highest sequence of a head that was told as a fork.
    forked: Option<u64>,
    segments: BTreeMap<u64, Slot>,
    under_way: BTreeMap<FetchId, (Part, GetMode)>,
    next_fetch: u64,
    notices: VecDeque<Item>,
    stats: ReaderStats,
}

#[derive(Clone, Debug)]
enum Slot {
    Fetching {
        attempts: u8,
        version: Version,
    },
    Retry {
        attempts: u8,
        at: Instant,
    },
    /// What is to be given of it, and what is missing then.
    Ready {
        elements: VecDeque<Element>,
        version: Version,
        missing: Option<Gap>,
    },
    Expired(Version),
    /// All of this version of an open segment was given, or is missing.
    Done {
        hash: [u8; 32],
    },
}

/// Which version of a segment was asked for.
#[derive(Clone, Copy, Debug)]
enum Version {
    Closed,
    Open([u8; 32]),
    /// The newest that is to be found.
    Any,
}

impl Reader {
    /// A reader of the feed that `owner` calls `feed`.
    pub fn new(owner: DeviceId, feed: &[u8], cursor: Cursor, config: ReaderConfig) -> Self {
        Self {
            owner,
            feed: feed.to_vec(),
            config,
            cursor,
            index: Index::default(),
            owner_key: None,
            head_at: Instant::START,
            overdue: 0,
            forked: None,
            segments: BTreeMap::new(),
            under_way: BTreeMap::new(),
            next_fetch: 0,
            notices: VecDeque::new(),
            stats: ReaderStats::default(),
        }
    }

    /// Takes in the result of a fetch. A result that was handed in before changes nothing.
    pub fn handle_fetched(&mut self, now: Instant, wall: Timestamp, id: FetchId, fetched: Fetched) {
        let Some((part, mode)) = self.under_way.remove(&id) else { return };
        let key = Key::of_record(&self.owner, &part.name(&self.feed));
        let is_wanted = |record: &Record| {
            let matches = match mode {
                GetMode::Matching(hash) => record.value_hash() == hash,
                GetMode::Newest => true,
            };
            *record.key() == key && matches
        };
        let Fetched { record, asked, answered } = fetched;
        let came = record.is_some();
        let record = record.filter(is_wanted);
        self.stats.refused += u64::from(came && record.is_none());
        match part {
            Part::Head => self.handle_head(now, wall, record),
            Part::Page(number) => {
                let heard = self.index.take_page(now, number, record.as_ref(), &self.config);
                self.stats.malformed += u64::from(matches!(heard, Heard::Malformed));
            }
            Part::Segment(number) => self.handle_segment(now, number, record.as_ref(), asked, answered),
        }
    }

    /// Takes in a head that somebody pushed, such as a [`Subscription`](crate::subscription::Subscription) to
    /// [`head_key`](Self::head_key), as if it had been fetched: what it names is fetched next, and the head itself no
    /// sooner than [`poll_interval`](ReaderConfig::poll_interval) later.
    pub fn handle_pushed(&mut self, now: Instant, wall: Timestamp, record: Record) {
        if *record.key() == self.head_key() {
            self.handle_head(now, wall, Some(record));
        } else {
            self.stats.refused += 1;
        }
    }

    /// The next record that is needed now. Call until it returns nothing. Each is named once: when a node is busy, keep it
    /// and ask later. At most two more than [`parallel`](ReaderConfig::parallel) wait for their results.
    pub fn poll_fetch(&mut self, now: Instant, wall: Timestamp) -> Option<Fetch> {
        if self.head_at <= now && !self.under_way.values().any(|(part, _)| *part == Part::Head) {
            self.head_at = now.saturating_add(self.config.poll_interval);
            return Some(self.fetch(Part::Head, GetMode::Newest));
        }
        let head = self.index.head()?;
        let first = self.cursor.segment.max(head.first);
        let end = head.next + u64::from(head.open.is_some());
        for segment in first..end.min(first.saturating_add(self.config.parallel as u64)) {
            let indexed = self.index.look_up(segment);
            let attempts = match (self.segments.get(&segment), indexed) {
                (None, _) => 0,
                (Some(Slot::Retry { attempts, at }), _) if *at <= now => *attempts,
                // It has grown since, or was closed.
                (Some(Slot::Done { hash }), Indexed::Open(entry) | Indexed::Closed(entry)) if entry.hash != *hash => 0,
                (Some(Slot::Done { .. }), Indexed::Lost | Indexed::Page(_)) => 0,
                (Some(_), _) => continue,
            };
            let (version, mode) = match indexed {
                Indexed::Page(page) => {
                    let (number, hash) = self.index.next_page(now, page)?;
                    return Some(self.fetch(Part::Page(number), GetMode::Matching(hash)));
                }
                Indexed::Lost => (Version::Any, GetMode::Newest),
                Indexed::Closed(entry) => (Version::Closed, GetMode::Matching(entry.hash)),
                Indexed::Open(entry) => (Version::Open(entry.hash), GetMode::Matching(entry.hash)),
            };
            if let Indexed::Closed(entry) | Indexed::Open(entry) = indexed {
                if entry.expires <= wall.as_secs() {
                    self.segments.insert(segment, Slot::Expired(version));
                    continue;
                }
            }
            self.segments.insert(segment, Slot::Fetching { attempts: attempts + 1, version });
            return Some(self.fetch(Part::Segment(segment), mode));
        }
        None
    }

    /// The next message, gap or fork. `devices` knows those who may sign that they skipped numbers;
    /// [`OwnerOnly`] does where a device publishes for itself.
    pub fn poll_item(&mut self, devices: &impl Directory) -> Option<Item> {
        if let Some(notice) = self.notices.pop_front() {
            return Some(notice);
        }
        if let Some(expired) = self.expired_before_first() {
            return Some(expired);
        }
        loop {
            let segment = self.cursor.segment;
            match self.segments.get_mut(&segment)? {
                Slot::Fetching { .. } | Slot::Retry { .. } => return None,
                Slot::Ready { elements, version, missing } => {
                    if let Some(element) = elements.pop_front() {
                        // A finished segment is left behind with its last element, so that the cursor says so.
                        let (version, is_last) = (*version, elements.is_empty() && missing.is_none());
                        let place = Place { segment, index: self.cursor.index };
                        self.cursor.index = self.cursor.index.saturating_add(1);
                        if is_last {
                            self.finish(segment, version);
                        }
                        match self.item(place, element, devices) {
                            Some(item) => return Some(item),
                            None => continue,
                        }
                    }
                    let (version, missing) = (*version, missing.take());
                    self.finish(segment, version);
                    if let Some(gap) = missing {
                        return Some(self.gap(gap));
                    }
                }
                Slot::Expired(version) => {
                    let version = *version;
                    let expired = |number: &u64| matches!(self.segments.get(number), Some(Slot::Expired(_)));
                    let to = (segment..).find(|number| !expired(number)).unwrap_or(segment + 1);
                    if to > segment + 1 {
                        self.advance_to(to - 1);
                    }
                    let last = match self.segments.get(&(to - 1)) {
                        Some(Slot::Expired(last)) => *last,
                        _ => version,
                    };
                    self.finish(to - 1, last);
                    return Some(self.gap(Gap::Expired { from: segment, to }));
                }
                Slot::Done { hash } => match self.index.look_up(segment) {
                    Indexed::Closed(entry) if entry.hash == *hash => self.advance_to(segment + 1),
                    _ => return None,
                },
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
        segments.chain(self.index.retry_at()).fold(self.head_at, Instant::min)
    }

    /// Where the head of the feed is stored.
    pub fn head_key(&self) -> Key {
        Key::of_record(&self.owner, &Part::Head.name(&self.feed))
    }

    /// How far it has come; start another reader there.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Whether everything that the newest head names has been read. `None` while no head is known.
    pub fn caught_up(&self) -> Option<bool> {
        let head = self.index.head()?;
        let (at, next) = (self.cursor.segment, head.next);
        Some(match (head.open, self.segments.get(&next)) {
            (Some(entry), Some(Slot::Done { hash })) => at >= next && entry.hash == *hash,
            (Some(_), _) => at > next,
            (None, _) => at >= next,
        })
    }

    /// Whether the result of this fetch has not come yet.
    pub(super) fn awaits(&self, id: FetchId) -> bool {
        self.under_way.contains_key(&id)
    }

    /// What it has counted.
    pub fn stats(&self) -> ReaderStats {
        self.stats
    }

    fn fetch(&mut self, part: Part, mode: GetMode) -> Fetch {
        let id = FetchId(self.next_fetch);
        self.next_fetch += 1;
        self.stats.fetches += 1;
        self.under_way.insert(id, (part, mode));
        let name = part.name(&self.feed);
        Fetch { id, key: Key::of_record(&self.owner, &name), name, mode }
    }

    fn handle_head(&mut self, now: Instant, wall: Timestamp, record: Option<Record>) {
        self.head_at = now.saturating_add(self.config.poll_interval);
        match record {
            None => self.stats.heads_missing += 1,
            Some(record) if record.sequence() < self.cursor.head_sequence => self.stats.heads_stale += 1,
            Some(record) => self.take_head(record),
        }
        let Some(promised) = self.cursor.promised_micros.map(Timestamp::from_micros) else { return };
        let sequence = self.cursor.head_sequence;
        if promised.saturating_add(self.config.grace) < wall && self.overdue < sequence {
            self.overdue = sequence;
            let gap = self.gap(Gap::HeadOverdue { sequence, promised });
            self.notices.push_back(gap);
        }
    }

    fn take_head(&mut self, record: Record) {
        let sequence = record.sequence();
        let key = UnverifiedRecord::parse(record.as_bytes()).map(|record| record.verifying_key());
        match self.index.take_head(record) {
            Heard::News => {
                self.cursor.head_sequence = sequence;
                self.cursor.promised_micros = self.index.head().map(|head| head.renewed_by);
                self.owner_key = key.ok();
                self.stats.heads += 1;
            }
            Heard::Nothing => {}
            Heard::Malformed => self.stats.malformed += 1,
            Heard::Fork(fork) => {
                self.stats.forks += 1;
                if self.forked.is_none_or(|told| told < sequence) {
                    self.forked = Some(sequence);
                    self.notices.push_back(Item::Fork(fork));
                }
            }
        }
    }

    fn handle_segment(&mut self, now: Instant, number: u64, record: Option<&Record>, asked: usize, answered: usize) {
        let Some(slot) = self.segments.get_mut(&number) else { return };
        let Slot::Fetching { attempts, version } = *slot else { return };
        let gap = Gap::Unavailable { segment: number, asked, answered };
        let nothing = Slot::Ready { elements: VecDeque::new(), version, missing: Some(gap) };
        *slot = match record.map(|record| cbor::from_slice::<List<Element>>(record.value())) {
            Some(Ok(List(mut elements))) => {
                let count = elements.len();
                elements.retain(|element| *element != Element::More);
                // By its name alone a version is found that was open, although a longer one was published.
                let is_cut = matches!(version, Version::Any) && elements.len() < count;
                let read = if number == self.cursor.segment { self.cursor.index as usize } else { 0 };
                let elements = elements.into_iter().skip(read).collect();
                Slot::Ready { elements, version, missing: is_cut.then_some(gap) }
            }
            Some(Err(_)) => {
                self.stats.malformed += 1;
                nothing
            }
            None if attempts < self.config.attempts => {
                Slot::Retry { attempts, at: now.saturating_add(self.config.retry_delay) }
            }
            None => nothing,
        };
    }

    fn item(&mut self, place: Place, element: Element, devices: &impl Directory) -> Option<Item> {
        let gap = match element {
            Element::Message(octets) => {
                self.stats.messages += 1;
                return Some(Item::Message { place, octets });
            }
            Element::Skipped(statement) => {
                let known = WithOwner { owner: self.owner, key: self.owner_key.as_ref(), devices };
                let Ok(skipped) = Skipped::verify(&statement, &known) else {
                    self.stats.unproven += 1;
                    return None;
                };
                let numbers = skipped.numbers();
                Gap::NeverWritten(Numbers {
                    source: skipped.source(),
                    stream: skipped.stream(),
                    incarnation: skipped.incarnation(),
                    start: numbers.start,
                    end: numbers.end,
                })
            }
            Element::Dropped(numbers) => Gap::ClaimedDropped { by: self.owner, numbers },
            Element::More => return None,
        };
        Some(self.gap(gap))
    }

    /// What the head says has expired before anything that is at hand.
    fn expired_before_first(&mut self) -> Option<Item> {
        let (from, first) = (self.cursor.segment, self.index.head()?.first);
        if from >= first {
            return None;
        }
        let mut at_hand = self.segments.range(from..first).filter(|(_, slot)| matches!(slot, Slot::Ready { .. }));
        let to = at_hand.next().map_or(first, |(number, _)| *number);
        if to == from {
            return None;
        }
        self.advance_to(to);
        Some(self.gap(Gap::Expired { from, to }))
    }

    /// Goes on behind a segment, unless it may grow.
    fn finish(&mut self, segment: u64, version: Version) {
        match version {
            Version::Closed | Version::Any => self.advance_to(segment + 1),
            Version::Open(hash) => drop(self.segments.insert(segment, Slot::Done { hash })),
        }
    }

    fn advance_to(&mut self, segment: u64) {
        self.cursor.segment = segment;
        self.cursor.index = 0;
        self.segments = self.segments.split_off(&segment);
        self.index.forget_before(segment);
    }

    fn gap(&mut self, gap: Gap) -> Item {
        self.stats.gaps += 1;
        Item::Gap(gap)
    }
}

/// The devices that a reader knows, and the owner of the feed.
struct WithOwner<'d, D> {
    owner: DeviceId,
    key: Option<&'d VerifyingKey>,
    devices: &'d D,
}

impl<D: Directory> Directory for WithOwner<'_, D> {
    fn sender(&self, key: KeyId) -> Option<(DeviceId, VerifyingKey)> {
        let owner = self.key.filter(|own| own.key_id() == key).map(|own| (self.owner, *own));
        owner.or_else(|| self.devices.sender(key))
    }
}
