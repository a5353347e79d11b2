//! A publisher and its subscribers in virtual time, with whatever the test wants in between.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_exchange::fanout::{Publisher, PublisherKeys, SubscriberId, outbox_config};
use iot_exchange::{Endpoint, Event, ExchangeError, Feedback, Keys, Role, Turn, queue_config};
use iot_queue::{MaxLag, MemoryStorage, Offset, Queue};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const WITHIN: Duration = Duration::from_secs(1);

struct Drawn {
    publisher: PublisherKeys,
    subscribers: Vec<Keys>,
}

fn draw(seed: u64) -> Drawn {
    let names = ["archive", "alarm"].map(str::to_owned);
    let (publisher, subscribers) = PublisherKeys::draw(&names, NOW, &mut ChaCha20Rng::seed_from_u64(seed));
    let subscribers = subscribers.iter().map(|file| Keys::parse(file, NOW).unwrap()).collect();
    Drawn { publisher: PublisherKeys::parse(&publisher, NOW).unwrap(), subscribers }
}

fn publisher(keys: &PublisherKeys, storage: MemoryStorage, max_lag: MaxLag) -> Publisher<'_, MemoryStorage> {
    let outbox = Queue::open(storage, outbox_config(), [2; 8]).unwrap();
    Publisher::new(keys, outbox, WITHIN, max_lag, ChaCha20Rng::seed_from_u64(3)).unwrap()
}

fn subscriber(keys: &Keys) -> Endpoint<'_, MemoryStorage> {
    let queues = [4, 5].map(|seed| Queue::open(MemoryStorage::new(), queue_config(), [seed; 8]).unwrap());
    let feedback = Feedback::Acknowledged { within: WITHIN };
    Endpoint::new(keys, Role::Receiver, feedback, queues, ChaCha20Rng::seed_from_u64(6)).unwrap()
}

fn append(publisher: &mut Publisher<'_, MemoryStorage>, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| publisher.append(NOW, number.to_string().as_bytes()).unwrap());
}

/// Lets packets pass for so long, each there as `between` gives it on. Gives what the subscriber said.
fn pass(
    publisher: &mut Publisher<'_, MemoryStorage>,
    id: SubscriberId,
    subscriber: &mut Endpoint<'_, MemoryStorage>,
    now: &mut Instant,
    mut between: impl FnMut(Vec<u8>) -> Vec<Vec<u8>>,
) -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    for _ in 0..30 {
        *now = now.saturating_add(Duration::from_millis(10));
        while let Some(packet) = publisher.poll_transmit(*now, NOW, id).unwrap() {
            between(packet).iter_mut().for_each(|packet| subscriber.handle_packet(*now, packet).unwrap());
        }
        while let Some(mut packet) = subscriber.poll_transmit(*now, NOW).unwrap() {
            said.push(packet.clone());
            assert_eq!(publisher.handle_packet(*now, &mut packet).unwrap(), Some(id));
        }
    }
    said
}

fn accepted(subscriber: &mut Endpoint<'_, MemoryStorage>) -> Vec<u64> {
    let sequence = |event| if let Event::Accepted { sequence, .. } = event { sequence } else { panic!("{event}") };
    std::iter::from_fn(|| subscriber.poll_event()).map(sequence).collect()
}

#[test]
fn each_has_everything_at_its_own_pace_through_loss() {
    let keys = draw(1);
    let mut publisher = publisher(&keys.publisher, MemoryStorage::new(), MaxLag::UNLIMITED);
    let ids = ["archive", "alarm"].map(|name| publisher.subscriber(name).unwrap());
    let mut ends: Vec<_> = keys.subscribers.iter().map(subscriber).collect();
    let (mut now, mut number) = (Instant::START, 0);
    append(&mut publisher, 0..300);
    let lossy = |packet| {
        number += 1;
        if number % 7 == 0 { Vec::new() } else { vec![packet] }
    };
    pass(&mut publisher, ids[0], &mut ends[0], &mut now, lossy);
    // One in seven was lost, so the first of them is overdue, and everything behind it goes again.
    now = now.saturating_add(WITHIN);
    assert!(publisher.is_overdue(now, ids[0]) && !publisher.is_overdue(now, ids[1]));
    let standing = publisher.handle_failure(now, ids[0], "silence".into()).unwrap();
    assert!((1..300).contains(&standing.waiting) && standing.failures == 1, "{standing}");
    assert!(standing.to_string().contains("failed 1 times") && standing.to_string().ends_with("silence"), "{standing}");
    pass(&mut publisher, ids[0], &mut ends[0], &mut now, |packet| vec![packet]);
    assert_eq!(accepted(&mut ends[0]), (0..300).collect::<Vec<_>>());
    let standings: Vec<_> =
        publisher.standings().map(|it| (it.name, it.waiting, it.acknowledged, it.failures)).collect();
    assert_eq!(standings, [("archive".to_owned(), 0, 300, 0), ("alarm".to_owned(), 300, 0, 0)]);
    pass(&mut publisher, ids[1], &mut ends[1], &mut now, |packet| vec![packet]);
    assert_eq!(accepted(&mut ends[1]), (0..300).collect::<Vec<_>>());
}

