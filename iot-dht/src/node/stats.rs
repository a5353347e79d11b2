use crate::rejection::Rejections;

/// What a [`Node`](crate::Node) has counted since it was made, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams that came in.
    pub datagrams_in: u64,
    /// Datagrams that went out.
    pub datagrams_out: u64,
    /// Octets that came in.
    pub octets_in: u64,
    /// Octets that went out.
    pub octets_out: u64,
    /// Requests that were sent, each counted once.
    pub requests: u64,
    /// Requests that were sent again.
    pub retransmits: u64,
    /// Requests that were given up.
    pub timeouts: u64,
    /// Lookups that ended, those of the node's upkeep included.
    pub lookups: u64,
    /// Records that were fetched from neighbours.
    pub fetched: u64,
    /// Requests that were answered.
    pub served: u64,
    /// Datagrams that were no message of this version.
    pub malformed: u64,
    /// Messages of another network.
    pub other_overlay: u64,
    /// Answers that nobody had asked for, or not at that address.
    pub unsolicited: u64,
    /// Answers whose sender was not the node that was asked.
    pub impostors: u64,
    /// Answers and introductions of nodes that did not prove who they are.
    pub unproven: u64,
    /// Those of them that proved who they are, and showed nothing by which they may be nodes.
    pub not_admitted: u64,
    /// Requests that were to be asked again with a cookie.
    pub retries: u64,
    /// Datagrams dropped because their signatures were not verified in time, or too many waited for that.
    pub verifications_dropped: u64,
    /// Answers to something else than was asked.
    pub mismatched: u64,
    /// Requests that came to this node though it is a client.
    pub ignored: u64,
    /// Requests dropped because their address sent too many.
    pub rate_limited: u64,
    /// Datagrams dropped because too many waited to be sent.
    pub transmits_dropped: u64,
    /// Events dropped because too many waited to be fetched.
    pub events_dropped: u64,
    /// Pairs of nodes that this node has introduced to each other.
    pub introduced: u64,
    /// Datagrams that it has carried between two of them.
    pub carried: u64,
    /// Octets of these.
    pub octets_carried: u64,
    /// Records refused as answers to this node's questions.
    pub rejected_as_reader: Rejections,
    /// Records that this node refused to store.
    pub rejected_as_store: Rejections,
    /// Records stored now.
    pub records: usize,
    /// Octets of the records stored now.
    pub record_octets: usize,
    /// Entries of the table now.
    pub nodes: usize,
}
