use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use iot_codec::cbor::{self, List};
use iot_core::DeviceId;

use crate::id::Key;
use crate::node::GetMode;
use crate::record::Record;
use crate::roster::{Front, Publication, Roster, RosterError, page_name};

/// A record that a [`RosterReader`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RosterFetch {
    /// Where it is stored.
    pub key: Key,
    /// What to accept.
    pub mode: GetMode,
}

/// Reads a roster once: asks for the first record, then for the pages that it names, at most 25 at once.
///
/// What came of it is the return value of the [`handle_fetched`](Self::handle_fetched) that hands in the last record. It
/// holds the pages until then.
#[derive(Clone, Debug)]
pub struct RosterReader {
    authority: DeviceId,
    name: Vec<u8>,
    known: u64,
    front: Option<Record>,
    to_fetch: VecDeque<RosterFetch>,
    /// Where each fetch that is under way belongs.
    under_way: BTreeMap<Key, (Part, GetMode)>,
    pages: Vec<Option<Vec<Publication>>>,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Front,
    Page(usize),
}

impl RosterReader {
    /// Reads the roster that `authority` calls `name` ([`Roster::name`]). `known` is the highest sequence that was seen
    /// of it, 0 at first: an older one is refused.
    pub fn new(authority: DeviceId, name: &[u8], known: u64) -> Self {
        let front = RosterFetch { key: Key::of_record(&authority, name), mode: GetMode::Newest };
        Self {
            authority,
            name: name.to_vec(),
            known,
            front: None,
            to_fetch: VecDeque::from([front]),
            under_way: BTreeMap::from([(front.key, (Part::Front, front.mode))]),
            pages: Vec::new(),
        }
    }

    /// The next record that is needed. Each is named once.
    pub fn poll_fetch(&mut self) -> Option<RosterFetch> {
        self.to_fetch.pop_front()
    }

    /// Takes in what was found at a key: the verified record, if there is one. The roster, or why there is none, comes
    /// back with the last of them; nothing before, nor afterwards.
    pub fn handle_fetched(&mut self, key: &Key, record: Option<Record>) -> Option<Result<Roster, RosterError>> {
        let (part, mode) = self.under_way.remove(key)?;
        let record = record.filter(|record| {
            let matches = match mode {
                GetMode::Newest => true,
                GetMode::Matching(hash) => record.value_hash() == hash,
            };
            record.key() == key && matches
        });
        let taken = match part {
            Part::Front => self.take_front(record),
            Part::Page(number) => self.take_page(number, record),
        };
        if let Err(error) = taken {
            self.under_way.clear();
            self.to_fetch.clear();
            return Some(Err(error));
        }
        if self.under_way.is_empty() { Some(self.finish()) } else { None }
    }

    fn take_front(&mut self, record: Option<Record>) -> Result<(), RosterError> {
        let record = record.ok_or(RosterError::NotFound)?;
        if record.sequence() < self.known {
            return Err(RosterError::Stale { found: record.sequence(), known: self.known });
        }
        let Front { pages, publications } = cbor::from_slice(record.value())?;
        self.front = Some(record);
        if pages.0.is_empty() {
            self.pages.push(Some(publications.0));
        }
        for (number, hash) in pages.0.into_iter().enumerate().take(Roster::MAX_PAGES) {
            let key = Key::of_record(&self.authority, &page_name(&self.name, number));
            let mode = GetMode::Matching(hash);
            self.pages.push(None);
            self.under_way.insert(key, (Part::Page(number), mode));
            self.to_fetch.push_back(RosterFetch { key, mode });
        }
        Ok(())
    }

    fn take_page(&mut self, number: usize, record: Option<Record>) -> Result<(), RosterError> {
        if let (Some(record), Some(page)) = (record, self.pages.get_mut(number)) {
            let List(publications) = cbor::from_slice(record.value())?;
            *page = Some(publications);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Roster, RosterError> {
        let pages = core::mem::take(&mut self.pages);
        let (count, missing) = (pages.len(), pages.iter().filter(|page| page.is_none()).count());
        let front = self.front.take().ok_or(RosterError::NotFound)?;
        if missing > 0 {
            return Err(RosterError::Unavailable { missing, pages: count });
        }
        let publications = pages.into_iter().flatten().flatten().collect();
        Ok(Roster { publications, sequence: front.sequence(), expires: front.expires() })
    }
}
