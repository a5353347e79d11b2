//! What a run does: a queue's configuration and a list of steps, all drawn from one number.

use alloc::vec::Vec;
use core::fmt;

use super::feature::Feature;
use super::random::Random;
use super::storage::Fault;
use crate::config::{AttemptDurability, Durability, QueueConfig, Unreadable};
use crate::log::longest_payload;

/// A queue's configuration and what is done to it, drawn from a seed.
///
/// Each step draws what it needs from a number of its own, so that the others stay as they are when it is left out.
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) setup: Setup,
    pub(super) steps: Vec<Step>,
}

/// What stays the same during a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) queue: QueueConfig,
    pub(super) segment_len: u32,
    pub(super) segments: u32,
    pub(super) durability: Durability,
    pub(super) payload_limit: usize,
    pub(super) payloads: Payloads,
    pub(super) max_leases: usize,
    pub(super) unreadable: Unreadable,
    pub(super) feature: Feature,
    pub(super) attempts: AttemptDurability,
}

/// How long payloads are. Equal lengths bring the records of one life to the places of those of another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payloads {
    Equal(usize),
    UpTo(usize),
}

/// One step of a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Everything that the step leaves to chance follows from this.
    pub(super) seed: u64,
    pub(super) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Append {
        messages: usize,
    },
    AppendTooLong,
    Commit,
    Reserve {
        max: usize,
    },
    Ack,
    AckAll,
    AckMost,
    AckStale,
    AckBefore,
    Release,
    Touch,
    /// Something of what the program's feature is about.
    Use,
    Read,
    ReadAll,
    Pass {
        seconds: u64,
    },
    Drain,
    Kill,
    Crash,
    CrashWhileOpening {
        operations: u64,
    },
    CutCommit {
        operations: u64,
    },
    /// The header of the next segment cannot be synced, when nobody needs anything any more. Then the power is cut.
    SkipSegment,
    Grow,
    FailOnce {
        fault: Fault,
        after: u64,
    },
    FailForGood {
        fault: Fault,
        after: u64,
    },
    FlipBit,
    ZeroSector,
    HideSector,
}

/// How often an action comes, and what draws it.
type Weighted = (u64, fn(&mut Random) -> Action);

/// What a program is mostly about: how often each action comes, in a thousand or so.
#[derive(Clone, Copy, Debug)]
enum Theme {
    Balanced,
    /// Hardly anything is acknowledged, so that the queue is full.
    Full,
    /// The same, and what is acknowledged is one message here and there, and durable at once: acknowledgements take the most
    /// room so.
    Cramped,
    /// Almost everything is acknowledged at once, so that segments are used again.
    Recycling,
    /// Most is acknowledged, here and there, so that messages are moved.
    Scattered,
    Crashing,
    Failing,
    /// Everything is acknowledged again and again, and then a header cannot be synced: its segment keeps what an earlier life
    /// left in it, and the one after it is used first.
    Skipping,
    Rotting,
    /// The same in a queue that is full, and whose oldest messages are acknowledged: a segment that came back would take the
    /// room of others.
    Decaying,
    /// One sector is lost, or cannot be read until it is written again.
    Maimed,
}

impl Program {
    /// The program of `seed`, of up to `longest` steps.
    pub(super) fn draw(seed: u64, longest: u32, without: &[Fault]) -> Self {
        let mut random = Random::new(seed);
        let setup = Setup::draw(&mut random);
        let theme = random.choose(&[
            Theme::Balanced,
            Theme::Skipping,
            Theme::Full,
            Theme::Cramped,
            Theme::Recycling,
            Theme::Scattered,
            Theme::Scattered,
            Theme::Crashing,
            Theme::Crashing,
            Theme::Failing,
            Theme::Failing,
            Theme::Rotting,
            Theme::Rotting,
            Theme::Decaying,
            Theme::Maimed,
        ]);
        let weights = theme.weights();
        let sum = weights.iter().map(|(weight, _)| weight).sum();
        let count = 1 + random.below(longest.max(1).into());
        let steps = (0..count).map(|_| Step { seed: random.next(), action: pick(&weights, sum, &mut random) });
        let mut steps: Vec<_> = steps.collect();
        if let Theme::Maimed = theme {
            let at = random.index(steps.len() + 1);
            let seed = random.next();
            let action = if seed.is_multiple_of(2) { Action::ZeroSector } else { Action::HideSector };
            steps.insert(at, Step { seed, action });
        }
        steps.retain(|step| match step.action {
            Action::FailOnce { fault, .. } | Action::FailForGood { fault, .. } => !without.contains(&fault),
            _ => true,
        });
        Self { setup, steps }
    }

    /// How many steps there are.
    #[expect(clippy::len_without_is_empty, reason = "no program is drawn without a step")]
    pub fn len(&self) -> usize {
        self.steps.len()
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:?}", self.setup)?;
        self.steps.iter().try_for_each(|Step { seed, action }| writeln!(f, "  {action:?}, seed {seed:#018x}"))
    }
}

