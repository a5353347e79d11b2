use crate::error::ConfigError;
use crate::log::longest_payload;

/// The least and the most that a segment can have.
pub(crate) const MIN_SEGMENT_LEN: u32 = 4096;
pub(crate) const MAX_SEGMENT_LEN: u32 = 1 << 30;

/// When what is appended becomes durable: when a power cut cannot take it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Before an append returns: one write and one sync for each call, be it of one message or of a batch.
    #[default]
    EachMessage,
    /// When the caller commits. Until then an append outlives the end of its process, kill -9 included, and not the end
    /// of the machine: one write for each call.
    Manual,
}

/// What a queue is made like and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    segment_len: u32,
    segments: u32,
    max_payload: u32,
    max_leases: u32,
    durability: Durability,
}

impl Default for QueueConfig {
    /// 16 segments of 4 MiB, payloads of up to 64 KiB, 65,536 leases, each message durable before its append returns.
    fn default() -> Self {
        Self {
            segment_len: 4 << 20,
            segments: 16,
            max_payload: 64 << 10,
            max_leases: 1 << 16,
            durability: Durability::EachMessage,
        }
    }
}

impl QueueConfig {
    /// Octets of a segment: a multiple of 8 from 4 KiB to 1 GiB that the longest payload fits in. By default 4 MiB.
    ///
    /// Space comes back a segment at a time. Counts when the queue is made; one that exists keeps what it has.
    ///
    /// # Errors
    /// When the value is not possible together with the longest payload.
    pub fn segment_len(self, octets: u32) -> Result<Self, ConfigError> {
        in_range("segment_len", octets, MIN_SEGMENT_LEN, MAX_SEGMENT_LEN)?;
        if !octets.is_multiple_of(crate::format::ALIGNMENT) {
            return Err(ConfigError::Unaligned { value: octets });
        }
        in_range("max_payload", self.max_payload, 1, longest_payload(octets))?;
        Ok(Self { segment_len: octets, ..self })
    }

    /// How many segments there are, from 2 to 65,535. By default 16.
    ///
    /// All of them are allocated when the queue is opened, so that a full disk is met then and not later. A queue that
    /// has more keeps them. At the bound, appends are refused as full.
    ///
    /// # Errors
    /// When the value is out of range.
    pub fn segments(self, count: u32) -> Result<Self, ConfigError> {
        in_range("segments", count, 2, u32::from(u16::MAX))?;
        Ok(Self { segments: count, ..self })
    }

    /// Octets of the longest payload, from 1 to what fits in a segment. By default 64 KiB. Longer ones are refused.
    ///
    /// # Errors
    /// When the value is not possible together with the length of a segment.
    pub fn max_payload(self, octets: u32) -> Result<Self, ConfigError> {
        in_range("max_payload", octets, 1, longest_payload(self.segment_len))?;
        Ok(Self { max_payload: octets, ..self })
    }

    /// How many messages may be leased at a time, from 1. By default 65,536. At the bound, nothing more is handed out
    /// until a lease ends.
    ///
    /// # Errors
    /// When the value is 0.
    pub fn max_leases(self, count: u32) -> Result<Self, ConfigError> {
        in_range("max_leases", count, 1, u32::MAX)?;
        Ok(Self { max_leases: count, ..self })
    }

    /// When what is appended becomes durable. By default before each append returns.
    #[must_use]
    pub const fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    pub(crate) const fn shape(&self) -> (u32, u32) {
        (self.segment_len, self.segments)
    }

    pub(crate) const fn payload_limit(&self) -> u32 {
        self.max_payload
    }

    pub(crate) const fn lease_limit(&self) -> usize {
        self.max_leases as usize
    }

    pub(crate) const fn durability_choice(&self) -> Durability {
        self.durability
    }
}

fn in_range(setting: &'static str, value: u32, least: u32, most: u32) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange { setting, value: value.into(), least: least.into(), most: most.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_impossible_values_where_they_are_set() {
        let config = QueueConfig::default();
        assert!(config.segment_len(4096).is_err(), "64 KiB payloads do not fit");
        assert!(config.max_payload(1024).and_then(|config| config.segment_len(4096)).is_ok());
        assert_eq!(config.segment_len((4 << 20) + 4), Err(ConfigError::Unaligned { value: (4 << 20) + 4 }));
        assert!(config.segments(1).is_err() && config.max_leases(0).is_err() && config.max_payload(4 << 20).is_err());
    }
}
