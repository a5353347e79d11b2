use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use iot_codec::cbor;
use iot_core::Instant;

use crate::feed::format::{Entry, Head, PAGE, Page};
use crate::feed::reader::ReaderConfig;
use crate::record::Record;

/// Two heads that one owner signed and of which each denies the other: the proof that the owner, or a thief of its key,
/// writes two feeds under one name. Anyone can check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The one that came first, which the reader goes on believing.
    pub believed: Record,
    /// The other.
    pub other: Record,
}

/// What the owner has signed about its segments: the newest head, and those pages that are at hand.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    head: Option<(Head, Record)>,
    pages: BTreeMap<u64, Page>,
    page: Option<PageFetch>,
    /// Pages below this one cannot be reached, except those at hand.
    lost: u64,
}

#[derive(Clone, Copy, Debug)]
struct PageFetch {
    number: u64,
    hash: [u8; 32],
    attempts: u8,
    retry_at: Option<Instant>,
}

/// What became of a head.
pub(super) enum Heard {
    News,
    Nothing,
    Malformed,
    Fork(Box<Fork>),
}

/// What the index says of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Indexed {
    /// It is closed.
    Closed(Entry),
    /// It will grow.
    Open(Entry),
    /// The page that names it cannot be reached.
    Lost,
    /// This page must be fetched first.
    Page(u64),
}

impl Index {
    pub(super) fn head(&self) -> Option<&Head> {
        self.head.as_ref().map(|(head, _)| head)
    }

    /// Takes in a head that is not older than the one at hand.
    pub(super) fn take_head(&mut self, record: Record) -> Heard {
        let head = match cbor::from_slice::<Head>(record.value()) {
            Ok(head) if is_consistent(&head) => head,
            Ok(_) | Err(_) => return Heard::Malformed,
        };
        if let Some((old, believed)) = &self.head {
            if record.value() == believed.value() && record.sequence() == believed.sequence() {
                return Heard::Nothing;
            }
            if record.sequence() == believed.sequence() || !follows(old, &head) {
                return Heard::Fork(Box::new(Fork { believed: believed.clone(), other: record }));
            }
        }
        self.head = Some((head, record));
        Heard::News
    }

    pub(super) fn look_up(&self, segment: u64) -> Indexed {
        let Some((head, _)) = &self.head else { return Indexed::Lost };
        let page = segment / PAGE;
        let place = (segment % PAGE) as usize;
        if segment == head.next {
            return head.open.map_or(Indexed::Lost, Indexed::Open);
        }
        if page >= head.pages {
            return head.tail.0.get(place).map_or(Indexed::Lost, |entry| Indexed::Closed(*entry));
        }
        match self.pages.get(&page) {
            Some(page) => page.entries.0.get(place).map_or(Indexed::Lost, |entry| Indexed::Closed(*entry)),
            None if page < self.lost => Indexed::Lost,
            None => Indexed::Page(page),
        }
    }

    /// The page to fetch now on the way down to `wanted`, and its hash: the one before the lowest at hand, or the last.
    pub(super) fn next_page(&mut self, now: Instant, wanted: u64) -> Option<(u64, [u8; 32])> {
        if let Some(page) = &mut self.page {
            if page.retry_at.is_none_or(|at| at > now) {
                return None;
            }
            page.retry_at = None;
            page.attempts += 1;
            return Some((page.number, page.hash));
        }
        let head = self.head()?;
        let (number, hash) = match self.pages.range(wanted..).next() {
            Some((above, page)) => (above - 1, page.previous),
            None => (head.pages - 1, head.last_page),
        };
        let Some(hash) = hash else {
            self.lost = self.lost.max(number + 1);
            return None;
        };
        self.page = Some(PageFetch { number, hash, attempts: 1, retry_at: None });
        Some((number, hash))
    }

    /// Takes in what came of fetching a page. Tells whether its owner signed what is no page.
    pub(super) fn take_page(
        &mut self,
        now: Instant,
        number: u64,
        record: Option<&Record>,
        config: &ReaderConfig,
    ) -> Heard {
        let Some(mut fetch) = self.page.take() else { return Heard::Nothing };
        match record.map(|record| cbor::from_slice::<Page>(record.value())) {
            Some(Ok(page)) if page.entries.0.len() as u64 == PAGE => {
                self.pages.insert(number, page);
                if self.pages.len() > config.pages {
                    self.pages.pop_last();
                }
                return Heard::News;
            }
            Some(_) => {
                self.lost = self.lost.max(number + 1);
                return Heard::Malformed;
            }
            None if fetch.attempts < config.attempts => {
                fetch.retry_at = Some(now.saturating_add(config.retry_delay));
                self.page = Some(fetch);
            }
            None => self.lost = self.lost.max(number + 1),
        }
        Heard::Nothing
    }

    /// Lets go of the pages that name only segments before this one.
    pub(super) fn forget_before(&mut self, segment: u64) {
        self.pages = self.pages.split_off(&(segment / PAGE));
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.page.and_then(|page| page.retry_at)
    }

    #[cfg(test)]
    pub(super) fn pages_at_hand(&self) -> usize {
        self.pages.len()
    }
}

/// Whether a head agrees with itself.
fn is_consistent(head: &Head) -> bool {
    let tail = head.tail.0.len() as u64;
    tail < PAGE
        && head.pages.checked_mul(PAGE).and_then(|paged| paged.checked_add(tail)) == Some(head.next)
        && head.next < u64::MAX
        && head.first <= head.next
        && head.last_page.is_some() == (head.pages > 0)
}

/// Whether a head takes nothing back that the one before said.
fn follows(old: &Head, new: &Head) -> bool {
    let same_pages = old.pages == new.pages;
    // While no page has closed, the entries of the old head stand unchanged at the front of the new.
    let kept = !same_pages || (old.last_page == new.last_page && new.tail.0.starts_with(&old.tail.0));
    kept && old.next <= new.next && old.first <= new.first && old.pages <= new.pages
}
