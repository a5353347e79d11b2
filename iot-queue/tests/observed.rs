//! What those who watch a queue get to see: events, and snapshots of its numbers.

#![cfg(all(feature = "tracing", feature = "metrics"))]

use core::fmt::Debug;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use iot_core::Instant;
use iot_queue::{Fault, MemoryStorage, Message, Queue, QueueConfig, SegmentNumber, WhenFull};
use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};

/// Level and message of each event.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<(Level, String)>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().expect("nobody panics").push((*event.metadata().level(), text.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn config() -> QueueConfig {
    let config = QueueConfig::default().max_payload(1000).and_then(|config| config.segment_len(4096));
    let config = config.and_then(|config| config.segments(4)).and_then(|config| config.max_attempts(1));
    config.expect("the shape is possible")
}

fn open(storage: MemoryStorage) -> Queue<MemoryStorage> {
    Queue::open(storage, config().when_full(WhenFull::DropOldest), [1; 8]).expect("the storage works")
}

#[test]
fn a_subscriber_hears_of_everything_that_went_otherwise() {
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), || {
        let mut storage = MemoryStorage::new();
        storage.inject(Fault::OneSync, 8);
        let mut queue = open(storage);
        for _ in 0..5 {
            queue.append(&Message::new(&[7; 300])).expect("it goes on elsewhere");
        }
        drop(queue.reserve(Instant::START, Duration::from_secs(1), 1));
        queue.handle_timeout(Instant::START.saturating_add(Duration::from_secs(2)));
        for _ in 0..40 {
            queue.append(&Message::new(&[8; 300])).expect("the oldest make room");
        }
        let mut storage = queue.into_storage();
        // Of two segments the footers, too: then opening reads their records.
        for (number, end) in [(0, 4096), (1, 3600), (2, 4096), (3, 3600)] {
            let damage = |octets: &mut [u8]| (1200..end).step_by(361).for_each(|at| octets[at] ^= 255);
            storage.damage(SegmentNumber::new(number), damage);
        }
        let mut queue = open(storage);
        drop(queue.peek(Instant::START, 1000));
        let mut storage = queue.into_storage();
        storage.inject(Fault::Sync, 3);
        let mut queue = open(storage);
        for _ in 0..10 {
            let _ = queue.append(&Message::new(b"never durable"));
        }
    });
    let heard = listener.0.lock().expect("nobody panics");
    for expected in [
        (Level::INFO, "opened"),
        (Level::WARN, "opened with losses"),
        (Level::WARN, "the storage failed, going on in another segment"),
        (Level::ERROR, "the queue is read-only from here on"),
        (Level::DEBUG, "recycled a segment"),
        (Level::WARN, "a message became a dead letter"),
        (Level::WARN, "dropped the oldest messages"),
        (Level::WARN, "a message cannot be given and becomes a gap"),
    ] {
        assert!(heard.iter().any(|(level, text)| (*level, text.as_str()) == expected), "{expected:?}: {heard:?}");
    }
}

/// The last value of each metric.
#[derive(Clone, Default)]
struct Values(Arc<Mutex<BTreeMap<String, f64>>>);

struct Value {
    key: String,
    values: Values,
}

impl Value {
    fn put(&self, value: f64) {
        self.values.0.lock().expect("nobody panics").insert(self.key.clone(), value);
    }
}

impl CounterFn for Value {
    fn increment(&self, _: u64) {
        panic!("a snapshot is absolute");
    }

    fn absolute(&self, value: u64) {
        self.put(value as f64);
    }
}

impl GaugeFn for Value {
    fn increment(&self, _: f64) {
        panic!("a snapshot is absolute");
    }

    fn decrement(&self, _: f64) {
        panic!("a snapshot is absolute");
    }

    fn set(&self, value: f64) {
        self.put(value);
    }
}

impl Values {
    fn of(&self, key: &Key) -> Arc<Value> {
        assert!(key.labels().any(|label| (label.key(), label.value()) == ("queue", "readings")), "{key}");
        Arc::new(Value { key: key.name().into(), values: self.clone() })
    }
}

