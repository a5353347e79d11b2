//! Lookups beside a look at all nodes, in networks that grew by the protocol from one address.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use iot_dht::sim::adversary::{Adversary, Gang, Liar};
use iot_dht::sim::study::{self, Bootstraps, Eclipse, Eclipsed, Flood, Searches, Siege, Spread, Sybils};
use iot_dht::sim::{self, Link, Signing, Sim, SimConfig};
use iot_dht::{NodeConfig, Peer, Placement};

fn gang(members: Vec<Peer<32>>) -> Arc<dyn Adversary> {
    Arc::new(Gang::new(members))
}

fn grown(seed: u64, hosts: u32) -> Sim {
    let mut sim = Sim::new(SimConfig::default().seed(seed));
    let joined = study::grow(&mut sim, hosts);
    sim.run_until(joined.saturating_add(Duration::from_secs(60)), &mut sim::in_turn);
    assert_eq!(sim.hosts().len(), hosts as usize);
    sim
}

fn search(sim: &mut Sim, count: usize) -> Searches {
    let searches = study::search(sim, count, &mut sim::in_turn);
    assert_eq!(searches.ended, count, "every search ends");
    searches
}

/// Which share of the buckets before its own neighbourhood, where nodes are, the average table leaves empty.
///
/// The neighbourhood was once estimated before the neighbours had answered, and so seemed to begin at the bootstrap
/// node. A quarter of these buckets stayed empty, in whole neighbourhoods alike, and a search that met such
/// neighbours alone ended among them: two in a thousand did.
fn empty_buckets(sim: &Sim) -> f64 {
    let (mut empty, mut all) = (0, 0);
    for (_, node) in sim.nodes() {
        let farthest = node.table().closest(node.id()).nth(19).map_or(0, |entry| node.id().shared_prefix(entry.id()));
        let there = node.table().buckets().filter(|(index, _)| *index < farthest).count();
        empty += farthest - there;
        all += farthest;
    }
    f64::from(empty as u32) / f64::from(all as u32)
}

#[test]
fn a_thousand_nodes_find_the_true_closest() {
    let mut sim = grown(1, 1000);
    assert!(empty_buckets(&sim) <= 0.05, "{} of the buckets", empty_buckets(&sim));
    let plain = search(&mut sim, 500);
    assert!(plain.exact >= 499, "{} of 500", plain.exact);
    assert!(plain.requests.mean() <= 30.0, "{} requests", plain.requests.mean());

    // Nobody has noticed yet that three in ten are gone.
    study::kill(&mut sim, 0.3, &mut sim::in_turn);
    let dead = search(&mut sim, 200);
    assert!(dead.micros.median() <= 1_500_000, "{} µs", dead.micros.median());
    assert!(dead.requests.mean() <= 60.0, "{} requests", dead.requests.mean());
    assert!(dead.silent.mean() > 5.0, "the seed leaves dead nodes to ask");
}

#[test]
fn records_survive_loss_and_a_partition_that_heals() {
    let mut sim = grown(2, 200);
    sim.set_link(&Link::default().loss(0.05));
    let records = study::put_and_get(&mut sim, 100, &mut sim::in_turn);
    assert_eq!((records.stored, records.found), (100, 100));
    assert!(records.copies.at(0.0) >= 15, "{} copies", records.copies.at(0.0));

    let healed = sim.now().saturating_add(Duration::from_secs(120));
    sim.set_link(&Link::default().partition(sim.now(), healed, 2));
    let apart = study::put_and_get(&mut sim, 40, &mut sim::in_turn);
    assert_eq!(apart.stored, 40);
    assert!(apart.found < 40, "the other half does not hear of it");
    sim.run_until(healed.saturating_add(Duration::from_secs(60)), &mut sim::in_turn);
    let whole = study::put_and_get(&mut sim, 40, &mut sim::in_turn);
    assert_eq!((whole.stored, whole.found), (40, 40));
}

/// Among 400 hosts, which put records in one way or the other: how many of 15 records are found, and the most requests of a
/// put and a get.
fn besieged(placement: Placement, each: usize, spread: Spread) -> (usize, u64) {
    let mut sim = Sim::new(SimConfig::default().seed(3).node(NodeConfig::default().placement(placement)));
    let joined = study::grow(&mut sim, 400);
    sim.run_until(joined.saturating_add(Duration::from_secs(60)), &mut sim::in_turn);
    let mut siege = Siege::default();
    study::besiege(&mut sim, Sybils { keys: 3, each, spread, trials: 5 }, &gang, &mut siege, &mut sim::in_turn);
    assert_eq!(siege.trials, 15);
    (siege.found, siege.requests.greatest())
}

/// The same attack on two networks that differ in where they put records.
#[test]
fn sybils_hide_a_record_from_kademlia_and_not_from_a_region() {
    let (hidden, _) = besieged(Placement::Closest, 20, Spread::Key);
    assert!(hidden <= 1, "{hidden} of 15: the attack is none");
    let (kept, requests) = besieged(Placement::Region { nodes: 32 }, 20, Spread::Key);
    assert!(kept >= 14 && requests <= 250, "{kept} of 15, {requests} requests");
}

