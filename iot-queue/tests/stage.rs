//! What a stage makes of a log, through crashes of both sides at every step: each result once, in order, the same as
//! without a crash, and everything else accounted for.

use core::time::Duration;
use std::collections::BTreeMap;

use iot_core::{DeviceId, Instant, Timestamp};
use iot_queue::mirror::{Mirror, MirrorConfig, MirrorEvent};
use iot_queue::sink::{Answer, Forwarded, Intake, QueueSink, ResumePoint, Sink};
use iot_queue::stage::{Aggregate, Closed, Filter, FilterMap, Misfit, Span, Stage, StageError, Transform, Windows};
use iot_queue::{
    Backoff, Consumers, Durability, Entry, Epoch, Fate, GapCause, MaxLag, MemoryStorage, Message, Offset, Queue,
    QueueConfig, Seek, Stored,
};

const ORIGIN: DeviceId = DeviceId::from_bytes([9; 32]);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A reading of a device: its time in seconds, or that it does not know it, and a value.
#[derive(Clone, Copy, Debug)]
struct Reading {
    device: u8,
    time: Option<u64>,
    value: u64,
}

impl Reading {
    fn payload(&self) -> Vec<u8> {
        let time = self.time.unwrap_or(u64::MAX);
        [&[self.device][..], &time.to_be_bytes(), &self.value.to_be_bytes()].concat()
    }

    fn of(message: &Stored) -> Self {
        let number = |at: usize| u64::from_be_bytes(message.payload[at..at + 8].try_into().expect("8 octets"));
        let time = Some(number(1)).filter(|&time| time != u64::MAX);
        Self { device: message.payload[0], time, value: number(9) }
    }
}

/// A gateway's readings: clocks that run, stand still, go back, are lost; devices that fall silent.
fn readings(random: &mut Random, count: u64) -> Vec<Reading> {
    let mut clocks = [0_u64; 4];
    let reading = |value| {
        let device = random.below(4) as usize;
        clocks[device] += random.below(6);
        let time = match random.below(12) {
            0 => None,
            1 => Some(clocks[device].saturating_sub(random.below(40))),
            2 if device == 0 => Some(clocks[device] + random.below(100)),
            // One device's clock stands.
            _ if device == 3 => Some(7),
            _ => Some(clocks[device]),
        };
        // Nothing is heard of one of them for long.
        let device = if device == 2 && (value / 60) % 2 == 1 { 1 } else { device };
        Reading { device: device as u8, time, value }
    };
    (0..count).map(reading).collect()
}

struct Sums;

impl Aggregate for Sums {
    type Sum = u64;

    fn key(&self, message: &Stored) -> Option<Vec<u8>> {
        let device = Reading::of(message).device;
        (device != 9).then(|| vec![device])
    }
    fn time(&self, message: &Stored) -> Option<Timestamp> {
        Reading::of(message).time.map(Timestamp::from_secs)
    }
    fn begin(&self) -> u64 {
        0
    }
    fn add(&self, sum: &mut u64, message: &Stored) {
        *sum += Reading::of(message).value;
    }
    fn finish(&self, span: &Span, sum: u64) -> Option<Vec<u8>> {
        Some(result(span.key[0], span.start.as_secs(), span.messages, sum, span.closed))
    }
}

fn result(device: u8, start: u64, messages: u64, sum: u64, closed: Closed) -> Vec<u8> {
    format!("{device} {start} {messages} {sum} {closed:?}").into_bytes()
}

const LENGTH: u64 = 10;
const AT_MOST: u64 = 64;
const IDLE: u64 = 25;

fn windows() -> Windows<Sums> {
    let windows = Windows::new(Sums, Duration::from_secs(LENGTH)).expect("it lasts");
    windows.at_most(AT_MOST).idle_after(IDLE).untimed(Misfit::Joins)
}

