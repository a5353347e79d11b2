use alloc::vec::Vec;
use core::fmt;
use core::mem::discriminant;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::counts::FaultCounts;
use super::program::{Program, Step};
use super::storage::Fault;
use super::violation::Violation;
use super::world::World;

/// How long programs are, and how hard a failing one is shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    steps: u32,
    shortenings: u32,
    without: Vec<Fault>,
}

impl Default for Config {
    /// Up to 160 steps, and 2,000 attempts to shorten a program that fails.
    fn default() -> Self {
        Self { steps: 160, shortenings: 2000, without: Vec::new() }
    }
}

impl Config {
    /// The most steps that a program has, at least 1. By default 160.
    #[must_use]
    pub fn steps(self, most: u32) -> Self {
        Self { steps: most, ..self }
    }

    /// How often a program that fails is run again to shorten it. By default 2,000.
    #[must_use]
    pub fn shortenings(self, most: u32) -> Self {
        Self { shortenings: most, ..self }
    }

    /// Leaves out a fault that programs otherwise inject, to look for what remains without it.
    #[must_use]
    pub fn without(mut self, fault: Fault) -> Self {
        self.without.push(fault);
        self
    }
}

/// What happened in a run that broke no promise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Steps that were done.
    pub steps: u64,
    /// What went wrong on the disk.
    pub faults: FaultCounts,
}

/// A seed whose program breaks a promise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// Draws the program.
    pub seed: u64,
    /// The promise that the whole program broke.
    pub violation: Violation,
    /// The promise that the shortened program breaks.
    pub shortened_violation: Violation,
    /// The program, shortened.
    pub program: Program,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, Causes(&self.violation))?;
        writeln!(f, "in {} steps: {}", self.program.len(), Causes(&self.shortened_violation))?;
        self.program.fmt(f)
    }
}

impl core::error::Error for Failure {}

/// An error and what caused it.
struct Causes<'e>(&'e dyn core::error::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        self.0.source().map_or(Ok(()), |source| write!(f, ": {}", Causes(source)))
    }
}

/// Runs the program of `seed`, and ends by draining the queue and filling it again.
///
/// # Errors
/// When the queue breaks a promise. [`Failure`] holds the shortest program that was found to break one.
#[expect(clippy::result_large_err, reason = "a failure is rare, and ends what the caller does")]
pub fn run(seed: u64, config: &Config) -> Result<Report, Failure> {
    let program = Program::draw(seed, config.steps, &config.without);
    execute(&program).map_err(|violation| shorten(seed, program, violation, config.shortenings))
}

fn execute(program: &Program) -> Result<Report, Violation> {
    let mut world = World::new(program.setup);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        program.steps.iter().try_for_each(|step| world.step(step))?;
        world.finish()
    }));
    outcome.map_err(|_| Violation::Panicked)??;
    Ok(Report { steps: program.steps.len() as u64, faults: world.counts() })
}

/// Leaves out steps, first many at a time and then one, as long as the rest still breaks a promise.
fn shorten(seed: u64, mut program: Program, violation: Violation, mut attempts: u32) -> Failure {
    let mut shortened_violation = violation;
    let mut piece = program.steps.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut is_shorter = false;
        while at < program.steps.len() && attempts > 0 {
            attempts -= 1;
            let rest: Vec<Step> = program.steps[..at]
                .iter()
                .chain(program.steps.get(at + piece..).unwrap_or_default())
                .copied()
                .collect();
            let shorter = Program { setup: program.setup, steps: rest };
            match execute(&shorter) {
                // Another promise broken may be another bug.
                Err(violation) if discriminant(&violation) == discriminant(&shortened_violation) => {
                    (program, shortened_violation, is_shorter) = (shorter, violation, true);
                }
                Ok(_) | Err(_) => at += piece,
            }
        }
        if attempts == 0 || (piece == 1 && !is_shorter) {
            return Failure { seed, violation, shortened_violation, program };
        }
        piece = piece.div_ceil(2);
    }
}
