//! What a device puts into one message: a run of readings.

use iot_codec::cbor::{self, DecodeError, DecodeErrorKind, List};
use iot_codec::record;
use iot_core::Timestamp;

use crate::input::Reading;

record! {
    /// Readings of one channel. Their times stand as differences, or as one difference where all are the same.
    #[derive(Clone, Debug, PartialEq)]
    struct Batch {
        /// The time of the first, in microseconds since the Unix epoch.
        1 => first_us: u64,
        /// The difference between neighbours in microseconds, if it is the same for all.
        2 => step_us: Option<u64>,
        /// The differences between neighbours in microseconds, if they are not.
        3 => steps_us: Option<List<i64>>,
        /// The values.
        4 => values: List<f64>,
    }
}

/// The octets of `readings`, of which there is at least one.
pub fn encode(readings: &[Reading]) -> Vec<u8> {
    let micros = |reading: &Reading| reading.time.as_micros();
    let steps: Vec<_> =
        readings.windows(2).map(|pair| micros(&pair[1]).wrapping_sub(micros(&pair[0])) as i64).collect();
    let first_step = steps.first().copied().unwrap_or_default();
    let is_even = first_step >= 0 && steps.iter().all(|step| *step == first_step);
    cbor::to_vec(&Batch {
        first_us: readings.first().map_or(0, micros),
        step_us: is_even.then_some(first_step as u64),
        steps_us: (!is_even).then_some(List(steps)),
        values: List(readings.iter().map(|reading| reading.value).collect()),
    })
}

/// The readings that [`encode`] wrote.
pub fn decode(octets: &[u8]) -> Result<Vec<Reading>, DecodeError> {
    let batch: Batch = cbor::from_slice(octets)?;
    let steps = batch.steps_us.map_or_else(Vec::new, |steps| steps.0);
    if batch.step_us.is_none() && steps.len() + 1 != batch.values.0.len() {
        return Err(DecodeError::new(DecodeErrorKind::InvalidValue, 0));
    }
    let mut time = batch.first_us;
    let readings = batch.values.0.into_iter().enumerate().map(|(index, value)| {
        if let Some(before) = index.checked_sub(1) {
            let step = batch.step_us.map_or_else(|| steps.get(before).copied().unwrap_or_default(), |step| step as i64);
            time = time.wrapping_add(step as u64);
        }
        Reading { time: Timestamp::from_micros(time), value }
    });
    Ok(readings.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Audit;

    fn round_trip(readings: &[(u64, f64)]) -> usize {
        let reading = |&(time, value)| Reading { time: Timestamp::from_micros(time), value };
        let readings: Vec<_> = readings.iter().map(reading).collect();
        let octets = encode(&readings);
        let decoded = decode(&octets).unwrap();
        assert_eq!(decoded.len(), readings.len());
        assert!(Audit::compare(&readings, &decoded).missing == 0, "{decoded:?}");
        octets.len()
    }

    #[test]
    fn refuses_times_that_do_not_fit_the_values() {
        let batch = Batch { first_us: 0, step_us: None, steps_us: Some(List(vec![1])), values: List(vec![1.0; 3]) };
        assert!(decode(&cbor::to_vec(&batch)).is_err());
    }

    #[test]
    fn gives_back_every_reading_to_the_bit() {
        assert_eq!(round_trip(&[(60_000_000, 1.5), (120_000_000, -0.0), (180_000_000, 2.0)]), 24);
        round_trip(&[(60_000_000, f64::NAN)]);
        round_trip(&[(5, 0.1), (9, 1e300), (7, f64::MIN_POSITIVE / 2.0), (u64::MAX, f64::INFINITY)]);
    }
}