/// What windows are to give, said as shortly as can be: place, index and payload.
fn expected(readings: &[Reading]) -> Vec<(u64, Vec<u8>)> {
    let mut open: BTreeMap<u8, (u64, u64, u64, u64, u64)> = BTreeMap::new();
    let (mut results, mut heard) = (Vec::new(), BTreeMap::new());
    for (place, reading) in (0..).zip(readings) {
        let idle = heard.iter().find(|&(_, &at)| at + IDLE == place).map(|(&device, _)| device);
        if let Some((window, messages, sum, ..)) = idle.and_then(|device| open.remove(&device)) {
            let device = idle.expect("it was idle");
            results.push((2 * place, result(device, window * LENGTH, messages, sum, Closed::Idle)));
        }
        heard.insert(reading.device, place);
        let (device, value, stretch) = (reading.device, reading.value, place / AT_MOST);
        let number = reading.time.map(|time| time / LENGTH);
        let close = |(window, messages, sum, ..): (u64, u64, u64, u64, u64), closed| {
            (2 * place + 1, result(device, window * LENGTH, messages, sum, closed))
        };
        match (open.get_mut(&device), number) {
            (Some(state), _) if state.3 < stretch => {
                let closed = if number.is_none_or(|number| number <= state.0) { Closed::Split } else { Closed::Later };
                results.push(close(*state, closed));
                open.remove(&device);
                number.map(|number| open.insert(device, (number, 1, value, stretch, place)));
            }
            (Some(state), Some(number)) if number > state.0 => {
                results.push(close(*state, Closed::Later));
                *state = (number, 1, value, stretch, place);
            }
            (Some(state), Some(number)) if number < state.0 => assert!(state.1 > 0, "it is left out"),
            (Some(state), _) => (state.1, state.2) = (state.1 + 1, state.2 + value),
            (None, Some(number)) => drop(open.insert(device, (number, 1, value, stretch, place))),
            (None, None) => {}
        }
    }
    results
}

fn config(segments: u32) -> QueueConfig {
    let config = QueueConfig::default().max_payload(128).and_then(|config| config.segment_len(4096));
    config.and_then(|config| config.segments(segments)).expect("in range").durability(Durability::Manual)
}

fn open(storage: MemoryStorage, config: QueueConfig, random: u64) -> Queue<MemoryStorage> {
    Queue::open(storage, config, random.to_le_bytes()).expect("nothing is wrong with the medium")
}

fn source_config() -> QueueConfig {
    config(12).consumers(Consumers::CursorsOnly)
}

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    None,
    Source(Fate),
    Target,
    Both,
    Connection,
}

/// A result and its place, or a gap.
type Arrived = Result<(u64, Vec<u8>), (u64, u64, GapCause)>;

