use core::time::Duration;

/// How eagerly a [`Reader`](crate::feed::Reader) reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderConfig {
    pub(super) poll_interval: Duration,
    pub(super) grace: Duration,
    pub(super) retry_delay: Duration,
    pub(super) attempts: u8,
    pub(super) parallel: usize,
    pub(super) pages: usize,
}

impl ReaderConfig {
    /// How often the head is fetched, at least 1 ms; 1 minute by default.
    ///
    /// # Panics
    /// When the duration is shorter.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        assert!(interval >= Duration::from_millis(1), "a poll interval of at least 1 ms");
        self.poll_interval = interval;
        self
    }

    /// How long after the promised time a new head is overdue; 1 minute by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long after a failed fetch the next is tried; 2 s by default.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = delay;
        self
    }

    /// How often a page or a segment is fetched before it counts as unavailable, at least 1; 3 by default.
    ///
    /// # Panics
    /// When the number is 0.
    pub fn attempts(mut self, attempts: u8) -> Self {
        assert!(attempts > 0, "at least one attempt");
        self.attempts = attempts;
        self
    }

    /// How many segments are fetched ahead or wait to be read, 1 to 64; 4 by default.
    ///
    /// # Panics
    /// When the number is out of range.
    pub fn parallel(mut self, segments: usize) -> Self {
        assert!((1..=64).contains(&segments), "1 to 64 segments at once, not {segments}");
        self.parallel = segments;
        self
    }

    /// How many pages of the index are held, at least 1; 64 by default, of about 700 octets. A longer backlog is read
    /// in several walks over the index.
    ///
    /// # Panics
    /// When the number is 0.
    pub fn pages(mut self, pages: usize) -> Self {
        assert!(pages > 0, "at least one page");
        self.pages = pages;
        self
    }
}

impl Default for ReaderConfig {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(60),
            grace: Duration::from_secs(60),
            retry_delay: Duration::from_secs(2),
            attempts: 3,
            parallel: 4,
            pages: 64,
        }
    }
}
