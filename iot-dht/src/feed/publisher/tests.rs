use std::vec::Vec;

use iot_crypto::SigningKey;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn owner() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

fn later(secs: u64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() + secs)
}

fn publisher() -> Publisher {
    Publisher::new(b"feed", PublisherConfig::default())
}

fn seal_one(publisher: &mut Publisher, now: Timestamp) {
    publisher.push(b"message").unwrap();
    publisher.seal(&owner(), now, 1).unwrap();
}

fn drain(publisher: &mut Publisher) -> Vec<Record> {
    let records: Vec<_> = publisher.outbox().cloned().collect();
    records.iter().for_each(|record| publisher.confirm(record.key(), record.sequence()));
    records
}

fn head(records: &[Record]) -> Head {
    let record = records.iter().find(|record| record.name() == b"feed/head").unwrap();
    cbor::from_slice(record.value()).unwrap()
}

#[test]
fn a_full_segment_is_a_valid_record() {
    let mut publisher = publisher();
    let largest = std::vec![1; Publisher::max_message_len(b"feed")];
    assert_eq!(publisher.push(&largest), Ok(Place { segment: 0, index: 0 }));
    assert_eq!(publisher.push(b""), Err(PushError::SegmentFull));
    publisher.seal(&owner(), NOW, 0).unwrap();
    let limit = largest.len();
    let larger = std::vec![1; limit + 1];
    assert_eq!(publisher.push(&larger), Err(PushError::TooLarge { len: limit + 1, limit }));
    let mut pushed = 0;
    while publisher.push(b"small").is_ok() {
        pushed += 1;
    }
    assert!(pushed > 100);
    publisher.seal(&owner(), NOW, 0).unwrap();
    let records = drain(&mut publisher);
    assert_eq!(records.len(), 3, "two segments and one head");
    assert!(records.iter().all(|record| record.as_bytes().len() <= Record::MAX_LEN));
}

#[test]
fn a_restored_publisher_goes_on_where_the_state_says() {
    let mut publisher = publisher();
    (0..20).for_each(|n| seal_one(&mut publisher, later(n)));
    let state = publisher.state();
    let mut restored = Publisher::restore(&state, PublisherConfig::default()).unwrap();
    assert!(restored.outbox().eq(publisher.outbox()));
    seal_one(&mut publisher, later(30));
    seal_one(&mut restored, later(30));
    assert!(restored.outbox().eq(publisher.outbox()), "the same input, the same octets");
    assert_eq!(restored.mark(), 1);
}

#[test]
fn no_number_is_signed_twice() {
    let mut publisher = publisher();
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..60 {
        seal_one(&mut publisher, later(n));
        if n % 7 == 0 {
            publisher = Publisher::restore(&publisher.state(), PublisherConfig::default()).unwrap();
        }
        if n % 3 == 0 {
            publisher.renew(&owner(), later(n)).unwrap();
        }
        for record in drain(&mut publisher) {
            assert!(seen.insert((record.name().to_vec(), record.sequence())), "{record:?}");
        }
    }
    assert_eq!(publisher.next_segment(), 60);
}

