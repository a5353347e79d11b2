//! A mirror by itself: what it asks, sends, waits for and lets go of.

use core::time::Duration;
use std::collections::BTreeSet;

use iot_core::{DeviceId, Incarnation, Instant, Position, StreamId};
use iot_queue::mirror::{
    Mirror, MirrorConfig, MirrorError, MirrorEvent, StreamError, StreamFault, StreamServer, StreamSink,
};
use iot_queue::sink::{Answer, Forwarded, Intake, IntakeError, QueueSink, QueueSinkError, ResumePoint, Sink};
use iot_queue::{
    AppendError, Backoff, Durability, Entry, Epoch, MaxLag, MemoryStorage, Message, Offset, Queue, QueueConfig, Seek,
};

const ORIGIN: DeviceId = DeviceId::from_bytes([9; 32]);
const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn position(sequence: u64) -> Position {
    let (source, incarnation) = (DeviceId::from_bytes([1; 32]), Incarnation::from_bytes([5; 8]));
    Position { source, stream: StreamId::new(3), incarnation, sequence }
}

/// A queue of small messages, each with its number as its payload and, every second one, a position.
fn queue_of(count: u64, random: u8) -> Queue<MemoryStorage> {
    let config = QueueConfig::default().max_payload(1024).and_then(|config| config.segment_len(64 << 10));
    let config = config.and_then(|config| config.segments(4)).expect("in range").durability(Durability::Manual);
    let mut queue = Queue::open(MemoryStorage::new(), config, [random; 8]).expect("nothing is wrong with it");
    for number in 0..count {
        let payload = number.to_le_bytes();
        let message = Message::new(&payload);
        let message = if number % 2 == 1 { message.at(position(number)) } else { message };
        queue.append(&message).expect("there is room");
    }
    queue.commit().expect("the medium works");
    queue
}

fn config() -> MirrorConfig {
    MirrorConfig::default().window(8).expect("in range").backoff(Backoff::new(SECOND, 8 * SECOND)).answer_within(SECOND)
}

fn mirror_of(queue: &mut Queue<MemoryStorage>, config: MirrorConfig) -> Mirror {
    let cursor = queue.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
    Mirror::new(config, queue, cursor, 1).expect("the cursor is there")
}

/// The offsets that go out now.
fn sent(mirror: &mut Mirror, now: Instant, queue: &mut Queue<MemoryStorage>) -> Vec<u64> {
    let entries = mirror.poll_entries(now, queue).expect("the medium works");
    let offset = |entry: &Forwarded| match entry {
        Forwarded::Message(message) => message.offset.number(),
        Forwarded::Gap(notice) => panic!("{notice:?}"),
    };
    entries.iter().map(offset).collect()
}

/// Asks, and says where to go on.
fn resume(mirror: &mut Mirror, now: Instant, queue: &mut Queue<MemoryStorage>, point: ResumePoint) {
    assert!(mirror.poll_ask(now));
    mirror.handle_answer(now, queue, Answer::Resume(point));
}

fn events(mirror: &mut Mirror) -> Vec<MirrorEvent> {
    core::iter::from_fn(|| mirror.poll_event()).collect()
}

#[test]
fn a_window_goes_out_behind_what_the_other_side_has_and_waits_for_an_answer() {
    let mut queue = queue_of(30, 1);
    let mut mirror = mirror_of(&mut queue, config());
    assert_eq!(sent(&mut mirror, at(0), &mut queue), [0; 0], "nothing goes out unasked");
    resume(&mut mirror, at(0), &mut queue, ResumePoint::From(Offset::new(10)));
    assert_eq!(sent(&mut mirror, at(0), &mut queue), (10..18).collect::<Vec<_>>());
    assert_eq!(sent(&mut mirror, at(0), &mut queue), [0; 0]);
    mirror.handle_acknowledged(at(0), Offset::new(13));
    assert_eq!(sent(&mut mirror, at(0), &mut queue), [18, 19, 20]);
    assert_eq!(mirror.confirmed(), Offset::new(13));
    // Late and repeated answers do no harm.
    mirror.handle_acknowledged(at(0), Offset::new(12));
    mirror.handle_answer(at(0), &mut queue, Answer::Resume(ResumePoint::Unknown));
    assert_eq!((mirror.confirmed(), mirror.stats().under_way), (Offset::new(13), 8));
    assert_eq!(events(&mut mirror), [MirrorEvent::Resumed(Offset::new(10))]);
}

