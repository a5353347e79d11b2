//! Plans of simulations, and what comes out of them: the figures of `docs/dht.md`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;
use iot_crypto::SigningKey;

use crate::id::{Key, NodeId};
use crate::node::{Event, GetMode, OperationId};
use crate::peer::Peer;
use crate::sim::adversary::{Adversary, Gang};
use crate::sim::{Action, ActionId, Happening, Host, Reach, Shard, Sim, What};
use crate::wire::Role;

mod upkeep;

pub use crate::sim::study::upkeep::{Upkeep, get_some, keep_up, lay_out};

/// How long an operation may take before it counts as lost.
const LONGEST: Duration = Duration::from_secs(120);

/// How many operations start in a second of the network's time, over all hosts.
const PACE: u64 = 100;

/// How long the records of a study live.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// What the owners of a study call their records.
const NAME: &[u8] = b"study";

/// How many bits an attacker's host shares with the key that it is placed on: far more than any honest host does.
const SYBIL_BITS: usize = 40;

/// How long attackers have to make themselves known.
const SIEGE: Duration = Duration::from_secs(30);

/// What a number is drawn for.
#[derive(Clone, Copy)]
enum Draw {
    Host = 1,
    Moment = 2,
    Victim = 3,
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

/// An attack on keys: what is put there, and whether it is found.
#[derive(Clone, Debug, Default)]
pub struct Siege {
    /// Records that were put and asked for.
    pub trials: usize,
    /// Gets that found just what was put.
    pub found: usize,
    /// Requests of each put and of the get that followed it, together.
    pub requests: Quantiles,
}

/// How an attacker places hosts on keys.
#[derive(Clone, Copy, Debug)]
pub struct Sybils {
    /// How many keys are attacked at once, before the attackers leave and others come.
    pub keys: usize,
    /// How many hosts are placed on each key: so close that nobody honest is closer.
    pub each: usize,
    /// How many records are put at each key, each with a higher sequence, and asked for.
    pub trials: usize,
}

/// Has an attacker place hosts on keys, and then honest hosts put records there and others get them. The attackers of one
/// key are one [`Gang`], and leave afterwards.
///
/// # Panics
///
/// Beyond [`Host::MAX`].
pub fn besiege(sim: &mut Sim, sybils: Sybils, siege: &mut Siege, run: &mut impl FnMut(&mut [Shard], Instant)) {
    let owners: Vec<_> = (0..sybils.keys).map(|n| sim.key(number(sim, n))).collect();
    let keys: Vec<_> = owners.iter().map(|owner| Key::of_record(&owner.verifying_key().device_id(), NAME)).collect();
    let mut placed = Vec::new();
    for key in &keys {
        let hosts: Vec<_> = (0..sybils.each).map(|_| sim.host()).collect();
        let member = |host: &Host| {
            let noise = sim.point(u64::from(host.number()) << 32);
            Peer { id: key.within(SYBIL_BITS, *noise.as_bytes()), address: host.address() }
        };
        let members: Vec<_> = hosts.iter().map(member).collect();
        let gang: Arc<dyn Adversary> = Arc::new(Gang::new(members.clone()));
        for (host, member) in hosts.iter().zip(members) {
            let (through, adversary) = (Host(0), gang.clone());
            sim.plan(sim.now(), *host, Action::Infiltrate { id: member.id, through, adversary });
        }
        placed.extend(hosts);
    }
    sim.run_until(sim.now().saturating_add(SIEGE), run);
    try_records(sim, &owners, sybils.trials, siege, run);
    for host in placed {
        sim.plan(sim.now(), host, Action::Leave);
    }
    sim.run_until(sim.now().saturating_add(Duration::from_micros(1)), run);
}

/// Has an attacker take over this share of the hosts, drawn at random, all of one [`Gang`]; the first host stays honest.
pub fn collude(sim: &mut Sim, share: f64, run: &mut impl FnMut(&mut [Shard], Instant)) {
    let mut hosts = sim.hosts();
    hosts.retain(|host| host.number() > 0);
    let count = (hosts.len() as f64 * share) as usize;
    let taken: Vec<_> =
        (0..count).map(|n| hosts.swap_remove(sim.draw(&[Draw::Victim as u64, n as u64], hosts.len()))).collect();
    let peer = |host: &Host| Some(Peer { id: *sim.node(*host)?.id(), address: host.address() });
    let gang: Arc<dyn Adversary> = Arc::new(Gang::new(taken.iter().filter_map(peer).collect()));
    for host in taken {
        sim.plan(sim.now(), host, Action::Turn(gang.clone()));
    }
    sim.run_until(sim.now().saturating_add(SIEGE), run);
}

/// Has honest hosts put records, as many of each owner as `trials` says, and others get each before the next is put.
pub fn try_records(
    sim: &mut Sim,
    owners: &[SigningKey],
    trials: usize,
    siege: &mut Siege,
    run: &mut impl FnMut(&mut [Shard], Instant),
) {
    for trial in 0..trials {
        let (expires, sequence) = (sim.wall().saturating_add(LIFE), trial as u64 + 1);
        let sign = |owner| {
            let value = [trial as u8; 100];
            sim.sign(owner, NAME, sequence, expires, &value).expect("a name and a value of this length fit")
        };
        let signed: Vec<_> = owners.iter().map(sign).collect();
        let keys: Vec<Key> = signed.iter().map(|record| *record.key()).collect();
        siege.trials += keys.len();
        let mut requests: BTreeMap<Key, u64> = BTreeMap::new();
        carry_out(sim, signed.into_iter().map(Action::Put).collect(), run, |_, event, _| {
            let Event::PutDone(done) = event else { return };
            requests.insert(done.key, done.requests as u64);
        });
        let gets = keys.iter().map(|key| Action::Get(*key, GetMode::Newest)).collect();
        carry_out(sim, gets, run, |_, event, _| {
            let Event::GetDone(done) = event else { return };
            siege.found += usize::from(done.record.is_some_and(|record| record.sequence() == sequence));
            let put = requests.get(&done.key).copied().unwrap_or(0);
            siege.requests.0.push(put + done.requests as u64);
        });
    }
    siege.requests.0.sort_unstable();
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
    mut done: impl FnMut(Host, Event, Duration),
) {
    let hosts = sim.honest_hosts();
    let mut waiting: BTreeSet<ActionId> = BTreeSet::new();
    let mut started: BTreeMap<(Host, OperationId), (ActionId, Instant)> = BTreeMap::new();
    let mut at = sim.now();
    for (n, action) in actions.into_iter().enumerate() {
        at = at.saturating_add(Duration::from_micros(1_000_000 / PACE));
        let host = hosts[sim.draw(&[Draw::Host as u64, number(sim, n)], hosts.len())];
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
