//! Plans of simulations, and what comes out of them: the figures of `docs/dht.md`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;

use crate::id::{Key, NodeId};
use crate::node::{Event, GetMode, OperationId};
use crate::sim::{Action, ActionId, Happening, Host, Link, Reach, Shard, Sim, SimConfig, What};
use crate::wire::Role;

mod eclipse;
mod flood;
mod offline;
mod siege;
mod upkeep;

pub use crate::sim::study::eclipse::{Bootstraps, Eclipse, Eclipsed, eclipse};
pub use crate::sim::study::flood::{Flood, Flooded, flood};
pub use crate::sim::study::offline::{CaughtUp, catch_up};
pub use crate::sim::study::siege::{Siege, Spread, Sybils, besiege, besiege_many, collude, try_records};
pub use crate::sim::study::upkeep::{Upkeep, get_some, keep_up, lay_out};

/// How long an operation may take before it counts as lost.
const LONGEST: Duration = Duration::from_secs(120);

/// How many operations start in a second of the network's time, over all hosts: so many at least, and one for each hundred
/// hosts.
const PACE: u64 = 100;

/// How long the records of a study live.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// What the owners of a study call their records.
const NAME: &[u8] = b"study";

/// What a number is drawn for.
#[derive(Clone, Copy)]
enum Draw {
    Host = 1,
    Moment = 2,
    Victim = 3,
}

/// A small network through a little of everything: it grows, records are put and got, then datagrams are lost and hosts
/// replaced while others search. Its [trace](Sim::trace) follows from the seed and the number of hosts, on every machine, in
/// every build, and however the hosts are divided.
///
/// # Panics
///
/// Beyond [`Host::MAX`].
pub fn sample(config: SimConfig, hosts: u32, run: &mut impl FnMut(&mut [Shard], Instant)) -> Sim {
    let mut sim = Sim::new(config.link(Link::default().reorder(0.05)));
    let joined = grow(&mut sim, hosts);
    sim.run_until(joined.saturating_add(Duration::from_secs(20)), run);
    put_and_get(&mut sim, 20, run);
    sim.set_link(&Link::default().loss(0.05));
    replace(&mut sim, 0.1, Duration::from_secs(10));
    search(&mut sim, 20, run);
    sim
}

/// Plans that so many servers join through the first host, which is made if there is none: a twentieth of the network a
/// second, and five. Returns when the last one starts.
///
/// # Panics
///
/// Beyond [`Host::MAX`].
pub fn grow(sim: &mut Sim, servers: u32) -> Instant {
    let mut at = sim.now();
    for _ in 0..servers {
        let host = sim.host();
        let through = (host.number() > 0).then_some(Host(0));
        sim.plan(at, host, Action::Join { role: Role::Server, reach: Reach::Open, through });
        at = at.saturating_add(Duration::from_micros(20_000_000 / (u64::from(host.number()) + 100)));
    }
    at
}

/// Takes this share of the hosts away, all at once; the first stays.
pub fn kill(sim: &mut Sim, share: f64, run: &mut impl FnMut(&mut [Shard], Instant)) {
    let mut hosts = sim.hosts();
    hosts.retain(|host| host.number() > 0);
    let gone = (hosts.len() as f64 * share) as usize;
    for n in 0..gone {
        let victim = hosts.swap_remove(sim.draw(&[Draw::Victim as u64, n as u64], hosts.len()));
        sim.plan(sim.now(), victim, Action::Leave);
    }
    sim.run_until(sim.now().saturating_add(Duration::from_micros(1)), run);
}

