//! A hash table of many nodes in virtual time.

pub mod plots;
mod siege;
mod upkeep;

use std::str::FromStr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant as Clock};

use iot_core::Instant;
use iot_dht::sim::study::{self, CaughtUp, Quantiles, Searches, Spread};
use iot_dht::sim::{Link, Shard, Signing, Sim, SimConfig};
use iot_dht::{NodeConfig, Placement};
use lexopt::Parser;
use lexopt::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::Failure;
use crate::dht::sim::siege::Attack;
use crate::number::within;

/// How long a network may settle after its last host has joined.
const SETTLING: Duration = Duration::from_secs(60);

/// How often progress is shown, in the network's time.
const PROGRESS: Duration = Duration::from_secs(20);

/// What is done to the network before it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    /// Nothing.
    Plain,
    /// Half of the hosts are replaced within an hour.
    Churn,
    /// A share of the hosts is gone at once, and nobody has noticed yet.
    Dead,
    /// One datagram in twenty is lost.
    Loss,
    /// Nothing; but a reader who was away for a week catches up, in place of the other measurements.
    Offline,
    /// Attackers are placed on keys.
    Sybil,
    /// Some of the hosts are one attacker's.
    Colluders,
    /// All neighbours of hosts that join are an attacker's.
    Eclipse,
    /// A host is asked more than it may be.
    Flood,
    /// Half of the hosts are replaced within an hour while all of them hold records.
    Upkeep,
}

struct Options {
    nodes: u32,
    seed: u64,
    scenario: Scenario,
    operations: usize,
    threads: usize,
    signing: Signing,
    placement: Placement,
    /// How many attackers are placed around each key, and how close.
    sybils: usize,
    spread: Spread,
    attack: Attack,
    /// Which share of the hosts is an attacker's, or gone.
    share: f64,
    /// How many records each host holds.
    records: usize,
}

/// `iot dht sim`.
pub fn run(mut parser: Parser) -> Result<(), Failure> {
    let options = parse(&mut parser)?;
    simulate(&options);
    Ok(())
}

fn parse(parser: &mut Parser) -> Result<Options, Failure> {
    let mut given = Vec::new();
    let mut options = Options {
        nodes: 1000,
        seed: 1,
        scenario: Scenario::Plain,
        operations: 1000,
        threads: thread::available_parallelism().map_or(1, usize::from).min(64),
        signing: Signing::Simulated,
        placement: Placement::Region { nodes: 32 },
        sybils: 20,
        spread: Spread::Key,
        attack: Attack::Gang,
        share: 0.3,
        records: 1000,
    };
    while let Some(argument) = parser.next()? {
        if let Long(name) = argument {
            given.push(name.to_owned());
        }
        match argument {
            Long("nodes") => options.nodes = within(parser, "--nodes", 2..1_000_001)?,
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("operations") => options.operations = within(parser, "--operations", 1..100_001)?,
            Long("threads") => options.threads = within(parser, "--threads", 1..65)?,
            Long("scenario") => options.scenario = parser.value()?.parse()?,
            Long("sybils") => options.sybils = within(parser, "--sybils", 0..1001)?,
            Long("spread") => {
                options.spread = match parser.value()?.string()?.as_str() {
                    "key" => Spread::Key,
                    "eighth" => Spread::Eighth,
                    other => return Err(Failure::Usage(format!("--spread key or eighth, not {other:?}"))),
                }
            }
            Long("attack") => options.attack = parser.value()?.parse()?,
            Long("share") => options.share = within(parser, "--share", 0.0..1.0)?,
            Long("records") => options.records = within(parser, "--records", 1..4001)?,
            Long("placement") => {
                options.placement = match parser.value()?.string()?.as_str() {
                    "region" => Placement::Region { nodes: 32 },
                    "closest" => Placement::Closest,
                    other => return Err(Failure::Usage(format!("--placement region or closest, not {other:?}"))),
                }
            }
            Long("signatures") => {
                options.signing = match parser.value()?.string()?.as_str() {
                    "real" => Signing::Real,
                    "simulated" => Signing::Simulated,
                    other => return Err(Failure::Usage(format!("--signatures real or simulated, not {other:?}"))),
                }
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let scenario = options.scenario;
    match given.iter().find(|name| !scenario.heeds(name)) {
        Some(name) => Err(Failure::Usage(format!("--{name} changes nothing in the scenario {}", scenario.name()))),
        None => Ok(options),
    }
}

impl Scenario {
    const NAMES: &[(&str, Self)] = &[
        ("plain", Self::Plain),
        ("churn", Self::Churn),
        ("dead", Self::Dead),
        ("loss", Self::Loss),
        ("offline", Self::Offline),
        ("sybil", Self::Sybil),
        ("colluders", Self::Colluders),
        ("eclipse", Self::Eclipse),
        ("flood", Self::Flood),
        ("upkeep", Self::Upkeep),
    ];

    /// Whether an option changes what is simulated. Those that change nothing are refused, so that nobody takes the
    /// figures for what they are not.
    fn heeds(self, option: &str) -> bool {
        match option {
            "sybils" => matches!(self, Self::Sybil | Self::Eclipse | Self::Flood),
            "spread" => self == Self::Sybil,
            "attack" => matches!(self, Self::Sybil | Self::Colluders | Self::Eclipse),
            "share" => matches!(self, Self::Dead | Self::Colluders),
            "records" => self == Self::Upkeep,
            "operations" => !matches!(self, Self::Offline | Self::Flood),
            "placement" => self != Self::Flood,
            _ => true,
        }
    }

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, scenario)| *scenario == self).map_or("", |(name, _)| name)
    }

    fn words(self, share: f64) -> String {
        match self {
            Self::Churn => "half of the hosts were replaced within an hour".into(),
            Self::Dead => format!("{:.0} % of the hosts are gone at once", share * 100.0),
            Self::Loss => "one datagram in twenty is lost".into(),
            _ => "nothing".into(),
        }
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(of_scenario, _)| *of_scenario == name);
        found.map(|(_, scenario)| *scenario).ok_or_else(|| {
            let names: Vec<_> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            format!("the scenarios are {}", names.join(", "))
        })
    }
}

