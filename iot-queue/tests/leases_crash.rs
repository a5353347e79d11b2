//! Random programs of appends and leases, with processes that are killed and power that is cut, against a model that
//! knows of each message what must be true of it, and what may be.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use iot_core::Instant;
use iot_queue::{
    AppendError, Backoff, DeathCause, Durability, Entry, Fate, Fault, GapCause, Lane, LeaseError, Leased,
    MemoryStorage, Message, Nacked, Offset, Queue, QueueConfig, Release,
};
use proptest::prelude::*;

const MAX_ATTEMPTS: u32 = 3;
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
struct Traits {
    lane: u8,
    key: Option<u8>,
    delay: u64,
    time_to_live: Option<u64>,
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Traits>),
    Commit,
    Reserve { max: usize },
    Ack { which: usize },
    Touch { which: usize },
    Release { which: usize, to: Release },
    Nack { which: usize, to: Release },
    Reject { which: usize },
    Redrive { which: usize },
    AckDead { which: usize },
    Pass { seconds: u64 },
    Kill,
    CutPower { seed: u64 },
    CutPowerSoon { operations: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let traits = (3..6_u8, prop::option::of(0..3_u8), prop_oneof![3 => Just(0), 1 => 1..30_u64]);
    let traits = (traits, prop::option::weighted(0.2, 20..90_u64));
    let traits = traits.prop_map(|((lane, key, delay), time_to_live)| Traits { lane, key, delay, time_to_live });
    let which = || any::<usize>();
    let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(20));
    let to = || {
        prop_oneof![
            Just(Release::InPlace),
            Just(Release::Front),
            Just(Release::Back),
            (1..30_u64).prop_map(|seconds| Release::After(Duration::from_secs(seconds))),
            any::<u64>().prop_map(move |seed| Release::Backoff { backoff, seed }),
        ]
    };
    let step = prop_oneof![
        8 => prop::collection::vec(traits, 1..5).prop_map(Step::Append),
        3 => Just(Step::Commit),
        8 => (1..6_usize).prop_map(|max| Step::Reserve { max }),
        6 => which().prop_map(|which| Step::Ack { which }),
        1 => which().prop_map(|which| Step::Touch { which }),
        3 => (which(), to()).prop_map(|(which, to)| Step::Release { which, to }),
        3 => (which(), to()).prop_map(|(which, to)| Step::Nack { which, to }),
        1 => which().prop_map(|which| Step::Reject { which }),
        1 => which().prop_map(|which| Step::Redrive { which }),
        1 => which().prop_map(|which| Step::AckDead { which }),
        3 => (1..25_u64).prop_map(|seconds| Step::Pass { seconds }),
        2 => Just(Step::Kill),
        2 => any::<u64>().prop_map(|seed| Step::CutPower { seed }),
        1 => (0..12_u64).prop_map(|operations| Step::CutPowerSoon { operations }),
    ];
    prop::collection::vec(step, 1..140)
}

/// What is known of a property that a crash may have put in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sure {
    No,
    Perhaps,
    Yes,
}

impl Sure {
    fn or(self, other: Self) -> Self {
        if self == other { self } else { Self::Perhaps }
    }
}

#[derive(Clone, Debug)]
struct Known {
    payload: Vec<u8>,
    key: Option<u8>,
    attempts: RangeInclusive<u32>,
    held: Sure,
    dead: Sure,
    /// Acknowledged, expired or lost.
    gone: Sure,
    /// Seconds of powered-on time before which it is not handed out, and from which on it may expire.
    not_before: u64,
    expires: Option<u64>,
}

impl Known {
    /// What is true if either of two states is.
    fn or(&self, other: &Self) -> Self {
        let least = *self.attempts.start().min(other.attempts.start());
        let most = *self.attempts.end().max(other.attempts.end());
        Self {
            attempts: least..=most,
            held: self.held.or(other.held),
            dead: self.dead.or(other.dead),
            gone: self.gone.or(other.gone),
            not_before: self.not_before.min(other.not_before),
            expires: self.expires.and_then(|expires| other.expires.map(|other| expires.min(other))).or(self.expires),
            ..self.clone()
        }
    }
}

fn expired(queue: &Queue<MemoryStorage>) -> BTreeSet<u64> {
    let gaps = queue.gaps().filter(|gap| gap.cause == GapCause::Expired);
    gaps.flat_map(|gap| gap.from.number()..gap.until.number()).collect()
}