#[test]
fn who_lost_its_ledger_gets_everything_again_and_who_fetches_what_was_lost() {
    let keys = draw(1);
    let mut publisher = publisher(&keys.publisher, MemoryStorage::new(), MaxLag::UNLIMITED);
    let (id, mut now) = (publisher.subscriber("archive").unwrap(), Instant::START);
    append(&mut publisher, 0..20);
    let mut first = subscriber(&keys.subscribers[0]);
    let said = pass(&mut publisher, id, &mut first, &mut now, |packet| vec![packet]);
    assert_eq!(accepted(&mut first).len(), 20);
    append(&mut publisher, 20..22);
    let mut second = subscriber(&keys.subscribers[0]);
    pass(&mut publisher, id, &mut second, &mut now, |packet| vec![packet]);
    assert_eq!(accepted(&mut second), (0..22).collect::<Vec<_>>());

    // What it said before says less: some of it goes again, and is passed over.
    publisher.handle_packet(now, &mut said[0].clone()).unwrap();
    pass(&mut publisher, id, &mut second, &mut now, |packet| vec![packet]);
    assert_eq!((accepted(&mut second), publisher.standings().next().unwrap().waiting), (Vec::new(), 0));

    append(&mut publisher, 22..24);
    pass(&mut publisher, id, &mut second, &mut now, |_| Vec::new());
    assert_eq!(publisher.poll_transmit(now, NOW, id).unwrap(), None);
    second.handle_turn(Turn::Ask);
    let mut cursor = second.poll_transmit(now, NOW).unwrap().unwrap();
    publisher.handle_packet(now, &mut cursor).unwrap();
    pass(&mut publisher, id, &mut second, &mut now, |packet| vec![packet]);
    assert_eq!(accepted(&mut second), [22, 23]);
}

#[test]
fn who_is_too_far_behind_is_told_what_it_missed() {
    let keys = draw(1);
    let mut publisher = publisher(&keys.publisher, MemoryStorage::new(), MaxLag::UNLIMITED.messages(5));
    let (id, mut now) = (publisher.subscriber("alarm").unwrap(), Instant::START);
    append(&mut publisher, 0..20);
    let mut alarm = subscriber(&keys.subscribers[1]);
    pass(&mut publisher, id, &mut alarm, &mut now, |packet| vec![packet]);
    assert_eq!(alarm.poll_event(), Some(Event::Missing(0..15)));
    assert_eq!(accepted(&mut alarm), (15..20).collect::<Vec<_>>());
}

#[test]
fn who_lost_what_is_gone_is_told_so() {
    let keys = draw(1);
    let config = outbox_config().max_payload(1024).unwrap().segment_len(64 << 10).unwrap().segments(4).unwrap();
    let outbox = Queue::open(MemoryStorage::new(), config, [2; 8]).unwrap();
    let rng = ChaCha20Rng::seed_from_u64(3);
    let mut publisher = Publisher::new(&keys.publisher, outbox, WITHIN, MaxLag::UNLIMITED, rng).unwrap();
    let ids = ["archive", "alarm"].map(|name| publisher.subscriber(name).unwrap());
    let (mut ends, mut now): (Vec<_>, _) = (keys.subscribers.iter().map(subscriber).collect(), Instant::START);
    for round in 0..10 {
        append(&mut publisher, 100 * round..100 * (round + 1));
        for (id, end) in ids.into_iter().zip(&mut ends) {
            pass(&mut publisher, id, end, &mut now, |packet| vec![packet]);
        }
    }
    let mut archive = subscriber(&keys.subscribers[0]);
    append(&mut publisher, 1000..1001);
    pass(&mut publisher, ids[0], &mut archive, &mut now, |packet| vec![packet]);
    let Some(Event::Missing(missing)) = archive.poll_event() else { panic!("it is told nothing") };
    assert!(missing.start == 0 && missing.end > 100, "{missing:?}");
    // It has lost more than is on the way at a time, so the rest follows when nobody acknowledged it in time.
    publisher.handle_failure(now, ids[0], "silence".into()).unwrap();
    pass(&mut publisher, ids[0], &mut archive, &mut now, |packet| vec![packet]);
    assert_eq!(accepted(&mut archive), (missing.end..1001).collect::<Vec<_>>());
}

