use alloc::boxed::Box;
use core::fmt;

use iot_core::Topic;

/// The topic of a stream in a table, with the stream's other data if it is short.
#[derive(Clone)]
pub struct TopicName(Text);

#[derive(Clone)]
enum Text {
    Inline { len: u8, octets: [u8; TopicName::INLINE_LEN] },
    Long(Box<[u8]>),
}

impl TopicName {
    /// Octets of the longest topic that costs no second access to memory.
    pub const INLINE_LEN: usize = 38;

    pub(super) fn new(topic: Topic<'_>) -> Self {
        let text = topic.as_str().as_bytes();
        let mut octets = [0; Self::INLINE_LEN];
        Self(match octets.get_mut(..text.len()) {
            Some(inline) => {
                inline.copy_from_slice(text);
                Text::Inline { len: text.len() as u8, octets }
            }
            None => Text::Long(text.into()),
        })
    }
}

impl AsRef<[u8]> for TopicName {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Text::Inline { len, octets } => octets.get(..usize::from(*len)).unwrap_or_default(),
            Text::Long(octets) => octets,
        }
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::str::from_utf8(self.as_ref()).unwrap_or_default().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_short_and_long_topics() {
        assert_eq!(size_of::<TopicName>(), 40);
        for len in [1, 37, 38, 39, 300] {
            let text = "a".repeat(len);
            assert_eq!(TopicName::new(Topic::new(&text).unwrap()).as_ref(), text.as_bytes());
        }
    }
}
