//! Simulated networks that the long rows measure: as `iot dht sim` grows them, on as many threads as the machine has.

use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use iot_core::Instant;
use iot_dht::sim::{Shard, Sim, SimConfig, in_turn, study};
use iot_dht::{NodeConfig, Placement};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// How long a network may settle after its last host has joined.
const SETTLING: Duration = Duration::from_secs(60);

/// Where `iot-dht` puts records unless told otherwise.
pub const REGION: Placement = Placement::Region { nodes: 32 };

/// A network of so many hosts, seed 1, that joined one after the other through the first.
pub fn grown(hosts: u32, placement: Placement) -> Sim {
    settled(config().node(NodeConfig::default().placement(placement)), hosts)
}

/// A network of so many hosts.
pub fn settled(config: SimConfig, hosts: u32) -> Sim {
    let mut sim = Sim::new(config);
    let joined = study::grow(&mut sim, hosts);
    sim.run_until(joined.saturating_add(SETTLING), &mut on_threads);
    sim
}

/// The defaults, with a shard for each thread of the machine.
pub fn config() -> SimConfig {
    SimConfig::default().shards(threads())
}

/// Runs each shard on a thread, always the same, as far as there are threads.
pub fn on_threads(shards: &mut [Shard], end: Instant) {
    static THREADS: LazyLock<ThreadPool> = LazyLock::new(|| {
        let threads = ThreadPoolBuilder::new().num_threads(threads());
        threads.build().expect("the system has as many threads")
    });
    if shards.len() > THREADS.current_num_threads() {
        return in_turn(shards, end);
    }
    let shards: Vec<_> = shards.iter_mut().map(Mutex::new).collect();
    THREADS.broadcast(|thread| {
        if let Some(shard) = shards.get(thread.index()) {
            shard.lock().expect("no other thread has it").run_until(end);
        }
    });
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(64)
}
