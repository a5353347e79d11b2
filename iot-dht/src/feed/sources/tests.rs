use std::collections::BTreeMap;
use std::time::Duration;
use std::vec::Vec;

use iot_crypto::SigningKey;

use super::*;
use crate::feed::{Cursor, Gap, OwnerOnly, Publisher, PublisherConfig, ReaderConfig};
use crate::id::Key;
use crate::record::Record;

const WALL: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A device whose feed has so many segments of one message, which says whose it is.
fn publish(number: u8, segments: u8, records: &mut BTreeMap<Key, Record>) -> Reader {
    let owner = SigningKey::from_seed(&[number; 32]);
    let mut publisher = Publisher::new(b"feed", PublisherConfig::default());
    for segment in 0..segments {
        publisher.push(&[number, segment]).unwrap();
        publisher.seal(&owner, WALL, 0).unwrap();
        records.extend(publisher.outbox().map(|record| (*record.key(), record.clone())));
    }
    Reader::new(owner.verifying_key().device_id(), b"feed", Cursor::default(), ReaderConfig::default())
}

fn fetched(record: Option<Record>) -> Fetched {
    Fetched { record, asked: 8, answered: 8 }
}

#[test]
fn several_feeds_are_read_in_turn_and_one_that_is_withheld_holds_up_none() {
    let mut records = BTreeMap::new();
    let mut sources = Sources::new(8, 3);
    let ids: Vec<_> = (1..=5).map(|n| sources.insert(publish(n, 20, &mut records)).unwrap()).collect();
    let (mut now, mut waiting, mut items) = (Instant::START, Vec::new(), Vec::new());
    while !sources.caught_up() {
        while let Some((source, fetch)) = sources.poll_fetch(now, WALL) {
            waiting.push((source, fetch));
        }
        assert!(waiting.len() <= 3, "{} fetches", waiting.len());
        if waiting.is_empty() {
            now = sources.poll_timeout().unwrap().max(now);
            continue;
        }
        let (source, fetch) = waiting.remove(0);
        let is_withheld = source == ids[2] && fetch.name.starts_with(b"feed/s/");
        let record = records.get(&fetch.key).filter(|_| !is_withheld).cloned();
        sources.handle_fetched(now, WALL, source, fetch.id, fetched(record.clone()));
        // A repeated result changes nothing, not even how many are under way.
        sources.handle_fetched(now, WALL, source, fetch.id, fetched(record));
        items.extend(std::iter::from_fn(|| sources.poll_item(&OwnerOnly)));
    }
    for (number, id) in (1..=5).zip(&ids) {
        let of = items.iter().filter(|(source, _)| source == id).map(|(_, item)| item);
        let read: Vec<_> = of
            .map(|item| match item {
                Item::Message { octets, .. } => octets.clone(),
                Item::Gap(Gap::Unavailable { segment, .. }) => std::vec![number, *segment as u8],
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(read, (0..20).map(|segment| std::vec![number, segment]).collect::<Vec<_>>());
    }
    let last_of_others = items.iter().rposition(|(source, _)| *source != ids[2]).unwrap();
    let last = items.iter().rposition(|(source, _)| *source == ids[2]).unwrap();
    assert!(last_of_others < last, "the others were done before");
}

#[test]
fn one_source_more_than_may_be_is_refused() {
    let mut records = BTreeMap::new();
    let mut sources = Sources::new(2, 1);
    let first = sources.insert(publish(1, 1, &mut records)).unwrap();
    sources.insert(publish(2, 1, &mut records)).unwrap();
    let third = publish(3, 1, &mut records);
    assert_eq!(sources.insert(third.clone()), Err(TooManySources { limit: 2 }));

    // What was under way for a source that is removed gives its place free.
    let (source, fetch) = sources.poll_fetch(Instant::START, WALL).unwrap();
    assert_eq!((source, sources.poll_fetch(Instant::START, WALL)), (first, None));
    sources.remove(first).unwrap();
    sources.handle_fetched(Instant::START, WALL, source, fetch.id, fetched(None));
    sources.insert(third).unwrap();
    assert!(sources.poll_fetch(Instant::START, WALL).is_some());
    let later = Instant::START.saturating_add(Duration::from_secs(1));
    assert_eq!(sources.poll_fetch(later, WALL), None, "one at a time");
}
