/// How wide and how long a [`Lookup`](crate::Lookup) searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupConfig {
    pub(super) closest: usize,
    pub(super) paths: usize,
    pub(super) parallelism: usize,
    pub(super) requests: usize,
    pub(super) network: Option<u64>,
    pub(super) candidates: usize,
}

impl LookupConfig {
    /// How many of the closest nodes must answer, 1 to 32; 20 by default.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn closest(mut self, nodes: usize) -> Self {
        assert!((1..=32).contains(&nodes), "a lookup ends with 1 to 32 nodes, not {nodes}");
        self.closest = nodes;
        self
    }

    /// What [`closest`](Self::closest) was set to.
    pub(crate) fn end(&self) -> usize {
        self.closest
    }

    /// What [`requests`](Self::requests) was set to.
    pub(crate) fn most(&self) -> usize {
        self.requests
    }

    /// Over how many disjoint paths the search goes, 1 to 8; 1 by default. Each node is asked on one path alone, so those
    /// who lead one path astray do not see the others (Baumgart and Mies, *S/Kademlia*, 2007, §4.4).
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn paths(mut self, paths: usize) -> Self {
        assert!((1..=8).contains(&paths), "a lookup has 1 to 8 paths, not {paths}");
        self.paths = paths;
        self
    }

    /// How many requests each path has under way while it approaches, 1 to 16; 3 by default. Once the closest node that
    /// is known has answered, nobody nearer is to be found through it, and all that remain are asked at once.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn parallelism(mut self, requests: usize) -> Self {
        assert!((1..=16).contains(&requests), "1 to 16 requests at once, not {requests}");
        self.parallelism = requests;
        self
    }

    /// How many nodes the network is taken to have; unknown by default. Where it is known,
    /// - of those who lie much closer together than so many nodes would by chance, a few are asked: within any prefix, four and
    ///   twice as many as are to be expected there. Who places many nodes next to each other cannot fill a search with them.
    /// - whoever lies far from the target is asked about the target, however many closer ones have answered: of the prefix
    ///   that it shares with the target, more nodes are to be expected than anybody can name. Where the size is unknown it
    ///   may be asked about its own surroundings ([`Lookup::point_for`](crate::Lookup::point_for)), which leads nowhere if
    ///   those closer ones were all an attacker's.
    /// - who names nodes that do not answer is believed no further. Of those whom one or two answers name, and no others, one
    ///   is asked until the first has answered; once more than twice as many are silent as have answered, nobody else of
    ///   them is asked. Who is named by three is. So a search for parts of a region reaches nearly all who are there, for few
    ///   requests; one for the very closest would miss some where many are gone whom nobody has missed yet.
    pub fn network(mut self, nodes: u64) -> Self {
        self.network = Some(nodes);
        self
    }

    /// How many nodes it remembers at most, fewer than [`Lookup::CANDIDATES`](crate::Lookup::CANDIDATES).
    pub(crate) fn candidates(mut self, nodes: usize) -> Self {
        self.candidates = nodes;
        self
    }

    /// How many requests a lookup makes at most, 1 to 1,024; 96 by default. A lookup that reaches it ends with what it
    /// has.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn requests(mut self, requests: usize) -> Self {
        assert!((1..=1024).contains(&requests), "a lookup makes 1 to 1024 requests, not {requests}");
        self.requests = requests;
        self
    }
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self { closest: 20, paths: 1, parallelism: 3, requests: 96, network: None, candidates: 128 }
    }
}
