use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;
use iot_crypto::SigningKey;

use crate::id::Key;
use crate::node::{Event, GetMode};
use crate::peer::Peer;
use crate::sim::adversary::Lead;
use crate::sim::study::{Draw, LIFE, NAME, Quantiles, carry_out_at, number};
use crate::sim::{Action, Host, Shard, Sim};

/// How many bits an attacker's host shares with the point that it is placed on: far more than any honest host does.
pub(super) const SYBIL_BITS: usize = 40;

/// How many hosts an attacker expects in a region, which is what honest hosts are configured with by default.
const REGION: usize = 32;

/// By how many bits the part of a region in which the key lies is smaller than the region.
const EIGHTH: usize = 3;

/// How long attackers have to make themselves known.
pub(super) const SIEGE: Duration = Duration::from_secs(30);

/// How many keys [`besiege_many`] attacks at once at most.
const KEYS: usize = 20;

/// Attackers remain few among all hosts: one in so many, unless a single key takes more.
const FEW: usize = 25;

/// How many records it puts at each key, and asks for.
const TRIALS: usize = 10;

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
    /// How many hosts are placed around each key.
    pub each: usize,
    /// How close to it.
    pub spread: Spread,
    /// How many records are put at each key, each with a higher sequence, and asked for.
    pub trials: usize,
}

/// How close to a key an attacker places hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// So close that nobody honest is closer.
    #[default]
    Key,
    /// All over the eighth of the key's [region](crate::Placement::Region) in which it lies itself, which is one of the parts
    /// that are searched. They lie too far apart to be taken for a crowd, and make the network seem larger there than
    /// elsewhere, so that the searches of the other parts seem to have been led astray.
    Eighth,
}

impl Spread {
    /// How many bits the hosts share with the key.
    fn bits(self, hosts: usize) -> usize {
        match self {
            Self::Key => SYBIL_BITS,
            Self::Eighth => (hosts / REGION).checked_ilog2().unwrap_or(0) as usize + EIGHTH,
        }
    }
}

/// Has an attacker place hosts on keys, and then honest hosts put records there and others get them. The attackers of one
/// key have one leader, and leave afterwards.
///
/// # Panics
///
/// Beyond [`Host::MAX`].
pub fn besiege(
    sim: &mut Sim,
    sybils: Sybils,
    lead: Lead<'_>,
    siege: &mut Siege,
    run: &mut impl FnMut(&mut [Shard], Instant),
) {
    let owners: Vec<_> = (0..sybils.keys).map(|n| sim.key(number(sim, n))).collect();
    let keys: Vec<_> = owners.iter().map(|owner| Key::of_record(&owner.verifying_key().device_id(), NAME)).collect();
    let bits = sybils.spread.bits(sim.honest_hosts().len());
    let placed: Vec<_> = keys.iter().flat_map(|key| infiltrate(sim, key, bits, sybils.each, lead)).collect();
    sim.run_until(sim.now().saturating_add(SIEGE), run);
    try_records(sim, &owners, sybils.trials, siege, run);
    dismiss(sim, placed, run);
}

/// Besieges key after key with so many attackers each, until as many records as there are `trials` were put and asked for,
/// ten at each key. At most twenty keys are attacked at once, and no more than one host in 25 is an attacker's, unless a
/// single key takes more.
///
/// # Panics
///
/// Beyond [`Host::MAX`].
pub fn besiege_many(
    sim: &mut Sim,
    each: usize,
    spread: Spread,
    trials: usize,
    lead: Lead<'_>,
    run: &mut impl FnMut(&mut [Shard], Instant),
) -> Siege {
    let mut siege = Siege::default();
    let at_once = (sim.hosts().len() / FEW / each.max(1)).clamp(1, KEYS);
    while siege.trials < trials {
        let left = trials - siege.trials;
        let keys = at_once.min(left.div_ceil(TRIALS));
        let sybils = Sybils { keys, each, spread, trials: TRIALS.min(left.div_ceil(keys)) };
        besiege(sim, sybils, lead, &mut siege, run);
    }
    siege
}

