use core::time::Duration;

use crate::record::Record;

/// How long what a [`Publisher`](crate::feed::Publisher) publishes lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublisherConfig {
    pub(super) life: Duration,
    pub(super) renewal: Duration,
    pub(super) pages: usize,
    pub(super) outbox: usize,
}

impl PublisherConfig {
    /// How long a segment lives, 1 second to 29 days; 7 days by default.
    ///
    /// # Panics
    /// When the duration is out of range.
    pub fn life(mut self, life: Duration) -> Self {
        let longest = Record::MAX_LIFE - Duration::from_secs(24 * 60 * 60);
        assert!((Duration::from_secs(1)..=longest).contains(&life), "a segment lives 1 second to 29 days");
        self.life = life;
        self
    }

    /// How soon after one head the next is promised, at least 1 s; 1 hour by default. Call [`renew`](crate::feed::Publisher::renew) at
    /// least that often.
    ///
    /// # Panics
    /// When the duration is shorter.
    pub fn renewal(mut self, renewal: Duration) -> Self {
        assert!(renewal >= Duration::from_secs(1), "a head is renewed once a second at most");
        self.renewal = renewal;
        self
    }

    /// How many full pages of 16 segments the index keeps, 1 to 4,096; 1,024 by default. Beyond that the oldest are
    /// given up though they may still be alive: readers are told that they expired.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn pages(mut self, pages: usize) -> Self {
        assert!((1..=MAX_PAGES).contains(&pages), "an index of 1 to 4096 pages, not {pages}");
        self.pages = pages;
        self
    }

    /// How many records may wait to be confirmed, 3 to 4,096; 64 by default. At the bound
    /// [`seal`](crate::feed::Publisher::seal) and [`flush`](crate::feed::Publisher::flush) refuse.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn outbox(mut self, records: usize) -> Self {
        assert!((3..=MAX_OUTBOX).contains(&records), "an outbox of 3 to 4096 records, not {records}");
        self.outbox = records;
        self
    }
}

impl Default for PublisherConfig {
    fn default() -> Self {
        Self {
            life: Duration::from_secs(7 * 24 * 60 * 60),
            renewal: Duration::from_secs(3600),
            pages: 1024,
            outbox: 64,
        }
    }
}

/// The most records that may wait to be confirmed.
pub(super) const MAX_OUTBOX: usize = 4096;

/// The most pages that the index keeps.
pub(super) const MAX_PAGES: usize = 4096;
