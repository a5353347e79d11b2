use core::time::Duration;

use iot_core::Timestamp;

/// What carries a session's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Loses, repeats and reorders messages, and anybody may add some. What a handshake refuses, it passes over.
    Datagrams,
    /// Delivers each message once and in order, in a framing that keeps them apart. Nothing is sent again, and a
    /// handshake ends with the first message that it refuses.
    Stream,
}

/// How a handshake goes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(super) link: Link,
    pub(super) retry_delay: Duration,
    pub(super) attempts: u32,
    pub(super) first_len: usize,
    pub(super) max_refused: u32,
}

/// A value that a setting does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value} is not between {least} and {most}")]
pub struct SettingError {
    /// The value, of a duration in milliseconds.
    pub value: u64,
    /// The least that is taken.
    pub least: u64,
    /// The most.
    pub most: u64,
}

fn check(value: u64, least: u64, most: u64) -> Result<(), SettingError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(SettingError { value, least, most }) }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            link: Link::Datagrams,
            retry_delay: Duration::from_secs(1),
            attempts: 6,
            first_len: 384,
            max_refused: 32,
        }
    }
}

impl Settings {
    /// What carries the messages. Default: datagrams.
    #[must_use]
    pub const fn with_link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// After what time a message is sent again the first time; each time after that it is twice as long. Default: a
    /// second.
    ///
    /// # Errors
    ///
    /// [`SettingError`] outside of 10 milliseconds to a minute.
    pub fn with_retry_delay(mut self, delay: Duration) -> Result<Self, SettingError> {
        check(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), 10, 60_000)?;
        self.retry_delay = delay;
        Ok(self)
    }

    /// How often a message is sent in all before the handshake fails. Default: 6, which with the default delay is 63
    /// seconds.
    ///
    /// # Errors
    ///
    /// [`SettingError`] outside of 1 to 16.
    pub fn with_attempts(mut self, attempts: u32) -> Result<Self, SettingError> {
        check(attempts.into(), 1, 16)?;
        self.attempts = attempts;
        Ok(self)
    }

    /// To how many octets the first message is filled up, because a responder answers with three times as many at most.
    /// Default: 384, enough for an answer with the longest succession.
    ///
    /// # Errors
    ///
    /// [`SettingError`] outside of 64 to 1024.
    pub fn with_first_len(mut self, len: usize) -> Result<Self, SettingError> {
        check(u64::try_from(len).unwrap_or(u64::MAX), 64, 1024)?;
        self.first_len = len;
        Ok(self)
    }

    /// How many messages a handshake over datagrams refuses before it fails. Each may cost up to four key agreements.
    /// Default: 32. Whoever can see the identifier of a session can use them up, and could as well drop what is sent.
    ///
    /// # Errors
    ///
    /// [`SettingError`] for more than 1000.
    pub fn with_max_refused(mut self, max_refused: u32) -> Result<Self, SettingError> {
        check(max_refused.into(), 0, 1000)?;
        self.max_refused = max_refused;
        Ok(self)
    }

    /// How long a handshake may take: the delays of all attempts.
    pub(super) fn patience(&self) -> Duration {
        self.retry_delay.saturating_mul((1 << self.attempts) - 1)
    }
}

/// In what a handshake takes place.
#[derive(Clone, Copy, Debug)]
pub struct Context<'o> {
    pub(super) overlay: &'o [u8],
    pub(super) at: Timestamp,
    pub(super) settings: Settings,
}

impl<'o> Context<'o> {
    /// In an overlay: a name that both sides know, so that a handshake meant for one deployment fails in another. At a
    /// time: a bundle that has expired then is refused. A device without a clock passes the latest time that it has
    /// seen signed.
    pub fn new(overlay: &'o [u8], at: Timestamp) -> Self {
        Self { overlay, at, settings: Settings::default() }
    }

    /// With other settings than the default ones.
    #[must_use]
    pub const fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }
}