/// Appends the readings a few at a time through a stage, with a crash where `crash` says so. Gives what is in the target.
fn run<T: Transform>(
    readings: &[Reading],
    transform: impl Fn() -> T,
    mut crash: impl FnMut(usize) -> Crash,
) -> Vec<Arrived> {
    let (mut source, mut target) =
        (open(MemoryStorage::new(), source_config(), 1), open(MemoryStorage::new(), config(64), 2));
    let (mut step, mut openings, mut now) = (0, 3_u64, Instant::START);
    let mut written;
    let mut intake = Intake::new(4);
    let mut feed = None;
    'opened: loop {
        openings += 1;
        let cursor = source.open_cursor("stage", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
        let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
        let config_of = MirrorConfig::default().window(5).expect("in range").backoff(backoff);
        let mut mirror = Mirror::new(config_of, &source, cursor, openings).expect("the cursor is there");
        let sink = QueueSink::new(&mut target, &mut intake, ORIGIN);
        let mut stage = Stage::new("sums", transform(), sink);
        feed = feed.or(Some(stage.results_of(source.epoch())));
        let happened = loop {
            step += 1;
            // A source that loses what was not committed is given it again.
            written = source.next_offset().number() as usize;
            if step % 3 == 0 && written < readings.len() {
                let end = readings.len().min(written + 1 + step % 7);
                for reading in &readings[written..end] {
                    source.append(&Message::new(&reading.payload())).expect("the cursor lets go");
                }
                written = end;
            }
            if step % 2 == 0 {
                source.commit().expect("the medium works");
            }
            mirror.drive(now, &mut source, &mut stage).expect("nothing is wrong");
            while let Some(event) = mirror.poll_event() {
                assert!(matches!(event, MirrorEvent::Resumed(_) | MirrorEvent::Forgotten(..)), "{event:?}");
            }
            now = now.saturating_add(Duration::from_millis(5));
            match crash(step) {
                Crash::None => {}
                Crash::Connection => mirror.handle_failure(now),
                other => break other,
            }
            if written == readings.len() && mirror.acknowledged() == Offset::new(written as u64) {
                break 'opened;
            }
            assert!(step < 100_000, "it never arrives");
        };
        let fate = if let Crash::Source(fate) = happened { fate } else { Fate::Lost };
        if happened != Crash::Target {
            let mut storage = source.into_storage();
            storage.crash(|_| fate);
            source = open(storage, source_config(), openings);
        }
        if matches!(happened, Crash::Target | Crash::Both) {
            let mut storage = target.into_storage();
            storage.crash(|_| Fate::Lost);
            target = open(storage, config(64), openings + 1000);
            intake = Intake::new(4);
            intake.recover(&target).expect("the medium works");
        }
    }
    assert_eq!(written, readings.len());
    let results = |entry| {
        let Ok(Entry::Message(message)) = entry else { panic!("{entry:?}") };
        let place = message.position.expect("a place");
        assert_eq!(Some(*place.incarnation.as_bytes()), feed.map(|feed: Epoch| *feed.as_bytes()));
        match message.gap_notice() {
            Some(notice) => Err((notice.gap.from.number(), notice.gap.until.number(), notice.gap.cause)),
            None => Ok((place.sequence, message.payload)),
        }
    };
    target.entries_from(Offset::START).map(results).collect()
}

/// That results and gaps follow on each other, and gives the results.
fn accounted(entries: Vec<Arrived>) -> Vec<(u64, Vec<u8>)> {
    let mut next = 0;
    let mut results = Vec::new();
    for entry in entries {
        match entry {
            Ok((place, payload)) => {
                assert_eq!(place, next);
                next += 1;
                results.push((place, payload));
            }
            Err((from, until, cause)) => {
                assert_eq!((from, cause), (next, GapCause::Filtered));
                next = until;
            }
        }
    }
    results
}

#[test]
fn windows_give_what_they_are_to_give() {
    for seed in 0..100 {
        let readings = readings(&mut Random(seed), 400);
        let results = accounted(run(&readings, windows, |_| Crash::None));
        let expected = expected(&readings);
        assert_eq!(results, expected, "seed {seed}");
        let closed = |how: &str| expected.iter().any(|(_, payload)| payload.ends_with(how.as_bytes()));
        assert!(closed("Later") && closed("Idle") && closed("Split"), "seed {seed} shows too little");
    }
}

#[test]
fn a_crash_at_any_step_changes_no_result() {
    let readings = readings(&mut Random(1), 130);
    let expected = expected(&readings);
    for crash in [Crash::Source(Fate::Lost), Crash::Source(Fate::Kept), Crash::Target, Crash::Both, Crash::Connection] {
        for at in 1..130 {
            let happens = |step| if step == at { crash } else { Crash::None };
            assert_eq!(accounted(run(&readings, windows, happens)), expected, "{crash:?} at {at}");
        }
    }
}

#[test]
fn many_crashes_change_no_result() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let readings = readings(&mut random, 300);
        let crash = |_| match random.below(40) {
            0 => Crash::Source(Fate::Lost),
            1 => Crash::Source(Fate::Kept),
            2 => Crash::Target,
            3 => Crash::Both,
            4 => Crash::Connection,
            _ => Crash::None,
        };
        assert_eq!(accounted(run(&readings, windows, crash)), expected(&readings), "seed {seed}");
    }
}

