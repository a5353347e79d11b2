//! The plots of `docs/dht.md`: simulations whose figures are written as CSV, and drawn from it.

mod chart;

use std::path::{Path, PathBuf};
use std::{fs, io};

use iot_dht::sim::study::{self, Searches, Spread};
use iot_dht::sim::{self, Sim, SimConfig};
use iot_dht::{NodeConfig, Placement};
use lexopt::Parser;
use lexopt::prelude::*;

use crate::Failure;
use crate::dht::sim::SETTLING;
use crate::dht::sim::plots::chart::{Chart, Scale};
use crate::dht::sim::siege::{self, Attack, lower_bound};

/// How many hosts there are where their number is on the abscissa.
const SIZES: &[u32] = &[125, 250, 500, 1000, 2000, 4000];

/// How many there are otherwise.
const HOSTS: u32 = 1000;

/// Searches of each network.
const SEARCHES: usize = 500;

/// Attackers on a key.
const SYBILS: &[usize] = &[0, 10, 20, 40, 80, 160, 320];

/// Records that are put and asked for, of each number of attackers.
const TRIALS: usize = 50;

/// Which shares of the hosts are gone, in percent.
const DEAD: &[u32] = &[0, 10, 20, 30, 40, 50];

/// `iot dht plots`.
pub fn run(mut parser: Parser) -> Result<(), Failure> {
    let Some(Value(directory)) = parser.next()? else {
        return Err(Failure::Usage("'dht plots' needs a directory".into()));
    };
    if let Some(other) = parser.next()? {
        return Err(other.unexpected().into());
    }
    let directory = PathBuf::from(directory);
    fs::create_dir_all(&directory).map_err(|error| failed(&directory, &error))?;
    let charts: [fn() -> Chart; 3] = [sizes, dead, sybils];
    for chart in charts {
        let chart = chart();
        for (ending, text) in [("csv", chart.to_csv()), ("svg", chart.to_svg())] {
            let path = directory.join(chart.name).with_extension(ending);
            write(&path, &text)?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| failed(path, &error))?;
    say!("{}", path.display());
    Ok(())
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Input(format!("{}: {error}", path.display()))
}

fn grown(hosts: u32, placement: Placement) -> Sim {
    eprintln!("{hosts} hosts join");
    let mut sim = Sim::new(SimConfig::default().node(NodeConfig::default().placement(placement)));
    let joined = study::grow(&mut sim, hosts);
    sim.run_until(joined.saturating_add(SETTLING), &mut sim::in_turn);
    sim
}

fn search(sim: &mut Sim) -> Searches {
    study::search(sim, SEARCHES, &mut sim::in_turn)
}

/// Requests and hops of a search, and what a host sends to join, by the number of hosts.
fn sizes() -> Chart {
    let mut chart = Chart::new("dht-size", "hosts", "a search", Scale::Logarithmic);
    chart.columns(&["requests, mean", "requests, 99 of 100", "hops, mean", "log2 of hosts"]);
    for hosts in SIZES {
        let mut sim = grown(*hosts, Placement::Region { nodes: 32 });
        let found = search(&mut sim);
        let requests = [found.requests.mean(), found.requests.at(0.99) as f64];
        chart.row(f64::from(*hosts), &[requests[0], requests[1], found.hops.mean(), f64::from(*hosts).log2()]);
    }
    chart
}

/// The share of records that are found, by the number of attackers on their keys, in a region and on the closest nodes.
fn sybils() -> Chart {
    let mut chart = Chart::new("dht-sybils", "attackers on the key", "records found, %", Scale::LogarithmicFromZero);
    chart.columns(&["region", "region, at least (95 %)", "closest"]);
    let percent = |share: f64| share * 100.0;
    let of = |placement| -> Vec<_> {
        let mut sim = grown(HOSTS, placement);
        let siege = |each: &usize| {
            eprintln!("{each} attackers on a key");
            siege::sybils(&mut sim, Attack::Gang, *each, Spread::Key, TRIALS, &mut sim::in_turn)
        };
        SYBILS.iter().map(siege).collect()
    };
    let (region, closest) = (of(Placement::Region { nodes: 32 }), of(Placement::Closest));
    for (each, (region, closest)) in SYBILS.iter().zip(region.iter().zip(&closest)) {
        let share = |siege: &study::Siege| percent(siege.found as f64 / siege.trials as f64);
        let bound = percent(lower_bound(region.found, region.trials));
        chart.row(*each as f64, &[share(region), bound, share(closest)]);
    }
    chart
}

/// How long a search takes, by the share of hosts that are gone and were not missed yet.
fn dead() -> Chart {
    let mut chart = Chart::new("dht-dead", "hosts that are gone, %", "seconds of a search", Scale::Linear);
    chart.columns(&["p50", "p95", "p99"]);
    for percent in DEAD {
        let mut sim = grown(HOSTS, Placement::Region { nodes: 32 });
        study::kill(&mut sim, f64::from(*percent) / 100.0, &mut sim::in_turn);
        let found = search(&mut sim);
        let seconds = |share| found.micros.at(share) as f64 / 1e6;
        chart.row(f64::from(*percent), &[seconds(0.5), seconds(0.95), seconds(0.99)]);
    }
    chart
}
