//! `iot queue sim`: does the queue keep its promises, whatever happens to its disk?

use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

use iot_queue::sim::{self, Config, Fault, FaultCounts};
use lexopt::Parser;
use lexopt::prelude::*;

use crate::Failure;
use crate::number::within;

/// How often progress is told.
const EVERY: Duration = Duration::from_secs(1);

/// The faults that `--without` names.
const FAULTS: [(&str, Fault); 8] = [
    ("read", Fault::Read),
    ("write", Fault::Write),
    ("write-space", Fault::WriteSpace),
    ("sync", Fault::Sync),
    ("space", Fault::Space),
    ("allocate", Fault::Allocate),
    ("directory", Fault::Directory),
    ("power", Fault::Power),
];

struct Options {
    seeds: u64,
    from: u64,
    failures: u64,
    config: Config,
}

/// Runs `queue sim`.
pub fn run(mut parser: Parser) -> Result<(), Failure> {
    let mut options = Options { seeds: 100_000, from: 0, failures: 1, config: Config::default() };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seeds") => options.seeds = within(&mut parser, "--seeds", 1..)?,
            Long("from") => options.from = within(&mut parser, "--from", ..)?,
            Long("failures") => options.failures = within(&mut parser, "--failures", 1..)?,
            Long("steps") => options.config = options.config.steps(within(&mut parser, "--steps", 1..)?),
            Long("without") => {
                let name = parser.value()?.string()?;
                let fault = FAULTS.iter().find(|(known, _)| *known == name);
                let (_, fault) = fault.ok_or_else(|| Failure::Usage(format!("there is no fault {name:?}")))?;
                options.config = options.config.without(*fault);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if options.from.checked_add(options.seeds).is_none() {
        return Err(Failure::Usage("there are not so many --seeds behind --from".into()));
    }
    simulate(&options)
}

fn simulate(options: &Options) -> Result<(), Failure> {
    let started = Instant::now();
    let mut told = started;
    let (mut steps, mut failures, mut done) = (0, 0, 0);
    let mut faults = FaultCounts::default();
    for seed in options.from..options.from + options.seeds {
        match sim::run(seed, &options.config) {
            Ok(report) => {
                steps += report.steps;
                faults.add(&report.faults);
            }
            Err(failure) => {
                failures += 1;
                say!("{failure}");
            }
        }
        done += 1;
        if failures == options.failures {
            break;
        }
        if told.elapsed() >= EVERY && io::stderr().is_terminal() {
            told = Instant::now();
            eprint!("\r{done} of {} seeds, {:.0}/s", options.seeds, rate(done, started));
            let _ = io::stderr().flush();
        }
    }
    if told != started {
        eprintln!();
    }
    for (class, count) in faults.iter() {
        say!("{count:>12} {class}");
    }
    say!("{done} seeds from {}, {steps} steps, {:.0} seeds/s", options.from, rate(done, started));
    if failures > 0 {
        return Err(Failure::Input(format!("{failures} of {done} seeds broke a promise")));
    }
    say!("no promise was broken");
    Ok(())
}

fn rate(seeds: u64, since: Instant) -> f64 {
    seeds as f64 / since.elapsed().as_secs_f64()
}