#[test]
fn a_damaged_state_is_refused_and_never_panics() {
    let mut publisher = publisher();
    (0..3).for_each(|n| seal_one(&mut publisher, later(n)));
    let mut state = publisher.state();
    for len in 0..state.len() {
        assert!(Publisher::restore(&state[..len], PublisherConfig::default()).is_err());
    }
    for bit in 0..state.len() * 8 {
        state[bit / 8] ^= 1 << (bit % 8);
        if let Ok(mut restored) = Publisher::restore(&state, PublisherConfig::default()) {
            restored.outbox().for_each(drop);
            seal_one(&mut restored, later(9));
        }
        state[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn the_index_drops_what_has_expired() {
    let config = PublisherConfig::default().life(Duration::from_secs(100));
    let mut publisher = Publisher::new(b"feed", config);
    for n in 0..40 {
        seal_one(&mut publisher, later(n));
        drain(&mut publisher);
    }
    let first_after = |publisher: &mut Publisher, secs| {
        publisher.renew(&owner(), later(secs)).unwrap();
        let head = head(&drain(publisher));
        (head.first, head.next)
    };
    assert_eq!(first_after(&mut publisher, 50), (0, 40));
    assert_eq!(first_after(&mut publisher, 114), (0, 40));
    assert_eq!(first_after(&mut publisher, 115), (16, 40), "the first page's last segment was sealed at 15");
    assert_eq!(first_after(&mut publisher, 135), (36, 40), "of the tail, segments go one by one");
    assert_eq!(first_after(&mut publisher, 500), (40, 40));
}

#[test]
fn an_index_at_its_bound_gives_up_the_oldest_page() {
    let mut publisher = Publisher::new(b"feed", PublisherConfig::default().pages(2));
    let mut last = Vec::new();
    for n in 0..64 {
        seal_one(&mut publisher, later(n));
        last = drain(&mut publisher);
    }
    let head = head(&last);
    assert_eq!((head.first, head.next, head.pages), (32, 64, 4));
}

#[test]
fn a_full_outbox_refuses_and_keeps_what_was_pushed() {
    let mut publisher = Publisher::new(b"feed", PublisherConfig::default().outbox(5));
    (0..2).for_each(|n| seal_one(&mut publisher, later(n)));
    publisher.push(b"waiting").unwrap();
    assert_eq!(publisher.seal(&owner(), NOW, 9), Err(SealError::OutboxFull { limit: 5 }));
    assert_eq!((publisher.pending(), publisher.mark(), publisher.next_segment()), (1, 1, 2));
    drain(&mut publisher);
    publisher.seal(&owner(), NOW, 9).unwrap();
    assert_eq!((publisher.pending(), publisher.mark(), publisher.next_segment()), (0, 9, 3));
}

#[test]
fn the_largest_outbox_is_restored() {
    let config = PublisherConfig::default().outbox(4096);
    let mut publisher = Publisher::new(b"feed", config);
    let message = std::vec![1; Publisher::max_message_len(b"feed")];
    let mut segments = 0;
    loop {
        publisher.push(&message).unwrap();
        match publisher.seal(&owner(), later(segments), segments) {
            Ok(()) => segments += 1,
            Err(SealError::OutboxFull { limit: 4096 }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let restored = Publisher::restore(&publisher.state(), config).unwrap();
    assert_eq!(restored.outbox().count(), publisher.outbox().count());
    assert_eq!((restored.next_segment(), restored.mark()), (segments, segments - 1));
}

#[test]
fn a_flushed_segment_grows_and_is_not_signed_twice() {
    let mut publisher = publisher();
    publisher.push(b"one").unwrap();
    publisher.flush(&owner(), NOW, 1).unwrap();
    let first = drain(&mut publisher);
    assert_eq!(
        (first[0].name(), first[0].sequence(), first[0].value()),
        (&b"feed/s/0"[..], 0, &b"\x82\x43one\xf6"[..])
    );
    let open = head(&first).open.unwrap();
    assert_eq!((head(&first).next, open.hash), (0, first[0].value_hash()));

    // Nothing was pushed since, so nothing is signed.
    publisher.flush(&owner(), later(1), 2).unwrap();
    assert_eq!((publisher.outbox().count(), publisher.mark(), publisher.pending()), (0, 2, 1));

    assert_eq!(publisher.push(b"two"), Ok(Place { segment: 0, index: 1 }));
    publisher.flush(&owner(), later(2), 3).unwrap();
    let mut restored = Publisher::restore(&publisher.state(), PublisherConfig::default()).unwrap();
    for publisher in [&mut publisher, &mut restored] {
        let second = drain(publisher);
        assert_eq!((second[0].sequence(), second[0].value()), (1, &b"\x83\x43one\x43two\xf6"[..]));
        publisher.seal(&owner(), later(3), 4).unwrap();
        let closed = drain(publisher);
        assert_eq!((closed[0].sequence(), closed[0].value()), (2, &b"\x82\x43one\x43two"[..]));
        assert_eq!((head(&closed).next, head(&closed).open), (1, None));
        assert_eq!(publisher.pending(), 0);
    }
}

#[test]
fn an_unconfirmed_version_gives_way_to_a_longer_one() {
    let mut publisher = publisher();
    for n in 0..3 {
        publisher.push(b"message").unwrap();
        publisher.flush(&owner(), later(n), n).unwrap();
    }
    let waiting: Vec<_> = publisher.outbox().map(|record| (record.name().to_vec(), record.sequence())).collect();
    assert_eq!(waiting, [(b"feed/s/0".to_vec(), 2), (b"feed/head".to_vec(), 3)]);
}

#[test]
fn a_full_segment_can_be_flushed() {
    let mut publisher = publisher();
    while publisher.push(&[7; 100]).is_ok() {}
    let room = Publisher::max_message_len(b"feed");
    while publisher.push(b"").is_ok() {}
    publisher.flush(&owner(), NOW, 0).unwrap();
    assert!(publisher.outbox().all(|record| record.as_bytes().len() <= Record::MAX_LEN && room > 900));
}

#[test]
fn what_expired_unconfirmed_is_dropped() {
    let mut publisher = Publisher::new(b"feed", PublisherConfig::default().life(Duration::from_secs(100)));
    seal_one(&mut publisher, NOW);
    publisher.renew(&owner(), later(100)).unwrap();
    let waiting: Vec<_> = publisher.outbox().map(|record| record.name().to_vec()).collect();
    assert_eq!(waiting, [b"feed/head".to_vec()]);
}

/// Found by the model of the reader: sixteen segments of which some had expired became a page, whose last segment lives,
/// and the head said again that the first of them were to be had. Readers refused such a head for contradicting itself.
#[test]
fn the_first_segment_never_goes_back() {
    let mut publisher = Publisher::new(b"feed", PublisherConfig::default().life(Duration::from_secs(100)));
    (0..8).for_each(|n| seal_one(&mut publisher, later(n)));
    drain(&mut publisher);
    let mut first = 0;
    for n in 0..8 {
        seal_one(&mut publisher, later(104 + n));
        let head = head(&drain(&mut publisher));
        assert!(head.first >= first, "{} after {first}", head.first);
        first = head.first;
    }
    assert_eq!((first, publisher.next_segment()), (8, 16));
}

#[test]
fn statements_and_ranges_that_are_none_are_refused() {
    let mut publisher = publisher();
    assert!(matches!(publisher.push_skipped(b"\x43one"), Err(PushError::Statement(_))));
    let source = owner().verifying_key().device_id();
    let (stream, incarnation) = (iot_core::StreamId::new(1), iot_core::Incarnation::from_bytes([1; 8]));
    let none = Numbers { source, stream, incarnation, start: 7, end: 7 };
    assert_eq!(publisher.push_dropped(none), Err(PushError::EmptyRange { start: 7, end: 7 }));
    assert_eq!(publisher.pending(), 0);
}