fn simulate(options: &Options) {
    let clock = Clock::now();
    let node = NodeConfig::default().placement(options.placement);
    let config = SimConfig::default().seed(options.seed).shards(options.threads).signing(options.signing).node(node);
    let mut sim = Sim::new(config);
    let threads =
        ThreadPoolBuilder::new().num_threads(options.threads).build().expect("the system has as many threads");
    let mut run = Runner { clock, shown: Instant::START, threads };
    let mut run = |shards: &mut [Shard], end| run.window(shards, end);

    let joined = study::grow(&mut sim, options.nodes);
    sim.run_until(joined.saturating_add(SETTLING), &mut run);
    let tables: Vec<_> = sim.nodes().map(|(_, node)| node.table().len()).collect();
    say!("hosts                    {}", tables.len());
    say!("entries of a table       {:.1}", tables.iter().sum::<usize>() as f64 / tables.len() as f64);
    say!("datagrams a host         {:.1}", sim.counts().sent as f64 / tables.len() as f64);
    say!("grown after              {:.1} s", clock.elapsed().as_secs_f64());

    let (trials, attack) = (options.operations, options.attack);
    match options.scenario {
        Scenario::Offline => print_caught_up(&study::catch_up(&mut sim, &mut run)),
        Scenario::Sybil => {
            siege::print(&siege::sybils(&mut sim, attack, options.sybils, options.spread, trials, &mut run));
        }
        Scenario::Colluders => siege::print(&siege::colluders(&mut sim, attack, options.share, trials, &mut run)),
        Scenario::Eclipse => siege::eclipse(&mut sim, attack, options.sybils, trials, &mut run),
        Scenario::Flood => siege::flood(&mut sim, options.sybils, &mut run),
        Scenario::Upkeep => upkeep::measure(&mut sim, options.records, trials, &mut run),
        Scenario::Plain => measure(&mut sim, options, &mut run),
        Scenario::Churn | Scenario::Dead | Scenario::Loss => {
            measure(&mut sim, options, &mut run);
            disturb(&mut sim, options, &mut run);
            say!("after                    {}", options.scenario.words(options.share));
            measure(&mut sim, options, &mut run);
        }
    }
    say!("datagrams in all         {}", sim.counts().sent);
    say!("octets in all            {}", sim.counts().octets);
    say!("time in the network      {} s", sim.now().as_micros() / 1_000_000);
    say!("time on the clock        {:.1} s", clock.elapsed().as_secs_f64());
    if let Some(octets) = peak_memory() {
        say!(
            "memory, greatest         {} MB, {} kB a host",
            octets / 1_000_000,
            octets / u64::from(options.nodes) / 1000
        );
    }
    say!("trace                    {}", sim.trace());
}

