//! What it costs a host to keep records while others come and go.

use std::time::Duration;

use iot_core::Instant;
use iot_dht::sim::study::{self, Upkeep};
use iot_dht::sim::{Shard, Sim};

/// Octets of the headers of IPv4 and UDP, which the network carries beside each datagram.
const HEADERS: f64 = 28.0;

/// How long the network is watched before anybody leaves.
const AT_REST: Duration = Duration::from_secs(1200);

const HOUR: Duration = Duration::from_secs(3600);

/// Has each host hold so many records, watches what upkeep costs, at rest and while half of the hosts are replaced within
/// an hour, and asks for some of the records.
pub fn measure(sim: &mut Sim, each: usize, gets: usize, run: &mut impl FnMut(&mut [Shard], Instant)) {
    let keys = study::lay_out(sim, each, run);
    say!("records                  {}", keys.len());
    print("at rest", &study::keep_up(sim, &keys, 0.0, AT_REST, run));
    print("half replaced in 1 h", &study::keep_up(sim, &keys, 0.5, HOUR, run));
    let found = study::get_some(sim, &keys, gets, run);
    say!("gets found               {found} of {gets}");
}

fn print(when: &str, upkeep: &Upkeep) {
    let Upkeep { octets, datagrams, held, copies, in_place } = upkeep;
    say!("{when}");
    say!("sent a host and second   {octets:.0} octets in {datagrams:.2} datagrams");
    say!("with headers             {:.0} octets, and as many received", octets + HEADERS * datagrams);
    say!("records a host holds     mean {:.0}, p50 {}, most {}", held.mean(), held.median(), held.greatest());
    say!("copies, least and median {} {}", copies.at(0.0), copies.median());
    say!("records that nobody has  {}", copies.none());
    say!("records in their place   {:.3} %", in_place * 100.0);
}
