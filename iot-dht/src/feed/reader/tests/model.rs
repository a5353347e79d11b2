//! A feed and its reader beside a list: whatever is published, however it is cut into segments, whoever withholds what,
//! and wherever either end is stopped and started again, the reader gives the list, with a gap where something is
//! withheld or has expired, and nothing else.
use super::*;
use crate::feed::PushError;

const LIFE: u64 = 1000;

#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    Flush,
    Seal,
    Renew,
    /// The publisher crashes after it stored its state.
    Crash,
    /// The network answers nothing for this segment from now on.
    Withhold(u8),
    /// So many fetches are answered and items taken.
    Read(u8),
    /// The reader goes away, and another comes in its place with its cursor.
    Replace,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..255).prop_map(Step::Push),
        3 => Just(Step::Flush),
        3 => Just(Step::Seal),
        1 => Just(Step::Renew),
        1 => Just(Step::Crash),
        1 => (0_u8..20).prop_map(Step::Withhold),
        4 => (1_u8..20).prop_map(Step::Read),
        1 => Just(Step::Replace),
        1 => (1_u16..700).prop_map(Step::Wait),
    ]
}

struct Model {
    publisher: Publisher,
    records: BTreeMap<Key, Record>,
    /// What was published, by segment.
    published: Vec<Vec<Vec<u8>>>,
    /// Pushed, and neither flushed nor sealed.
    pushed: Vec<Vec<u8>>,
    withheld: std::collections::BTreeSet<Vec<u8>>,
    reader: Reader,
    read: Vec<Item>,
    now: Instant,
    wall: Timestamp,
}

impl Model {
    fn new() -> Self {
        let config = PublisherConfig::default().life(Duration::from_secs(LIFE));
        Self {
            publisher: Publisher::new(b"feed", config),
            records: BTreeMap::new(),
            published: std::vec![Vec::new()],
            pushed: Vec::new(),
            withheld: std::collections::BTreeSet::new(),
            reader: reader(Cursor::default()),
            read: Vec::new(),
            now: Instant::START,
            wall: WALL,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Push(value) => {
                let message = std::vec![*value; usize::from(*value)];
                if self.publisher.push(&message) == Err(PushError::SegmentFull) {
                    self.step(&Step::Seal);
                    self.publisher.push(&message).unwrap();
                }
                self.pushed.push(message);
            }
            Step::Flush => {
                self.publisher.flush(&owner(), self.wall, 0).unwrap();
                self.published.last_mut().unwrap().append(&mut self.pushed);
                self.put();
            }
            Step::Seal => {
                self.publisher.seal(&owner(), self.wall, 0).unwrap();
                self.published.last_mut().unwrap().append(&mut self.pushed);
                if !self.published.last().unwrap().is_empty() {
                    self.published.push(Vec::new());
                }
                self.put();
            }
            Step::Renew => {
                self.publisher.renew(&owner(), self.wall).unwrap();
                self.put();
            }
            Step::Crash => {
                let config = PublisherConfig::default().life(Duration::from_secs(LIFE));
                self.publisher = Publisher::restore(&self.publisher.state(), config).unwrap();
                self.pushed.clear();
            }
            Step::Withhold(segment) => drop(self.withheld.insert(self.publisher.segment_name((*segment).into()))),
            Step::Read(steps) => (0..*steps).for_each(|_| self.read()),
            Step::Replace => self.reader = reader(self.reader.cursor()),
            Step::Wait(seconds) => {
                self.wall = self.wall.saturating_add(Duration::from_secs((*seconds).into()));
                self.now = self.now.saturating_add(Duration::from_secs((*seconds).into()));
            }
        }
    }

    fn put(&mut self) {
        let records: Vec<_> = self.publisher.outbox().cloned().collect();
        for record in records {
            self.publisher.confirm(record.key(), record.sequence());
            self.records.insert(*record.key(), record);
        }
    }

    fn read(&mut self) {
        if let Some(fetch) = self.reader.poll_fetch(self.now, self.wall) {
            let found = self.records.get(&fetch.key).filter(|record| {
                let matches = match fetch.mode {
                    GetMode::Newest => true,
                    GetMode::Matching(hash) => record.value_hash() == hash,
                };
                matches && record.expires() > self.wall && !self.withheld.contains(&fetch.name)
            });
            let fetched = Fetched { record: found.cloned(), asked: 8, answered: 7 };
            self.reader.handle_fetched(self.now, self.wall, fetch.id, fetched);
        }
        self.read.extend(self.reader.poll_item(&OwnerOnly));
    }

    /// Lets the reader read until it has everything that the newest head names.
    fn catch_up(&mut self) {
        self.now = self.now.saturating_add(Duration::from_secs(3600));
        for _ in 0..2000 {
            let before = (self.reader.stats(), self.read.len());
            self.read();
            if (self.reader.stats(), self.read.len()) == before {
                if self.reader.caught_up() == Some(true) {
                    return;
                }
                self.now = self.reader.poll_timeout().max(self.now);
            }
        }
        panic!("not caught up: {:?}", self.reader);
    }

    /// Each message that was read is the one of its place, they come in order and once, and what is missing was told.
    fn check(&self) {
        let mut next = Place { segment: 0, index: 0 };
        // A gap in a segment that was open excuses what of it did not come, whether or not the rest came later.
        let mut excused = std::collections::BTreeSet::new();
        let whole = |segment: u64| self.published.get(segment as usize).map_or(0, Vec::len) as u32;
        for item in &self.read {
            match item {
                Item::Message { place, octets } => {
                    assert!(*place >= next, "{place:?} after {next:?}");
                    if *place != next {
                        let closed = place.segment > next.segment;
                        assert!(!closed || next.index == whole(next.segment) || excused.contains(&next.segment));
                        let from = next.segment + 1;
                        (from..place.segment).for_each(|segment| assert!(excused.contains(&segment), "{segment}"));
                        assert_eq!(place.index, 0, "the first of a segment");
                    }
                    assert_eq!(self.published[place.segment as usize][place.index as usize], *octets);
                    next = Place { segment: place.segment, index: place.index + 1 };
                }
                Item::Gap(Gap::Unavailable { segment, .. }) => {
                    assert!(self.withheld.contains(&self.publisher.segment_name(*segment)), "{segment} was there");
                    excused.insert(*segment);
                }
                Item::Gap(Gap::Expired { from, to }) => excused.extend(*from..*to),
                Item::Gap(Gap::HeadOverdue { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        let last = self.published.len() as u64 - 1;
        for segment in next.segment..=last {
            let read = if segment == next.segment { next.index } else { 0 };
            assert!(read == whole(segment) || excused.contains(&segment), "{segment} ended at {read}");
        }
    }
}

fn reader(cursor: Cursor) -> Reader {
    Reader::new(owner().verifying_key().device_id(), b"feed", cursor, ReaderConfig::default().attempts(2).parallel(3))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_reader_gives_what_was_published_or_says_what_is_missing(steps in proptest::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        steps.iter().for_each(|step| model.step(step));
        model.step(&Step::Push(1));
        model.step(&Step::Flush);
        model.catch_up();
        model.check();
    }
}