fn disturb(sim: &mut Sim, options: &Options, run: &mut impl FnMut(&mut [Shard], Instant)) {
    match options.scenario {
        Scenario::Churn => {
            let hour = Duration::from_secs(3600);
            study::replace(sim, 0.5, hour);
            sim.run_until(sim.now().saturating_add(hour), run);
        }
        Scenario::Dead => study::kill(sim, options.share, run),
        Scenario::Loss => sim.set_link(&Link::default().loss(0.05)),
        _ => {}
    }
}

fn measure(sim: &mut Sim, options: &Options, run: &mut impl FnMut(&mut [Shard], Instant)) {
    let before = sim.counts().sent;
    print_searches(&study::search(sim, options.operations, run));
    let records = study::put_and_get(sim, options.operations, run);
    say!("puts stored              {} of {}", records.stored, records.put);
    say!("copies, least and median {} {}", records.copies.at(0.0), records.copies.median());
    say!("gets found               {} of {}", records.found, records.put);
    print_times("put", &records.put_micros);
    print_times("get", &records.get_micros);
    say!("datagrams meanwhile      {}", sim.counts().sent - before);
}

fn print_searches(searches: &Searches) {
    let Searches { started, ended, exact, micros, requests, hops, silent } = searches;
    say!("searches ended           {ended} of {started}");
    say!("found the true closest   {exact}, {:.2} %", *exact as f64 * 100.0 / *started as f64);
    print_times("search", micros);
    let row = |name: &str, numbers: &Quantiles| {
        say!(
            "{name:<24} mean {:.1}, p50 {}, p99 {}, most {}",
            numbers.mean(),
            numbers.median(),
            numbers.at(0.99),
            numbers.greatest()
        );
    };
    row("requests of a search", requests);
    row("unanswered of these", silent);
    row("hops", hops);
}

fn print_caught_up(caught_up: &CaughtUp) {
    let CaughtUp { messages, gaps, records, fetches, requests, took } = caught_up;
    say!("records put              {records}");
    say!("messages read            {messages}, {gaps} gaps");
    say!("records fetched          {fetches}");
    say!("requests of the reader   {requests}");
    say!("caught up after          {:.1} s", took.as_secs_f64());
}

fn print_times(what: &str, micros: &Quantiles) {
    let seconds = |share| micros.at(share) as f64 / 1e6;
    say!("{what:<24} p50 {:.3} s, p95 {:.3} s, p99 {:.3} s", seconds(0.5), seconds(0.95), seconds(0.99));
}

/// Runs each shard on a thread, and shows from time to time how far the network is.
struct Runner {
    clock: Clock,
    shown: Instant,
    /// As many as there are shards.
    threads: ThreadPool,
}

impl Runner {
    fn window(&mut self, shards: &mut [Shard], end: Instant) {
        match shards {
            [only] => only.run_until(end),
            _ => {
                let each: Vec<_> = shards.iter_mut().map(Mutex::new).collect();
                self.threads.broadcast(|thread| {
                    each[thread.index()].lock().expect("no other thread has it").run_until(end);
                });
            }
        }
        if end.saturating_since(self.shown) >= PROGRESS {
            self.shown = end;
            let hosts: usize = shards.iter().map(Shard::hosts).sum();
            let (seconds, clock) = (end.as_micros() / 1_000_000, self.clock.elapsed().as_secs_f64());
            eprintln!("{seconds:>6} s in the network, {clock:>7.1} s on the clock: {hosts} hosts");
        }
    }
}

/// The most memory that this process had, in octets, where the operating system says.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