struct World {
    queue: Option<Queue<MemoryStorage>>,
    config: QueueConfig,
    now: BTreeMap<u64, Known>,
    /// Everything that was true of a message since the last commit.
    since: BTreeMap<u64, Known>,
    held: Vec<Leased>,
    /// Seconds that the power was on, all openings together, and in this one.
    uptime: u64,
    clock: u64,
    openings: u8,
    serial: u64,
}

impl World {
    fn new(durability: Durability) -> Self {
        let config = QueueConfig::default().max_payload(200).and_then(|config| config.segment_len(4096));
        let config = config.and_then(|config| config.segments(8)).and_then(|config| config.max_attempts(MAX_ATTEMPTS));
        let mut world = Self {
            queue: None,
            config: config.expect("in range").durability(durability),
            now: BTreeMap::new(),
            since: BTreeMap::new(),
            held: Vec::new(),
            uptime: 0,
            clock: 0,
            openings: 0,
            serial: 0,
        };
        world.open(MemoryStorage::new());
        world
    }

    fn queue(&mut self) -> &mut Queue<MemoryStorage> {
        self.queue.as_mut().expect("it is open between steps")
    }

    fn instant(&self) -> Instant {
        Instant::from_micros(self.clock * 1_000_000)
    }

    fn open(&mut self, storage: MemoryStorage) {
        self.openings = self.openings.wrapping_add(1);
        let stale = core::mem::take(&mut self.held);
        let before = storage.clone();
        // Each boot has a clock of its own.
        self.clock = u64::from(self.openings) * 7;
        let queue = match Queue::open(storage, self.config, [self.openings; 8]) {
            Ok(queue) => queue,
            Err(_) => {
                let mut storage = before;
                storage.crash(|_| Fate::Lost);
                self.now.clone_from(&self.since);
                Queue::open(storage, self.config, [self.openings; 8]).expect("a power cut never keeps a queue shut")
            }
        };
        self.queue = Some(queue);
        for leased in stale {
            assert_eq!(self.queue().ack(leased.lease), Err(LeaseError::Stale { offset: leased.offset }));
        }
        self.settle_in();
    }

    /// Learns what became of what was in doubt.
    fn settle_in(&mut self) {
        let queue = self.queue.as_mut().expect("it was just opened");
        let next = queue.next_offset().number();
        let dead: BTreeMap<_, _> = queue.dead_letters(Offset::START).map(|dead| (dead.offset.number(), dead)).collect();
        let depth = queue.stats().depth;
        let over: BTreeSet<_> = expired(queue);
        for (&number, known) in &mut self.now {
            if over.contains(&number) && known.gone != Sure::Yes {
                let uptime = self.uptime;
                assert!(known.expires.is_some_and(|expires| expires <= uptime), "message {number} expired: {known:?}");
                known.gone = Sure::Yes;
            }
            if number >= next {
                assert_ne!(known.gone, Sure::No, "message {number} is lost");
                known.gone = Sure::Yes;
            }
            let by_opening = known.held != Sure::No && *known.attempts.end() >= MAX_ATTEMPTS;
            match dead.get(&number) {
                Some(letter) => {
                    assert!(known.dead != Sure::No || by_opening, "message {number} is dead: {known:?}");
                    assert!(known.attempts.contains(&letter.attempts), "{letter:?}: {known:?}");
                    assert_ne!(known.gone, Sure::Yes, "{letter:?}");
                    let reasonable = match letter.cause {
                        DeathCause::Nacked => letter.reason == "too hot",
                        DeathCause::Rejected => letter.reason == "no use",
                        _ => letter.reason.is_empty(),
                    };
                    assert!(reasonable, "{letter:?}");
                    known.attempts = letter.attempts..=letter.attempts;
                    (known.dead, known.expires, known.gone) = (Sure::Yes, None, Sure::No);
                }
                None => {
                    let must =
                        known.dead == Sure::Yes || known.held == Sure::Yes && *known.attempts.start() >= MAX_ATTEMPTS;
                    assert!(!must || known.gone != Sure::No, "message {number} is no dead letter: {known:?}");
                    if must {
                        known.gone = Sure::Yes;
                    }
                    known.dead = Sure::No;
                }
            }
            known.held = Sure::No;
        }
        assert!(dead.keys().all(|number| self.now.contains_key(number)));
        let least = self.now.values().filter(|known| known.gone == Sure::No).count() as u64;
        let most = self.now.values().filter(|known| known.gone != Sure::Yes).count() as u64;
        assert!((least..=most).contains(&depth), "{least} <= {depth} <= {most}");
        // Opening has synced what it found.
        self.since.clone_from(&self.now);
    }

