//! Records put and asked for among attackers.

use std::sync::Arc;

use iot_dht::Placement;
use iot_dht::sim::Sim;
use iot_dht::sim::adversary::{Adversary, Gang};
use iot_dht::sim::study::{self, Siege};

use super::network::{REGION, config, grown, on_threads, settled};
use crate::measure::{Effort, Share};
use crate::report::{Failure, Judged, Row};

/// Requests of a put and the get that follows it, together, on average.
const REQUESTS: f64 = 250.0;

/// Which share of the hosts colludes.
const COLLUDERS: f64 = 0.3;

/// A secret of all honest hosts.
const KEY: [u8; 32] = [0x6b; 32];

/// Hosts, records for us, and records for the peer, of which nearly none is found.
fn numbers(effort: Effort) -> (u32, usize, usize) {
    effort.choose((10_000, 5_000, 1_000), (80, 4, 4))
}

/// So many attackers on each key, who know nothing of each other's keys. Plain Kademlia stores on the closest nodes.
pub(super) fn sybils(effort: Effort, each: usize, bound: f64) -> Result<Row, Failure> {
    let (hosts, trials, of_peer) = numbers(effort);
    let besiege =
        |sim: &mut Sim, trials| study::besiege_many(sim, each, study::Spread::Key, trials, &lead, &mut on_threads);
    let ours = besiege(&mut grown(hosts, REGION), trials);
    let plain = besiege(&mut grown(hosts, Placement::Closest), of_peer);
    Ok(row(&ours, Some(&plain), Judged::LowerBound, bound, hosts))
}

/// Forty attackers on each key, in a private overlay of which they lack the key.
pub(super) fn admission(effort: Effort) -> Result<Row, Failure> {
    let (hosts, trials, _) = numbers(effort);
    let mut sim = settled(config().admission(KEY), hosts);
    let ours = study::besiege_many(&mut sim, 40, study::Spread::Key, trials, &lead, &mut on_threads);
    Ok(row(&ours, None, Judged::LowerBound, 0.999, hosts))
}

/// Three in ten hosts, drawn at random, are one attacker's.
pub(super) fn colluders(effort: Effort) -> Result<Row, Failure> {
    let (hosts, trials, of_peer) = numbers(effort);
    let try_some = |sim: &mut Sim, trials| {
        study::collude(sim, COLLUDERS, &lead, &mut on_threads);
        let owners: Vec<_> = (0..trials as u64).map(|n| sim.key(n)).collect();
        let mut siege = Siege::default();
        study::try_records(sim, &owners, 1, &mut siege, &mut on_threads);
        siege
    };
    let ours = try_some(&mut grown(hosts, REGION), trials);
    let plain = try_some(&mut grown(hosts, Placement::Closest), of_peer);
    Ok(row(&ours, Some(&plain), Judged::Part, 0.999, hosts))
}

fn lead(members: Vec<iot_dht::Peer<32>>) -> Arc<dyn Adversary> {
    Arc::new(Gang::new(members))
}

fn row(ours: &Siege, plain: Option<&Siege>, judged: Judged, bound: f64, hosts: u32) -> Row {
    let share = |siege: &Siege| Share { successes: siege.found as u64, trials: siege.trials as u64 };
    let row = Row::share(share(ours), judged, plain.map(|plain| ("plain Kademlia", share(plain))), bound);
    let requests = &ours.requests;
    let note = format!(
        "{hosts} hosts; requests of put and get: mean {:.1}, p99 {}, most {}",
        requests.mean(),
        requests.at(0.99),
        requests.greatest()
    );
    if requests.mean() <= REQUESTS { row.with_note(&note) } else { row.refused(&note) }
}
