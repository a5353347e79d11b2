//! What a reader is told by nodes that lie, and by an owner that does.
use std::boxed::Box;

use iot_core::{Incarnation, StreamId};
use iot_crypto::cose::Sign1;
use sha2::Digest as _;

use super::*;

fn fetched(record: Option<Record>) -> Fetched {
    Fetched { record, asked: 8, answered: 7 }
}

fn sign(name: &[u8], sequence: u64, value: &[u8]) -> Record {
    Record::sign(&owner(), name, sequence, WALL.saturating_add(Duration::from_secs(3600)), value).unwrap()
}

/// A head of open and closed segments with these values, none of them on a page.
fn head_of(closed: &[&[u8]], open: Option<&[u8]>) -> Head {
    let entry = |value: &&[u8]| Entry { hash: sha2::Sha256::digest(value).into(), expires: WALL.as_secs() + 3600 };
    Head {
        first: 0,
        next: closed.len() as u64,
        pages: 0,
        last_page: None,
        tail: List(closed.iter().map(entry).collect()),
        renewed_by: WALL.as_micros() + 1,
        open: open.as_ref().map(entry),
    }
}

/// Hands the reader what a network of liars answers: for each record that it wants, what `lie` makes of the truth.
fn read_lies(
    world: &World,
    reader: &mut Reader,
    mut lie: impl FnMut(&Fetch, Option<Record>) -> Option<Record>,
) -> Vec<Item> {
    let (mut now, mut items) = (Instant::START, Vec::new());
    for _ in 0..200 {
        while let Some(fetch) = reader.poll_fetch(now, WALL) {
            let truth = world.answer(&fetch).record;
            reader.handle_fetched(now, WALL, fetch.id, fetched(lie(&fetch, truth)));
        }
        while let Some(item) = reader.poll_item(&OwnerOnly) {
            items.push(item);
        }
        now = reader.poll_timeout().max(now);
    }
    items
}

/// What a liar makes of a record.
type Lie<'l> = Box<dyn Fn(&Record) -> Record + 'l>;

