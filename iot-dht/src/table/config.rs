/// How large a [`Table`](crate::Table) grows and whom it admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableConfig {
    pub(super) bucket_size: usize,
    pub(super) replacements: usize,
    pub(super) failures: u8,
    pub(super) subnets: SubnetLimit,
}

impl TableConfig {
    /// The largest bucket that a table can have, in entries.
    pub const MAX_BUCKET_SIZE: usize = 32;

    /// How many entries a bucket holds, 1 to 32; 20 by default.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn bucket_size(mut self, entries: usize) -> Self {
        assert!((1..=Self::MAX_BUCKET_SIZE).contains(&entries), "a bucket holds 1 to 32 entries, not {entries}");
        self.bucket_size = entries;
        self
    }

    /// How many candidates wait for a place, over all buckets, 0 to 1,024; 64 by default. The candidate that was heard
    /// from least recently makes room for a new one.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn replacements(mut self, entries: usize) -> Self {
        assert!(entries <= 1024, "at most 1024 replacements, not {entries}");
        self.replacements = entries;
        self
    }

    /// After how many unanswered requests in a row an entry may be replaced, 1 to 255; 2 by default.
    ///
    /// # Panics
    /// When the number is 0.
    pub fn failures(mut self, requests: u8) -> Self {
        assert!(requests > 0, "an entry that answers is not replaced");
        self.failures = requests;
        self
    }

    /// What [`failures`](Self::failures) was set to.
    pub(crate) fn failures_to_replace(&self) -> u8 {
        self.failures
    }

    /// Whether subnets are told apart at all.
    pub(crate) fn limits_subnets(&self) -> bool {
        self.subnets != SubnetLimit::Off
    }

    /// How many entries may share a subnet; 2 a bucket and 10 a table by default.
    pub fn subnets(mut self, limit: SubnetLimit) -> Self {
        self.subnets = limit;
        self
    }
}

impl Default for TableConfig {
    fn default() -> Self {
        Self { bucket_size: 20, replacements: 64, failures: 2, subnets: SubnetLimit::Entries { bucket: 2, table: 10 } }
    }
}

/// How many entries of a table may share an IPv4 /24 or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubnetLimit {
    /// Any number: for networks whose nodes are in one subnet by design, such as tests on loopback. A node then does not
    /// limit what its store takes from a subnet either.
    Off,
    /// So many in each bucket, and so many in the whole table.
    Entries {
        /// The most in one bucket.
        bucket: usize,
        /// The most in the whole table.
        table: usize,
    },
}
