/// How much a [`Store`](crate::Store) keeps, in all and of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    pub(super) records: usize,
    pub(super) octets: usize,
    pub(super) owner_records: usize,
    pub(super) owner_octets: usize,
    pub(super) subnet_records: usize,
    pub(super) subnet_octets: usize,
}

impl StoreConfig {
    /// How many records the store keeps, at least 1; 4,096 by default.
    ///
    /// # Panics
    /// When the number is 0.
    pub fn records(mut self, records: usize) -> Self {
        assert!(records > 0, "a store keeps at least one record");
        self.records = records;
        self
    }

    /// How many octets of records the store keeps, at least [`Record::MAX_LEN`](crate::Record::MAX_LEN); 4 MiB by
    /// default.
    ///
    /// # Panics
    /// When the number is too small for one record.
    pub fn octets(mut self, octets: usize) -> Self {
        assert!(octets >= crate::Record::MAX_LEN, "{octets} octets cannot hold a record");
        self.octets = octets;
        self
    }

    /// How many records of one owner the store keeps, at least 1; 1,024 by default.
    ///
    /// # Panics
    /// When the number is 0.
    pub fn owner_records(mut self, records: usize) -> Self {
        assert!(records > 0, "an owner has at least one record");
        self.owner_records = records;
        self
    }

    /// How many octets of one owner's records the store keeps, at least
    /// [`Record::MAX_LEN`](crate::Record::MAX_LEN); 1 MiB by default.
    ///
    /// # Panics
    /// When the number is too small for one record.
    pub fn owner_octets(mut self, octets: usize) -> Self {
        assert!(octets >= crate::Record::MAX_LEN, "{octets} octets cannot hold a record");
        self.owner_octets = octets;
        self
    }

    /// How many records the store keeps that came from one subnet, an IPv4 /24 or an IPv6 /64, at least 1; 2,048 by default.
    /// Neighbours pass on what they store, so the least that makes sense is what one node stores.
    ///
    /// # Panics
    /// When the number is 0.
    pub fn subnet_records(mut self, records: usize) -> Self {
        assert!(records > 0, "a subnet brings at least one record");
        self.subnet_records = records;
        self
    }

    /// How many octets of records the store keeps that came from one subnet, at least
    /// [`Record::MAX_LEN`](crate::Record::MAX_LEN); 2 MiB by default.
    ///
    /// # Panics
    /// When the number is too small for one record.
    pub fn subnet_octets(mut self, octets: usize) -> Self {
        assert!(octets >= crate::Record::MAX_LEN, "{octets} octets cannot hold a record");
        self.subnet_octets = octets;
        self
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        let (owner_records, owner_octets) = (1024, 1 << 20);
        let (subnet_records, subnet_octets) = (2048, 2 << 20);
        Self { records: 4096, octets: 4 << 20, owner_records, owner_octets, subnet_records, subnet_octets }
    }
}
