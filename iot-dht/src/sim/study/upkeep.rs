use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;

use crate::id::Key;
use crate::node::{Event, GetMode};
use crate::record::Record;
use crate::sim::study::{Draw, LIFE, Quantiles, carry_out, number, replace};
use crate::sim::{Action, Host, Shard, Sim};
use crate::store::Part;

/// How many records one owner has: fewer than a node keeps of one.
const OF_ONE_OWNER: usize = 64;

/// Octets of a value: with its name and all that is signed it makes a record of 1.1 kB.
const VALUE_LEN: usize = 960;

/// How many records are laid out before the hosts take them.
const BATCH: usize = 1000;

/// Who may be responsible for a record, at most: more than the nodes of any region.
const CANDIDATES: usize = 128;

/// What it costs to keep records where they belong for a time, and what became of them.
#[derive(Clone, Debug, Default)]
pub struct Upkeep {
    /// Octets of datagrams that a host sent in a second, on average; as many came.
    pub octets: f64,
    /// Datagrams that a host sent in a second, on average.
    pub datagrams: f64,
    /// How many records each host holds at the end.
    pub held: Quantiles,
    /// How many hosts hold each record at the end; a record that nobody holds counts with none.
    pub copies: Quantiles,
    /// Of the records that belong to a host at the end, as it sees its region itself, the share that it holds.
    pub in_place: f64,
}

/// Lays out records, as many as give each host `each` on average, at the hosts to which they belong by their own lights:
/// as if their owners had put them. Returns their keys.
pub fn lay_out(sim: &mut Sim, each: usize, run: &mut impl FnMut(&mut [Shard], Instant)) -> Vec<Key> {
    let census = sim.census();
    let parts: BTreeMap<Host, Part> = sim.nodes().map(|(host, node)| (host, node.own_part())).collect();
    let expires = sim.wall().saturating_add(LIFE);
    let first = number(sim, 0);
    let (mut keys, mut copies) = (Vec::new(), 0);
    let mut owner = sim.key(first);
    while copies < each * census.len() {
        if keys.len() % OF_ONE_OWNER == 0 {
            owner = sim.key(first + (keys.len() / OF_ONE_OWNER) as u64);
        }
        let name = (keys.len() as u32).to_be_bytes();
        let record =
            sim.sign(&owner, &name, 1, expires, &[7; VALUE_LEN]).expect("a name and a value of this length fit");
        let before = copies;
        for peer in census.closest(record.key(), CANDIDATES) {
            let host = Host::at(peer.address).expect("a server of the simulation is a host");
            let belongs = parts[&host].holds(record.key());
            if belongs && sim.node(host).is_some_and(|node| node.is_responsible(record.key())) {
                sim.plan(sim.now(), host, Action::Hold(record.clone()));
                copies += 1;
            }
        }
        if copies == before {
            // Every network has somebody who is closest.
            sim.plan(sim.now(), Host(0), Action::Hold(record.clone()));
            copies += 1;
        }
        keys.push(*record.key());
        if keys.len() % BATCH == 0 {
            sim.run_until(sim.now().saturating_add(Duration::from_micros(1)), run);
        }
    }
    sim.run_until(sim.now().saturating_add(Duration::from_micros(1)), run);
    keys
}

/// Lets the time pass while this share of the hosts is replaced, and looks at what the hosts sent and what they hold.
pub fn keep_up(
    sim: &mut Sim,
    keys: &[Key],
    share: f64,
    time: Duration,
    run: &mut impl FnMut(&mut [Shard], Instant),
) -> Upkeep {
    let before = sim.counts();
    if share > 0.0 {
        replace(sim, share, time);
    }
    sim.run_until(sim.now().saturating_add(time), run);
    while sim.poll_happening().is_some() {}
    let sent = sim.counts();
    let host_seconds = sim.nodes().count() as f64 * time.as_secs_f64();
    let mut copies: BTreeMap<Key, u64> = keys.iter().map(|key| (*key, 0)).collect();
    let mut held = Vec::new();
    let (mut due, mut there) = (0u64, 0u64);
    for (_, node) in sim.nodes() {
        held.push(node.store().len() as u64);
        node.store()
            .records()
            .for_each(|record| copies.get_mut(record.key()).into_iter().for_each(|count| *count += 1));
        let part = node.own_part();
        let near = copies.range(part.part(0, 0).point..).map(|(key, _)| key).take_while(|key| part.holds(key));
        for key in near.filter(|key| node.is_responsible(key)) {
            due += 1;
            there += u64::from(node.store().get(sim.wall(), key).is_some());
        }
    }
    let mut copies: Vec<_> = copies.into_values().collect();
    held.sort_unstable();
    copies.sort_unstable();
    Upkeep {
        octets: (sent.octets - before.octets) as f64 / host_seconds,
        datagrams: (sent.sent - before.sent) as f64 / host_seconds,
        held: Quantiles(held),
        copies: Quantiles(copies),
        in_place: there as f64 / due.max(1) as f64,
    }
}

/// Has hosts get records drawn at random among these, and returns how many were found.
pub fn get_some(sim: &mut Sim, keys: &[Key], count: usize, run: &mut impl FnMut(&mut [Shard], Instant)) -> usize {
    let drawn = |n| keys[sim.draw(&[Draw::Moment as u64, number(sim, n)], keys.len())];
    let gets = (0..count).map(|n| Action::Get(drawn(n), GetMode::Newest)).collect();
    let mut found = 0;
    carry_out(sim, gets, run, |_, event, _| {
        let Event::GetDone(done) = event else { return };
        found += usize::from(done.record.as_ref().map(Record::key) == Some(&done.key));
    });
    found
}