/// Plans that this share of the hosts leaves and as many new ones come within the time, at moments drawn at random; the
/// new ones join through the first host, which stays.
///
/// # Panics
///
/// Beyond [`Host::MAX`].
pub fn replace(sim: &mut Sim, share: f64, within: Duration) {
    let mut there = sim.hosts();
    there.retain(|host| host.number() > 0);
    let count = (there.len() as f64 * share) as u64;
    let micros = within.as_micros() as usize;
    let moment =
        |n| sim.now().saturating_add(Duration::from_micros(sim.draw(&[Draw::Moment as u64, n], micros) as u64));
    let mut moments: Vec<_> = (0..count).map(moment).collect();
    moments.sort_unstable();
    for (n, at) in moments.into_iter().enumerate() {
        let place = sim.draw(&[Draw::Victim as u64, u64::MAX, n as u64], there.len());
        let new = sim.host();
        let gone = core::mem::replace(&mut there[place], new);
        sim.plan(at, gone, Action::Leave);
        sim.plan(at, new, Action::Join { role: Role::Server, reach: Reach::Open, through: Some(Host(0)) });
    }
}

/// What came of searches.
#[derive(Clone, Debug, Default)]
pub struct Searches {
    /// How many were started.
    pub started: usize,
    /// How many ended.
    pub ended: usize,
    /// How many found just the servers that are truly closest, beside the searcher itself, as many as a lookup ends with.
    pub exact: usize,
    /// How long they took, in microseconds.
    pub micros: Quantiles,
    /// Requests that each made.
    pub requests: Quantiles,
    /// Answers that led each to the closest node.
    pub hops: Quantiles,
    /// Requests that were not answered, of each.
    pub silent: Quantiles,
}

/// Has hosts drawn at random search for points drawn at random, and compares what they find with all that are there.
pub fn search(sim: &mut Sim, count: usize, run: &mut impl FnMut(&mut [Shard], Instant)) -> Searches {
    let plans = (0..count).map(|n| Action::Find(sim.point(number(sim, n)))).collect();
    let mut searches = Searches { started: count, ..Searches::default() };
    let mut found: Vec<(Host, Key, Vec<NodeId>)> = Vec::new();
    carry_out(sim, plans, run, |host, event, took| {
        let Event::FindDone(done) = event else { return };
        searches.ended += 1;
        searches.micros.0.push(took.as_micros() as u64);
        searches.requests.0.push(done.summary.asked as u64);
        searches.hops.0.push(done.summary.hops as u64);
        searches.silent.0.push((done.summary.asked - done.summary.answered) as u64);
        found.push((host, done.target, done.closest.iter().map(|peer| peer.id).collect()));
    });
    let end = sim.lookup_end;
    let census = sim.census();
    let is_exact = |(host, target, ids): &&(Host, Key, Vec<NodeId>)| {
        // A node searches for others, and may be one of the closest itself.
        let mut closest = census.closest(target, end + 1);
        closest.retain(|peer| peer.address != host.address());
        closest.iter().take(end).map(|peer| peer.id).eq(ids.iter().copied())
    };
    searches.exact = found.iter().filter(is_exact).count();
    for quantiles in [&mut searches.micros, &mut searches.requests, &mut searches.hops, &mut searches.silent] {
        quantiles.0.sort_unstable();
    }
    searches
}

/// What came of puts and of the gets that followed them.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Records that were put.
    pub put: usize,
    /// Puts that ended with at least one node that stores the record.
    pub stored: usize,
    /// Nodes that store each record.
    pub copies: Quantiles,
    /// Gets that ended with the record.
    pub found: usize,
    /// How long the puts took, in microseconds.
    pub put_micros: Quantiles,
    /// How long the gets took, in microseconds.
    pub get_micros: Quantiles,
}

/// Has hosts drawn at random put records, one each, and then others get them.
pub fn put_and_get(sim: &mut Sim, count: usize, run: &mut impl FnMut(&mut [Shard], Instant)) -> Records {
    let expires = sim.wall().saturating_add(LIFE);
    let sign = |n| {
        let owner = sim.key(number(sim, n));
        sim.sign(&owner, NAME, 1, expires, &[n as u8; 100]).expect("a name and a value of this length fit")
    };
    let signed: Vec<_> = (0..count).map(sign).collect();
    let keys: Vec<Key> = signed.iter().map(|record| *record.key()).collect();
    let mut records = Records { put: count, ..Records::default() };
    carry_out(sim, signed.into_iter().map(Action::Put).collect(), run, |_, event, took| {
        let Event::PutDone(done) = event else { return };
        records.stored += usize::from(done.stored > 0);
        records.copies.0.push(done.stored as u64);
        records.put_micros.0.push(took.as_micros() as u64);
    });
    let gets = keys.iter().map(|key| Action::Get(*key, GetMode::Newest)).collect();
    carry_out(sim, gets, run, |_, event, took| {
        let Event::GetDone(done) = event else { return };
        records.found += usize::from(done.record.is_some_and(|record| *record.key() == done.key));
        records.get_micros.0.push(took.as_micros() as u64);
    });
    for quantiles in [&mut records.copies, &mut records.put_micros, &mut records.get_micros] {
        quantiles.0.sort_unstable();
    }
    records
}

