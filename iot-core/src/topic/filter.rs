use core::fmt;
use core::str::Split;

use thiserror::Error;

use super::{Topic, TopicLimits, matching};

const SHARE: &str = "$share/";

/// A set of topics, such as `plant/+/boiler/#`: a topic filter of MQTT 5 §4.7.
///
/// `+`, alone in its level, stands for one level, an empty one too. `#`, alone in the last level, stands for all levels
/// from there on, and for none: `sport/#` matches `sport`. A wildcard in the first level does not match topics that
/// begin with `$`. Length and characters are limited as in a [`Topic`].
///
/// A shared subscription (`$share/name/filter`) is a [`SharedFilter`], not one of these.
///
/// Order and equality are those of the text: `#` and `+/#` match the same topics and are two filters. Compare sets by
/// [`is_subset_of`](Self::is_subset_of).
///
/// ```
/// use iot_core::{Topic, TopicFilter};
///
/// let granted = TopicFilter::new("plant/7/#")?;
/// let asked = TopicFilter::new("plant/7/boiler/+")?;
/// assert!(asked.is_subset_of(&granted));
/// assert!(asked.matches(&Topic::new("plant/7/boiler/12")?));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks a filter against the rules of MQTT 5 §4.7 and no narrower limit.
    ///
    /// # Errors
    ///
    /// [`TopicFilterError`] says which rule is broken, and where.
    pub const fn new(text: &'a str) -> Result<Self, TopicFilterError> {
        Self::with_limits(text, &TopicLimits::DEFAULT)
    }

    /// Checks a filter against the rules of MQTT 5 §4.7 and the caller's limits.
    ///
    /// # Errors
    ///
    /// [`TopicFilterError`] says which rule is broken, and where.
    pub const fn with_limits(text: &'a str, limits: &TopicLimits) -> Result<Self, TopicFilterError> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err(TopicFilterError::Empty);
        }
        if bytes.len() > limits.bytes as usize {
            return Err(TopicFilterError::TooLong { len: bytes.len(), max: limits.bytes });
        }
        if is_shared(bytes) {
            return Err(TopicFilterError::Shared);
        }
        let mut levels = 1;
        let mut offset = 0;
        while offset < bytes.len() {
            match bytes[offset] {
                0 => return Err(TopicFilterError::Nul { offset }),
                wildcard @ (b'+' | b'#') if !is_alone(bytes, offset) => {
                    return Err(TopicFilterError::WildcardNotAlone { wildcard: wildcard as char, offset });
                }
                b'#' if offset + 1 < bytes.len() => return Err(TopicFilterError::WildcardNotLast { offset }),
                b'/' => levels += 1,
                _ => {}
            }
            offset += 1;
        }
        if levels > limits.levels {
            return Err(TopicFilterError::TooManyLevels { count: levels, max: limits.levels });
        }
        Ok(Self(text))
    }

    /// Whether the topic is one of those that this filter stands for.
    ///
    /// Takes time in proportion to the shorter of the two texts, and allocates nothing.
    pub fn matches(&self, topic: &Topic<'_>) -> bool {
        matching::matches(self.0.as_bytes(), topic.as_str().as_bytes())
    }

    /// Whether `wide` matches every topic that this filter matches: who holds `wide` may delegate this filter.
    ///
    /// Exact, with the rules for `$`, for the parent of `#` and for empty levels: `#` and `+/#` are subsets of each
    /// other, and so are `/#` and `/+/#`, because no topic is empty. Each filter is a subset of itself.
    ///
    /// Takes time in proportion to the shorter of the two texts, and allocates nothing.
    pub fn is_subset_of(&self, wide: &TopicFilter<'_>) -> bool {
        matching::is_subset(self.0, wide.0)
    }

    /// The text, as it was given.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// The levels, first to last, empty ones and wildcards included; there is at least one.
    pub fn levels(&self) -> Split<'a, char> {
        self.0.split('/')
    }
}

impl<'a> TryFrom<&'a str> for TopicFilter<'a> {
    type Error = TopicFilterError;

    fn try_from(text: &'a str) -> Result<Self, TopicFilterError> {
        Self::new(text)
    }
}

impl AsRef<str> for TopicFilter<'_> {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for TopicFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// A shared subscription, `$share/name/filter` (MQTT 5 §4.8.2): the readers of one name divide its messages.
///
/// Sharing is between a reader and a broker. What may be read is decided by the [filter](Self::filter) inside.
///
/// ```
/// use iot_core::SharedFilter;
///
/// let shared = SharedFilter::new("$share/archivers/plant/#")?;
/// assert_eq!(shared.share_name(), "archivers");
/// assert_eq!(shared.filter().as_str(), "plant/#");
/// # Ok::<(), iot_core::TopicFilterError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedFilter<'a> {
    text: &'a str,
    name: &'a str,
    filter: TopicFilter<'a>,
}

impl<'a> SharedFilter<'a> {
    /// Checks a shared subscription against the rules of MQTT 5 §4.8.2 and no narrower limit.
    ///
    /// # Errors
    ///
    /// As [`with_limits`](Self::with_limits).
    pub fn new(text: &'a str) -> Result<Self, TopicFilterError> {
        Self::with_limits(text, &TopicLimits::DEFAULT)
    }