/// They fill one of the parts in which a region is searched, without giving themselves away as a crowd.
#[test]
fn sybils_all_over_the_eighth_of_a_key_hide_a_record_from_kademlia_and_not_from_a_region() {
    let (hidden, _) = besieged(Placement::Closest, 160, Spread::Eighth);
    assert!(hidden <= 5, "{hidden} of 15: the attack is none");
    let (kept, requests) = besieged(Placement::Region { nodes: 32 }, 160, Spread::Eighth);
    assert!(kept >= 13 && requests <= 250, "{kept} of 15, {requests} requests");
}

/// Half of all hosts, so that the attack is plain: of 200 records among 1,000 hosts, plain Kademlia finds 161 and 165, and a
/// region 198 and 199 (`iot dht sim --scenario colluders --share 0.5 --operations 200 --seed 4`, and 5).
#[test]
fn colluders_hide_records_from_kademlia_and_hardly_any_from_a_region() {
    for seed in [4, 5] {
        let mut sim = grown(seed, 1000);
        let mut siege = Siege::default();
        study::collude(&mut sim, 0.5, &gang, &mut sim::in_turn);
        assert_eq!(sim.honest_hosts().len(), 501);
        let owners: Vec<_> = (0..200).map(|n| sim.key(n)).collect();
        study::try_records(&mut sim, &owners, 1, &mut siege, &mut sim::in_turn);
        assert!(siege.trials == 200 && siege.found >= 196, "{} of 200, seed {seed}", siege.found);
        assert!(siege.requests.mean() <= 250.0, "{} requests", siege.requests.mean());
    }
}

/// Nodes that do not exist are named next to a key, or as far apart as those that do: two in the place of each. Where all are
/// believed it takes some 700 requests to put a record and to get it.
#[test]
fn liars_cost_a_search_hardly_any_requests() {
    for bits in [40, 7] {
        let mut sim = grown(5, 500);
        let mut siege = Siege::default();
        study::collude(&mut sim, 0.3, &|_| Arc::new(Liar::sharing(bits)), &mut sim::in_turn);
        let owners: Vec<_> = (0..20).map(|n| sim.key(n)).collect();
        study::try_records(&mut sim, &owners, 1, &mut siege, &mut sim::in_turn);
        assert!(siege.trials == 20 && siege.found >= 19, "{} of 20, {bits} bits", siege.found);
        assert!(siege.requests.mean() <= 320.0, "{} requests, {bits} bits", siege.requests.mean());
    }
}

/// All neighbours of a host that joins are an attacker's. One honest host that it knows is enough; without one, it never
/// hears of anybody but the attackers.
#[test]
fn neighbours_do_not_eclipse_a_host_that_knows_one_honest_host() {
    let mut sim = grown(5, 300);
    let mut attempt = |bootstraps| {
        let mut eclipsed = Eclipsed::default();
        let plan = Eclipse { victims: 4, each: 20, bootstraps };
        study::eclipse(&mut sim, plan, &gang, &mut eclipsed, &mut sim::in_turn);
        (eclipsed.written.found + eclipsed.read.found, eclipsed.entries - eclipsed.attackers)
    };
    let (found, honest) = attempt(Bootstraps::AttackerAndHonest);
    assert!(found == 8 && honest > 4 * 20, "{found} of 8 with {honest} entries");
    let (found, honest) = attempt(Bootstraps::Attacker);
    assert!(found == 0 && honest == 0, "{found} of 8 with {honest} entries: the attack is none");
}

#[test]
fn a_flood_is_answered_at_the_rate_that_one_address_may_ask() {
    let mut sim = grown(6, 100);
    let flooded = study::flood(&mut sim, Flood { hosts: 2, rate: 2000, seconds: 2 }, &mut sim::in_turn);
    assert_eq!(flooded.requests, 8000);
    assert!(flooded.served < 1000 && flooded.refused > 7000, "{flooded:?}");
    assert!(flooded.octets_out < flooded.octets_in, "{flooded:?}");
}

#[test]
#[ignore = "takes two minutes: 5,000 nodes, twice, and their signatures"]
fn five_thousand_nodes_leave_one_trace_whatever_their_signatures_are() {
    let trace = |signing| {
        let mut sim = Sim::new(SimConfig::default().seed(1).signing(signing));
        let joined = study::grow(&mut sim, 5000);
        sim.run_until(joined.saturating_add(Duration::from_secs(60)), &mut sim::in_turn);
        let records = study::put_and_get(&mut sim, 500, &mut sim::in_turn);
        assert_eq!((records.stored, records.found), (500, 500));
        sim.trace()
    };
    assert_eq!(trace(Signing::Simulated), trace(Signing::Real));
}

#[test]
#[ignore = "takes two minutes: 10,000 nodes"]
fn ten_thousand_nodes_find_the_true_closest() {
    let mut sim = grown(1, 10_000);
    let plain = search(&mut sim, 5000);
    assert!(plain.exact >= 4995, "{} of 5000", plain.exact);
}