#[test]
fn what_is_not_durable_stays() {
    let mut queue = queue_of(3, 1);
    queue.append(&Message::new(b"not yet")).expect("there is room");
    let mut mirror = mirror_of(&mut queue, config());
    resume(&mut mirror, at(0), &mut queue, ResumePoint::Unknown);
    assert_eq!(sent(&mut mirror, at(0), &mut queue), [0, 1, 2]);
    queue.commit().expect("the medium works");
    assert_eq!(sent(&mut mirror, at(0), &mut queue), [3]);
}

#[test]
fn after_silence_it_waits_longer_each_time_and_asks_again() {
    let mut queue = queue_of(30, 1);
    let mut mirror = mirror_of(&mut queue, config());
    let (mut now, mut waits) = (at(0), Vec::new());
    for _ in 0..6 {
        assert!(mirror.poll_ask(now) && !mirror.poll_ask(now));
        let silence_ends = mirror.poll_timeout().expect("an answer is due");
        assert_eq!(silence_ends, now.saturating_add(SECOND));
        mirror.handle_timeout(silence_ends);
        let again = mirror.poll_timeout().expect("it asks again");
        waits.push(again.saturating_since(silence_ends).as_secs_f64());
        assert!(!mirror.poll_ask(silence_ends));
        now = again;
    }
    for (wait, most) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 8.0, 8.0]) {
        assert!((most / 2.0..=most).contains(wait), "{waits:?}");
    }
    // What it hears ends the row of failures; a connection that is lost begins another.
    resume(&mut mirror, now, &mut queue, ResumePoint::Unknown);
    sent(&mut mirror, now, &mut queue);
    mirror.handle_acknowledged(now, Offset::new(1));
    mirror.handle_failure(now);
    assert!(mirror.poll_timeout().expect("it asks again") <= now.saturating_add(SECOND));
    // While nothing is under way, nobody has to say anything.
    let mut idle = mirror_of(&mut queue, config());
    resume(&mut idle, at(0), &mut queue, ResumePoint::From(Offset::new(30)));
    assert_eq!((sent(&mut idle, at(0), &mut queue), idle.poll_timeout()), (vec![], None));
}

/// Gateways that lose the same server come back apart, and each as its seed says.
#[test]
fn how_long_it_waits_follows_from_its_seed() {
    let waits = |seed| -> Vec<_> {
        let mut queue = queue_of(1, 1);
        let cursor = queue.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED).expect("there is room");
        let mut mirror = Mirror::new(config(), &queue, cursor, seed).expect("the cursor is there");
        let fail = |_| {
            mirror.handle_failure(at(0));
            mirror.poll_timeout()
        };
        (0..6).map(fail).collect()
    };
    let of_each: BTreeSet<_> = (0..100).map(waits).collect();
    assert_eq!(of_each.len(), 100, "no two seeds wait alike");
    assert!((0..100).map(waits).all(|again| of_each.contains(&again)));
    assert!(of_each.iter().flatten().all(Option::is_some));
}

#[test]
fn the_wait_for_an_answer_begins_with_what_is_sent_after_a_rest() {
    let mut queue = queue_of(3, 1);
    let mut mirror = mirror_of(&mut queue, config());
    resume(&mut mirror, at(0), &mut queue, ResumePoint::From(Offset::new(3)));
    queue.append(&Message::new(b"an hour later")).expect("there is room");
    queue.commit().expect("the medium works");
    assert_eq!(sent(&mut mirror, at(3600), &mut queue), [3]);
    assert_eq!(mirror.poll_timeout(), Some(at(3601)));
    mirror.handle_timeout(at(3600));
    assert_eq!(mirror.stats().failures, 0);
}

