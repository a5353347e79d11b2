use alloc::vec;
use alloc::vec::Vec;

use iot_core::Instant;

use crate::sim::adversary::Lead;
use crate::sim::study::siege::{SIEGE, SYBIL_BITS, Siege, dismiss, infiltrate, try_once};
use crate::sim::study::{Draw, number};
use crate::sim::{Action, Host, Reach, Shard, Sim};
use crate::wire::Role;

/// An attack on hosts that join: an attacker who knows who they will be waits next to them.
#[derive(Clone, Copy, Debug)]
pub struct Eclipse {
    /// How many hosts join, one beside the other.
    pub victims: usize,
    /// How many hosts the attacker places next to each: all of its neighbours.
    pub each: usize,
    /// Whom each knows when it joins.
    pub bootstraps: Bootstraps,
}

/// Whom a host that is attacked knows when it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstraps {
    /// One host of the attacker's, and nobody else.
    Attacker,
    /// One of the attacker's, and an honest one.
    AttackerAndHonest,
}

/// What came of an [`Eclipse`].
#[derive(Clone, Debug, Default)]
pub struct Eclipsed {
    /// Records that the victims put, and that others asked for.
    pub written: Siege,
    /// Records that others put, and that the victims asked for.
    pub read: Siege,
    /// Entries of the victims' tables, and how many of them are attackers.
    pub entries: usize,
    /// See [`entries`](Self::entries).
    pub attackers: usize,
}

/// Has an attacker surround hosts that join, which then put a record each and get another. The attackers of one victim have
/// one leader; all leave afterwards.
///
/// # Panics
///
/// Beyond [`Host::MAX`].
pub fn eclipse(
    sim: &mut Sim,
    plan: Eclipse,
    lead: Lead<'_>,
    eclipsed: &mut Eclipsed,
    run: &mut impl FnMut(&mut [Shard], Instant),
) {
    let honest = sim.honest_hosts();
    let victims: Vec<_> = (0..plan.victims).map(|_| sim.host()).collect();
    let surround = |victim: &Host| infiltrate(sim, &sim.identity(*victim), SYBIL_BITS, plan.each, lead);
    let attackers: Vec<Vec<Host>> = victims.iter().map(surround).collect();
    sim.run_until(sim.now().saturating_add(SIEGE), run);

    for (n, (victim, attackers)) in victims.iter().zip(&attackers).enumerate() {
        let known = honest[sim.draw(&[Draw::Host as u64, number(sim, n)], honest.len())];
        let mut bootstraps: Vec<_> = attackers.first().copied().into_iter().collect();
        if plan.bootstraps == Bootstraps::AttackerAndHonest {
            bootstraps.push(known);
        }
        sim.plan(sim.now(), *victim, Action::Join { role: Role::Server, reach: Reach::Open, through: None });
        sim.plan(sim.now(), *victim, Action::Bootstrap(bootstraps));
    }
    sim.run_until(sim.now().saturating_add(SIEGE), run);

    for (victim, attackers) in victims.iter().zip(&attackers) {
        let Some(node) = sim.node(*victim) else { continue };
        eclipsed.entries += node.table().len();
        let is_attacker = |address| attackers.iter().any(|attacker| attacker.address() == address);
        eclipsed.attackers += node.table().entries().iter().filter(|entry| is_attacker(entry.address())).count();
    }
    let owners = |sim: &Sim, half: u64| -> Vec<_> {
        victims.iter().map(|victim| sim.key(half << 32 | u64::from(victim.number()))).collect()
    };
    // A host that is attacked must not stand in for anybody.
    let others: Vec<_> = (0..victims.len()).map(|n| Some(honest[n % honest.len()])).collect();
    let themselves: Vec<_> = victims.iter().copied().map(Some).collect();
    let (mine, theirs) = (owners(sim, 1), owners(sim, 2));
    try_once(sim, &mine, 1, &themselves, &others, &mut eclipsed.written, run);
    try_once(sim, &theirs, 1, &others, &themselves, &mut eclipsed.read, run);
    let gone = vec![victims].into_iter().chain(attackers).flatten().collect();
    dismiss(sim, gone, run);
}
