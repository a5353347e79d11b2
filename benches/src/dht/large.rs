//! A network of 100,000 hosts, simulated in a process of its own, because the memory of one process cannot be told apart:
//! this same program under a first argument of its own.

use std::io;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use iot_dht::sim::study;
use serde::{Deserialize, Serialize};

use super::network::{REGION, grown, on_threads};
use super::plain;
use crate::allocation::peak_octets;
use crate::measure::Effort;
use crate::report::{Failure, Row};

/// The first argument of such a process.
pub const ARGUMENT: &str = "--as-network";

/// Which share of the hosts is gone at once.
const DEAD: f64 = 0.3;

/// How long 100,000 hosts may take, in seconds.
const TIME: f64 = 300.0;

/// How much memory they may take.
const MEGABYTES: u64 = 6_000;

/// How long half of the searches may take among the dead, in seconds, and for how many requests on average.
const SEARCH: (f64, f64) = (1.5, 60.0);

/// What such a process found out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Figures {
    hosts: u64,
    /// Puts, and as many gets.
    operations: u64,
    found: u64,
    datagrams: u64,
    /// On the clock, until the last get had ended.
    seconds: f64,
    /// The most memory that the process had resident until then.
    peak_octets: u64,
    /// Searches after some of the hosts had gone.
    searches: u64,
    exact: u64,
    median: f64,
    last: f64,
    requests: f64,
    most_requests: u64,
    /// The same by plain Kademlia.
    plain_median: f64,
    plain_requests: f64,
}

/// The time until hosts have joined one after the other through the first, and put and got records.
pub(super) fn time(effort: Effort) -> Result<Row, Failure> {
    let figures = once(effort)?;
    let Figures { hosts, operations, found, datagrams, seconds, .. } = figures;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let note = format!("{hosts} hosts, {datagrams} datagrams, {threads} threads; {found} of {operations} gets");
    let row = Row::seconds(seconds, &[], TIME);
    Ok(if found == operations { row.with_note(&note) } else { row.refused(&note) })
}

/// The memory that this takes.
pub(super) fn memory(effort: Effort) -> Result<Row, Failure> {
    let Figures { hosts, peak_octets, .. } = once(effort)?;
    let note = format!("{hosts} hosts, {} kB each", peak_octets / hosts / 1000);
    Ok(Row::count(peak_octets / 1_000_000, &[], "MB", MEGABYTES).with_note(&note))
}

/// Searches after three in ten of these hosts have gone at once, which nobody has noticed.
pub(super) fn dead(effort: Effort) -> Result<Row, Failure> {
    let Figures { hosts, searches, exact, median, last, requests, most_requests, plain_median, plain_requests, .. } =
        once(effort)?;
    let note = format!(
        "{hosts} hosts; requests: mean {requests:.1}, most {most_requests}; p99 {last:.2} s; {exact} of {searches} exact"
    );
    let peer = format!("3 at once, 2 s each, {plain_requests:.1} requests,");
    let row = Row::seconds(median, &[(&peer, plain_median)], SEARCH.0);
    Ok(if requests <= SEARCH.1 { row.with_note(&note) } else { row.refused(&note) })
}

/// What the program does when its first argument is [`ARGUMENT`]; `arguments` are those after it.
///
/// # Errors
/// When the arguments are wrong, or the kernel does not say how much memory there was.
pub fn main(arguments: &[String]) -> Result<(), Failure> {
    let [hosts, operations, searches] = arguments else { return Err("wrong arguments".into()) };
    let figures = simulate(hosts.parse()?, operations.parse()?, searches.parse()?)?;
    Ok(ciborium::into_writer(&figures, io::stdout().lock())?)
}

fn simulate(hosts: u32, operations: usize, searches: usize) -> Result<Figures, Failure> {
    let start = Instant::now();
    let mut sim = grown(hosts, REGION);
    let records = study::put_and_get(&mut sim, operations, &mut on_threads);
    let (seconds, peak_octets) = (start.elapsed().as_secs_f64(), peak_octets()?);
    let datagrams = sim.trace().datagrams();
    study::kill(&mut sim, DEAD, &mut on_threads);
    let there = sim.hosts();
    // A prime number of hosts apart, so that searchers are spread and none comes twice soon.
    let searchers = (0..searches).map(|n| there[n * 7919 % there.len()]);
    let plain: Vec<_> =
        searchers.enumerate().map(|(n, host)| plain::search(&sim, host, &sim.point(n as u64))).collect();
    let found = study::search(&mut sim, searches, &mut on_threads);
    let mut times: Vec<_> = plain.iter().map(|search| search.took).collect();
    times.sort_unstable();
    let micros = |share| Duration::from_micros(found.micros.at(share)).as_secs_f64();
    Ok(Figures {
        hosts: hosts.into(),
        operations: operations as u64,
        found: records.found as u64,
        datagrams,
        seconds,
        peak_octets,
        searches: found.started as u64,
        exact: found.exact as u64,
        median: micros(0.5),
        last: micros(0.99),
        requests: found.requests.mean(),
        most_requests: found.requests.greatest(),
        plain_median: times[times.len() / 2].as_secs_f64(),
        plain_requests: plain.iter().map(|search| search.requests as f64).sum::<f64>() / plain.len() as f64,
    })
}

/// Three rows read the same simulation, which takes long.
fn once(effort: Effort) -> Result<Figures, Failure> {
    static FIGURES: Mutex<Option<Figures>> = Mutex::new(None);
    let mut figures = FIGURES.lock().map_err(|_| "another row failed")?;
    if let Some(figures) = *figures {
        return Ok(figures);
    }
    let arguments = effort.choose(["100000", "10000", "5000"], ["120", "8", "20"]);
    let mut command = Command::new(std::env::current_exe()?);
    // Gigabytes that are read at random: with pages of 2 MB the processor finds the places of most of them in its cache.
    command.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
    let output = command.arg(ARGUMENT).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the simulation did not end".into());
    }
    Ok(*figures.insert(ciborium::from_reader(output.stdout.as_slice())?))
}