impl Setup {
    fn draw(random: &mut Random) -> Self {
        let segment_len = random.choose(&[4096, 4096, 4096, 4104, 6000, 8192]);
        let segments = random.choose(&[2, 3, 3, 4, 4, 5, 8]);
        let durability = random.choose(&[Durability::EachMessage, Durability::Manual, Durability::Manual]);
        let payload_limit = random.choose(&[64, 300, 300, 700, longest_payload(segment_len) - 256]);
        let longest = payload_limit as usize;
        let payloads = if random.happens(1, 2) {
            Payloads::Equal(random.index(longest.min(500) + 1))
        } else {
            Payloads::UpTo(longest)
        };
        let max_leases = random.choose(&[1, 5, 1 << 16, 1 << 16, 1 << 16, 1 << 16]);
        let attempts =
            random.choose(&[AttemptDurability::Written, AttemptDurability::Deferred, AttemptDurability::Synced]);
        let unreadable = if random.happens(1, 8) { Unreadable::GiveUp } else { Unreadable::Refuse };
        let queue = QueueConfig::default()
            .max_payload(payload_limit)
            .and_then(|config| config.segment_len(segment_len))
            .and_then(|config| config.segments(segments))
            .and_then(|config| config.max_leases(max_leases))
            .expect("each of the values above is in its range")
            .durability(durability)
            .attempt_durability(attempts)
            .unreadable(unreadable);
        let feature = Feature::draw(random, segments);
        let queue = feature.configure(queue, random);
        Self {
            queue,
            segment_len,
            segments,
            durability,
            payload_limit: longest,
            payloads,
            max_leases: max_leases as usize,
            unreadable,
            feature,
            attempts,
        }
    }
}

impl Payloads {
    pub(super) fn draw(self, random: &mut Random) -> usize {
        match self {
            Self::Equal(len) => len,
            // The longest is worth trying more often than by chance.
            Self::UpTo(longest) if random.happens(1, 32) => longest,
            Self::UpTo(longest) => random.index(longest.min(400) + 1),
        }
    }
}

impl Theme {
    fn weights(self) -> Vec<Weighted> {
        let (appends, acks, commits, crashes, faults, rot) = match self {
            Self::Balanced | Self::Maimed => (120, 80, 40, 20, 3, 0),
            Self::Full => (300, 8, 30, 15, 3, 0),
            Self::Cramped => (200, 70, 140, 15, 3, 0),
            Self::Recycling => (160, 160, 40, 15, 5, 0),
            Self::Scattered => (200, 60, 20, 15, 8, 4),
            Self::Crashing => (120, 60, 40, 100, 3, 0),
            Self::Failing => (140, 80, 40, 15, 60, 0),
            Self::Skipping => (300, 160, 40, 15, 3, 0),
            Self::Rotting => (120, 60, 40, 20, 3, 60),
            Self::Decaying => (250, 40, 80, 60, 3, 60),
        };
        let (one, all, most, before) = match self {
            Self::Scattered => (acks / 2, 0, acks / 2, acks / 10),
            Self::Cramped => (acks * 2, 0, 0, acks / 10),
            Self::Decaying => (acks / 2, 0, acks / 2, acks),
            _ => (acks / 2, acks / 2, acks / 2, acks / 10),
        };
        let skips = if let Self::Skipping = self { 30 } else { 0 };
        alloc::vec![
            (appends, |random| Action::Append { messages: 1 + random.index(6) }),
            (2, |_| Action::AppendTooLong),
            (commits, |_| Action::Commit),
            (acks, |random| Action::Reserve { max: 1 + random.index(12) }),
            (one, |_| Action::Ack),
            (all, |_| Action::AckAll),
            (most, |_| Action::AckMost),
            (5, |_| Action::AckStale),
            (before, |_| Action::AckBefore),
            (8, |_| Action::Release),
            (8, |_| Action::Touch),
            (40, |_| Action::Use),
            (8, |_| Action::Read),
            (4, |_| Action::ReadAll),
            (8, |random| Action::Pass { seconds: 1 + random.below(20) }),
            (6, |_| Action::Drain),
            (crashes / 2, |_| Action::Kill),
            (crashes, |_| Action::Crash),
            (crashes / 2, |random| Action::CrashWhileOpening { operations: random.below(24) }),
            (crashes / 2, |random| Action::CutCommit { operations: random.below(4) }),
            (3, |_| Action::Grow),
            (10, |random| Action::FailOnce { fault: Fault::Power, after: random.below(30) }),
            (faults, |random| Action::FailOnce { fault: a_fault(random), after: random.below(12) }),
            (faults / 4, |random| Action::FailForGood { fault: a_fault(random), after: random.below(12) }),
            (rot, |_| Action::FlipBit),
            (skips, |_| Action::SkipSegment),
        ]
    }
}

fn a_fault(random: &mut Random) -> Fault {
    random.choose(&[
        Fault::Sync,
        Fault::Sync,
        Fault::Sync,
        Fault::Write,
        Fault::WriteSpace,
        Fault::Read,
        Fault::Space,
        Fault::Allocate,
        Fault::Directory,
    ])
}

fn pick(weights: &[Weighted], sum: u64, random: &mut Random) -> Action {
    let mut drawn = random.below(sum);
    for (weight, action) in weights {
        match drawn.checked_sub(*weight) {
            Some(rest) => drawn = rest,
            None => return action(random),
        }
    }
    Action::Commit
}