/// Numbers in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantiles(Vec<u64>);

impl Quantiles {
    /// The number below which this share of them lies, 0 to 1; 0 if there are none.
    pub fn at(&self, share: f64) -> u64 {
        let place = (share * self.0.len() as f64) as usize;
        self.0.get(place.min(self.0.len().saturating_sub(1))).copied().unwrap_or(0)
    }

    /// The median.
    pub fn median(&self) -> u64 {
        self.at(0.5)
    }

    /// The greatest.
    pub fn greatest(&self) -> u64 {
        self.0.last().copied().unwrap_or(0)
    }

    /// How many of them are 0.
    pub fn none(&self) -> usize {
        self.0.partition_point(|number| *number == 0)
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<u64>() as f64 / self.0.len().max(1) as f64
    }
}

/// No two studies of one simulation search for the same points.
fn number(sim: &Sim, n: usize) -> u64 {
    u64::from(sim.actions) << 32 | n as u64
}

/// Has a host drawn at random carry out each of the actions, evenly over time, and hands over every result and how long
/// it took.
fn carry_out(
    sim: &mut Sim,
    actions: Vec<Action>,
    run: &mut impl FnMut(&mut [Shard], Instant),
    done: impl FnMut(Host, Event, Duration),
) {
    carry_out_at(sim, actions.into_iter().map(|action| (None, action)).collect(), run, done);
}

/// The same, where some of the actions have hosts of their own.
fn carry_out_at(
    sim: &mut Sim,
    actions: Vec<(Option<Host>, Action)>,
    run: &mut impl FnMut(&mut [Shard], Instant),
    mut done: impl FnMut(Host, Event, Duration),
) {
    let hosts = sim.honest_hosts();
    let mut waiting: BTreeSet<ActionId> = BTreeSet::new();
    let mut started: BTreeMap<(Host, OperationId), (ActionId, Instant)> = BTreeMap::new();
    let pace = PACE.max(hosts.len() as u64 / 100);
    let mut at = sim.now();
    for (n, (host, action)) in actions.into_iter().enumerate() {
        at = at.saturating_add(Duration::from_micros(1_000_000 / pace));
        let drawn = hosts[sim.draw(&[Draw::Host as u64, number(sim, n)], hosts.len())];
        let host = host.unwrap_or(drawn);
        waiting.insert(sim.plan(at, host, action));
    }
    let longest = at.saturating_add(LONGEST);
    while !waiting.is_empty() && sim.now() < longest {
        let slice = sim.now().saturating_add(Duration::from_secs(1));
        sim.run_until(slice, run);
        while let Some(Happening { at, host, what }) = sim.poll_happening() {
            match what {
                What::Started(action, operation) => {
                    started.insert((host, operation), (action, at));
                }
                What::Refused(action) | What::Meeting(action, _) => {
                    waiting.remove(&action);
                }
                What::Told(event) => {
                    let Some(operation) = operation_of(&event) else { continue };
                    if let Some((action, since)) = started.remove(&(host, operation)) {
                        waiting.remove(&action);
                        done(host, event, at.saturating_since(since));
                    }
                }
            }
        }
    }
}

fn operation_of(event: &Event) -> Option<OperationId> {
    match event {
        Event::PutDone(done) => Some(done.operation),
        Event::GetDone(done) => Some(done.operation),
        Event::FindDone(done) => Some(done.operation),
        _ => None,
    }
}
