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