/// Places so many hosts of one attacker around a point, where they share so many bits with it.
pub(super) fn infiltrate(sim: &mut Sim, point: &Key, bits: usize, count: usize, lead: Lead<'_>) -> Vec<Host> {
    let hosts: Vec<_> = (0..count).map(|_| sim.host()).collect();
    let member = |host: &Host| {
        let noise = sim.point(u64::from(host.number()) << 32);
        Peer { id: point.within(bits, *noise.as_bytes()), address: host.address() }
    };
    let members: Vec<_> = hosts.iter().map(member).collect();
    let leader = lead(members.clone());
    for (host, member) in hosts.iter().zip(members) {
        let (through, adversary) = (Host(0), leader.clone());
        sim.plan(sim.now(), *host, Action::Infiltrate { id: member.id, through, adversary });
    }
    hosts
}

/// Has hosts leave.
pub(super) fn dismiss(sim: &mut Sim, hosts: Vec<Host>, run: &mut impl FnMut(&mut [Shard], Instant)) {
    for host in hosts {
        sim.plan(sim.now(), host, Action::Leave);
    }
    sim.run_until(sim.now().saturating_add(Duration::from_micros(1)), run);
}

/// Has an attacker take over this share of the hosts, drawn at random, all under one leader; the first host stays honest.
pub fn collude(sim: &mut Sim, share: f64, lead: Lead<'_>, run: &mut impl FnMut(&mut [Shard], Instant)) {
    let mut hosts = sim.hosts();
    hosts.retain(|host| host.number() > 0);
    let count = (hosts.len() as f64 * share) as usize;
    let taken: Vec<_> =
        (0..count).map(|n| hosts.swap_remove(sim.draw(&[Draw::Victim as u64, n as u64], hosts.len()))).collect();
    let peer = |host: &Host| Some(Peer { id: *sim.node(*host)?.id(), address: host.address() });
    let leader = lead(taken.iter().filter_map(peer).collect());
    for host in taken {
        sim.plan(sim.now(), host, Action::Turn(leader.clone()));
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
    let anybody = vec![None; owners.len()];
    for trial in 0..trials {
        try_once(sim, owners, trial as u64 + 1, &anybody, &anybody, siege, run);
    }
    siege.requests.0.sort_unstable();
}

/// Has a record of each owner put by the host that stands for it, or anybody, and got by another.
pub(super) fn try_once(
    sim: &mut Sim,
    owners: &[SigningKey],
    sequence: u64,
    writers: &[Option<Host>],
    readers: &[Option<Host>],
    siege: &mut Siege,
    run: &mut impl FnMut(&mut [Shard], Instant),
) {
    let expires = sim.wall().saturating_add(LIFE);
    let sign = |owner| {
        let value = [sequence as u8; 100];
        sim.sign(owner, NAME, sequence, expires, &value).expect("a name and a value of this length fit")
    };
    let signed: Vec<_> = owners.iter().map(sign).collect();
    let keys: Vec<Key> = signed.iter().map(|record| *record.key()).collect();
    siege.trials += keys.len();
    let mut requests: BTreeMap<Key, u64> = BTreeMap::new();
    let puts = writers.iter().copied().zip(signed.into_iter().map(Action::Put)).collect();
    carry_out_at(sim, puts, run, |_, event, _| {
        let Event::PutDone(done) = event else { return };
        requests.insert(done.key, done.requests as u64);
    });
    let gets = keys.iter().map(|key| Action::Get(*key, GetMode::Newest));
    carry_out_at(sim, readers.iter().copied().zip(gets).collect(), run, |_, event, _| {
        let Event::GetDone(done) = event else { return };
        siege.found += usize::from(done.record.is_some_and(|record| record.sequence() == sequence));
        let put = requests.get(&done.key).copied().unwrap_or(0);
        siege.requests.0.push(put + done.requests as u64);
    });
}