#[test]
fn no_more_octets_are_under_way_than_the_window_says() {
    let mut queue = queue_of(0, 1);
    for _ in 0..8 {
        queue.append(&Message::new(&[7; 1000])).expect("there is room");
    }
    queue.commit().expect("the medium works");
    let config = config().window_octets(2500);
    let mut mirror = mirror_of(&mut queue, config);
    resume(&mut mirror, at(0), &mut queue, ResumePoint::Unknown);
    assert_eq!(sent(&mut mirror, at(0), &mut queue), [0, 1, 2], "the last one reaches over the end");
    mirror.handle_acknowledged(at(0), Offset::new(1));
    assert_eq!(sent(&mut mirror, at(0), &mut queue), [3]);
}

#[test]
fn a_tail_stays_until_the_other_side_has_settled_and_is_sent_again_if_it_lost_it() {
    let mut queue = queue_of(30, 1);
    let mut mirror = mirror_of(&mut queue, config().settle_after(160 * SECOND).answer_within(1000 * SECOND));
    resume(&mut mirror, at(0), &mut queue, ResumePoint::Unknown);
    sent(&mut mirror, at(0), &mut queue);
    mirror.handle_acknowledged(at(0), Offset::new(4));
    mirror.handle_acknowledged(at(5), Offset::new(6));
    mirror.handle_acknowledged(at(100), Offset::new(8));
    mirror.handle_timeout(at(159));
    assert_eq!(mirror.confirmed(), Offset::new(0));
    assert_eq!(mirror.poll_timeout(), Some(at(160)));
    mirror.handle_timeout(at(160));
    assert_eq!(mirror.confirmed(), Offset::new(4));
    // Its power was cut, and it comes back without messages 5 to 7.
    mirror.handle_failure(at(161));
    resume(&mut mirror, at(170), &mut queue, ResumePoint::From(Offset::new(5)));
    assert_eq!(sent(&mut mirror, at(170), &mut queue), (5..13).collect::<Vec<_>>());
    let forgotten = MirrorEvent::Forgotten(Offset::new(5), Offset::new(8));
    assert!(events(&mut mirror).contains(&forgotten));
    mirror.handle_timeout(at(300));
    assert_eq!(mirror.confirmed(), Offset::new(4), "what was lost does not settle");
    mirror.handle_timeout(at(330));
    assert_eq!(mirror.confirmed(), Offset::new(5));
    mirror.handle_acknowledged(at(331), Offset::new(13));
    mirror.handle_timeout(at(500));
    assert_eq!((mirror.confirmed(), mirror.poll_timeout()), (Offset::new(13), None));
}

/// The story: the other side lost its tail in an outage longer than it takes to settle, and the mirror let go of that
/// meanwhile.
#[test]
fn nothing_settles_while_the_other_side_is_out_of_sight() {
    let mut queue = queue_of(30, 1);
    let mut mirror = mirror_of(&mut queue, config().settle_after(160 * SECOND).answer_within(1000 * SECOND));
    resume(&mut mirror, at(0), &mut queue, ResumePoint::Unknown);
    sent(&mut mirror, at(0), &mut queue);
    mirror.handle_acknowledged(at(0), Offset::new(8));
    mirror.handle_failure(at(100));
    mirror.handle_timeout(at(400));
    assert_eq!(mirror.confirmed(), Offset::START);
    resume(&mut mirror, at(500), &mut queue, ResumePoint::From(Offset::new(6)));
    assert_eq!(sent(&mut mirror, at(500), &mut queue)[0], 6);
    mirror.handle_timeout(at(659));
    assert_eq!(mirror.confirmed(), Offset::START, "it may have that from a disk which has not synced it");
    mirror.handle_timeout(at(660));
    assert_eq!(mirror.confirmed(), Offset::new(6));
}