#[test]
fn filters_and_maps_leave_out_and_say_so() {
    for seed in 0..30 {
        let mut random = Random(seed);
        let readings = readings(&mut random, 200);
        let odd = |message: &Stored| Reading::of(message).value % 2 == 1;
        let kept = |each: &dyn Fn(&Reading) -> Vec<u8>| -> Vec<(u64, Vec<u8>)> {
            readings.iter().filter(|reading| reading.value % 2 == 1).map(|r| (r.value, each(r))).collect()
        };
        let mut crash = |_| match random.below(30) {
            0 => Crash::Both,
            1 => Crash::Connection,
            _ => Crash::None,
        };
        assert_eq!(accounted(run(&readings, || Filter(odd), &mut crash)), kept(&Reading::payload), "seed {seed}");
        let map = |message: &Stored| odd(message).then(|| vec![message.payload[0]]);
        let results = accounted(run(&readings, || FilterMap(map), &mut crash));
        assert_eq!(results, kept(&|reading| vec![reading.device]), "seed {seed}");
    }
}

/// A sink that gives one answer, and keeps what it is sent.
struct Heard(Option<Answer>, Vec<Forwarded>);

impl Sink for Heard {
    type Error = core::convert::Infallible;

    fn ask(&mut self, _feed: Epoch) -> Result<(), Self::Error> {
        Ok(())
    }
    fn send(&mut self, entries: &[Forwarded]) -> Result<(), Self::Error> {
        self.1.extend_from_slice(entries);
        Ok(())
    }
    fn poll_answer(&mut self) -> Result<Option<Answer>, Self::Error> {
        Ok(self.0.take())
    }
}

#[test]
fn blind_sinks_are_refused_and_one_that_has_more_than_the_log_stops_the_mirror() {
    let mut source = open(MemoryStorage::new(), source_config(), 1);
    let cursor = source.open_cursor("stage", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    let ask = |point, source: &mut Queue<MemoryStorage>| {
        let mut mirror = Mirror::new(MirrorConfig::default(), source, cursor, 1).expect("the cursor is there");
        let mut stage = Stage::new("sums", windows(), Heard(Some(Answer::Resume(point)), Vec::new()));
        let outcome = mirror.drive(Instant::START, source, &mut stage);
        (outcome, mirror.is_halted())
    };
    let (outcome, _) = ask(ResumePoint::Blind, &mut source);
    assert!(matches!(outcome, Err(iot_queue::mirror::MirrorError::Sink(StageError::Unsuitable))));
    assert!(ask(ResumePoint::From(Offset::new(1)), &mut source).1);
    assert!(!ask(ResumePoint::From(Offset::START), &mut source).1);
}

#[test]
fn gaps_of_the_log_go_on_with_their_cause() {
    let mut source = open(MemoryStorage::new(), source_config(), 1);
    let few = MaxLag::UNLIMITED.messages(50);
    let cursor = source.open_cursor("stage", Seek::Oldest, few).expect("there is room");
    for reading in readings(&mut Random(3), 200) {
        source.append(&Message::new(&reading.payload())).expect("the cursor is moved on");
    }
    source.commit().expect("the medium works");
    let mut mirror = Mirror::new(MirrorConfig::default(), &source, cursor, 1).expect("the cursor is there");
    let resume = Answer::Resume(ResumePoint::From(Offset::START));
    let mut stage = Stage::new("sums", windows(), Heard(Some(resume), Vec::new()));
    mirror.drive(Instant::START, &mut source, &mut stage).expect("nothing is wrong");
    let Forwarded::Gap(first) = &stage.sink_mut().1[0] else { panic!("a gap first") };
    assert_eq!(
        (first.gap.from, first.gap.until, first.gap.cause),
        (Offset::START, Offset::new(300), GapCause::Expired)
    );
    // Nothing of what the open windows began with is let go of.
    let needed = stage.transform().needed().expect("a window is open");
    assert!(mirror.confirmed() <= needed);
}
