use std::string::ToString as _;

use super::*;
use core::time::Duration;

/// Grows a network, loses datagrams, replaces hosts, and puts, gets and searches.
fn run(config: SimConfig, hosts: u32) -> (Sim, study::Searches, study::Records) {
    let mut sim = Sim::new(config.link(Link::default().reorder(0.05)));
    let joined = study::grow(&mut sim, hosts);
    sim.run_until(joined.saturating_add(Duration::from_secs(20)), &mut in_turn);
    let records = study::put_and_get(&mut sim, 20, &mut in_turn);
    sim.set_link(&Link::default().loss(0.05));
    study::replace(&mut sim, 0.1, Duration::from_secs(10));
    let searches = study::search(&mut sim, 20, &mut in_turn);
    (sim, searches, records)
}

#[test]
fn the_trace_follows_from_the_seed_and_not_from_shards_or_signatures() {
    let trace = |config| {
        let (sim, ..) = run(config, 60);
        (sim.trace(), sim.counts())
    };
    let (one, counts) = trace(SimConfig::default().seed(5));
    assert!(one.datagrams() > 10_000 && counts.lost > 20, "{counts:?}");
    assert_eq!((one, counts), trace(SimConfig::default().seed(5)), "a second time");
    assert_eq!((one, counts), trace(SimConfig::default().seed(5).shards(3)), "in three shards");
    assert_eq!((one, counts), trace(SimConfig::default().seed(5).signing(Signing::Real)), "with real signatures");
    assert_ne!(one, trace(SimConfig::default().seed(6)).0);
    // Debug and release builds, and every machine, give this number. A change of what nodes do changes it.
    assert_eq!(one.to_string(), "59b0b0aa0594d83cddcc5f6f6254398b");
}
