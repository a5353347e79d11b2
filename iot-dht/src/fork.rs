use crate::record::Record;

/// Two records of one key with one sequence that say different things: the proof that their owner, or a thief of its key,
/// signed one number twice. Anyone can check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The one that came first, which is believed.
    pub believed: Record,
    /// The other.
    pub other: Record,
}

impl Fork {
    /// The fork that two records are, if they are one.
    pub fn of(believed: &Record, other: &Record) -> Option<Self> {
        let is_one = believed.key() == other.key()
            && believed.sequence() == other.sequence()
            && (believed.value() != other.value() || believed.expires() != other.expires());
        is_one.then(|| Self { believed: believed.clone(), other: other.clone() })
    }
}

#[cfg(test)]
mod tests {
    use iot_core::Timestamp;
    use iot_crypto::SigningKey;

    use super::*;

    fn record(owner: u8, name: &[u8], sequence: u64, expires: u64, value: &[u8]) -> Record {
        let key = SigningKey::from_seed(&[owner; 32]);
        Record::sign(&key, name, sequence, Timestamp::from_secs(expires), value).unwrap()
    }

    #[test]
    fn a_fork_is_one_number_for_two_things_and_nothing_else() {
        let first = record(1, b"r", 1, 100, b"value");
        let is_fork = |other: &Record| Fork::of(&first, other).is_some();
        let other = record(1, b"r", 1, 100, b"other");
        assert_eq!(Fork::of(&first, &other), Some(Fork { believed: first.clone(), other: other.clone() }));
        assert!(is_fork(&record(1, b"r", 1, 101, b"value")), "it lives longer");
        assert!(!is_fork(&first), "the same twice");
        assert!(!is_fork(&record(1, b"r", 2, 100, b"other")), "the next");
        assert!(!is_fork(&record(1, b"s", 1, 100, b"other")), "of another name");
        assert!(!is_fork(&record(2, b"r", 1, 100, b"other")), "of another owner");
    }
}