#[test]
fn halts_when_the_other_side_has_what_this_one_never_had() {
    let mut queue = queue_of(5, 1);
    let mut mirror = mirror_of(&mut queue, config());
    resume(&mut mirror, at(0), &mut queue, ResumePoint::From(Offset::new(6)));
    assert!(mirror.is_halted());
    assert_eq!(events(&mut mirror), [MirrorEvent::Ahead(Offset::new(5))]);
    assert_eq!(sent(&mut mirror, at(0), &mut queue), [0; 0]);
    mirror.handle_failure(at(1));
    assert!(!mirror.poll_ask(at(100)) && mirror.poll_timeout().is_none());

    // Another one forwards the same log: the other side is further than this mirror.
    let mut queue = queue_of(30, 1);
    let mut mirror = mirror_of(&mut queue, config());
    resume(&mut mirror, at(0), &mut queue, ResumePoint::From(Offset::new(0)));
    assert_eq!(sent(&mut mirror, at(0), &mut queue).len(), 8);
    mirror.handle_refused(at(0));
    resume(&mut mirror, at(0), &mut queue, ResumePoint::From(Offset::new(9)));
    assert_eq!(events(&mut mirror)[1..], [MirrorEvent::Fenced(Offset::new(8))]);
    assert!(mirror.is_halted());
}

