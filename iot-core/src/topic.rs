mod filter;
mod matching;

#[cfg(test)]
mod tests;

use core::fmt;
use core::str::Split;

use thiserror::Error;

pub use self::filter::{SharedFilter, TopicFilter, TopicFilterError};
use crate::limits::{OutOfRange, TOPIC_BYTES, TOPIC_LEVELS};

/// The name of one subject that messages are about, such as `plant/7/boiler/12`: a topic name of MQTT 5 §4.7.
///
/// At least one character, no `+`, no `#`, no U+0000, at most [`TOPIC_BYTES`] octets. Levels stand between `/`; an empty
/// level is a level, so `a`, `a/` and `/a` are three topics. Letters are compared octet by octet: case matters, and
/// nothing is normalised. Control characters, which MQTT 5 §1.5.4 lets a receiver refuse, are accepted.
///
/// Order and equality are those of the text.
///
/// ```
/// use iot_core::Topic;
///
/// let topic = Topic::new("plant/7/boiler/12")?;
/// assert_eq!(topic.levels().nth(2), Some("boiler"));
/// assert!(Topic::new("plant/+").is_err());
/// # Ok::<(), iot_core::TopicError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic<'a>(&'a str);

impl<'a> Topic<'a> {
    /// Checks a topic against the rules of MQTT 5 §4.7 and no narrower limit.
    ///
    /// # Errors
    ///
    /// [`TopicError`] says which rule is broken, and where.
    pub const fn new(text: &'a str) -> Result<Self, TopicError> {
        Self::with_limits(text, &TopicLimits::DEFAULT)
    }

    /// Checks a topic against the rules of MQTT 5 §4.7 and the caller's limits.
    ///
    /// # Errors
    ///
    /// [`TopicError`] says which rule is broken, and where.
    pub const fn with_limits(text: &'a str, limits: &TopicLimits) -> Result<Self, TopicError> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err(TopicError::Empty);
        }
        if bytes.len() > limits.bytes as usize {
            return Err(TopicError::TooLong { len: bytes.len(), max: limits.bytes });
        }
        let mut levels = 1;
        let mut offset = 0;
        while offset < bytes.len() {
            match bytes[offset] {
                0 => return Err(TopicError::Nul { offset }),
                wildcard @ (b'+' | b'#') => return Err(TopicError::Wildcard { wildcard: wildcard as char, offset }),
                b'/' => levels += 1,
                _ => {}
            }
            offset += 1;
        }
        if levels > limits.levels {
            return Err(TopicError::TooManyLevels { count: levels, max: limits.levels });
        }
        Ok(Self(text))
    }

    /// The text, as it was given.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// The levels, first to last, empty ones included; there is at least one.
    pub fn levels(&self) -> Split<'a, char> {
        self.0.split('/')
    }

    /// Whether the topic begins with `$`, so that no filter with a wildcard in its first level matches it
    /// (MQTT 5 §4.7.2).
    pub const fn is_reserved(&self) -> bool {
        matches!(self.0.as_bytes(), [b'$', ..])
    }
}

impl<'a> TryFrom<&'a str> for Topic<'a> {
    type Error = TopicError;

    fn try_from(text: &'a str) -> Result<Self, TopicError> {
        Self::new(text)
    }
}

impl AsRef<str> for Topic<'_> {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// How long a topic or a filter may be, where an application wants less than MQTT allows.
///
/// ```
/// use iot_core::{Topic, TopicLimits};
///
/// let limits = TopicLimits::default().bytes(64)?.levels(4)?;
/// assert!(Topic::with_limits("plant/7/boiler/12", &limits).is_ok());
/// assert!(Topic::with_limits("plant/7/boiler/12/valve", &limits).is_err());
/// # Ok::<(), iot_core::limits::OutOfRange>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicLimits {
    bytes: u16,
    levels: u32,
}

impl TopicLimits {
    const DEFAULT: Self = Self { bytes: TOPIC_BYTES, levels: TOPIC_LEVELS };

    /// The longest text in octets: 1 to [`TOPIC_BYTES`], which is the default. Of a [`SharedFilter`], the whole text
    /// counts.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for 0.
    pub const fn bytes(mut self, max: u16) -> Result<Self, OutOfRange> {
        if max == 0 {
            return Err(OutOfRange { setting: "topic bytes", value: 0, min: 1, max: TOPIC_BYTES as u64 });
        }
        self.bytes = max;
        Ok(self)
    }

    /// The most levels: 1 to [`TOPIC_LEVELS`], which is the default and so no limit. Of a [`SharedFilter`], the levels
    /// of the filter inside count.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for 0 and above [`TOPIC_LEVELS`].
    pub const fn levels(mut self, max: u32) -> Result<Self, OutOfRange> {
        if max == 0 || max > TOPIC_LEVELS {
            let (value, max) = (max as u64, TOPIC_LEVELS as u64);
            return Err(OutOfRange { setting: "topic levels", value, min: 1, max });
        }
        self.levels = max;
        Ok(self)
    }
}

impl Default for TopicLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a text is not a [`Topic`]: malformed input, or longer than a limit. Offsets count octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum TopicError {
    /// A topic has at least one character (MQTT 5 §4.7.3).
    #[error("topic is empty")]
    Empty,
    /// A limit was reached: the text is too long.
    #[error("topic has {len} octets, more than {max}")]
    TooLong {
        /// Octets of the text.
        len: usize,
        /// The limit.
        max: u16,
    },
    /// A limit was reached: the text has too many levels.
    #[error("topic has {count} levels, more than {max}")]
    TooManyLevels {
        /// Levels of the text.
        count: u32,
        /// The limit.
        max: u32,
    },
    /// U+0000 may not occur (MQTT 5 §4.7.3).
    #[error("U+0000 at offset {offset} of topic")]
    Nul {
        /// Where it stands.
        offset: usize,
    },
    /// Wildcards belong in filters only (MQTT 5 §4.7.1).
    #[error("wildcard {wildcard} at offset {offset} of topic")]
    Wildcard {
        /// `+` or `#`.
        wildcard: char,
        /// Where it stands.
        offset: usize,
    },
}
