//! What a device puts into one message: a run of readings, as a batch of series.

use iot_codec::series::{Channel, Limits, Samples, from_slice, to_vec};
use iot_core::Timestamp;

use crate::input::Reading;

/// Readings of one message at the most.
pub const MAX_READINGS: usize = 64;

/// Octets are not what a device makes: one channel of at most [`MAX_READINGS`] numbers, each there, and each at a time
/// since 1970.
#[derive(Debug, PartialEq)]
pub struct NoBatch;

/// The octets of `readings`, of which there are at most [`MAX_READINGS`].
pub fn encode(readings: &[Reading]) -> Vec<u8> {
    let times: Vec<i64> = readings.iter().map(|reading| reading.time.as_micros() as i64).collect();
    let values: Vec<f64> = readings.iter().map(|reading| reading.value).collect();
    to_vec(&times, &[Channel::floats(&values)]).expect("one channel of few samples is a batch")
}

/// The readings that [`encode`] wrote.
pub fn decode(octets: &[u8]) -> Result<Vec<Reading>, NoBatch> {
    let limits = Limits::default().samples(MAX_READINGS).channels(1);
    let batch = from_slice(octets, &limits).map_err(|_| NoBatch)?;
    let Some(Samples::Floats(values)) = batch.channels.first() else { return Err(NoBatch) };
    let reading = |(time, value): (&i64, &Option<f64>)| {
        let time = Timestamp::from_micros(u64::try_from(*time).ok()?);
        Some(Reading { time, value: (*value)? })
    };
    batch.times.iter().zip(values).map(reading).collect::<Option<_>>().ok_or(NoBatch)
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
    fn gives_back_every_reading_to_the_bit() {
        assert!(round_trip(&[(60_000_000, 1.5), (120_000_000, -0.0), (180_000_000, 2.0)]) < 40);
        round_trip(&[(60_000_000, 1e-300)]);
        round_trip(&[(5, 0.1), (9, 1e300), (7, f64::MIN_POSITIVE / 2.0), (1 << 62, -1e-9)]);
    }

    #[test]
    fn refuses_what_no_device_makes() {
        let missing = to_vec(&[1, 2], &[Channel::floats(&[0.5, 0.0]).present(&[true, false])]).unwrap();
        assert_eq!(decode(&missing), Err(NoBatch));
        let integers = to_vec(&[1], &[Channel::integers(&[7])]).unwrap();
        assert_eq!(decode(&integers), Err(NoBatch));
        let before_1970 = to_vec(&[-1], &[Channel::floats(&[0.5])]).unwrap();
        assert_eq!(decode(&before_1970), Err(NoBatch));
        let many = to_vec(&[1; 65], &[Channel::floats(&[0.5; 65])]).unwrap();
        assert_eq!(decode(&many), Err(NoBatch));
    }
}