#[test]
fn after_refusals_less_is_under_way_and_more_again_with_success() {
    let mut queue = queue_of(60, 1);
    let mut mirror = mirror_of(&mut queue, config());
    for under_way in [8, 4, 2, 1, 1] {
        resume(&mut mirror, at(0), &mut queue, ResumePoint::From(Offset::new(0)));
        assert_eq!(sent(&mut mirror, at(0), &mut queue).len(), under_way);
        mirror.handle_refused(at(0));
    }
    resume(&mut mirror, at(0), &mut queue, ResumePoint::From(Offset::new(0)));
    for (next, under_way) in [(1, 1), (3, 2), (7, 4), (15, 8), (23, 8)] {
        assert_eq!(sent(&mut mirror, at(0), &mut queue).len(), under_way);
        mirror.handle_acknowledged(at(0), Offset::new(next));
    }
    assert_eq!((mirror.stats().refused, mirror.stats().failures), (5, 0));
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_counts_as_a_failure() {
    let mut queue = queue_of(30, 1);
    let mut mirror = mirror_of(&mut queue, config());
    resume(&mut mirror, at(0), &mut queue, ResumePoint::Unknown);
    sent(&mut mirror, at(0), &mut queue);
    mirror.handle_acknowledged(at(0), Offset::new(9));
    assert_eq!(events(&mut mirror)[1..], [MirrorEvent::Nonsense(Offset::new(9))]);
    assert_eq!((mirror.confirmed(), mirror.stats().failures), (Offset::START, 1));
}

#[test]
fn behind_a_blind_sink_the_receiver_tells_by_position_what_has_arrived() {
    let mut queue = queue_of(9, 1);
    let mut mirror = mirror_of(&mut queue, config());
    resume(&mut mirror, at(0), &mut queue, ResumePoint::Blind);
    assert_eq!(sent(&mut mirror, at(0), &mut queue).len(), 8);
    let log = Incarnation::from_bytes(*queue.epoch().as_bytes());
    let place = |sequence| Position { source: ORIGIN, stream: StreamId::new(0), incarnation: log, sequence };
    // Those that have a position, by that or by their place in the log; the others by their place.
    for (arrived, confirmed) in [(position(3), 0), (position(1), 0), (place(0), 2), (place(4), 2), (place(2), 5)] {
        mirror.handle_answer(at(0), &mut queue, Answer::Received(arrived));
        assert_eq!(mirror.confirmed(), Offset::new(confirmed), "{arrived}");
    }
    let elsewhere = Position { stream: StreamId::new(1), ..place(5) };
    mirror.handle_answer(at(0), &mut queue, Answer::Received(elsewhere));
    assert_eq!(mirror.confirmed(), Offset::new(5));
    mirror.handle_answer(at(0), &mut queue, Answer::Received(position(77)));
    // What is under way is repeated after a loss: the receiver drops what it has.
    mirror.handle_failure(at(0));
    resume(&mut mirror, at(9), &mut queue, ResumePoint::Blind);
    assert_eq!(sent(&mut mirror, at(9), &mut queue), [5, 6, 7, 8]);
}

#[test]
fn a_queue_in_the_same_process_is_a_sink() {
    let (mut source, mut target) = (queue_of(30, 1), queue_of(0, 2));
    let mut mirror = mirror_of(&mut source, config());
    let mut intake = Intake::new(8);
    let mut sink = QueueSink::new(&mut target, &mut intake, ORIGIN);
    mirror.drive(at(0), &mut source, &mut sink).expect("nothing is wrong");
    assert_eq!((mirror.confirmed(), mirror.stats().sent), (Offset::new(30), 30));
    let arrived: Vec<_> = target.entries_from(Offset::START).map(|entry| entry.expect("it reads")).collect();
    assert_eq!(arrived.len(), 30);
    let Entry::Message(first) = &arrived[0] else { panic!() };
    let log = Incarnation::from_bytes(*source.epoch().as_bytes());
    let place = Position { source: ORIGIN, stream: StreamId::new(0), incarnation: log, sequence: 0 };
    assert_eq!((first.position, &first.payload[..]), (Some(place), &0_u64.to_le_bytes()[..]));

    // Another process, with another memory, finds it in the queue.
    let mut again = Intake::new(8);
    again.recover(&target).expect("the medium works");
    assert_eq!(again.resume_point(&target, source.epoch()), ResumePoint::From(Offset::new(30)));
    assert_eq!(again.resume_point(&target, Epoch::from_bytes([3; 8])), ResumePoint::Unknown);
}

#[test]
fn a_full_queue_at_the_other_side_stops_the_mirror_until_there_is_room() {
    let mut source = queue_of(40, 1);
    let config = QueueConfig::default().max_payload(16).and_then(|config| config.segment_len(4096));
    let config = config.and_then(|config| config.segments(2)).expect("in range");
    let mut target = Queue::open(MemoryStorage::new(), config, [2; 8]).expect("nothing is wrong with it");
    let (mut mirror, mut intake) = (mirror_of(&mut source, self::config()), Intake::new(8));
    let mut sink = QueueSink::new(&mut target, &mut intake, ORIGIN);
    let full = mirror.drive(at(0), &mut source, &mut sink);
    let Err(MirrorError::Sink(QueueSinkError::Intake(IntakeError::Append(AppendError::Full { .. })))) = full else {
        panic!("{full:?}")
    };
    let there = mirror.confirmed();
    assert!(there > Offset::START && there < Offset::new(40));
    let mut seconds = 0;
    while mirror.confirmed() < Offset::new(40) {
        target.ack_before(target.next_offset()).expect("the medium works");
        target.commit().expect("the medium works");
        seconds += 10;
        let mut sink = QueueSink::new(&mut target, &mut intake, ORIGIN);
        let _ = mirror.drive(at(seconds), &mut source, &mut sink);
        assert!(seconds < 1000);
    }
    assert_eq!(target.next_offset(), Offset::new(40), "none twice");
}

#[test]
fn says_to_the_peer_why_a_connection_ends() {
    let (source, mut target) = (queue_of(3, 1), queue_of(0, 2));
    let mut intake = Intake::new(8);
    let mut talk = |max_payload, octets: &[u8]| {
        let mut server = StreamServer::new(max_payload);
        let outcome = server.handle_input(octets, &mut target, &mut intake).map(drop);
        let mut sink = StreamSink::new(ORIGIN);
        (outcome, sink.handle_input(&server.poll_output()).err(), sink.poll_answer())
    };
    let (outcome, told, answer) = talk(64, b"GET / HTTP/1.1\r\n\r\n");
    let fault = StreamError::Peer { fault: StreamFault::Malformed };
    assert_eq!((outcome, told, answer), (Err(StreamError::Malformed), Some(fault), Err(fault)));

    let mut sink = StreamSink::new(ORIGIN);
    sink.ask(source.epoch()).expect("a new connection");
    let mut hello = sink.poll_output();
    hello[8] = 3;
    let (outcome, told, _) = talk(64, &hello);
    assert_eq!(outcome, Err(StreamError::Version { version: 3 }));
    assert_eq!(told, Some(StreamError::Peer { fault: StreamFault::Version }));
}

/// Whatever the peer sends, neither end panics, and nothing is stored that is no message.
/// What the first window of a mirror of `source` is on the wire, with the question before it.
fn window_of(source: &mut Queue<MemoryStorage>) -> Vec<u8> {
    let mut sink = StreamSink::new(ORIGIN);
    let mut mirror = mirror_of(source, config());
    mirror.drive(at(0), source, &mut sink).expect("nothing is wrong");
    mirror.handle_answer(at(0), source, Answer::Resume(ResumePoint::Unknown));
    mirror.drive(at(0), source, &mut sink).expect("nothing is wrong");
    sink.poll_output()
}

/// An empty queue that costs little to make.
fn target() -> Queue<MemoryStorage> {
    let config = QueueConfig::default().max_payload(1024).and_then(|config| config.segment_len(8 << 10));
    let config = config.and_then(|config| config.segments(4)).expect("in range").durability(Durability::Manual);
    Queue::open(MemoryStorage::new(), config, [2; 8]).expect("nothing is wrong with it")
}

#[test]
fn stands_a_flipped_bit_anywhere() {
    let sound = window_of(&mut queue_of(20, 1));
    for bit in 0..sound.len() * 8 {
        let mut octets = sound.clone();
        octets[bit / 8] ^= 1 << (bit % 8);
        let (mut target, mut intake) = (target(), Intake::new(8));
        let mut server = StreamServer::new(64);
        let _ = server.handle_input(&octets, &mut target, &mut intake);
        let mut sink = StreamSink::new(ORIGIN);
        let _ = sink.handle_input(&server.poll_output());
        let _ = sink.handle_input(&octets);
        assert!(target.next_offset() <= Offset::new(8));
    }
}

/// Octets of both ends that were lost, repeated and made up, in pieces: nothing is taken that does not stand in them, what is
/// taken is durable, and another log arrives as if there had been none.
#[test]
fn stands_octets_of_any_kind() {
    let mut source = queue_of(20, 1);
    let sound = window_of(&mut source);
    let mut welcome = StreamServer::new(64);
    welcome.handle_input(&sound, &mut target(), &mut Intake::new(8)).expect("nothing is wrong");
    let sound = [sound, welcome.poll_output()].concat();
    for seed in 0..300_u64 {
        let mut state = seed;
        let mut draw = |bound: usize| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 33) as usize % bound.max(1)
        };
        let mut octets = sound.clone();
        for _ in 0..=draw(3) {
            let from = draw(octets.len());
            let until = (from + draw(40)).min(octets.len());
            match draw(4) {
                0 => octets[from..until].iter_mut().for_each(|octet| *octet = draw(256) as u8),
                1 => drop(octets.drain(from..until)),
                2 => drop(octets.splice(from..from, octets[from..until].to_vec())),
                _ => octets.rotate_left(from),
            }
        }
        let (mut target, mut intake) = (target(), Intake::new(8));
        let (mut server, mut sink) = (StreamServer::new(64), StreamSink::new(ORIGIN));
        let mut rest = &octets[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(1 + draw(rest.len()));
            rest = behind;
            let _ = sink.handle_input(piece);
            if server.handle_input(piece, &mut target, &mut intake).is_err() {
                break;
            }
        }
        // No frame of an entry is shorter than this.
        assert!(target.next_offset().number() <= octets.len() as u64 / 9, "seed {seed}");
        assert_eq!(target.durable(), target.next_offset(), "seed {seed}");
        let before = target.stats().depth;
        let mut other = queue_of(20, 3);
        let mut mirror = mirror_of(&mut other, config());
        let mut own = QueueSink::new(&mut target, &mut intake, DeviceId::from_bytes([8; 32]));
        mirror.drive(at(0), &mut other, &mut own).expect("nothing is wrong with this one");
        assert_eq!((mirror.confirmed(), target.stats().depth), (Offset::new(20), before + 20), "seed {seed}");
    }
}
