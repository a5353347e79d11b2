//! Two ends in virtual time, with whatever the test wants in between.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_exchange::{Endpoint, Event, ExchangeError, Feedback, Keys, Role, Turn, label, queue_config};
use iot_queue::{Fate, MemoryStorage, Offset, Queue};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

const REPEATING: Feedback = Feedback::Acknowledged { within: Duration::from_secs(1) };

type End<'k> = Endpoint<'k, MemoryStorage>;

/// An end with these queues, which it leaves behind when it ends without a word.
fn open<'k>(keys: &'k Keys, role: Role, feedback: Feedback, queues: [MemoryStorage; 2], seed: u8) -> End<'k> {
    let queues = queues.map(|storage| Queue::open(storage, queue_config(), [seed; 8]).unwrap());
    Endpoint::new(keys, role, feedback, queues, ChaCha20Rng::seed_from_u64(seed.into())).unwrap()
}

fn new_queues() -> [MemoryStorage; 2] {
    [MemoryStorage::new(), MemoryStorage::new()]
}

/// Keys of the device and of the receiver.
fn keys() -> [Keys; 2] {
    Keys::draw(NOW, &mut ChaCha20Rng::seed_from_u64(1)).map(|file| Keys::parse(&file, NOW).unwrap())
}

/// The device's and the receiver's end.
fn ends([near, far]: &[Keys; 2], feedback: Feedback) -> [End<'_>; 2] {
    [open(near, Role::Device, feedback, new_queues(), 2), open(far, Role::Receiver, feedback, new_queues(), 3)]
}

