//! Attackers on the keys of records, and among the hosts.

use iot_core::Instant;
use iot_dht::sim::study::{self, Siege, Sybils};
use iot_dht::sim::{Shard, Sim};

/// How many keys are attacked at once: few enough that their attackers remain few among all hosts.
const KEYS: usize = 20;

/// How many records are put at each key, and asked for.
const TRIALS: usize = 10;

/// The two-sided 95 % quantile of the normal distribution.
const QUANTILE: f64 = 1.96;

/// Has so many attackers placed on each key, `trials` times in all.
pub fn sybils(sim: &mut Sim, each: usize, trials: usize, run: &mut impl FnMut(&mut [Shard], Instant)) -> Siege {
    let mut siege = Siege::default();
    while siege.trials < trials {
        let keys = KEYS.min((trials - siege.trials).div_ceil(TRIALS));
        study::besiege(sim, Sybils { keys, each, trials: TRIALS }, &mut siege, run);
    }
    siege
}

/// Has an attacker take over this share of the hosts.
pub fn colluders(sim: &mut Sim, share: f64, trials: usize, run: &mut impl FnMut(&mut [Shard], Instant)) -> Siege {
    let mut siege = Siege::default();
    study::collude(sim, share, run);
    let owners: Vec<_> = (0..trials as u64).map(|n| sim.key(n)).collect();
    study::try_records(sim, &owners, 1, &mut siege, run);
    siege
}

/// Prints what came of it.
pub fn print(siege: &Siege) {
    let Siege { trials, found, requests } = siege;
    let (share, bound) = (*found as f64 / *trials as f64, lower_bound(*found, *trials));
    println!("found what was put       {found} of {trials}, {:.2} %, at least {:.2} %", share * 100.0, bound * 100.0);
    println!(
        "requests, put and get    mean {:.1}, p50 {}, p99 {}, most {}",
        requests.mean(),
        requests.median(),
        requests.at(0.99),
        requests.greatest()
    );
}

/// The lower end of the 95 % interval of a share (Wilson, 1927).
fn lower_bound(found: usize, trials: usize) -> f64 {
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