impl Recorder for Values {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.of(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Each number under its own name: two that were exchanged would not be noticed where both are 0.
#[test]
fn a_recorder_gets_each_number_under_its_name() {
    let mut stats = open(MemoryStorage::new()).stats();
    assert_eq!(stats.write_amplification(), None);
    stats.depth = 1;
    stats.oldest_age = Some(Duration::from_millis(2500));
    stats.leased = 3;
    stats.delayed = 4;
    stats.unread = 5;
    stats.dead = 6;
    stats.cursor_lag = 7;
    stats.gaps = 8;
    stats.unsaved = 9;
    stats.unreadable_segments = 10;
    stats.octets = 11;
    stats.budget = 12;
    stats.appended = 13;
    stats.acknowledged = 14;
    stats.attempts = 15;
    stats.dead_lettered = 16;
    stats.dropped = 17;
    stats.duplicates = 18;
    stats.expired = 19;
    stats.passed_over = 20;
    stats.quarantined = 21;
    stats.syncs = 22;
    stats.moved = 23;
    stats.written = 24;
    stats.appended_octets = 48;
    let expected = [
        ("iot_queue_acknowledged_total", 14.0),
        ("iot_queue_appended_total", 13.0),
        ("iot_queue_attempts_total", 15.0),
        ("iot_queue_budget_octets", 12.0),
        ("iot_queue_cursor_lag", 7.0),
        ("iot_queue_dead", 6.0),
        ("iot_queue_dead_lettered_total", 16.0),
        ("iot_queue_delayed", 4.0),
        ("iot_queue_depth", 1.0),
        ("iot_queue_dropped_total", 17.0),
        ("iot_queue_duplicates_total", 18.0),
        ("iot_queue_expired_total", 19.0),
        ("iot_queue_gaps", 8.0),
        ("iot_queue_leased", 3.0),
        ("iot_queue_moved_total", 23.0),
        ("iot_queue_octets", 11.0),
        ("iot_queue_oldest_age_seconds", 2.5),
        ("iot_queue_passed_over_total", 20.0),
        ("iot_queue_quarantined_total", 21.0),
        ("iot_queue_syncs_total", 22.0),
        ("iot_queue_unread", 5.0),
        ("iot_queue_unreadable_segments", 10.0),
        ("iot_queue_unsaved", 9.0),
        ("iot_queue_write_amplification", 0.5),
        ("iot_queue_written_octets_total", 24.0),
    ];
    let values = Values::default();
    metrics::with_local_recorder(&values, || stats.record_metrics("readings"));
    let found = values.0.lock().expect("nobody panics").clone();
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)).into());
    stats.oldest_age = None;
    let values = Values::default();
    metrics::with_local_recorder(&values, || stats.record_metrics("readings"));
    assert!(!values.0.lock().expect("nobody panics").contains_key("iot_queue_oldest_age_seconds"));
}

#[test]
fn a_recorder_gets_a_snapshot() {
    let mut queue = open(MemoryStorage::new());
    for _ in 0..4 {
        queue.append(&Message::new(&[7; 100])).expect("there is room");
    }
    let leased = queue.reserve(Instant::START, Duration::from_secs(9), 2).expect("the storage works");
    queue.ack(leased[0].lease).expect("the lease holds");
    let stats = queue.stats();
    let values = Values::default();
    metrics::with_local_recorder(&values, || stats.record_metrics("readings"));
    let values = values.0.lock().expect("nobody panics");
    for (name, expected) in [
        ("iot_queue_depth", 3.0),
        ("iot_queue_leased", 1.0),
        ("iot_queue_gaps", 0.0),
        ("iot_queue_attempts_total", 2.0),
        ("iot_queue_appended_total", 4.0),
        ("iot_queue_acknowledged_total", 1.0),
        ("iot_queue_quarantined_total", 0.0),
        ("iot_queue_syncs_total", stats.syncs as f64),
        ("iot_queue_written_octets_total", stats.written as f64),
        ("iot_queue_write_amplification", stats.written as f64 / 400.0),
    ] {
        assert_eq!(values.get(name), Some(&expected), "{name}");
    }
    assert_eq!(values.contains_key("iot_queue_oldest_age_seconds"), stats.oldest_age.is_some());
}
