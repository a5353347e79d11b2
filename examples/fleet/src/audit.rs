//! What the server accepted, held against what the devices read.

use std::collections::HashMap;

use crate::input::Reading;

/// How the readings that arrived differ from those that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Readings that arrived as they were sent.
    pub readings: u64,
    /// Sent, and never arrived.
    pub missing: u64,
    /// Arrived once more than they were sent.
    pub duplicated: u64,
    /// Arrived after one that was sent later.
    pub reordered: u64,
    /// Arrived, and were never sent.
    pub forged: u64,
}

impl Audit {
    /// Holds what arrived from one device against what it sent, both in order.
    pub fn compare(sent: &[Reading], arrived: &[Reading]) -> Self {
        let identity = |reading: &Reading| (reading.time, reading.value.to_bits());
        // The places at which each reading was sent, latest first, and how many of them are taken.
        let mut places: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, reading) in sent.iter().enumerate().rev() {
            places.entry(identity(reading)).or_default().push(place);
        }
        let mut audit = Self::default();
        let mut newest = None;
        for reading in arrived {
            match places.get_mut(&identity(reading)).map(Vec::pop) {
                None => audit.forged += 1,
                Some(None) => audit.duplicated += 1,
                Some(Some(place)) => {
                    audit.readings += 1;
                    audit.reordered += u64::from(newest.is_some_and(|newest| place < newest));
                    newest = newest.max(Some(place));
                }
            }
        }
        audit.missing = places.values().map(|left| left.len() as u64).sum();
        audit
    }

    /// The sums of both.
    pub fn plus(self, other: Self) -> Self {
        Self {
            readings: self.readings + other.readings,
            missing: self.missing + other.missing,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            forged: self.forged + other.forged,
        }
    }
}

#[cfg(test)]
mod tests {
    use iot_core::Timestamp;

    use super::*;

    fn readings(values: &[i32]) -> Vec<Reading> {
        let reading = |value: &i32| Reading { time: Timestamp::from_secs(9), value: f64::from(*value) };
        values.iter().map(reading).collect()
    }

    fn compare(arrived: &[i32]) -> (u64, u64, u64, u64, u64) {
        let audit = Audit::compare(&readings(&[1, 2, 2, 3]), &readings(arrived));
        (audit.readings, audit.missing, audit.duplicated, audit.reordered, audit.forged)
    }

    #[test]
    fn finds_what_differs() {
        assert_eq!(compare(&[1, 2, 2, 3]), (4, 0, 0, 0, 0));
        assert_eq!(compare(&[1, 2, 3]), (3, 1, 0, 0, 0));
        assert_eq!(compare(&[1, 2, 2, 2, 3]), (4, 0, 1, 0, 0));
        assert_eq!(compare(&[1, 2, 3, 2]), (4, 0, 0, 1, 0));
        assert_eq!(compare(&[1, 2, 2, 3, 4]), (4, 0, 0, 0, 1));
        assert_eq!(compare(&[]), (0, 4, 0, 0, 0));
        assert_eq!(compare(&[1, 2, 2, 4]), (3, 1, 0, 0, 1));
    }

    #[test]
    fn negative_zero_is_another_reading() {
        let time = Timestamp::from_secs(9);
        let audit = Audit::compare(&[Reading { time, value: 0.0 }], &[Reading { time, value: -0.0 }]);
        assert_eq!((audit.missing, audit.forged), (1, 1));
    }
}
