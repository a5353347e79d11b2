use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;

use super::settings::{Link, Settings};

/// A message that is sent until somebody says that it has arrived.
pub(super) struct Retry {
    message: Vec<u8>,
    link: Link,
    is_due: bool,
    sent: u32,
    attempts: u32,
    delay: Duration,
    at: Instant,
}

/// All attempts are used up.
pub(super) struct Exhausted;

impl Retry {
    /// To be sent now for the first time.
    pub(super) fn new(message: Vec<u8>, settings: &Settings, now: Instant) -> Self {
        let (delay, attempts) = (settings.retry_delay, settings.attempts);
        let at = now.saturating_add(delay);
        Self { message, link: settings.link, is_due: true, sent: 1, attempts, delay, at }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Exhausted> {
        if now < self.at {
            return Ok(());
        }
        if self.sent >= self.attempts {
            return Err(Exhausted);
        }
        self.sent += 1;
        self.delay = self.delay.saturating_mul(2);
        self.at = now.saturating_add(self.delay);
        self.is_due = self.is_due || self.link == Link::Datagrams;
        Ok(())
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        core::mem::take(&mut self.is_due).then(|| self.message.clone())
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.at
    }

    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }
}
