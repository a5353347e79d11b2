use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;

use crate::node::Node;
use crate::sim::study::Draw;
use crate::sim::{Action, Shard, Sim};
use crate::wire::{Body, FindNode, Message, Role};

/// Requests that nobody needs, to one host from many.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// How many hosts send them, each from an address of its own.
    pub hosts: usize,
    /// How many each sends in a second, 1 to 1,000,000.
    pub rate: u32,
    /// For how long, in seconds.
    pub seconds: u32,
}

/// What a host made of a [`Flood`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flooded {
    /// Requests that were sent to it.
    pub requests: u64,
    /// Requests that it answered while the flood lasted, those of others included.
    pub served: u64,
    /// Requests that it let fall, because their address had asked too often.
    pub refused: u64,
    /// Octets that came to it, and that it sent.
    pub octets_in: u64,
    /// See [`octets_in`](Self::octets_in).
    pub octets_out: u64,
}

/// Has hosts drawn at random, or all if there are not so many, flood another with searches.
///
/// # Panics
///
/// When nobody is there to be flooded.
pub fn flood(sim: &mut Sim, plan: Flood, run: &mut impl FnMut(&mut [Shard], Instant)) -> Flooded {
    let mut hosts = sim.honest_hosts();
    let mut draw = |sim: &Sim, n: usize| {
        let place = sim.draw(&[Draw::Victim as u64, n as u64], hosts.len());
        hosts.swap_remove(place)
    };
    let victim = draw(sim, 0);
    let count = plan.hosts.min(sim.honest_hosts().len() - 1);
    let flooders: Vec<_> = (1..=count).map(|n| draw(sim, n)).collect();
    let stats = |sim: &Sim| sim.node(victim).map(Node::stats).unwrap_or_default();
    let before = stats(sim);
    let each = u64::from(plan.rate) * u64::from(plan.seconds);
    for flooder in &flooders {
        for n in 0..each {
            let at = sim.now().saturating_add(Duration::from_micros(n * 1_000_000 / u64::from(plan.rate)));
            let (sender, target) = (sim.identity(*flooder), sim.point(u64::from(flooder.number()) << 32 | n));
            let body = Body::FindNode(FindNode { target, key: None });
            let question = Message::new(0, n.to_be_bytes(), sender, Role::Client, body).encode();
            sim.plan(at, *flooder, Action::Say(victim, question.into()));
        }
    }
    sim.run_until(sim.now().saturating_add(Duration::from_secs(u64::from(plan.seconds) + 1)), run);
    let after = stats(sim);
    Flooded {
        requests: each * flooders.len() as u64,
        served: after.served - before.served,
        refused: after.rate_limited - before.rate_limited,
        octets_in: after.octets_in - before.octets_in,
        octets_out: after.octets_out - before.octets_out,
    }
}
