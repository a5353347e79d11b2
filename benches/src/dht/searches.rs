//! Searches without faults, held against a look at all hosts; and the trace of a network, which must not depend on what
//! does not matter.

use std::time::Duration;

use iot_dht::sim::study::{self, Searches};
use iot_dht::sim::{Signing, SimConfig, Trace};

use super::network::{REGION, config, grown, on_threads, settled};
use crate::measure::{Effort, Share};
use crate::report::{Failure, Judged, Row};

/// The closest 20, among 10,000 hosts.
pub(super) fn exact(effort: Effort) -> Result<Row, Failure> {
    let (hosts, searches) = effort.choose((10_000, 10_000), (80, 20));
    let mut sim = grown(hosts, REGION);
    let found = study::search(&mut sim, searches, &mut on_threads);
    let share = Share { successes: found.exact as u64, trials: found.started as u64 };
    Ok(Row::share(share, Judged::Part, None, 0.999).with_note(&note(hosts, &found)))
}

/// What else is told of searches.
pub(super) fn note(hosts: u32, found: &Searches) -> String {
    let Searches { requests, hops, micros, .. } = found;
    format!(
        "{hosts} hosts; requests: mean {:.1}, p99 {}; hops {:.1}, log2 {:.1}; p99 {:.2} s",
        requests.mean(),
        requests.at(0.99),
        hops.mean(),
        f64::from(hosts).log2(),
        Duration::from_micros(micros.at(0.99)).as_secs_f64()
    )
}

/// Where the trace of a sample stands, which debug builds are held to.
const TESTS: &str = include_str!("../../../iot-dht/src/sim/tests.rs");

/// The same network on one thread and on several, and with real signatures; and a sample on one thread and on two, which
/// leaves the trace that debug builds leave.
pub(super) fn trace(effort: Effort) -> Result<Row, Failure> {
    let (hosts, operations) = effort.choose((5_000, 500), (60, 4));
    let of = |config: SimConfig| -> Trace {
        let mut sim = settled(config, hosts);
        study::put_and_get(&mut sim, operations, &mut on_threads);
        sim.trace()
    };
    let first = of(config());
    let others = [of(SimConfig::default()), of(config().signing(Signing::Real))];
    let sample = |shards| study::sample(SimConfig::default().seed(5).shards(shards), 60, &mut on_threads).trace();
    let samples = [1, 2, 2].map(sample).into_iter().filter(|trace| !TESTS.contains(&format!("\"{trace}\"")));
    let different = (others.iter().filter(|other| **other != first).count() + samples.count()) as u64;
    let note = format!(
        "{hosts} hosts, {} datagrams: one thread, and real signatures; a sample as in debug builds",
        first.datagrams()
    );
    Ok(Row::count(different, &[], "other traces", 0).with_note(&note))
}
