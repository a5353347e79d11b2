//! The state machine against a model that keeps a list, and searches it from end to end for everything.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;
use proptest::prelude::*;

use super::state::Lifetime;
use super::*;

const MAX_ATTEMPTS: u32 = 3;
const STRICT: Rules = Rules { max_attempts: MAX_ATTEMPTS, lane_order: LaneOrder::Strict };

#[derive(Clone, Debug)]
enum Step {
    Append { lane: u8, key: Option<u64>, delay: u64, time_to_live: Option<u64> },
    AppendPlain { count: u64 },
    Reserve { count: usize, timeout: u64 },
    ReserveOne { which: usize },
    Ack { which: usize },
    Touch { which: usize, timeout: u64 },
    Release { which: usize, to: Release },
    Nack { which: usize, to: Release },
    Reject { which: usize },
    Redrive { which: usize, to: Release },
    Forget { which: usize },
    Pass { seconds: u64 },
    TurnBack,
    Reopen,
}

fn releases() -> impl Strategy<Value = Release> {
    let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(20));
    prop_oneof![
        Just(Release::InPlace),
        Just(Release::Front),
        Just(Release::Back),
        (0..9_u64).prop_map(|seconds| Release::After(Duration::from_secs(seconds))),
        any::<u64>().prop_map(move |seed| Release::Backoff { backoff, seed }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = || any::<usize>();
    let traits = (3..6_u8, prop::option::of(0..3_u64), prop_oneof![Just(0), 1..9_u64], prop::option::of(1..40_u64));
    let step = prop_oneof![
        6 => traits.prop_map(|(lane, key, delay, time_to_live)| Step::Append { lane, key, delay, time_to_live }),
        2 => (1..5_u64).prop_map(|count| Step::AppendPlain { count }),
        6 => (1..6_usize, 0..12_u64).prop_map(|(count, timeout)| Step::Reserve { count, timeout }),
        1 => which().prop_map(|which| Step::ReserveOne { which }),
        3 => which().prop_map(|which| Step::Ack { which }),
        2 => (which(), 0..12_u64).prop_map(|(which, timeout)| Step::Touch { which, timeout }),
        3 => (which(), releases()).prop_map(|(which, to)| Step::Release { which, to }),
        3 => (which(), releases()).prop_map(|(which, to)| Step::Nack { which, to }),
        1 => which().prop_map(|which| Step::Reject { which }),
        1 => (which(), releases()).prop_map(|(which, to)| Step::Redrive { which, to }),
        1 => which().prop_map(|which| Step::Forget { which }),
        4 => (1..8_u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::TurnBack),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..120)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fact {
    Waiting,
    Held { token: u64, until: Instant },
    Dead,
}

#[derive(Clone, Debug)]
struct Fiction {
    number: u64,
    traits: Traits,
    order: (i64, u64),
    attempts: u32,
    fact: Fact,
    late: Option<u64>,
}

/// Messages in the order of the log.
#[derive(Default)]
struct Model {
    messages: Vec<Fiction>,
    now: Instant,
    front: i64,
    back: u64,
    expired: Vec<u64>,
}

impl Model {
    fn at(&mut self, number: u64) -> &mut Fiction {
        self.messages.iter_mut().find(|message| message.number == number).expect("the caller has seen it")
    }

    fn find(&self, number: u64) -> Option<&Fiction> {
        self.messages.iter().find(|message| message.number == number)
    }

    fn holds(&self, lease: LeaseId) -> bool {
        let found = self.find(lease.offset.number()).map(|message| &message.fact);
        matches!(found, Some(&Fact::Held { token, .. }) if token == lease.token)
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        for message in &mut self.messages {
            if let Fact::Held { token, until } = message.fact
                && until <= self.now
            {
                if message.attempts >= MAX_ATTEMPTS {
                    message.fact = Fact::Dead;
                } else {
                    message.fact = Fact::Waiting;
                    message.late = Some(token);
                    message.order = (message.number as i64, 0);
                }
            }
        }
        self.sweep();
    }

    fn sweep(&mut self) {
        let now = self.now;
        let over =
            |message: &Fiction| message.fact == Fact::Waiting && message.traits.expires.is_some_and(|at| at <= now);
        self.expired.extend(self.messages.iter().filter(|message| over(message)).map(|message| message.number));
        self.messages.retain(|message| !over(message));
        for message in &mut self.messages {
            if message.fact == Fact::Dead {
                message.traits.expires = None;
                message.late = None;
            }
        }
    }

    fn ready(&self, number: u64) -> bool {
        let Some(message) = self.find(number) else { return false };
        let blocks = |other: &Fiction| {
            other.number < number && other.traits.key == message.traits.key && other.fact != Fact::Dead
        };
        let blocked = message.traits.key.is_some() && self.messages.iter().any(blocks);
        message.fact == Fact::Waiting && message.traits.not_before <= self.now && !blocked
    }

    fn in_turn(&self) -> Vec<u64> {
        let mut ready: Vec<_> = self.messages.iter().filter(|message| self.ready(message.number)).collect();
        ready.sort_by_key(|message| (message.traits.lane, message.order));
        ready.into_iter().map(|message| message.number).collect()
    }

    fn send(&mut self, number: u64, to: Release, end: u64) {
        let (now, front, back) = (self.now, self.front - 1, self.back + 1);
        let message = self.at(number);
        message.fact = Fact::Waiting;
        message.late = None;
        message.order = (number as i64, 0);
        match to {
            Release::InPlace => {}
            Release::Front => message.order = (front, 0),
            Release::Back => message.order = (end as i64 - 1, back),
            Release::After(delay) => message.traits.not_before = now.saturating_add(delay),
            Release::Backoff { backoff, seed } => {
                message.traits.not_before = now.saturating_add(backoff.delay(message.attempts, seed));
            }
        }
        (self.front, self.back) = (front, back);
        self.sweep();
    }

    fn deadline(&self) -> Option<Instant> {
        let times = self.messages.iter().flat_map(|message| {
            let blocks = |other: &&Fiction| {
                other.number < message.number && other.traits.key == message.traits.key && other.fact != Fact::Dead
            };
            let blocked = message.traits.key.is_some() && self.messages.iter().any(|other| blocks(&other));
            let lease = if let Fact::Held { until, .. } = message.fact { Some(until) } else { None };
            let delay = Some(message.traits.not_before);
            let delay = delay.filter(|&at| message.fact == Fact::Waiting && at > self.now && !blocked);
            [lease, delay, message.traits.expires.filter(|&at| at > self.now)]
        });
        times.flatten().min()
    }
}

/// The machine, the model, every lease that was ever given, and what would be on a disk.
struct Pair {
    machine: Leases,
    model: Model,
    leases: Vec<LeaseId>,
    saved: BTreeMap<u64, Saved>,
    traits: BTreeMap<u64, Traits>,
    next: u64,
    openings: u64,
}

impl Pair {
    fn new() -> Self {
        Self {
            machine: Leases::new(STRICT, 0),
            model: Model::default(),
            leases: Vec::new(),
            saved: BTreeMap::new(),
            traits: BTreeMap::new(),
            next: 0,
            openings: 0,
        }
    }

    fn seconds(&self, seconds: u64) -> Instant {
        self.model.now.saturating_add(Duration::from_secs(seconds))
    }

    fn append(&mut self, traits: Traits) {
        self.machine.admit(self.next, traits);
        self.traits.insert(self.next, traits);
        let order = (self.next as i64, 0);
        let (number, fact) = (self.next, Fact::Waiting);
        self.model.messages.push(Fiction { number, traits, order, attempts: 0, fact, late: None });
        self.next += 1;
    }

    fn grant(&mut self, number: u64, timeout: u64) {
        let deadline = self.seconds(timeout);
        let (lease, attempts) = self.machine.grant(number, deadline);
        let message = self.model.at(number);
        message.attempts += 1;
        message.late = None;
        message.fact = Fact::Held { token: lease.token, until: deadline };
        assert_eq!(attempts, message.attempts);
        self.leases.push(lease);
    }

    fn backlog(&self) -> impl Fn(u64) -> Option<u64> + use<> {
        let live: Vec<_> = self.model.messages.iter().map(|message| message.number).collect();
        move |from| live.iter().copied().find(|&number| number >= from)
    }

    fn lease(&self, which: usize) -> Option<LeaseId> {
        // Mostly a late one, because early ones are stale.
        let back = self.leases.len().min(1 + which % 12);
        self.leases.len().checked_sub(back).and_then(|at| self.leases.get(at)).copied()
    }

    fn step(&mut self, step: Step) {
        let end = self.next;
        match step {
            Step::AppendPlain { count } => (0..count).for_each(|_| self.append(Traits::default())),
            Step::Append { lane, key, delay, time_to_live } => {
                let lane = Lane::new(lane).expect("one of eight");
                let not_before = if delay == 0 { Instant::START } else { self.seconds(delay) };
                let expires = time_to_live.map(|seconds| self.seconds(seconds));
                self.append(Traits { lane, key, not_before, expires });
            }
            Step::Reserve { count, timeout } => {
                let mut candidates = self.machine.candidates(self.backlog());
                let found: Vec<_> = candidates.by_ref().take(count).collect();
                let turn = candidates.turn();
                self.machine.keep(turn);
                found.into_iter().for_each(|number| self.grant(number, timeout));
            }
            Step::ReserveOne { which } => {
                let Some(number) = self.pick(which) else { return };
                assert_eq!(self.machine.is_ready(number), self.model.ready(number));
                if self.model.ready(number) {
                    self.grant(number, 5);
                }
            }
            Step::Ack { which } => {
                let Some(lease) = self.lease(which) else { return };
                let late = self.model.find(lease.offset.number()).is_some_and(|it| it.late == Some(lease.token));
                let counts = late || self.model.holds(lease);
                assert_eq!(self.machine.end(lease), counts);
                if counts {
                    self.model.messages.retain(|message| message.number != lease.offset.number());
                }
            }
            Step::Touch { which, timeout } => {
                let Some(lease) = self.lease(which) else { return };
                let until = self.seconds(timeout);
                let holds = self.model.holds(lease);
                assert_eq!(self.machine.touch(lease, until), holds);
                if holds {
                    self.model.at(lease.offset.number()).fact = Fact::Held { token: lease.token, until };
                }
            }
            Step::Release { which, to } => {
                let Some(lease) = self.lease(which) else { return };
                let holds = self.model.holds(lease);
                assert_eq!(self.machine.release(lease, to, end), holds);
                if holds {
                    self.model.send(lease.offset.number(), to, end);
                }
            }
            Step::Nack { which, to } => {
                let Some(lease) = self.lease(which) else { return };
                let holds = self.model.holds(lease);
                let nacked = self.machine.nack(lease, "too hot", to, end);
                assert_eq!(nacked.is_some(), holds);
                if holds && self.model.at(lease.offset.number()).attempts >= MAX_ATTEMPTS {
                    assert_eq!(nacked, Some(Nacked::Dead));
                    self.model.at(lease.offset.number()).fact = Fact::Dead;
                    self.model.sweep();
                } else if holds {
                    assert_eq!(nacked, Some(Nacked::Released));
                    self.model.send(lease.offset.number(), to, end);
                }
            }
            Step::Reject { which } => {
                let Some(lease) = self.lease(which) else { return };
                let holds = self.model.holds(lease);
                assert_eq!(self.machine.reject(lease, "no use"), holds);
                if holds {
                    self.model.at(lease.offset.number()).fact = Fact::Dead;
                    self.model.sweep();
                }
            }
            Step::Redrive { which, to } => {
                let Some(number) = self.pick(which) else { return };
                let dead = self.model.at(number).fact == Fact::Dead;
                assert_eq!(self.machine.redrive(number, to, end), dead);
                if dead {
                    self.model.at(number).attempts = 0;
                    self.model.send(number, to, end);
                }
            }
            Step::Forget { which } => {
                let Some(number) = self.pick(which) else { return };
                self.machine.forget(number);
                self.model.messages.retain(|message| message.number != number);
            }
            Step::Pass { seconds } => {
                let now = self.seconds(seconds);
                self.machine.advance(now);
                self.model.advance(now);
            }
            Step::TurnBack => {
                self.machine.advance(Instant::START);
                self.model.advance(Instant::START);
            }
            Step::Reopen => self.reopen(),
        }
    }

    fn pick(&self, which: usize) -> Option<u64> {
        let live = &self.model.messages;
        (!live.is_empty()).then(|| live[which % live.len()].number)
    }

    fn reopen(&mut self) {
        self.openings += 1;
        self.machine = Leases::new(STRICT, self.openings << 32);
        for message in &mut self.model.messages {
            let saved = self.saved.get(&message.number).cloned();
            let traits = self.traits[&message.number];
            if saved.is_some() || traits != Traits::default() {
                self.machine.restore(message.number, traits, saved);
            }
            message.late = None;
            if let Fact::Held { .. } = message.fact {
                message.order = (message.number as i64, 0);
                message.fact = if message.attempts >= MAX_ATTEMPTS { Fact::Dead } else { Fact::Waiting };
            }
        }
        self.machine.resume(self.model.now);
        self.model.sweep();
    }

    /// Compares all that can be seen, and saves what changed.
    fn check(&mut self) {
        let mut expired = self.machine.take_expired();
        expired.sort_unstable();
        self.model.expired.sort_unstable();
        assert_eq!(expired, core::mem::take(&mut self.model.expired));
        let in_turn: Vec<_> = self.machine.candidates(self.backlog()).collect();
        assert_eq!(in_turn, self.model.in_turn());
        let count = |fact: &dyn Fn(&Fact) -> bool| self.model.messages.iter().filter(|it| fact(&it.fact)).count();
        assert_eq!(self.machine.held(), count(&|fact| matches!(fact, Fact::Held { .. })));
        assert_eq!(self.machine.dead(), count(&|fact| *fact == Fact::Dead));
        let dead: Vec<_> = self.machine.dead_from(0).map(|(number, attempts, _)| (number, attempts)).collect();
        let modelled = self.model.messages.iter().filter(|message| message.fact == Fact::Dead);
        assert_eq!(dead, modelled.map(|message| (message.number, message.attempts)).collect::<Vec<_>>());
        let due = self.model.deadline();
        assert_eq!(self.machine.deadline().filter(|&at| at > self.model.now), due.filter(|&at| at > self.model.now));
        for number in core::mem::take(self.machine.changed_mut()) {
            let saved = self.machine.saved(number).expect("what changed is known");
            self.saved.insert(number, saved);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_a_list_would_do(program in steps()) {
        let mut pair = Pair::new();
        for step in program {
            pair.step(step);
            pair.check();
        }
    }
}

/// The machine alone, with messages 0 to `count`.
fn machine(rules: Rules, lanes: &[u8]) -> Leases {
    let mut machine = Leases::new(rules, 0);
    for (number, &lane) in lanes.iter().enumerate() {
        machine.admit(number as u64, Traits { lane: Lane::new(lane).expect("one of eight"), ..Traits::default() });
    }
    machine
}

#[test]
fn weighted_lanes_share_by_their_weights_and_none_starves() {
    let lanes: Vec<u8> = (0..8).flat_map(|lane| vec![lane; 300]).collect();
    let rules = Rules { lane_order: LaneOrder::Weighted, ..STRICT };
    let machine = machine(rules, &lanes);
    let backlog = |from: u64| (from < 2400).then_some(from);
    let first: Vec<_> = machine.candidates(backlog).take(255).map(|number| lanes[number as usize]).collect();
    let counts: Vec<_> = (0..8).map(|lane| first.iter().filter(|&&of| of == lane).count()).collect();
    assert_eq!(counts, [128, 64, 32, 16, 8, 4, 2, 1]);
    assert_eq!(machine.candidates(backlog).count(), 2400);
}

#[test]
fn weighted_lanes_go_on_where_the_last_reservation_stopped() {
    let lanes: Vec<u8> = [0, 1].into_iter().flat_map(|lane| vec![lane; 300]).collect();
    let mut machine = machine(Rules { lane_order: LaneOrder::Weighted, ..STRICT }, &lanes);
    let backlog = |from: u64| (from < 600).then_some(from);
    let mut counts = [0; 2];
    for _ in 0..90 {
        let mut candidates = machine.candidates(backlog);
        let number = candidates.next().expect("there are 600");
        let turn = candidates.turn();
        machine.keep(turn);
        machine.grant(number, Instant::MAX);
        counts[usize::from(lanes[number as usize])] += 1;
    }
    assert_eq!(counts, [60, 30]);
}

/// A thousand messages of one key whose time is over make one another free: that must not be a thousand calls deep.
#[test]
fn a_long_key_expires_without_a_deep_stack() {
    let mut machine = Leases::new(STRICT, 0);
    let end = Instant::from_micros(10);
    for number in 0..200_000 {
        machine.admit(number, Traits { key: Some(1), expires: Some(end), ..Traits::default() });
    }
    machine.admit(200_000, Traits { key: Some(1), ..Traits::default() });
    machine.advance(end);
    assert_eq!(machine.take_expired().len(), 200_000);
    assert_eq!(machine.candidates(|_| None).collect::<Vec<_>>(), [200_000]);
    assert_eq!(machine.known(), 1);
}

#[test]
fn a_dead_letter_keeps_its_reason_whole_characters_of_it_and_no_time_to_live() {
    let mut machine = Leases::new(STRICT, 0);
    machine.admit(0, Traits { expires: Some(Instant::from_micros(10)), ..Traits::default() });
    let (lease, _) = machine.grant(0, Instant::from_micros(5));
    assert!(machine.reject(lease, &"ü".repeat(150)));
    machine.advance(Instant::MAX);
    let (number, attempts, death) = machine.dead_from(0).next().expect("it was rejected");
    assert_eq!((number, attempts, death.cause), (0, 1, DeathCause::Rejected));
    assert_eq!(death.reason, "ü".repeat(MAX_REASON_LEN / 2));
    assert!(machine.redrive(0, Release::InPlace, 1));
    assert_eq!(machine.saved(0).map(|saved| saved.lifetime), Some(Lifetime::Unlimited));
    assert!(machine.take_expired().is_empty() && machine.is_ready(0), "{}", format!("{machine:?}"));
}
