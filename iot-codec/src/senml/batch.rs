use alloc::{string::String, vec, vec::Vec};

use super::{Measurement, Record, Value, record::as_integer};
use crate::series::{Batch, Limits, Samples};

/// What a channel of a batch is called in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelName<'a> {
    /// The name, behind the base name where there is one.
    pub name: &'a str,
    /// The unit, if there is one.
    pub unit: Option<&'a str>,
}

/// The pack of a batch: a record for each value that is there, sample by sample.
///
/// Base name, base time and, where all channels have the same unit, base unit stand in the first record. The base time is
/// in whole seconds, so that each time comes back to the microsecond.
///
/// ```
/// use iot_codec::senml::{ChannelName, from_batch, to_json};
/// use iot_codec::series::{Batch, Samples};
///
/// let times = vec![1_767_225_600_000_000, 1_767_225_660_500_000];
/// let batch = Batch { times, channels: vec![Samples::Floats(vec![Some(21.5), None]), Samples::Integers(vec![Some(3); 2])] };
/// let names = [ChannelName { name: "temp", unit: Some("Cel") }, ChannelName { name: "count", unit: None }];
/// let json = to_json(&from_batch(&batch, "urn:dev:a:", &names)?)?;
/// assert_eq!(
///     json,
///     r#"[{"n":"temp","u":"Cel","v":21.5,"bn":"urn:dev:a:","bt":1767225600},{"n":"count","v":3},{"n":"count","v":3,"t":60.5}]"#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`BatchError`]: names or values that are not as many as the batch says, times and integers that a pack cannot hold.
pub fn from_batch(batch: &Batch, base_name: &str, names: &[ChannelName<'_>]) -> Result<Vec<Record>, BatchError> {
    let (found, expected) = (names.len(), batch.channels.len());
    if found != expected {
        return Err(BatchError::Names { found, expected });
    }
    let base_unit = match names {
        [first, rest @ ..] if rest.iter().all(|name| name.unit == first.unit) => first.unit,
        _ => None,
    };
    let mut pack: Vec<Record> = Vec::new();
    let mut base_time = None;
    for (sample, &micros) in batch.times.iter().enumerate() {
        for (channel, (samples, name)) in batch.channels.iter().zip(names).enumerate() {
            let Some(value) = value_of(samples, channel, sample, batch.times.len())? else { continue };
            if !TIMES.contains(&micros) {
                return Err(BatchError::Time { sample });
            }
            let second = *base_time.get_or_insert(micros.div_euclid(SECOND));
            let mut record = Record { value: Some(Value::Number(value)), ..Record::default() };
            if pack.is_empty() {
                record.base_name = some_text(base_name);
                record.base_time = Some(second as f64);
                record.base_unit = base_unit.map(String::from);
            }
            record.name = some_text(name.name);
            record.unit = name.unit.filter(|_| base_unit.is_none()).map(String::from);
            let later = micros - second * SECOND;
            record.time = (later != 0).then_some(later as f64 / SECOND as f64);
            pack.push(record);
        }
    }
    Ok(pack)
}

/// The batch of measurements, which [`resolve`](super::resolve) gave, and the names of its channels.
///
/// Names that differ in their unit are two channels, and the channels stand in the order in which they come first. A
/// channel has a missing value where another has the only one; all values are floats, as those of a pack. Times are
/// rounded to the microsecond.
///
/// It takes memory for each time in each channel, however few there are, as far as `limits` allow.
///
/// # Errors
/// [`BatchError`]: what is no number, is there twice or exceeds the limits, with its index.
pub fn to_batch<'m>(
    measurements: &'m [Measurement],
    limits: &Limits,
) -> Result<(Vec<ChannelName<'m>>, Batch), BatchError> {
    let mut times = Vec::with_capacity(measurements.len());
    let mut names: Vec<ChannelName<'m>> = Vec::new();
    for (index, measurement) in measurements.iter().enumerate() {
        times.push(micros_of(measurement.time).ok_or(BatchError::Time { sample: index })?);
        let name = name_of(measurement);
        if !names.contains(&name) {
            if names.len() == limits.max_channels() {
                return Err(BatchError::TooManyChannels { maximum: limits.max_channels() });
            }
            names.push(name);
        }
    }
    times.sort_unstable();
    times.dedup();
    if times.len() > limits.max_samples() {
        return Err(BatchError::TooManySamples { maximum: limits.max_samples() });
    }
    let mut channels = vec![vec![None; times.len()]; names.len()];
    for (index, measurement) in measurements.iter().enumerate() {
        let Some(Value::Number(value)) = measurement.value else { return Err(BatchError::NoNumber { index }) };
        let name = name_of(measurement);
        let channel = names.iter().position(|known| *known == name);
        let sample = micros_of(measurement.time).and_then(|micros| times.binary_search(&micros).ok());
        let place = channel.zip(sample).and_then(|(channel, sample)| channels.get_mut(channel)?.get_mut(sample));
        if place.is_none_or(|place| place.replace(value).is_some()) {
            return Err(BatchError::Repeated { index });
        }
    }
    Ok((names, Batch { times, channels: channels.into_iter().map(Samples::Floats).collect() }))
}