    /// Checks a shared subscription against the rules of MQTT 5 §4.8.2 and the caller's limits.
    ///
    /// # Errors
    ///
    /// [`TopicFilterError::NotShared`] if the text does not begin with `$share/`, [`TopicFilterError::ShareName`] for a
    /// name that is empty, holds a wildcard or U+0000, or is followed by no filter, and the errors of [`TopicFilter`]
    /// for the filter inside, with offsets into the whole text. A shared subscription inside another is refused as
    /// [`TopicFilterError::Shared`].
    pub fn with_limits(text: &'a str, limits: &TopicLimits) -> Result<Self, TopicFilterError> {
        let rest = text.strip_prefix(SHARE).ok_or(TopicFilterError::NotShared)?;
        if text.len() > usize::from(limits.bytes) {
            return Err(TopicFilterError::TooLong { len: text.len(), max: limits.bytes });
        }
        let (name, filter) =
            rest.split_once('/').ok_or(TopicFilterError::ShareName { offset: SHARE.len() + rest.len() })?;
        if name.is_empty() {
            return Err(TopicFilterError::ShareName { offset: SHARE.len() });
        }
        if let Some(at) = name.bytes().position(|octet| matches!(octet, b'+' | b'#' | 0)) {
            return Err(TopicFilterError::ShareName { offset: SHARE.len() + at });
        }
        let start = text.len() - filter.len();
        let filter = TopicFilter::with_limits(filter, limits).map_err(|error| error.moved_by(start))?;
        Ok(Self { text, name, filter })
    }

    /// The name under which readers divide the messages.
    pub const fn share_name(&self) -> &'a str {
        self.name
    }

    /// Which topics are subscribed to.
    pub const fn filter(&self) -> TopicFilter<'a> {
        self.filter
    }

    /// The whole text, as it was given.
    pub const fn as_str(&self) -> &'a str {
        self.text
    }
}

impl<'a> TryFrom<&'a str> for SharedFilter<'a> {
    type Error = TopicFilterError;

    fn try_from(text: &'a str) -> Result<Self, TopicFilterError> {
        Self::new(text)
    }
}

impl fmt::Display for SharedFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text)
    }
}

/// Why a text is not a [`TopicFilter`] or not a [`SharedFilter`]: malformed input, or longer than a limit. Offsets
/// count octets from the start of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum TopicFilterError {
    /// A filter has at least one character (MQTT 5 §4.7.3).
    #[error("topic filter is empty")]
    Empty,
    /// A limit was reached: the text is too long.
    #[error("topic filter has {len} octets, more than {max}")]
    TooLong {
        /// Octets of the text.
        len: usize,
        /// The limit.
        max: u16,
    },
    /// A limit was reached: the text has too many levels.
    #[error("topic filter has {count} levels, more than {max}")]
    TooManyLevels {
        /// Levels of the filter.
        count: u32,
        /// The limit.
        max: u32,
    },
    /// U+0000 may not occur (MQTT 5 §4.7.3).
    #[error("U+0000 at offset {offset} of topic filter")]
    Nul {
        /// Where it stands.
        offset: usize,
    },
    /// A wildcard fills its level (MQTT 5 §4.7.1).
    #[error("wildcard {wildcard} at offset {offset} of topic filter is not alone in its level")]
    WildcardNotAlone {
        /// `+` or `#`.
        wildcard: char,
        /// Where it stands.
        offset: usize,
    },
    /// `#` is the last level (MQTT 5 §4.7.1.2).
    #[error("wildcard # at offset {offset} of topic filter is not the last level")]
    WildcardNotLast {
        /// Where it stands.
        offset: usize,
    },
    /// A filter may not begin with `$share/`: that is a [`SharedFilter`] (MQTT 5 §4.8.2).
    #[error("topic filter begins with $share/, a shared subscription")]
    Shared,
    /// A shared subscription begins with `$share/` (MQTT 5 §4.8.2).
    #[error("shared subscription does not begin with $share/")]
    NotShared,
    /// The name of a share is not empty, holds no wildcard, and is followed by `/` (MQTT 5 §4.8.2).
    #[error("name of shared subscription is malformed at offset {offset}")]
    ShareName {
        /// Where the first wrong octet stands, or a missing one would.
        offset: usize,
    },
}

impl TopicFilterError {
    fn moved_by(self, octets: usize) -> Self {
        match self {
            Self::Nul { offset } => Self::Nul { offset: offset + octets },
            Self::WildcardNotAlone { wildcard, offset } => Self::WildcardNotAlone { wildcard, offset: offset + octets },
            Self::WildcardNotLast { offset } => Self::WildcardNotLast { offset: offset + octets },
            other => other,
        }
    }
}

const fn is_shared(bytes: &[u8]) -> bool {
    matches!(bytes, [b'$', b's', b'h', b'a', b'r', b'e', b'/', ..])
}

const fn is_alone(bytes: &[u8], offset: usize) -> bool {
    (offset == 0 || bytes[offset - 1] == b'/') && (offset + 1 == bytes.len() || bytes[offset + 1] == b'/')
}
