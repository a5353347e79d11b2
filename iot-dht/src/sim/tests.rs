use alloc::sync::Arc;
use core::time::Duration;
use std::string::ToString as _;

use super::*;
use crate::node::Placement;
use crate::sim::adversary::{Adversary, Gang};

#[test]
fn the_trace_follows_from_the_seed_and_not_from_shards_or_signatures() {
    let trace = |config| {
        let sim = study::sample(config, 60, &mut in_turn);
        (sim.trace(), sim.counts())
    };
    let (one, counts) = trace(SimConfig::default().seed(5));
    assert!(one.datagrams() > 10_000 && counts.lost > 20, "{counts:?}");
    assert_eq!((one, counts), trace(SimConfig::default().seed(5)), "a second time");
    assert_eq!((one, counts), trace(SimConfig::default().seed(5).shards(3)), "in three shards");
    assert_eq!((one, counts), trace(SimConfig::default().seed(5).signing(Signing::Real)), "with real signatures");
    assert_ne!(one, trace(SimConfig::default().seed(6)).0);
    // Debug and release builds, and every machine, give this number. A change of what nodes do changes it. The scoreboard
    // of `benches/`, which is a release build, looks for it here.
    assert_eq!(one.to_string(), "0d657bc7fafa6cb4cd3e29c9902bdc2a");
}

#[test]
fn attackers_around_a_key_are_nobody_to_those_who_have_the_key_of_the_overlay() {
    let found = |config: SimConfig| {
        let mut sim = Sim::new(config.node(NodeConfig::default().placement(Placement::Closest)));
        let joined = study::grow(&mut sim, 60);
        sim.run_until(joined.saturating_add(Duration::from_secs(20)), &mut in_turn);
        let gang = |members| -> Arc<dyn Adversary> { Arc::new(Gang::new(members)) };
        study::besiege_many(&mut sim, 20, study::Spread::Key, 4, &gang, &mut in_turn).found
    };
    assert_eq!(found(SimConfig::default()), 0, "the closest nodes are all an attacker's");
    assert_eq!(found(SimConfig::default().admission([7; 32])), 4);
}

#[test]
fn a_round_trip_is_what_a_datagram_and_its_answer_take_at_least() {
    let mut sim = Sim::new(SimConfig::default().link(Link::default().jitter(0.0)));
    let joined = study::grow(&mut sim, 2);
    let round_trip = sim.round_trip(Host(0), Host(1));
    assert_eq!(round_trip, sim.round_trip(Host(1), Host(0)));
    sim.run_until(joined.saturating_add(Duration::from_secs(20)), &mut in_turn);
    let measured = sim.node(Host(1)).unwrap().table().entries()[0].rtt().unwrap();
    assert!(measured.abs_diff(round_trip) < Duration::from_millis(1), "{measured:?} is not {round_trip:?}");
}