/// Why a batch has no pack, or measurements no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The API was misused: not as many names as channels.
    #[error("{found} names for {expected} channels")]
    Names {
        /// The names that were given.
        found: usize,
        /// The channels of the batch.
        expected: usize,
    },
    /// The API was misused: a channel has not as many values as there are times.
    #[error("channel {channel} has {found} values for {expected} times")]
    Length {
        /// The index of the channel.
        channel: usize,
        /// Its values.
        found: usize,
        /// The times of the batch.
        expected: usize,
    },
    /// A time before 2^28 seconds, which a pack takes for a relative one (RFC 8428 §4.5.3), or from 2^32 on, where
    /// doubles do not tell microseconds.
    #[error("time of sample {sample} is outside of the years 1978 to 2106")]
    Time {
        /// The index of the sample, or of the measurement.
        sample: usize,
    },
    /// An integer beyond 2^53, which a double does not tell from its neighbours.
    #[error("integer {value} of channel {channel}, sample {sample}, is beyond 2^53")]
    Integer {
        /// The index of the channel.
        channel: usize,
        /// The index of the sample.
        sample: usize,
        /// The integer.
        value: i64,
    },
    /// A measurement that is text, bytes, a boolean, or a sum alone.
    #[error("measurement {index} has no number")]
    NoNumber {
        /// The index of the measurement.
        index: usize,
    },
    /// A measurement of the name, the unit and the time of one before it.
    #[error("measurement {index} is there twice")]
    Repeated {
        /// The index of the later one.
        index: usize,
    },
    /// A limit was reached: more names than [`Limits::channels`].
    #[error("more than {maximum} channels")]
    TooManyChannels {
        /// The limit.
        maximum: usize,
    },
    /// A limit was reached: more times than [`Limits::samples`].
    #[error("more than {maximum} samples")]
    TooManySamples {
        /// The limit.
        maximum: usize,
    },
}

/// Microseconds.
const SECOND: i64 = 1_000_000;

/// What a pack holds to the microsecond: from 2^28 to 2^32 seconds. A relative time and its sum with the base time are each
/// off by less than a quarter of a microsecond there.
const TIMES: core::ops::Range<i64> = (1 << 28) * SECOND..(1 << 32) * SECOND;

fn value_of(samples: &Samples, channel: usize, sample: usize, expected: usize) -> Result<Option<f64>, BatchError> {
    let found = match samples {
        Samples::Floats(values) => values.len(),
        Samples::Integers(values) => values.len(),
    };
    if found != expected {
        return Err(BatchError::Length { channel, found, expected });
    }
    Ok(match samples {
        Samples::Floats(values) => values.get(sample).copied().flatten(),
        Samples::Integers(values) => match values.get(sample).copied().flatten() {
            Some(value) if as_integer(value as f64) == Some(value) => Some(value as f64),
            Some(value) => return Err(BatchError::Integer { channel, sample, value }),
            None => None,
        },
    })
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.into())
}

fn name_of(measurement: &Measurement) -> ChannelName<'_> {
    ChannelName { name: &measurement.name, unit: measurement.unit.as_deref() }
}

/// The nearest microsecond, within [`TIMES`].
fn micros_of(seconds: f64) -> Option<i64> {
    // The whole seconds and what is left of them are exact; a product of all would not be.
    let whole = seconds as i64;
    let later = (seconds - whole as f64) * SECOND as f64 + 0.5;
    let micros = whole.checked_mul(SECOND)?.checked_add(later as i64)?;
    (seconds.is_finite() && TIMES.contains(&micros)).then_some(micros)
}
