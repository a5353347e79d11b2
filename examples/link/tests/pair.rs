//! Two ends in virtual time, with whatever the test wants in between.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_link::{Endpoint, Event, Feedback, Keys, Role, provision};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

const REPEATING: Feedback = Feedback::Acknowledged { within: Duration::from_secs(1) };

fn open<'k>(folder: &Path, keys: &'k Keys, role: Role, feedback: Feedback, seed: u64) -> Endpoint<'k> {
    let rng = ChaCha20Rng::seed_from_u64(seed);
    Endpoint::open(&folder.join(role.to_string()), keys, role, feedback, rng, || NOW).unwrap()
}

/// Keys of the device and of the receiver.
fn keys(folder: &Path) -> [Keys; 2] {
    provision(folder, NOW, &mut ChaCha20Rng::seed_from_u64(1)).unwrap();
    ["device", "receiver"].map(|name| Keys::load(&folder.join(name), NOW).unwrap())
}

/// The device's and the receiver's end.
fn ends<'k>(folder: &Path, [near, far]: &'k [Keys; 2], feedback: Feedback) -> [Endpoint<'k>; 2] {
    [open(folder, near, Role::Device, feedback, 2), open(folder, far, Role::Receiver, feedback, 3)]
}

/// Lets packets pass for so long, each as `between` gives it on: its direction is 0 from the first to the second.
fn pass(
    ends: [&mut Endpoint<'_>; 2],
    start: &mut Instant,
    for_ms: u64,
    mut between: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>>,
) {
    let [first, second] = ends;
    for _ in 0..for_ms / 10 {
        *start = start.saturating_add(Duration::from_millis(10));
        while let Some(packet) = first.poll_transmit(*start).unwrap() {
            between(0, packet).iter_mut().for_each(|packet| second.handle_packet(*start, packet).unwrap());
        }
        while let Some(packet) = second.poll_transmit(*start).unwrap() {
            between(1, packet).iter_mut().for_each(|packet| first.handle_packet(*start, packet).unwrap());
        }
    }
}

fn events(end: &mut Endpoint<'_>) -> Vec<Event> {
    std::iter::from_fn(|| end.poll_event()).collect()
}

fn accepted(sequence: u64) -> Event {
    Event::Accepted { sequence, payload: sequence.to_string().into_bytes() }
}

fn append(end: &mut Endpoint<'_>, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| end.append(number.to_string().as_bytes()).unwrap());
}

#[test]
fn messages_arrive_once_and_in_order_whatever_the_link_does() {
    let folder = tempfile::tempdir().unwrap();
    let [near, far] = keys(folder.path());
    let (mut rng, mut late, mut now) = (ChaCha20Rng::seed_from_u64(7), Vec::new(), Instant::START);
    let mut device = open(folder.path(), &near, Role::Device, REPEATING, 2);
    append(&mut device, 0..150);
    let mut next = 0;
    for start in 0..4 {
        let mut receiver = open(folder.path(), &far, Role::Receiver, REPEATING, 3 + start);
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
        // The receiver ends without a word, in the middle.
    }
    assert_eq!((next, device.waiting()), (150, 0));
}

#[test]
fn no_acknowledgement_that_was_altered_or_is_another_ends_frees_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path());
    let [mut device, mut receiver] = ends(folder.path(), &keys, REPEATING);
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
    while let Some(mut own) = device.poll_transmit(now.saturating_add(Duration::from_secs(3))).unwrap() {
        device.handle_packet(now, &mut own).unwrap();
    }
    assert!(events(&mut device).iter().all(|event| !matches!(event, Event::Accepted { .. })));
    device.handle_packet(now, &mut acknowledgement).unwrap();
    assert_eq!(device.waiting(), 0);
}

#[test]
fn a_receiver_that_forgot_is_told_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path());
    let [mut device, mut receiver] = ends(folder.path(), &keys, REPEATING);
    append(&mut device, 0..5);
    let mut now = Instant::START;
    pass([&mut device, &mut receiver], &mut now, 100, |_, packet| vec![packet]);
    assert_eq!(events(&mut receiver), (0..5).map(accepted).collect::<Vec<_>>());
    drop(receiver);
    std::fs::remove_dir_all(folder.path().join("receiver/ledger")).unwrap();

    let mut receiver = open(folder.path(), &keys[1], Role::Receiver, REPEATING, 4);
    append(&mut device, 5..7);
    pass([&mut device, &mut receiver], &mut now, 5_000, |_, packet| vec![packet]);
    assert_eq!(events(&mut receiver), [Event::Missing(0..5), accepted(5), accepted(6)]);
    assert_eq!(device.waiting(), 0);
}

#[test]
fn commands_go_the_other_way() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path());
    let [mut device, mut receiver] = ends(folder.path(), &keys, REPEATING);
    append(&mut receiver, 0..2);
    pass([&mut device, &mut receiver], &mut { Instant::START }, 100, |_, packet| vec![packet]);
    assert_eq!(events(&mut device), [accepted(0), accepted(1)]);
    assert_eq!(receiver.waiting(), 0);
}

#[test]
fn without_feedback_each_loss_is_reported_and_nothing_waits() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(folder.path());
    let [mut device, mut receiver] = ends(folder.path(), &keys, Feedback::None);
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