    fn update(&mut self, number: u64, change: impl FnOnce(&mut Known)) {
        let known = self.now.get_mut(&number).expect("the model knows every message");
        change(known);
        let since = self.since.get(&number).map_or_else(|| known.clone(), |since| since.or(known));
        self.since.insert(number, since);
    }

    fn committed(&mut self) {
        self.since.clone_from(&self.now);
    }

    /// The storage failed: nobody knows what of the last call it holds.
    fn fail(&mut self) {
        self.cut_power(99);
    }

    fn cut_power(&mut self, seed: u64) {
        let mut storage = self.queue.take().expect("it is open between steps").into_storage();
        let mut random = seed;
        storage.crash(|len| {
            // A step of a linear congruential generator (Knuth, MMIX).
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let octets = (random >> 40) as usize % (len + 1);
            match (random >> 33) % 4 {
                0 => Fate::Kept,
                1 => Fate::Lost,
                2 => Fate::TornAfter(octets),
                _ => Fate::TornBefore(octets),
            }
        });
        self.now.clone_from(&self.since);
        self.open(storage);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(traits) => self.append(&traits),
            Step::Commit => match self.queue().commit() {
                Ok(_) => self.committed(),
                Err(_) => self.fail(),
            },
            Step::Reserve { max } => self.reserve(max),
            Step::Pass { seconds } => {
                (self.clock, self.uptime) = (self.clock + seconds, self.uptime + seconds);
                let now = self.instant();
                self.queue().handle_timeout(now);
                self.learn_of_time();
            }
            Step::Kill => {
                for known in self.now.values_mut().filter(|known| known.gone == Sure::Yes) {
                    known.gone = Sure::Perhaps;
                }
                for (number, since) in &self.since {
                    let known = self.now.get_mut(number).expect("it was there since");
                    // What was acknowledged before the last commit stays so.
                    if known.gone == Sure::Perhaps && since.gone == Sure::Yes {
                        known.gone = Sure::Yes;
                    }
                }
                let storage = self.queue.take().expect("it is open between steps").into_storage();
                self.open(storage);
            }
            Step::CutPower { seed } => self.cut_power(seed),
            Step::CutPowerSoon { operations } => {
                self.step(Step::Kill);
                let mut storage = self.queue.take().expect("it is open between steps").into_storage();
                storage.inject(Fault::Power, operations);
                self.open(storage);
            }
            Step::Redrive { which } => self.redrive(which),
            Step::AckDead { which } => self.ack_dead(which),
            Step::Ack { which } => self.with_lease(which, |world, leased| {
                let done = world.queue().ack(leased.lease);
                if done.is_ok() {
                    world.update(leased.offset.number(), |known| known.gone = Sure::Yes);
                }
                done.map(drop)
            }),
            Step::Touch { which } => self.with_lease(which, |world, leased| {
                let now = world.instant();
                let deadline = world.queue().touch(now, leased.lease, TIMEOUT)?;
                assert_eq!(deadline, now.saturating_add(TIMEOUT));
                world.held.push(leased);
                Ok(())
            }),
            Step::Release { which, to } => self.with_lease(which, |world, leased| {
                let now = world.instant();
                world.sent(leased.offset.number(), to);
                world.queue().release_to(now, leased.lease, to)
            }),
            Step::Nack { which, to } => self.with_lease(which, |world, leased| {
                let (now, number) = (world.instant(), leased.offset.number());
                let last = leased.attempts >= MAX_ATTEMPTS;
                if last {
                    world.update(number, |known| (known.dead, known.held) = (Sure::Yes, Sure::No));
                } else {
                    world.sent(number, to);
                }
                let nacked = world.queue().nack(now, leased.lease, "too hot", to)?;
                assert_eq!(nacked == Nacked::Dead, last);
                Ok(())
            }),
            Step::Reject { which } => self.with_lease(which, |world, leased| {
                world.update(leased.offset.number(), |known| (known.dead, known.held) = (Sure::Yes, Sure::No));
                world.queue().reject(leased.lease, "no use")
            }),
        }
    }

    fn append(&mut self, all: &[Traits]) {
        let first = self.queue().next_offset().number();
        let payloads: Vec<_> = all.iter().map(|_| self.payload()).collect();
        let keys: Vec<_> = all.iter().map(|traits| traits.key.map(|key| [key])).collect();
        let messages = all.iter().zip(&payloads).zip(&keys).map(|((traits, payload), key)| {
            let message = Message::new(payload).lane(Lane::new(traits.lane).expect("one of eight"));
            let message =
                message.delay(Duration::from_secs(traits.delay)).key(key.as_ref().map_or(&[], |key| &key[..]));
            match traits.time_to_live {
                Some(seconds) => message.time_to_live(Duration::from_secs(seconds)),
                None => message,
            }
        });
        let messages: Vec<_> = messages.collect();
        let now = self.instant();
        self.queue().handle_timeout(now);
        self.learn_of_time();
        let appended = self.queue().append_batch(&messages);
        if matches!(appended, Ok(_) | Err(AppendError::Storage(_))) {
            for ((number, traits), payload) in (first..).zip(all).zip(payloads) {
                let known = Known {
                    payload,
                    key: traits.key,
                    attempts: 0..=0,
                    held: Sure::No,
                    dead: Sure::No,
                    gone: Sure::No,
                    not_before: self.uptime + traits.delay,
                    expires: traits.time_to_live.map(|seconds| self.uptime + seconds),
                };
                self.since.insert(number, Known { gone: Sure::Perhaps, ..known.clone() });
                self.now.insert(number, known);
            }
        }
        match appended {
            Ok(offset) => {
                assert_eq!(offset.number(), first);
                if self.config == self.config.durability(Durability::EachMessage) {
                    self.committed();
                }
            }
            // A full queue has tried to make room by a commit.
            Err(AppendError::Full { .. }) => self.committed(),
            Err(_) => self.fail(),
        }
    }

    fn payload(&mut self) -> Vec<u8> {
        self.serial += 1;
        let mut payload = self.serial.to_le_bytes().to_vec();
        payload.resize(8 + self.serial as usize % 60, 7);
        payload
    }

    fn reserve(&mut self, max: usize) {
        let now = self.instant();
        self.learn_of_time();
        match self.queue().reserve(now, TIMEOUT, max) {
            Ok(leased) => {
                for leased in leased {
                    self.check_handed_out(&leased);
                    let number = leased.offset.number();
                    self.held.retain(|held| held.offset != leased.offset);
                    self.update(number, |known| {
                        known.attempts = leased.attempts..=leased.attempts;
                        (known.held, known.gone) = (Sure::Yes, Sure::No);
                    });
                    self.held.push(leased);
                }
            }
            Err(_) => {
                // Any of those that were there may have been leased, as far as the disk knows.
                for known in self.since.values_mut() {
                    known.attempts = *known.attempts.start()..=known.attempts.end() + 1;
                    known.held = Sure::Perhaps;
                }
                self.fail();
            }
        }
    }

    fn check_handed_out(&self, leased: &Leased) {
        let number = leased.offset.number();
        let known = &self.now[&number];
        assert_eq!(known.payload, leased.payload, "message {number}");
        assert_ne!(known.gone, Sure::Yes, "message {number} came back");
        assert_eq!(known.dead, Sure::No, "message {number} is dead");
        let attempts = leased.attempts - 1;
        assert!(known.attempts.contains(&attempts), "message {number}: {attempts} of {:?}", known.attempts);
        assert!(self.uptime >= known.not_before, "message {number} came early");
        let earlier = self.now.range(..number).filter(|(_, other)| other.key.is_some() && other.key == known.key);
        for (other, state) in earlier {
            let waits = state.gone == Sure::No && state.dead == Sure::No;
            assert!(!waits, "message {number} came before {other} of the same key");
        }
    }

    fn sent(&mut self, number: u64, to: Release) {
        let uptime = self.uptime;
        self.update(number, |known| {
            known.held = Sure::No;
            // How long a backoff takes is the machine's own test.
            known.not_before = if let Release::After(delay) = to { uptime + delay.as_secs() } else { uptime };
        });
    }

    /// Does something with a lease that counts, and forgets it.
    fn with_lease(&mut self, which: usize, end: impl FnOnce(&mut Self, Leased) -> Result<(), LeaseError>) {
        let now = self.instant();
        self.queue().handle_timeout(now);
        self.learn_of_time();
        self.held.retain(|leased| leased.deadline > now);
        if self.held.is_empty() {
            return;
        }
        let leased = self.held.swap_remove(which % self.held.len());
        match end(self, leased.clone()) {
            Ok(()) => assert!(self.now[&leased.offset.number()].gone != Sure::No || leased.attempts > 0),
            Err(LeaseError::Stale { offset }) => panic!("the lease on {offset} had not run out"),
            Err(_) => self.fail(),
        }
    }

    fn dead(&self, which: usize) -> Option<u64> {
        let dead = self.now.iter().filter(|(_, known)| known.dead == Sure::Yes && known.gone != Sure::Yes);
        let dead: Vec<_> = dead.map(|(&number, _)| number).collect();
        (!dead.is_empty()).then(|| dead[which % dead.len()])
    }

    fn redrive(&mut self, which: usize) {
        let (now, Some(number)) = (self.instant(), self.dead(which)) else { return };
        let uptime = self.uptime;
        self.update(number, |known| {
            (known.dead, known.attempts, known.expires, known.not_before) = (Sure::No, 0..=0, None, uptime);
        });
        match self.queue().redrive(now, Offset::new(number), Release::Back) {
            Ok(()) => {}
            Err(LeaseError::NotDead { offset }) => panic!("{offset} is a dead letter"),
            Err(_) => self.fail(),
        }
    }

    fn ack_dead(&mut self, which: usize) {
        let Some(number) = self.dead(which) else { return };
        self.update(number, |known| known.gone = Sure::Yes);
        match self.queue().ack_dead(Offset::new(number)) {
            Ok(()) => {}
            Err(LeaseError::NotDead { offset }) => panic!("{offset} is a dead letter"),
            Err(_) => self.fail(),
        }
    }

    /// What may have become of messages by the passing of time: leases ran out, and times to live ended.
    fn learn_of_time(&mut self) {
        let uptime = self.uptime;
        let queue = self.queue.as_ref().expect("it is open between steps");
        let dead: BTreeSet<_> = queue.dead_letters(Offset::START).map(|dead| dead.offset.number()).collect();
        let over = expired(queue);
        let numbers: Vec<_> = self.now.keys().copied().collect();
        for number in numbers {
            let known = &self.now[&number];
            if dead.contains(&number) && known.dead != Sure::Yes {
                assert!(
                    known.held != Sure::No && *known.attempts.end() >= MAX_ATTEMPTS,
                    "message {number} died: {known:?}"
                );
                self.update(number, |known| (known.dead, known.expires) = (Sure::Yes, None));
            } else if over.contains(&number) && known.gone != Sure::Yes {
                assert!(known.expires.is_some_and(|expires| expires <= uptime), "message {number} expired: {known:?}");
                self.update(number, |known| known.gone = Sure::Yes);
            }
        }
    }

    /// Takes everything out that is left, and sees that it is what must be.
    fn drain(&mut self) {
        self.step(Step::CutPower { seed: 5 });
        for _ in 0..40 {
            self.step(Step::Pass { seconds: 100 });
            self.held.clear();
            let now = self.instant();
            for leased in self.queue().reserve(now, TIMEOUT, usize::MAX).expect("the storage works") {
                self.check_handed_out(&leased);
                self.queue().ack(leased.lease).expect("it is held");
                self.update(leased.offset.number(), |known| known.gone = Sure::Yes);
            }
            let dead: Vec<_> = self.queue().dead_letters(Offset::START).collect();
            for letter in dead {
                let entry = self.queue().read(letter.offset).expect("the storage works");
                assert!(matches!(entry, Some(Entry::Message(_))), "{letter:?}");
                self.queue().ack_dead(letter.offset).expect("it is dead");
                self.update(letter.offset.number(), |known| known.gone = Sure::Yes);
            }
            self.queue().commit().expect("acknowledgements always fit");
        }
        let stats = self.queue().stats();
        assert_eq!((stats.depth, stats.unsaved), (0, 0));
        // What expired is named among the gaps, or the model would not know that it is gone.
        for (number, known) in &self.now {
            assert_ne!(known.gone, Sure::No, "message {number} is lost: {known:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn crashes_take_no_attempt_no_dead_letter_and_no_message(
        program in steps(),
        durability in prop_oneof![Just(Durability::Manual), Just(Durability::EachMessage)],
    ) {
        let mut world = World::new(durability);
        for step in program {
            world.step(step);
        }
        world.drain();
    }
}