/// Lets packets pass for so long, each as `between` gives it on: its direction is 0 from the first to the second.
fn pass(
    ends: [&mut End<'_>; 2],
    start: &mut Instant,
    for_ms: u64,
    mut between: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>>,
) {
    let [first, second] = ends;
    for _ in 0..for_ms / 10 {
        *start = start.saturating_add(Duration::from_millis(10));
        while let Some(packet) = first.poll_transmit(*start, NOW).unwrap() {
            between(0, packet).iter_mut().for_each(|packet| second.handle_packet(*start, packet).unwrap());
        }
        while let Some(packet) = second.poll_transmit(*start, NOW).unwrap() {
            between(1, packet).iter_mut().for_each(|packet| first.handle_packet(*start, packet).unwrap());
        }
    }
}

/// What is on the disks of an end when its power is cut.
fn cut_power(end: End<'_>) -> [MemoryStorage; 2] {
    end.into_queues().map(|queue| {
        let mut disk = queue.into_storage();
        disk.crash(|_| Fate::Lost);
        disk
    })
}

fn events(end: &mut End<'_>) -> Vec<Event> {
    std::iter::from_fn(|| end.poll_event()).collect()
}

fn accepted(sequence: u64) -> Event {
    Event::Accepted { sequence, payload: sequence.to_string().into_bytes() }
}

fn append(end: &mut End<'_>, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| end.append(NOW, number.to_string().as_bytes()).unwrap());
}

#[test]
fn messages_arrive_once_and_in_order_whatever_the_link_does() {
    let [near, far] = keys();
    let (mut rng, mut late, mut now) = (ChaCha20Rng::seed_from_u64(7), Vec::new(), Instant::START);
    let (mut device, mut disks) = (open(&near, Role::Device, REPEATING, new_queues(), 2), new_queues());
    append(&mut device, 0..150);
    for start in 0..4 {
        let mut receiver = open(&far, Role::Receiver, REPEATING, disks, 3 + start);
        // What was accepted a moment before the cut may be gone, and what was acknowledged may not.
        let mut next = receiver.accepted(now).unwrap().len() as u64;
        assert!(next >= 150 - device.waiting(), "{next} are there, and the device forgot all but {}", device.waiting());
        pass([&mut device, &mut receiver], &mut now, 4_000, |_, mut packet| {
            let mut arriving = std::mem::take(&mut late);
            match rng.next_u32() % 10 {
                0 => {}
                1 => late.push(packet),
                2 => arriving.extend([packet.clone(), packet]),
                3 => {
                    let bit = rng.next_u32() as usize % (8 * packet.len());
                    packet[bit / 8] ^= 1 << (bit % 8);
                    arriving.push(packet);
                }
                _ => arriving.push(packet),
            }
            arriving
        });
        for event in events(&mut receiver) {
            match event {
                Event::Refused(_) | Event::Unknown(_) => {}
                event => {
                    assert_eq!(event, accepted(next));
                    next += 1;
                }
            }
        }
        disks = cut_power(receiver);
    }
    let mut receiver = open(&far, Role::Receiver, REPEATING, disks, 9);
    let kept = receiver.accepted(now).unwrap();
    assert_eq!(kept.iter().map(|it| it.position.unwrap().sequence).collect::<Vec<_>>(), (0..150).collect::<Vec<_>>());
    assert_eq!(device.waiting(), 0);
}

#[test]
fn no_acknowledgement_that_was_altered_or_is_another_ends_frees_a_message() {
    let keys = keys();
    let [mut device, mut receiver] = ends(&keys, REPEATING);
    append(&mut device, 0..3);
    let mut now = Instant::START;
    let mut acknowledgement = Vec::new();
    pass([&mut device, &mut receiver], &mut now, 100, |direction, packet| {
        if direction == 0 {
            return vec![packet];
        }
        acknowledgement = packet;
        Vec::new()
    });
    assert_eq!(device.waiting(), 3);
    for bit in 0..8 * acknowledgement.len() {
        let mut altered = acknowledgement.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        device.handle_packet(now, &mut altered).unwrap();
        assert_eq!(device.waiting(), 3, "bit {bit}");
    }
    // The device's own packets come back to it.
    while let Some(mut own) = device.poll_transmit(now.saturating_add(Duration::from_secs(3)), NOW).unwrap() {
        device.handle_packet(now, &mut own).unwrap();
    }
    assert!(events(&mut device).iter().all(|event| !matches!(event, Event::Accepted { .. })));
    device.handle_packet(now, &mut acknowledgement).unwrap();
    assert_eq!(device.waiting(), 0);
}

#[test]
fn a_receiver_that_forgot_is_told_what_is_gone() {
    let keys = keys();
    let [mut device, mut receiver] = ends(&keys, REPEATING);
    append(&mut device, 0..5);
    let mut now = Instant::START;
    pass([&mut device, &mut receiver], &mut now, 100, |_, packet| vec![packet]);
    assert_eq!(events(&mut receiver), (0..5).map(accepted).collect::<Vec<_>>());
    drop(receiver);

    let mut receiver = open(&keys[1], Role::Receiver, REPEATING, new_queues(), 4);
    append(&mut device, 5..7);
    pass([&mut device, &mut receiver], &mut now, 5_000, |_, packet| vec![packet]);
    assert_eq!(events(&mut receiver), [Event::Missing(0..5), accepted(5), accepted(6)]);
    assert_eq!(device.waiting(), 0);
}

#[test]
fn nothing_that_was_altered_makes_a_receiver_give_up_messages() {
    let keys = keys();
    let [mut device, mut receiver] = ends(&keys, REPEATING);
    append(&mut device, 0..5);
    let mut now = Instant::START;
    pass([&mut device, &mut receiver], &mut now, 100, |_, packet| vec![packet]);
    assert_eq!(device.waiting(), 0);
    let mut receiver = open(&keys[1], Role::Receiver, REPEATING, new_queues(), 4);
    append(&mut device, 5..7);
    let mut oldest = Vec::new();
    pass([&mut device, &mut receiver], &mut now, 100, |_, packet| {
        if !label(&packet).unwrap().starts_with("2/") {
            return vec![packet];
        }
        oldest = packet;
        Vec::new()
    });
    for bit in 0..8 * oldest.len() {
        let mut altered = oldest.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        receiver.handle_packet(now, &mut altered).unwrap();
        let happened = events(&mut receiver);
        assert!(
            happened.iter().all(|it| matches!(it, Event::Refused(_) | Event::Unknown(_))),
            "bit {bit}: {happened:?}"
        );
    }
    receiver.handle_packet(now, &mut oldest).unwrap();
    // A packet that became a message by that may stand in the place of one, until that comes again.
    pass([&mut device, &mut receiver], &mut now, 5_000, |_, packet| vec![packet]);
    let mut happened = events(&mut receiver);
    happened.retain(|it| !matches!(it, Event::Refused(_)));
    assert_eq!(happened, [Event::Missing(0..5), accepted(5), accepted(6)]);
}

#[test]
fn what_has_left_is_durable_so_that_no_number_is_given_twice() {
    let keys = keys();
    let mut device = open(&keys[0], Role::Device, REPEATING, new_queues(), 2);
    append(&mut device, 0..3);
    let left = std::iter::from_fn(|| device.poll_transmit(Instant::START, NOW).unwrap()).count();
    assert_eq!(left, 3);
    let device = open(&keys[0], Role::Device, REPEATING, cut_power(device), 4);
    assert_eq!((device.written(), device.waiting()), (3, 3));
}

/// What the device answers when the receiver fetches.
fn fetch(device: &mut End<'_>, receiver: &mut End<'_>, now: Instant) -> Vec<Vec<u8>> {
    receiver.handle_turn(Turn::Ask);
    let request = std::iter::from_fn(|| receiver.poll_transmit(now, NOW).unwrap()).collect::<Vec<_>>();
    request.into_iter().for_each(|mut packet| device.handle_packet(now, &mut packet).unwrap());
    device.handle_turn(Turn::Send);
    let answer = std::iter::from_fn(|| device.poll_transmit(now, NOW).unwrap()).collect();
    device.handle_turn(Turn::Wait);
    answer
}

#[test]
fn who_fetches_gets_what_is_behind_the_cursor_whatever_was_lost_before() {
    let keys = keys();
    let [mut device, mut receiver] = ends(&keys, REPEATING);
    append(&mut device, 0..400);
    // Nothing here waits until something is overdue.
    let (now, mut came) = (Instant::START, 0);
    device.handle_turn(Turn::Wait);
    assert_eq!(device.poll_transmit(now, NOW).unwrap(), None);
    for round in 0.. {
        if device.waiting() == 0 {
            break;
        }
        assert!(round < 20, "{} wait", device.waiting());
        let answer = fetch(&mut device, &mut receiver, now);
        let later = now.saturating_add(Duration::from_secs(60));
        assert_eq!((device.poll_transmit(later, NOW).unwrap(), device.poll_timeout()), (None, None));
        if round % 3 == 1 {
            continue;
        }
        came += answer.iter().filter(|packet| label(packet).unwrap().starts_with("0/")).count();
        answer.into_iter().for_each(|mut packet| receiver.handle_packet(now, &mut packet).unwrap());
        if round == 3 {
            // What was accepted a moment before a cut is fetched again; what the device let go of was durable.
            receiver = open(&keys[1], Role::Receiver, REPEATING, cut_power(receiver), 5);
        }
    }
    let kept = receiver.accepted(now).unwrap();
    assert_eq!(kept.len(), 256, "so many are handed on at a time");
    receiver.let_go(&kept).unwrap();
    let rest = receiver.accepted(now).unwrap();
    let numbers = kept.iter().chain(&rest).map(|it| it.position.unwrap().sequence);
    assert!(numbers.eq(0..400));
    assert_eq!(came, 400 + 128, "none comes twice but those of the cut");
}

/// The receiver has fetched three messages, and not asked again since.
fn ends_after_a_fetch(keys: &[Keys; 2]) -> [End<'_>; 2] {
    let [mut device, mut receiver] = ends(keys, REPEATING);
    append(&mut device, 0..3);
    let answer = fetch(&mut device, &mut receiver, Instant::START);
    answer.into_iter().for_each(|mut packet| receiver.handle_packet(Instant::START, &mut packet).unwrap());
    [device, receiver]
}

#[test]
fn a_cursor_speaks_of_what_is_durable() {
    let keys = keys();
    let [mut device, mut receiver] = ends_after_a_fetch(&keys);
    let now = Instant::START;
    fetch(&mut device, &mut receiver, now);
    assert_eq!(device.waiting(), 0);
    let mut receiver = open(&keys[1], Role::Receiver, REPEATING, cut_power(receiver), 5);
    assert_eq!(receiver.accepted(now).unwrap().len(), 3);
}

#[test]
fn a_cursor_that_was_altered_or_is_of_another_outbox_frees_nothing() {
    let keys = keys();
    let [mut device, mut receiver] = ends_after_a_fetch(&keys);
    let now = Instant::START;
    receiver.handle_turn(Turn::Ask);
    let cursor = receiver.poll_transmit(now, NOW).unwrap().unwrap();
    device.handle_turn(Turn::Send);
    for bit in 0..8 * cursor.len() {
        let mut altered = cursor.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        device.handle_packet(now, &mut altered).unwrap();
        assert_eq!((device.waiting(), device.poll_transmit(now, NOW).unwrap()), (3, None), "bit {bit}");
    }
    // The device begins anew, with another outbox: it gives everything from there.
    let mut device = open(&keys[0], Role::Device, REPEATING, new_queues(), 6);
    append(&mut device, 7..9);
    device.handle_packet(now, &mut cursor.clone()).unwrap();
    assert_eq!(device.waiting(), 2);
    while let Some(mut packet) = device.poll_transmit(now, NOW).unwrap() {
        receiver.handle_packet(now, &mut packet).unwrap();
    }
    let payload = |number: u64| number.to_string().into_bytes();
    let all = [(0, 0), (1, 1), (2, 2), (0, 7), (1, 8)];
    let all = all.map(|(sequence, number)| Event::Accepted { sequence, payload: payload(number) });
    assert_eq!(events(&mut receiver), all);
    assert!(!fetch(&mut device, &mut receiver, now).iter().any(|packet| label(packet).unwrap().starts_with("0/")));
    assert_eq!(device.waiting(), 0);
}

#[test]
fn commands_go_the_other_way() {
    let keys = keys();
    let [mut device, mut receiver] = ends(&keys, REPEATING);
    append(&mut receiver, 0..2);
    pass([&mut device, &mut receiver], &mut { Instant::START }, 100, |_, packet| vec![packet]);
    assert_eq!(events(&mut device), [accepted(0), accepted(1)]);
    assert_eq!(receiver.waiting(), 0);
}

#[test]
fn without_feedback_each_loss_is_reported_and_nothing_waits() {
    let keys = keys();
    let [mut device, mut receiver] = ends(&keys, Feedback::None);
    append(&mut device, 0..40);
    let mut number = 0..;
    pass([&mut device, &mut receiver], &mut { Instant::START }, 100, |_, packet| {
        // Of each four, the second is lost.
        if number.next().is_some_and(|number: u64| number % 4 == 1) { Vec::new() } else { vec![packet] }
    });
    let lost = (0..40).flat_map(|n| match n % 4 {
        1 => vec![Event::Missing(n..n + 1)],
        _ => vec![accepted(n)],
    });
    assert_eq!(events(&mut receiver), lost.collect::<Vec<_>>());
    assert_eq!(device.waiting(), 0);
}

#[test]
fn an_outbox_that_was_put_back_from_a_copy_is_not_used() {
    let keys = keys();
    let [mut device, mut receiver] = ends(&keys, REPEATING);
    append(&mut device, 0..2);
    let mut now = Instant::START;
    pass([&mut device, &mut receiver], &mut now, 100, |_, packet| vec![packet]);
    let copy = device.into_queues().map(Queue::into_storage);
    let mut device = open(&keys[0], Role::Device, REPEATING, copy.clone(), 5);
    append(&mut device, 2..4);
    pass([&mut device, &mut receiver], &mut now, 100, |_, packet| vec![packet]);
    let mut old = open(&keys[0], Role::Device, REPEATING, copy, 6);
    append(&mut old, 2..3);
    while let Some(mut packet) = old.poll_transmit(now, NOW).unwrap() {
        receiver.handle_packet(now, &mut packet).unwrap();
    }
    let mut answer = receiver.poll_transmit(now.saturating_add(Duration::from_secs(1)), NOW).unwrap().unwrap();
    let refused = old.handle_packet(now, &mut answer).unwrap_err();
    assert_eq!(refused, ExchangeError::Copied { until: Offset::new(4), written: Offset::new(3) });
}

#[test]
fn what_is_handed_on_is_let_go_of_and_not_taken_again() {
    let keys = keys();
    let [mut device, mut receiver] = ends(&keys, REPEATING);
    append(&mut device, 0..5);
    let mut now = Instant::START;
    pass([&mut device, &mut receiver], &mut now, 100, |_, packet| vec![packet]);
    let messages = receiver.accepted(now).unwrap();
    assert_eq!(messages.len(), 5);
    receiver.let_go(&messages).unwrap();
    assert_eq!(receiver.accepted(now).unwrap().len(), 0);

    // The next one knows by the last of them where the device's messages go on.
    let mut receiver =
        open(&keys[1], Role::Receiver, REPEATING, receiver.into_queues().map(|it| it.close().unwrap()), 4);
    append(&mut device, 5..6);
    pass([&mut device, &mut receiver], &mut now, 5_000, |_, packet| vec![packet]);
    let sequences: Vec<_> = receiver.accepted(now).unwrap().iter().map(|it| it.position.unwrap().sequence).collect();
    assert_eq!(sequences, [4, 5], "the last one is there twice rather than never");
}

#[test]
fn what_is_handed_on_is_durable_so_that_the_peer_cannot_bring_it_again() {
    let keys = keys();
    let [mut device, mut receiver] = ends(&keys, REPEATING);
    append(&mut device, 0..5);
    let packets: Vec<_> = std::iter::from_fn(|| device.poll_transmit(Instant::START, NOW).unwrap()).collect();
    let bring = |receiver: &mut End<'_>| {
        packets.iter().for_each(|packet| receiver.handle_packet(Instant::START, &mut packet.clone()).unwrap());
        events(receiver)
    };
    assert_eq!(bring(&mut receiver), (0..5).map(accepted).collect::<Vec<_>>());
    // Nothing was acknowledged yet.
    let messages = receiver.accepted(Instant::START).unwrap();
    assert_eq!(messages.len(), 5);
    receiver.let_go(&messages).unwrap();
    let mut receiver = open(&keys[1], Role::Receiver, REPEATING, cut_power(receiver), 4);
    assert_eq!(bring(&mut receiver), []);
}
