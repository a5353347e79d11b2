use iot_core::Instant;

use crate::lookup::Lookup;
use crate::node::Node;

/// What of a node to read, in the order in which one leads to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glance {
    /// The node itself.
    Node,
    /// What it points to.
    Tables,
    /// Its operations.
    Operations,
    /// Their lookups.
    Lookups,
    /// Whom those have heard of.
    Candidates,
}

impl Glance {
    pub(crate) const ALL: [Self; 5] = [Self::Node, Self::Tables, Self::Operations, Self::Lookups, Self::Candidates];
}

impl Node {
    /// Reads a little of each line of memory that the next datagram or time-out is likely to need, changes nothing, and
    /// returns a number without a meaning. A processor fetches what several nodes need side by side, as long as no
    /// decision waits for it.
    pub(crate) fn glance(&self, at: Glance) -> u64 {
        let operations = self.operations.values();
        let lookups = operations.clone().flat_map(|operation| &operation.lookups);
        match at {
            Glance::Node => self.glance_at_itself(),
            Glance::Tables => {
                let requests: u64 = self.requests.iter().map(|request| u64::from(request.transaction[0])).sum();
                let first = self.operations.first_key_value().map_or(0, |(id, _)| id.0);
                self.table.glance() + self.limiter.glance() + requests + first
            }
            Glance::Operations => operations.map(|operation| operation.lookups.len() as u64).sum(),
            Glance::Lookups => lookups.map(Lookup::glance).sum(),
            Glance::Candidates => lookups.map(Lookup::glance_at_candidates).sum(),
        }
    }

    fn glance_at_itself(&self) -> u64 {
        let deadlines = [
            self.reach.next_deadline(),
            self.rendezvous.next_deadline(),
            self.links.next_deadline(),
            self.jobs.next_deadline(),
            self.next_upkeep(),
        ];
        let deadlines = deadlines.into_iter().flatten().map(Instant::as_micros);
        let lengths = [
            self.config.requests,
            self.config.operations,
            self.config.replicas,
            self.table.len(),
            self.store.len(),
            self.requests.len(),
            self.operations.len(),
            self.results,
            self.transmits.len(),
            self.events.len(),
            self.limiter.slots(),
        ];
        let counts = self.stats.datagrams_in ^ self.stats.requests ^ self.stats.served ^ self.next_operation;
        lengths.into_iter().map(|length| length as u64).chain(deadlines).fold(counts, u64::wrapping_add)
    }
}
