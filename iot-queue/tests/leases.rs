//! What leases do, one behaviour at a time.

use core::time::Duration;

use iot_core::{DeviceId, Incarnation, Instant, Position, StreamId, Timestamp};
use iot_queue::{
    AppendError, AttemptDurability, Backoff, DeadLetter, DeathCause, Durability, Entry, Fate, Gap, GapCause, Lane,
    LaneOrder, LeaseError, Leased, MemoryStorage, Message, Nacked, Offset, Queue, QueueConfig, Release,
};

const MINUTE: Duration = Duration::from_secs(60);
const NOW: Instant = Instant::START;

fn after(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn small() -> QueueConfig {
    let config = QueueConfig::default().max_payload(256).and_then(|config| config.segment_len(4096));
    config.and_then(|config| config.segments(6)).expect("in range").durability(Durability::Manual)
}

fn open(config: QueueConfig) -> Queue<MemoryStorage> {
    Queue::open(MemoryStorage::new(), config, [1; 8]).expect("a new queue")
}

fn holding(config: QueueConfig, payloads: &[&[u8]]) -> Queue<MemoryStorage> {
    let mut queue = open(config);
    let messages: Vec<_> = payloads.iter().map(|payload| Message::new(payload)).collect();
    queue.append_batch(&messages).expect("there is room");
    queue
}

/// What a process finds that comes after one that was killed.
fn killed(queue: Queue<MemoryStorage>, config: QueueConfig) -> Queue<MemoryStorage> {
    Queue::open(queue.into_storage(), config, [2; 8]).expect("it was open before")
}

/// What is there when the power is back.
fn power_cut(queue: Queue<MemoryStorage>, config: QueueConfig) -> Queue<MemoryStorage> {
    let mut storage = queue.into_storage();
    storage.crash(|_| Fate::Lost);
    Queue::open(storage, config, [2; 8]).expect("a power cut never keeps a queue shut")
}

fn reserve(queue: &mut Queue<MemoryStorage>, now: Instant, max: usize) -> Vec<Leased> {
    queue.reserve(now, MINUTE, max).expect("the storage works")
}

fn one(queue: &mut Queue<MemoryStorage>, now: Instant) -> Leased {
    reserve(queue, now, 1).pop().expect("one can be handed out")
}

fn payloads(queue: &mut Queue<MemoryStorage>, now: Instant) -> Vec<String> {
    let found = queue.peek(now, 99).expect("the storage works");
    found.into_iter().map(|stored| String::from_utf8(stored.payload).expect("tests write text")).collect()
}

fn stale(leased: &Leased) -> LeaseError {
    LeaseError::Stale { offset: leased.offset }
}

#[test]
fn a_touch_moves_the_end_and_is_no_attempt() {
    let mut queue = holding(small(), &[b"a"]);
    let leased = one(&mut queue, NOW);
    assert_eq!((leased.deadline, leased.attempts), (after(60), 1));
    for seconds in [50, 100, 150] {
        assert_eq!(queue.touch(after(seconds), leased.lease, MINUTE), Ok(after(seconds + 60)));
    }
    assert!(reserve(&mut queue, after(209), 1).is_empty());
    let again = one(&mut queue, after(210));
    assert_eq!((again.attempts, queue.stats().attempts), (2, 2));
    // A shorter time counts too.
    assert_eq!(queue.touch(after(211), again.lease, Duration::from_secs(1)), Ok(after(212)));
    assert_eq!(one(&mut queue, after(212)).attempts, 3);
}

#[test]
fn a_stale_lease_is_refused_whatever_it_is_used_for() {
    let use_it = |queue: &mut Queue<MemoryStorage>, leased: &Leased, now: Instant| {
        let lease = leased.lease;
        assert_eq!(queue.touch(now, lease, MINUTE), Err(stale(leased)));
        assert_eq!(queue.release(lease), Err(stale(leased)));
        assert_eq!(queue.release_to(now, lease, Release::Front), Err(stale(leased)));
        assert_eq!(queue.nack(now, lease, "", Release::InPlace), Err(stale(leased)));
        assert_eq!(queue.reject(lease, ""), Err(stale(leased)));
    };
    let mut queue = holding(small(), &[b"a", b"b", b"c", b"d", b"e"]);
    let [acked, released, nacked, rejected, ran_out] = &reserve(&mut queue, NOW, 5)[..] else {
        panic!("five are there")
    };
    queue.ack(acked.lease).expect("it is held");
    queue.release(released.lease).expect("it is held");
    assert_eq!(queue.nack(NOW, nacked.lease, "", Release::InPlace), Ok(Nacked::Released));
    queue.reject(rejected.lease, "").expect("it is held");
    for leased in [acked, released, nacked, rejected] {
        use_it(&mut queue, leased, NOW);
        assert_eq!(queue.ack(leased.lease), Err(stale(leased)));
    }
    use_it(&mut queue, ran_out, after(60));
    let held_by_another = one(&mut queue, after(60));
    assert_eq!(held_by_another.offset, released.offset);
    assert_eq!(queue.ack(released.lease), Err(stale(released)));
    // Nobody else has this one yet: what was done in time to be told counts.
    assert_eq!(queue.ack(ran_out.lease), Ok(()));
    assert_eq!(queue.ack(ran_out.lease), Err(stale(ran_out)));
}

#[test]
fn a_released_message_goes_where_its_holder_says() {
    let mut queue = holding(small(), &[b"a", b"b", b"c", b"d"]);
    let held = reserve(&mut queue, NOW, 3);
    queue.release_to(NOW, held[1].lease, Release::Back).expect("it is held");
    queue.release_to(NOW, held[0].lease, Release::Back).expect("it is held");
    queue.append(&Message::new(b"e")).expect("there is room");
    assert_eq!(payloads(&mut queue, NOW), ["d", "b", "a", "e"]);
    queue.release_to(NOW, held[2].lease, Release::InPlace).expect("it is held");
    assert_eq!(payloads(&mut queue, NOW), ["c", "d", "b", "a", "e"]);
    let last = queue.reserve_at(NOW, MINUTE, Offset::new(4)).expect("the storage works").expect("it waits");
    queue.release_to(NOW, last.lease, Release::Front).expect("it is held");
    assert_eq!(payloads(&mut queue, NOW), ["e", "c", "d", "b", "a"]);
    let mut queue = killed(queue, small());
    assert_eq!(payloads(&mut queue, NOW), ["e", "c", "d", "b", "a"], "after kill -9");
    queue.commit().expect("the storage works");
    let mut queue = power_cut(queue, small());
    assert_eq!(payloads(&mut queue, NOW), ["e", "c", "d", "b", "a"], "after a power cut");
}

#[test]
fn a_release_can_wait_and_back_off() {
    let mut queue = holding(small(), &[b"a", b"b"]);
    let held = reserve(&mut queue, NOW, 2);
    queue.release_to(NOW, held[0].lease, Release::After(Duration::from_secs(5))).expect("it is held");
    let backoff = Backoff::new(Duration::from_secs(10), MINUTE);
    let wait = backoff.delay(1, 77);
    queue.release_to(NOW, held[1].lease, Release::Backoff { backoff, seed: 77 }).expect("it is held");
    assert_eq!((queue.stats().delayed, queue.stats().leased), (2, 0));
    assert_eq!(queue.poll_timeout(), Some(after(5)));
    assert_eq!(payloads(&mut queue, after(4)), [""; 0]);
    assert_eq!(payloads(&mut queue, after(5)), ["a"]);
    assert_eq!(queue.poll_timeout(), Some(NOW.saturating_add(wait)));
    assert_eq!(payloads(&mut queue, NOW.saturating_add(wait)), ["a", "b"]);
    assert_eq!((queue.stats().delayed, queue.poll_timeout()), (0, None));
}

#[test]
fn a_message_dies_after_its_last_attempt_and_says_why() {
    let config = small().max_attempts(2).expect("in range");
    let mut queue = holding(config, &[b"nacked", b"ran out", b"rejected", b"fine"]);
    let held = reserve(&mut queue, NOW, 3);
    assert_eq!(queue.nack(NOW, held[0].lease, "no link", Release::InPlace), Ok(Nacked::Released));
    queue.reject(held[2].lease, "not ours").expect("it is held");
    let again = one(&mut queue, NOW);
    assert_eq!((again.offset, again.attempts), (held[0].offset, 2));
    assert_eq!(queue.nack(NOW, again.lease, "still no link", Release::InPlace), Ok(Nacked::Dead));
    assert_eq!(one(&mut queue, after(60)).offset, held[1].offset);
    queue.handle_timeout(after(120));
    let letter = |number, attempts, cause, reason: &str| {
        let (offset, reason) = (Offset::new(number), reason.to_owned());
        DeadLetter { offset, attempts, cause, reason }
    };
    let expected = [
        letter(0, 2, DeathCause::Nacked, "still no link"),
        letter(1, 2, DeathCause::RanOut, ""),
        letter(2, 1, DeathCause::Rejected, "not ours"),
    ];
    assert_eq!(queue.dead_letters(Offset::START).collect::<Vec<_>>(), expected);
    assert_eq!(queue.dead_letters(Offset::new(2)).count(), 1);
    let stats = queue.stats();
    assert_eq!((stats.depth, stats.dead, stats.dead_lettered), (4, 3, 3), "a dead letter never vanishes");
    assert_eq!(payloads(&mut queue, after(121)), ["fine"]);
    let Ok(Some(Entry::Message(stored))) = queue.read(Offset::new(2)) else { panic!("dead letters are stored") };
    assert_eq!(stored.payload, b"rejected");

    let queue = killed(queue, config);
    assert_eq!(queue.dead_letters(Offset::START).collect::<Vec<_>>(), expected, "after kill -9");
}

#[test]
fn a_dead_letter_is_redriven_or_acknowledged_by_somebody() {
    let config = small().max_attempts(1).expect("in range");
    let mut queue = holding(config, &[b"a", b"b", b"c"]);
    for leased in reserve(&mut queue, NOW, 2) {
        assert_eq!(queue.nack(NOW, leased.lease, "", Release::InPlace), Ok(Nacked::Dead));
        assert!(queue.reserve_at(NOW, MINUTE, leased.offset).expect("the storage works").is_none());
    }
    let [first, second] = [0, 1].map(Offset::new);
    assert_eq!(queue.redrive(NOW, first, Release::Back), Ok(()));
    assert_eq!(queue.redrive(NOW, first, Release::Back), Err(LeaseError::NotDead { offset: first }));
    assert_eq!(queue.ack_dead(first), Err(LeaseError::NotDead { offset: first }));
    assert_eq!(queue.ack_dead(second), Ok(()));
    assert_eq!(queue.ack_dead(second), Err(LeaseError::NotDead { offset: second }));
    assert_eq!((queue.stats().dead, queue.stats().depth), (0, 2));
    assert_eq!(payloads(&mut queue, NOW), ["c", "a"]);
    queue.commit().expect("the storage works");
    let mut queue = power_cut(queue, config);
    assert_eq!((queue.stats().dead, queue.stats().depth), (0, 2));
    let held = reserve(&mut queue, NOW, 9);
    assert_eq!(
        held.iter().map(|leased| (leased.offset.number(), leased.attempts)).collect::<Vec<_>>(),
        [(2, 1), (0, 1)]
    );
}

/// The process dies while it handles the message: that it had the message is written before it gets it.
#[test]
fn a_message_that_kills_its_process_is_given_up() {
    let config = small().max_attempts(3).expect("in range");
    let mut queue = holding(config, &[b"poison", b"fine"]);
    for attempt in 1..=3 {
        let leased = one(&mut queue, NOW);
        assert_eq!((&leased.payload[..], leased.attempts), (&b"poison"[..], attempt));
        queue = killed(queue, config);
    }
    assert_eq!(one(&mut queue, NOW).payload, b"fine");
    let dead: Vec<_> = queue.dead_letters(Offset::START).collect();
    assert_eq!((dead.len(), dead[0].attempts, dead[0].cause), (1, 3, DeathCause::RanOut));
}

#[test]
fn attempts_outlive_a_power_cut_when_they_are_synced() {
    for (durability, kept) in
        [(AttemptDurability::Deferred, 0), (AttemptDurability::Written, 0), (AttemptDurability::Synced, 1)]
    {
        let config = small().attempt_durability(durability);
        let mut queue = holding(config, &[b"a"]);
        queue.commit().expect("the storage works");
        one(&mut queue, NOW);
        assert_eq!(one(&mut power_cut(queue, config), NOW).attempts, 1 + kept, "{durability:?}");
        // By a commit they last in any case.
        let mut queue = holding(config, &[b"a"]);
        one(&mut queue, NOW);
        queue.commit().expect("the storage works");
        assert_eq!(one(&mut power_cut(queue, config), NOW).attempts, 2, "{durability:?}");
    }
}

#[test]
fn a_reservation_is_one_small_write_and_none_when_deferred() {
    for (durability, syncs) in
        [(AttemptDurability::Deferred, 0), (AttemptDurability::Written, 0), (AttemptDurability::Synced, 1)]
    {
        let config = small().attempt_durability(durability);
        let mut queue = holding(config, &[&b"x"[..]; 20]);
        queue.commit().expect("the storage works");
        let before = queue.stats();
        assert_eq!(reserve(&mut queue, NOW, 20).len(), 20);
        let now = queue.stats();
        assert_eq!(now.syncs - before.syncs, syncs, "{durability:?}");
        let written = if durability == AttemptDurability::Deferred { 0 } else { 40 };
        assert_eq!(now.written - before.written, written, "{durability:?}: twenty leases share one entry");
    }
}

#[test]
fn a_peek_leases_nothing_and_counts_nothing() {
    let mut queue = holding(small(), &[b"a", b"b", b"c"]);
    assert_eq!(payloads(&mut queue, NOW), ["a", "b", "c"]);
    assert_eq!(queue.peek(NOW, 2).expect("the storage works").len(), 2);
    assert_eq!((queue.stats().attempts, queue.stats().leased), (0, 0));
    assert_eq!(one(&mut queue, NOW).attempts, 1);
    assert_eq!(payloads(&mut queue, NOW), ["b", "c"]);
}

#[test]
fn hands_out_one_message_by_its_offset_or_position() {
    let position = |sequence| Position {
        source: DeviceId::from_bytes([1; 32]),
        stream: StreamId::new(2),
        incarnation: Incarnation::from_bytes([3; 8]),
        sequence,
    };
    let mut queue = open(small());
    for sequence in 0..5 {
        queue.append(&Message::new(b"x").at(position(sequence))).expect("there is room");
    }
    queue.append(&Message::new(b"without")).expect("there is room");
    assert_eq!(queue.find(&position(9)), Ok(None));
    let found = queue.find(&position(3)).expect("the storage works").expect("it was appended");
    assert_eq!(found, Offset::new(3));
    let leased = queue.reserve_at(NOW, MINUTE, found).expect("the storage works").expect("it waits");
    assert_eq!((leased.position, leased.attempts), (Some(position(3)), 1));
    assert_eq!(queue.reserve_at(NOW, MINUTE, found), Ok(None), "somebody holds it");
    assert_eq!(queue.reserve_at(NOW, MINUTE, Offset::new(6)), Ok(None), "it is not there yet");
    let rest: Vec<_> = reserve(&mut queue, NOW, 9).iter().map(|leased| leased.offset.number()).collect();
    assert_eq!(rest, [0, 1, 2, 4, 5]);
    queue.ack(leased.lease).expect("it is held");
    assert_eq!(queue.reserve_at(NOW, MINUTE, found), Ok(None), "it is acknowledged");
}

#[test]
fn a_delayed_message_waits_and_powered_on_time_counts() {
    let mut queue = open(small());
    queue.handle_timeout(after(1000));
    queue.append(&Message::new(b"later").delay(Duration::from_secs(100))).expect("there is room");
    queue.append(&Message::new(b"now")).expect("there is room");
    assert_eq!(payloads(&mut queue, after(1000)), ["now"]);
    assert_eq!((queue.stats().delayed, queue.poll_timeout()), (1, Some(after(1060))), "to save the clock");
    queue.handle_timeout(after(1060));
    assert_eq!(queue.poll_timeout(), Some(after(1100)));
    // The clock of the next boot begins elsewhere. Forty seconds are left, and the time in between does not count.
    let mut queue = killed(queue, small());
    assert_eq!(queue.poll_timeout(), Some(Instant::START), "it has to be told the time first");
    queue.handle_timeout(after(5));
    assert_eq!(queue.poll_timeout(), Some(after(45)));
    assert_eq!(payloads(&mut queue, after(44)), ["now"]);
    assert_eq!(payloads(&mut queue, after(45)), ["later", "now"]);
}

#[test]
fn a_wall_clock_makes_up_for_the_time_that_the_power_was_off() {
    let mut queue = open(small());
    queue.tell_wall_clock(NOW, Timestamp::from_secs(1_000_000));
    queue.append(&Message::new(b"later").delay(Duration::from_secs(500))).expect("there is room");
    queue.handle_timeout(after(60));
    let mut queue = killed(queue, small());
    queue.handle_timeout(after(7));
    assert_eq!(payloads(&mut queue, after(7)), [""; 0]);
    queue.tell_wall_clock(after(7), Timestamp::from_secs(1_000_499));
    assert_eq!(payloads(&mut queue, after(7)), [""; 0]);
    assert_eq!(payloads(&mut queue, after(8)), ["later"]);
}

#[test]
fn the_clock_may_jump() {
    let mut queue = holding(small(), &[b"a"]);
    queue.append(&Message::new(b"later").delay(MINUTE)).expect("there is room");
    let leased = one(&mut queue, after(100));
    // Back: nothing ends, and nothing is put off.
    assert!(reserve(&mut queue, NOW, 9).is_empty());
    assert_eq!(queue.touch(NOW, leased.lease, MINUTE), Ok(after(160)));
    // Ahead: leases and delays end, and nothing is lost.
    let seen: Vec<_> = reserve(&mut queue, Instant::MAX, 9).iter().map(|leased| leased.attempts).collect();
    assert_eq!(seen, [2, 1]);
    assert_eq!(queue.stats().depth, 2);
}

#[test]
fn a_message_whose_time_to_live_ends_becomes_a_gap_and_is_counted() {
    let mut queue = open(small());
    let short = |payload| Message::new(payload).time_to_live(Duration::from_secs(10));
    let stays = Message::new(b"stays");
    queue.handle_timeout(NOW);
    queue.append_batch(&[short(b"0"), stays, short(b"2"), short(b"3"), short(b"4")]).expect("there is room");
    // Who holds a message may still acknowledge it.
    let held = queue.reserve_at(NOW, MINUTE, Offset::new(2)).expect("the storage works").expect("it waits");
    let given_back = queue.reserve_at(NOW, MINUTE, Offset::START).expect("the storage works").expect("it waits");
    assert_eq!(payloads(&mut queue, after(9)), ["stays", "3", "4"]);
    assert_eq!(payloads(&mut queue, after(10)), ["stays"]);
    assert_eq!((queue.stats().expired, queue.stats().depth), (2, 3));
    assert_eq!(queue.ack(held.lease), Ok(()));
    queue.release(given_back.lease).expect("it is held");
    assert_eq!((queue.stats().expired, queue.stats().depth), (3, 1), "it is of no use to anybody else");
    let gap = |from, until| Gap { from: Offset::new(from), until: Offset::new(until), cause: GapCause::Expired };
    assert_eq!(queue.gaps().collect::<Vec<_>>(), [gap(0, 1), gap(3, 5)]);
    assert_eq!(queue.read(Offset::new(3)), Ok(Some(Entry::Gap(gap(3, 4)))));
    queue.commit().expect("the storage works");
    let mut queue = power_cut(queue, small());
    assert_eq!(queue.gaps().collect::<Vec<_>>(), [gap(0, 1), gap(3, 5)]);
    assert_eq!((queue.stats().expired, queue.stats().depth), (3, 1));
    assert_eq!(payloads(&mut queue, NOW), ["stays"]);
}

#[test]
fn lanes_go_by_urgency_or_by_weight() {
    let lane = |number| Lane::new(number).expect("one of eight");
    let fill = |config| {
        let mut queue = open(config);
        for (payload, number) in [(b"a", 6), (b"b", 4), (b"c", 0), (b"d", 6), (b"e", 0), (b"f", 4)] {
            queue.append(&Message::new(payload).lane(lane(number))).expect("there is room");
        }
        queue
    };
    assert_eq!(payloads(&mut fill(small()), NOW), ["c", "e", "b", "f", "a", "d"]);
    assert_eq!(payloads(&mut killed(fill(small()), small()), NOW), ["c", "e", "b", "f", "a", "d"]);
    let weighted = small().lane_order(LaneOrder::Weighted);
    let mut queue = open(weighted);
    for number in 0..60 {
        queue.append(&Message::new(b"x").lane(lane(3 + number % 2))).expect("there is room");
    }
    let lanes: Vec<_> = (0..30).map(|_| one(&mut queue, NOW).lane.number()).collect();
    assert_eq!(lanes.iter().filter(|&&lane| lane == 3).count(), 20, "{lanes:?}");
    assert_eq!(Lane::new(8), None);
}

#[test]
fn a_key_keeps_its_order_while_others_go_on() {
    let mut queue = open(small());
    for (payload, key) in [(b"a", "x"), (b"b", "x"), (b"c", "y"), (b"d", ""), (b"e", "x")] {
        queue.append(&Message::new(payload).key(key.as_bytes())).expect("there is room");
    }
    assert_eq!(payloads(&mut queue, NOW), ["a", "c", "d"]);
    let first = one(&mut queue, NOW);
    assert_eq!((first.key.as_deref(), &first.payload[..]), (Some(&b"x"[..]), &b"a"[..]));
    assert_eq!(payloads(&mut queue, NOW), ["c", "d"]);
    // Wherever it is released to, the rest of its key waits.
    queue.release_to(NOW, first.lease, Release::After(MINUTE)).expect("it is held");
    assert_eq!(payloads(&mut queue, NOW), ["c", "d"]);
    let mut queue = killed(queue, small());
    assert_eq!(payloads(&mut queue, NOW), ["c", "d"], "after kill -9");
    assert_eq!(payloads(&mut queue, after(60)), ["a", "c", "d"]);
    let first = one(&mut queue, after(60));
    queue.reject(first.lease, "").expect("it is held");
    assert_eq!(payloads(&mut queue, after(60)), ["b", "c", "d"], "a dead letter holds nobody up");
    queue.redrive(after(60), first.offset, Release::InPlace).expect("it is dead");
    assert_eq!(payloads(&mut queue, after(60)), ["a", "c", "d"]);
}

#[test]
fn tells_how_old_the_oldest_message_is() {
    let mut queue = open(small());
    assert_eq!(queue.stats().oldest_age, None);
    queue.handle_timeout(after(100));
    queue.append(&Message::new(b"a")).expect("there is room");
    queue.handle_timeout(after(130));
    queue.append(&Message::new(b"b")).expect("there is room");
    queue.handle_timeout(after(150));
    assert_eq!(queue.stats().oldest_age, Some(Duration::from_secs(50)));
    let leased = one(&mut queue, after(150));
    queue.ack(leased.lease).expect("it is held");
    assert_eq!(queue.stats().oldest_age, Some(Duration::from_secs(20)));
}

/// Retries of a message that nobody can handle must not fill the log with records of its leases.
#[test]
fn endless_retries_leave_room_for_appends() {
    let fill = |queue: &mut Queue<MemoryStorage>| {
        let before = queue.stats().appended;
        while queue.append(&Message::new(&[7; 100])).is_ok() {}
        queue.stats().appended - before
    };
    let fresh = fill(&mut holding(small(), &[b"poison"]));
    let mut queue = holding(small(), &[b"poison"]);
    let mut now = NOW;
    for attempt in 1..=5000 {
        assert_eq!(one(&mut queue, now).attempts, attempt);
        now = now.saturating_add(MINUTE);
    }
    let left = fill(&mut queue);
    assert!(left * 4 >= fresh * 3, "{left} of {fresh}");
    assert_eq!(queue.stats().unsaved, 1, "the last attempts are in memory only");
    assert!(one(&mut killed(queue, small()), NOW).attempts > 50, "and those before were saved");
}

/// At 100 %, whatever was done with leases before: a queue takes every acknowledgement.
#[test]
fn a_full_queue_takes_leases_and_can_be_drained() {
    let config = small().max_attempts(4).expect("in range");
    for payload in [8, 60, 250] {
        let mut queue = open(config);
        let mut appended = 0;
        loop {
            match queue.append(&Message::new(&vec![7; payload])) {
                Ok(_) => appended += 1,
                Err(error) => break assert_eq!(error, AppendError::Full { budget: 6 * 4096 }),
            }
        }
        let mut now = NOW;
        // Each message is handed out alone, released, handed out again and nacked: more than there is room to save.
        for _ in 0..3 {
            for leased in (0..appended).map(|_| one(&mut queue, now)).collect::<Vec<_>>() {
                let nacked = queue.nack(now, leased.lease, "full", Release::After(MINUTE));
                assert_eq!(nacked, Ok(Nacked::Released));
            }
            queue.commit().expect("the storage works");
            now = now.saturating_add(2 * MINUTE);
        }
        assert_eq!(queue.append(&Message::new(&vec![7; payload])), Err(AppendError::Full { budget: 6 * 4096 }));
        let held = reserve(&mut queue, now, usize::MAX);
        assert_eq!((held.len(), held[0].attempts), (appended, 4));
        for leased in &held {
            assert_eq!(queue.nack(now, leased.lease, "for good", Release::InPlace), Ok(Nacked::Dead));
        }
        assert_eq!(queue.stats().dead, appended as u64);
        for letter in queue.dead_letters(Offset::START).collect::<Vec<_>>().into_iter().rev() {
            queue.ack_dead(letter.offset).expect("it is dead");
            queue.commit().unwrap_or_else(|error| panic!("payload {payload}, {letter:?}: {error}"));
        }
        assert_eq!((queue.stats().depth, queue.stats().unsaved), (0, 0));
        let mut queue = power_cut(queue, config);
        assert_eq!((queue.stats().depth, queue.stats().dead), (0, 0));
        queue.append(&Message::new(b"on it goes")).expect("there is room again");
    }
}

#[test]
fn what_finds_no_room_is_counted_and_saved_later() {
    let mut queue = open(small());
    while queue.append(&Message::new(&[7; 200])).is_ok() {}
    let mut now = NOW;
    while queue.stats().unsaved == 0 {
        now = now.saturating_add(MINUTE);
        let leased = one(&mut queue, now);
        queue.release_to(now, leased.lease, Release::Back).expect("it is held");
        assert!(now < after(60 * 1000), "the log never filled");
    }
    let half = Offset::new(queue.next_offset().number() / 2);
    queue.ack_before(half).expect("the storage works");
    queue.commit().expect("the storage works");
    queue.commit().expect("the storage works");
    assert_eq!(queue.stats().unsaved, 0, "{:?}", queue.stats());
}