#[test]
fn no_acknowledgement_and_no_cursor_that_was_altered_changes_anything() {
    let keys = draw(1);
    let mut publisher = publisher(&keys.publisher, MemoryStorage::new(), MaxLag::UNLIMITED);
    let (id, now) = (publisher.subscriber("archive").unwrap(), Instant::START);
    append(&mut publisher, 0..3);
    let mut archive = subscriber(&keys.subscribers[0]);
    while let Some(mut packet) = publisher.poll_transmit(now, NOW, id).unwrap() {
        archive.handle_packet(now, &mut packet).unwrap();
    }
    let mut acknowledgement = archive.poll_transmit(now.saturating_add(WITHIN), NOW).unwrap().unwrap();
    archive.handle_turn(Turn::Ask);
    let cursor = archive.poll_transmit(now, NOW).unwrap().unwrap();
    for said in [&acknowledgement, &cursor] {
        for bit in 0..8 * said.len() {
            let mut altered = said.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(publisher.handle_packet(now, &mut altered).unwrap(), None, "bit {bit}");
            assert!(matches!(publisher.poll_event(), Some(Event::Refused(_) | Event::Unknown(_))), "bit {bit}");
            assert!(publisher.standings().all(|standing| standing.waiting == 3), "bit {bit}");
            assert_eq!(publisher.poll_transmit(now, NOW, id).unwrap(), None, "bit {bit}");
        }
    }
    assert_eq!(publisher.handle_packet(now, &mut acknowledgement).unwrap(), Some(id));
    assert_eq!(publisher.standings().map(|standing| standing.waiting).collect::<Vec<_>>(), [0, 3]);
}

#[test]
fn strangers_change_nothing_and_a_copy_is_noticed() {
    let (keys, others) = (draw(1), draw(7));
    let mut publisher = publisher(&keys.publisher, MemoryStorage::new(), MaxLag::UNLIMITED);
    let (id, mut now) = (publisher.subscriber("archive").unwrap(), Instant::START);
    append(&mut publisher, 0..3);
    let mut archive = subscriber(&keys.subscribers[0]);
    let said = pass(&mut publisher, id, &mut archive, &mut now, |packet| vec![packet]);
    assert_eq!(accepted(&mut archive).len(), 3);

    let mut stranger = subscriber(&others.subscribers[0]);
    stranger.handle_turn(Turn::Ask);
    let mut altered = said[0].clone();
    *altered.last_mut().unwrap() ^= 1;
    for mut packet in [stranger.poll_transmit(now, NOW).unwrap().unwrap(), altered, b"rubbish".to_vec()] {
        assert_eq!(publisher.handle_packet(now, &mut packet).unwrap(), None);
        assert!(matches!(publisher.poll_event(), Some(Event::Refused(_))));
    }
    // It takes no messages.
    archive.append(NOW, b"a command").unwrap();
    let mut command = archive.poll_transmit(now, NOW).unwrap().unwrap();
    assert_eq!(publisher.handle_packet(now, &mut command).unwrap(), None);
    assert!(matches!(publisher.poll_event(), Some(Event::Unknown(_))));
    assert_eq!(publisher.standings().next().unwrap().waiting, 0);

    // The same log, without what was published last.
    let mut restored = self::publisher(&keys.publisher, MemoryStorage::new(), MaxLag::UNLIMITED);
    append(&mut restored, 0..2);
    let copied = restored.handle_packet(now, &mut said.last().unwrap().clone());
    assert_eq!(copied, Err(ExchangeError::Copied { until: Offset::new(3), written: Offset::new(2) }));
}
