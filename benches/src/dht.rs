//! A routing table with 200 entries: the 20 closest to a target, and what it costs to hold. And the long rows: what
//! simulated networks find, with faults and attackers, and what that costs.

mod attacks;
pub mod large;
mod network;
mod plain;
mod searches;
mod tables;
mod weeks;

use std::hint::black_box;

use crate::allocation::counted;
use crate::measure::{Effort, Side, interleaved};
use crate::report::{Failure, Row, RowSpec};
use tables::{Discv5, Libp2p, Ours, RoutingTable};

/// How many entries are asked for.
const CLOSEST: usize = 20;
/// How many entries a table has.
const ENTRIES: usize = 200;
/// How many targets are asked for in turn.
const TARGETS: usize = 64;

/// The rows.
pub const ROWS: &[RowSpec] = &[
    RowSpec { name: "dht/closest", measure: closest },
    RowSpec { name: "dht/closest-near", measure: closest_near },
    RowSpec { name: "dht/memory-empty", measure: memory_empty },
    RowSpec { name: "dht/memory-entry", measure: memory_entry },
];

/// The rows that take long.
pub const LONG_ROWS: &[RowSpec] = &[
    RowSpec { name: "dht/lookup-exact", measure: searches::exact },
    RowSpec { name: "dht/sybil-20", measure: |effort| attacks::sybils(effort, 20, 0.99) },
    RowSpec { name: "dht/sybil-40", measure: |effort| attacks::sybils(effort, 40, 0.97) },
    RowSpec { name: "dht/sybil-admission", measure: attacks::admission },
    RowSpec { name: "dht/colluders", measure: attacks::colluders },
    RowSpec { name: "dht/offline", measure: weeks::offline },
    RowSpec { name: "dht/sim-trace", measure: searches::trace },
    RowSpec { name: "dht/sim-100000", measure: large::time },
    RowSpec { name: "dht/sim-100000-memory", measure: large::memory },
    RowSpec { name: "dht/lookup-dead", measure: large::dead },
    RowSpec { name: "dht/upkeep", measure: weeks::upkeep },
];

/// Where the targets lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Anywhere, as the keys of records do: most answers come from one or two buckets.
    Random,
    /// At the table's own identifier, as when a node looks for its neighbours: every bucket near it is visited.
    Near,
}

/// The 20 closest, taken into space that is used again: ours, `libp2p-kad`, `discv5`.
pub fn closest_sides(targets: Targets) -> Vec<Side<'static>> {
    vec![side::<Ours>("ours", targets), side::<Libp2p>("libp2p-kad", targets), side::<Discv5>("discv5", targets)]
}

fn side<T: RoutingTable + 'static>(name: &'static str, targets: Targets) -> Side<'static> {
    let mut table = T::filled(ENTRIES);
    let targets: Vec<T::Target> = (0..TARGETS)
        .map(|index| match targets {
            Targets::Random => table.target(index as u64),
            Targets::Near => table.own(),
        })
        .collect();
    for target in &targets {
        table.check(target, CLOSEST);
    }
    let mut found = Vec::with_capacity(CLOSEST);
    let mut next = 0;
    Side::new(name, move || {
        next = (next + 1) % TARGETS;
        found.clear();
        table.closest(black_box(&targets[next]), CLOSEST, &mut found);
        black_box(&found).len()
    })
}

/// What `libp2p-kad` takes on the machine of the table for its easiest targets, in seconds: random ones.
const LIBP2P_IN_TABLE: f64 = 2.1e-6;

fn closest(effort: Effort) -> Result<Row, Failure> {
    Ok(Row::scaled(&interleaved(effort, closest_sides(Targets::Random)), 0.4e-6, &[LIBP2P_IN_TABLE]))
}

/// The same bound for the hardest targets. What scales it is still `libp2p-kad` with random ones.
fn closest_near(effort: Effort) -> Result<Row, Failure> {
    let mut sides = vec![side::<Ours>("ours", Targets::Near), side::<Libp2p>("libp2p-kad random", Targets::Random)];
    sides.push(side::<Libp2p>("near", Targets::Near));
    sides.push(side::<Discv5>("discv5 near", Targets::Near));
    Ok(Row::scaled(&interleaved(effort, sides), 0.4e-6, &[LIBP2P_IN_TABLE]))
}

/// What a table without entries holds, itself included.
fn memory_empty(_: Effort) -> Result<Row, Failure> {
    let peers = [("libp2p-kad", held::<Libp2p>(0)), ("discv5", held::<Discv5>(0))];
    Ok(Row::count(held::<Ours>(0), &peers, "B", 2 << 10))
}

/// What an entry adds, the slack of growing included. The peers set all places aside in the empty table, so theirs is
/// the size of a place.
fn memory_entry(_: Effort) -> Result<Row, Failure> {
    let ours = (held::<Ours>(ENTRIES) - held::<Ours>(0)).div_ceil(ENTRIES as u64);
    let peers = [("libp2p-kad", held::<Libp2p>(0) / Libp2p::PLACES), ("discv5", held::<Discv5>(0) / Discv5::PLACES)];
    Ok(Row::count(ours, &peers, "B", 96))
}

fn held<T: RoutingTable>(entries: usize) -> u64 {
    let (table, heap) = counted(|| T::filled(entries));
    size_of_val(&table) as u64 + u64::try_from(heap.live).expect("a table frees only what it has")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_200_entries_and_agree_with_brute_force() {
        for targets in [Targets::Random, Targets::Near] {
            // The sides check themselves against all distances when they are made.
            assert_eq!(closest_sides(targets).len(), 3);
        }
    }

    #[test]
    fn an_empty_peer_is_as_large_as_the_table_says() {
        assert!((1_500_000..2_000_000).contains(&held::<Libp2p>(0)), "{}", held::<Libp2p>(0));
        assert!((300_000..500_000).contains(&held::<Discv5>(0)), "{}", held::<Discv5>(0));
    }
}