#[test]
fn records_that_were_not_asked_for_are_refused() {
    let world = World::new(20);
    let stranger = SigningKey::from_seed(&[9; 32]);
    let other_owner = |record: &Record| {
        Record::sign(&stranger, record.name(), record.sequence(), record.expires(), record.value()).unwrap()
    };
    let truncated = |record: &Record| sign(record.name(), 0, &record.value()[..record.value().len() - 1]);
    let neighbour = |record: &Record| {
        let name: &[u8] = if record.name() == b"feed/s/1" { b"feed/s/2" } else { b"feed/s/1" };
        world.records[&Key::of_record(&owner().verifying_key().device_id(), name)].clone()
    };
    let lies: [(&str, Lie<'_>); 3] = [
        ("another owner", Box::new(other_owner)),
        ("truncated", Box::new(truncated)),
        ("another segment", Box::new(neighbour)),
    ];
    for (what, lie) in lies {
        let mut reader = world.reader(Cursor::default(), ReaderConfig::default());
        let items = read_lies(&world, &mut reader, |fetch, truth| {
            let is_segment = fetch.name.starts_with(b"feed/s/");
            if is_segment { truth.as_ref().map(&lie) } else { truth }
        });
        assert!(numbers(&items).is_empty(), "{what}");
        let unavailable = |segment| Gap::Unavailable { segment, asked: 8, answered: 7 };
        assert_eq!(gaps(&items), (0..20).map(unavailable).collect::<Vec<_>>(), "{what}");
        assert_eq!(reader.stats().refused, 60, "{what}, three attempts each");
    }
}

#[test]
fn a_head_of_another_owner_or_feed_is_refused() {
    let world = World::new(3);
    let stranger = SigningKey::from_seed(&[9; 32]);
    for forged in [
        Record::sign(&stranger, b"feed/head", 99, WALL.saturating_add(Duration::from_secs(9)), b"x").unwrap(),
        sign(b"other/head", 99, b"x"),
    ] {
        let mut reader = world.reader(Cursor::default(), ReaderConfig::default());
        read_lies(&world, &mut reader, |_, _| Some(forged.clone()));
        assert_eq!((reader.caught_up(), reader.stats().refused > 0), (None, true));
    }
}

#[test]
fn withheld_segments_are_gaps_and_the_rest_is_read() {
    let world = World::new(40);
    let mut reader = world.reader(Cursor::default(), ReaderConfig::default());
    let withheld = |fetch: &Fetch| fetch.name.starts_with(b"feed/s/") && fetch.name.ends_with(b"7");
    let items = read_lies(&world, &mut reader, |fetch, truth| truth.filter(|_| !withheld(fetch)));
    let missing: Vec<_> = gaps(&items)
        .iter()
        .map(|gap| if let Gap::Unavailable { segment, .. } = gap { *segment } else { panic!("{gap:?}") })
        .collect();
    assert_eq!(missing, [7, 17, 27, 37]);
    assert_eq!(numbers(&items).len(), 72);
}

#[test]
fn an_older_version_of_a_segment_whose_page_is_withheld_is_not_taken_for_the_whole() {
    let mut world = World::new(0);
    world.publisher.push(&0_u64.to_be_bytes()).unwrap();
    world.publisher.flush(&owner(), WALL, 0).unwrap();
    let short: Vec<Record> = world.publisher.outbox().cloned().collect();
    world.publisher.push(&1_u64.to_be_bytes()).unwrap();
    world.seal();
    world.publish(19);
    let mut reader = world.reader(Cursor::default(), ReaderConfig::default());
    let items = read_lies(&world, &mut reader, |fetch, truth| match &fetch.name[..] {
        b"feed/p/0" => None,
        b"feed/s/0" => short.iter().find(|record| record.name() == b"feed/s/0").cloned(),
        _ => truth,
    });
    assert_eq!(gaps(&items), [Gap::Unavailable { segment: 0, asked: 8, answered: 7 }]);
    let expected: Vec<_> = (0..40).filter(|number| *number != 1).collect();
    assert_eq!(numbers(&items), expected);
}

#[test]
fn an_owner_that_signs_two_feeds_is_told_with_the_proof() {
    let world = World::new(0);
    let first = sign(b"feed/head", 5, &cbor::to_vec(&head_of(&[b"\x81\x41a"], None)));
    let contradictions = [
        ("the same sequence", 5, head_of(&[b"\x81\x41a"], Some(b"\x81\x41b"))),
        ("another segment", 6, head_of(&[b"\x81\x41z"], None)),
        ("fewer segments", 7, head_of(&[], None)),
        ("an earlier beginning", 8, Head { next: 1, ..head_of(&[b"\x81\x41z"], None) }),
    ];
    for (what, sequence, other) in contradictions {
        let second = sign(b"feed/head", sequence, &cbor::to_vec(&other));
        let mut reader = world.reader(Cursor::default(), ReaderConfig::default());
        let mut heads = 0;
        let items = read_lies(&world, &mut reader, |fetch, _| {
            if fetch.name != b"feed/head" {
                return Some(sign(&fetch.name, 0, b"\x81\x41a"));
            }
            heads += 1;
            Some(if heads == 1 { first.clone() } else { second.clone() })
        });
        let forks: Vec<_> = items.iter().filter(|item| matches!(item, Item::Fork(_))).collect();
        let proof = Item::Fork(Box::new(Fork { believed: first.clone(), other: second }));
        assert_eq!(forks, [&proof], "{what}");
        assert!(reader.stats().forks > 1, "{what}: told once, counted each time");
        assert_eq!((reader.cursor().segment, reader.cursor().head_sequence), (1, 5), "{what}: the first is read");
    }
}

#[test]
fn an_old_head_replayed_for_ever_is_overdue_even_after_a_restart() {
    let mut world = World::new(3);
    let old = world.remove(b"feed/head");
    let later = WALL.saturating_add(Duration::from_secs(2 * 3600));
    let mut reader = world.reader(Cursor::default(), ReaderConfig::default());
    let fetch = reader.poll_fetch(Instant::START, WALL).unwrap();
    reader.handle_fetched(Instant::START, WALL, fetch.id, fetched(Some(old.clone())));
    assert_eq!(reader.poll_item(&OwnerOnly), None);
    let promised = WALL.saturating_add(Duration::from_secs(3600));
    for answer in [Some(old), None] {
        let mut reader = world.reader(reader.cursor(), ReaderConfig::default());
        let fetch = reader.poll_fetch(Instant::START, later).unwrap();
        reader.handle_fetched(Instant::START, later, fetch.id, fetched(answer));
        let overdue = Gap::HeadOverdue { sequence: 3, promised };
        assert_eq!(reader.poll_item(&OwnerOnly), Some(Item::Gap(overdue)));
        assert_eq!(reader.poll_item(&OwnerOnly), None, "told once");
    }
}

#[test]
fn a_segment_that_is_no_sequence_of_messages_is_unavailable() {
    let world = World::new(0);
    let head = sign(b"feed/head", 1, &cbor::to_vec(&head_of(&[b"noise", b"\x81\x41a"], None)));
    let mut reader = world.reader(Cursor::default(), ReaderConfig::default());
    let items = read_lies(&world, &mut reader, |fetch, _| match &fetch.name[..] {
        b"feed/head" => Some(head.clone()),
        b"feed/s/0" => Some(sign(b"feed/s/0", 0, b"noise")),
        _ => Some(sign(&fetch.name, 0, b"\x81\x41a")),
    });
    assert_eq!(items.len(), 2);
    assert_eq!(gaps(&items), [Gap::Unavailable { segment: 0, asked: 8, answered: 7 }]);
    assert_eq!((reader.stats().malformed, reader.cursor().segment), (1, 2));
}

/// What a device signs about numbers that it never used.
fn skipped_by(device: &SigningKey, numbers: std::ops::Range<u64>) -> Vec<u8> {
    let mut payload = cbor::Writer::new(Vec::new());
    payload.map(4).unwrap();
    for (key, value) in [(1, 4), (3, numbers.start), (4, numbers.end)] {
        payload.unsigned(key).unwrap();
        payload.unsigned(value).unwrap();
        if key == 1 {
            payload.unsigned(2).unwrap();
            payload.bytes(&[2; 8]).unwrap();
        }
    }
    let mut context = cbor::Writer::new(Vec::new());
    context.array(2).unwrap();
    context.text("iot skipped 1").unwrap();
    context.bytes(device.verifying_key().device_id().as_bytes()).unwrap();
    Sign1::sign(device, &payload.into_output(), &context.into_output()).unwrap()
}

#[test]
fn skipped_and_dropped_numbers_are_reported_where_they_are_proved() {
    let device = SigningKey::from_seed(&[5; 32]);
    let stranger = SigningKey::from_seed(&[6; 32]);
    let dropped = Numbers {
        source: device.verifying_key().device_id(),
        stream: StreamId::new(4),
        incarnation: Incarnation::from_bytes([2; 8]),
        start: 70,
        end: 90,
    };
    let mut world = World::new(0);
    world.publisher.push(&0_u64.to_be_bytes()).unwrap();
    world.publisher.push_skipped(&skipped_by(&device, 10..20)).unwrap();
    world.publisher.push_skipped(&skipped_by(&owner(), 5..6)).unwrap();
    world.publisher.push_skipped(&skipped_by(&stranger, 1..2)).unwrap();
    let at = world.publisher.push_dropped(dropped).unwrap();
    assert_eq!(at, Place { segment: 0, index: 4 });
    world.seal();
    let mut reader = world.reader(Cursor::default(), ReaderConfig::default());
    let (mut now, mut items) = (Instant::START, Vec::new());
    while reader.caught_up() != Some(true) {
        while let Some(fetch) = reader.poll_fetch(now, WALL) {
            reader.handle_fetched(now, WALL, fetch.id, world.answer(&fetch));
        }
        items.extend(std::iter::from_fn(|| reader.poll_item(&device.verifying_key())));
        now = reader.poll_timeout().max(now);
    }
    let written_by = |key: &SigningKey, start, end| {
        let source = key.verifying_key().device_id();
        let (stream, incarnation) = (StreamId::new(4), Incarnation::from_bytes([2; 8]));
        Gap::NeverWritten(Numbers { source, stream, incarnation, start, end })
    };
    let by = owner().verifying_key().device_id();
    let claimed = Gap::ClaimedDropped { by, numbers: dropped };
    assert_eq!(gaps(&items), [written_by(&device, 10, 20), written_by(&owner(), 5, 6), claimed]);
    assert_eq!(reader.stats().unproven, 1, "a stranger's word");
}

/// There are five kinds of gap, and a reader that knows them needs no other branch.
#[test]
fn every_gap_is_of_one_of_five_kinds() {
    let kind = |gap: Gap| match gap {
        Gap::NeverWritten(_) => 0,
        Gap::Expired { .. } => 1,
        Gap::Unavailable { .. } => 2,
        Gap::HeadOverdue { .. } => 3,
        Gap::ClaimedDropped { .. } => 4,
    };
    assert_eq!(kind(Gap::Expired { from: 0, to: 1 }), 1);
}
