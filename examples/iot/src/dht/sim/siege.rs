//! Attackers on the keys of records, among the hosts, and around those that join.

use std::str::FromStr;
use std::sync::Arc;

use iot_core::Instant;
use iot_dht::Peer;
use iot_dht::sim::adversary::{Adversary, Gang, Liar, Mute, Withholder};
use iot_dht::sim::study::{self, Bootstraps, Eclipse, Eclipsed, Flood, Flooded, Siege, Spread};
use iot_dht::sim::{Shard, Sim};

/// How many hosts join at once among attackers at most.
const VICTIMS: usize = 20;

/// Attackers remain few among all hosts: one in so many, unless a single victim takes more.
const FEW: usize = 25;

/// The two-sided 95 % quantile of the normal distribution.
const QUANTILE: f64 = 1.96;

/// For how long a host is flooded, in seconds.
const FLOOD: u32 = 10;

/// What attackers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    Gang,
    Withholder,
    Liar,
    ThinLiar,
    AgreeingLiar,
    Mute,
}

impl Attack {
    fn lead(self, members: Vec<Peer<32>>) -> Arc<dyn Adversary> {
        match self {
            Self::Gang => Arc::new(Gang::new(members)),
            Self::Withholder => Arc::new(Withholder),
            Self::Liar => Arc::new(Liar::sharing(40)),
            // Where a third of the hosts lies, two of theirs stand in the place of each host.
            Self::ThinLiar => Arc::new(Liar::sharing(members.len().max(2).ilog2() as usize - 1)),
            Self::AgreeingLiar => Arc::new(Liar::sharing(40).agreeing()),
            Self::Mute => Arc::new(Mute),
        }
    }
}

impl FromStr for Attack {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "gang" => Ok(Self::Gang),
            "withholder" => Ok(Self::Withholder),
            "liar" => Ok(Self::Liar),
            "thin-liar" => Ok(Self::ThinLiar),
            "agreeing-liar" => Ok(Self::AgreeingLiar),
            "mute" => Ok(Self::Mute),
            _ => Err("the attacks are gang, withholder, liar, thin-liar, agreeing-liar and mute".into()),
        }
    }
}

/// Has so many attackers placed around each key, `trials` times in all.
pub fn sybils(
    sim: &mut Sim,
    attack: Attack,
    each: usize,
    spread: Spread,
    trials: usize,
    run: &mut impl FnMut(&mut [Shard], Instant),
) -> Siege {
    study::besiege_many(sim, each, spread, trials, &|members| attack.lead(members), run)
}

/// Has an attacker take over this share of the hosts.
pub fn colluders(
    sim: &mut Sim,
    attack: Attack,
    share: f64,
    trials: usize,
    run: &mut impl FnMut(&mut [Shard], Instant),
) -> Siege {
    let mut siege = Siege::default();
    study::collude(sim, share, &|members| attack.lead(members), run);
    let owners: Vec<_> = (0..trials as u64).map(|n| sim.key(n)).collect();
    study::try_records(sim, &owners, 1, &mut siege, run);
    siege
}

/// Has hosts join whose neighbours are all an attacker's: first such that know an honest host beside one of the
/// attacker's, then as many that know nobody honest.
pub fn eclipse(sim: &mut Sim, attack: Attack, each: usize, trials: usize, run: &mut impl FnMut(&mut [Shard], Instant)) {
    let at_once = (sim.hosts().len() / FEW / each.max(1)).clamp(1, VICTIMS);
    for (who, bootstraps) in
        [("knew an honest host", Bootstraps::AttackerAndHonest), ("knew an attacker alone", Bootstraps::Attacker)]
    {
        let mut eclipsed = Eclipsed::default();
        while eclipsed.written.trials < trials {
            let plan = Eclipse { victims: at_once.min(trials - eclipsed.written.trials), each, bootstraps };
            study::eclipse(sim, plan, &|members| attack.lead(members), &mut eclipsed, run);
        }
        say!("{who}");
        let per_victim = |count: usize| count as f64 / eclipsed.written.trials as f64;
        say!(
            "entries of a table       {:.1}, of which attackers {:.1}",
            per_victim(eclipsed.entries),
            per_victim(eclipsed.attackers)
        );
        say!("put by those who joined");
        print(&eclipsed.written);
        say!("got by those who joined");
        print(&eclipsed.read);
    }
}

/// Has so many hosts flood one, each at a tenth, once, ten and a hundred times the rate that one address may ask at.
pub fn flood(sim: &mut Sim, hosts: usize, run: &mut impl FnMut(&mut [Shard], Instant)) {
    for rate in [10, 100, 1000, 10_000] {
        let Flooded { requests, served, refused, octets_in, octets_out } =
            study::flood(sim, Flood { hosts, rate, seconds: FLOOD }, run);
        say!("{rate:>6} requests a second from each of {hosts} hosts, for {FLOOD} s");
        say!("answered                 {served} of {requests}, {:.1} a host and second", {
            served as f64 / hosts as f64 / f64::from(FLOOD)
        });
        say!("let fall                 {refused}");
        say!("octets in and out        {octets_in} {octets_out}");
    }
}

/// Prints what came of it.
pub fn print(siege: &Siege) {
    let Siege { trials, found, requests } = siege;
    let (share, bound) = (*found as f64 / *trials as f64, lower_bound(*found, *trials));
    say!("found what was put       {found} of {trials}, {:.2} %, at least {:.2} %", share * 100.0, bound * 100.0);
    say!(
        "requests, put and get    mean {:.1}, p50 {}, p99 {}, most {}",
        requests.mean(),
        requests.median(),
        requests.at(0.99),
        requests.greatest()
    );
}

/// The lower end of the 95 % interval of a share (Wilson, 1927).
pub fn lower_bound(found: usize, trials: usize) -> f64 {
    let (n, z) = (trials as f64, QUANTILE);
    let p = found as f64 / n;
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    (p + z * z / (2.0 * n) - spread) / (1.0 + z * z / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5,000 of 5,000 leave room for one in 1,300; the interval of 81 of 263 is the example of Newcombe, 1998, table I.
    #[test]
    fn the_bound_is_that_of_wilson() {
        assert!((lower_bound(5000, 5000) - 0.999_232).abs() < 1e-6);
        assert!((lower_bound(81, 263) - 0.2553).abs() < 1e-4);
    }
}
