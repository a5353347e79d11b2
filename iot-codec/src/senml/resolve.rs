use alloc::{string::String, vec::Vec};

use super::{Record, SenmlError, Value};
use crate::cbor::Limits;

/// A record by itself: resolved (RFC 8428 §4.6), with an absolute time.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The whole name.
    pub name: String,
    /// The unit, if it is known.
    pub unit: Option<String>,
    /// Seconds since the Unix epoch.
    pub time: f64,
    /// What was measured; nothing where there is only a sum.
    pub value: Option<Value>,
    /// The integral of the value over time.
    pub sum: Option<f64>,
    /// How long until the next value, in seconds, at most.
    pub update_time: Option<f64>,
}

/// Applies the base values of a pack, and sorts its measurements by time (RFC 8428 §4.6).
///
/// `now` is in seconds since the Unix epoch: what times below 2^28 are relative to.
///
/// A record of base values alone gives no measurement. Each measurement has the whole base name and a unit of its own, so
/// a short pack can stand for much memory: names and units take at most [`Limits::bytes`] in all.
///
/// # Errors
/// [`SenmlError`]: a version that is unknown, a name that is invalid, a value that is missing, or names that are too
/// long, with the record's index.
pub fn resolve(pack: &[Record], now: f64, limits: &Limits) -> Result<Vec<Measurement>, SenmlError> {
    let maximum = limits.max_bytes();
    let mut room = maximum;
    let mut resolver = Resolver::new(now);
    let mut measurements = Vec::new();
    for (index, record) in pack.iter().enumerate() {
        let Some(measurement) = resolver.measurement(record)? else { continue };
        let len = measurement.name.len() + measurement.unit.as_ref().map_or(0, String::len);
        room = room.checked_sub(len).ok_or(SenmlError::NamesTooLong { record: index, maximum })?;
        measurements.push(measurement);
    }
    measurements.sort_by(|first: &Measurement, second| first.time.total_cmp(&second.time));
    Ok(measurements)
}

/// Applies the base values of a pack to one record at a time, in the order of the pack (RFC 8428 §4.6).
///
/// For packs that [`each_from_cbor`](super::each_from_cbor) or [`each_from_json`](super::each_from_json) reads: it keeps
/// the base values and nothing else.
///
/// ```
/// use iot_codec::{cbor::Limits, senml::{Resolver, SenmlError, each_from_json}};
///
/// let json = br#"[{"bn":"urn:dev:a:","bt":1320067464,"n":"temp","v":23.1},{"n":"fan","t":10,"v":0}]"#;
/// let (mut resolver, mut names) = (Resolver::new(0.0), Vec::new());
/// each_from_json(json, &Limits::default(), |record| match resolver.measurement(&record) {
///     Ok(Some(measurement)) => names.push(measurement.name),
///     Ok(None) | Err(_) => {}
/// })?;
/// assert_eq!(names, ["urn:dev:a:temp", "urn:dev:a:fan"]);
/// # Ok::<(), SenmlError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Resolver {
    now: f64,
    /// Of the next record.
    index: usize,
    base: Base,
}

impl Resolver {
    /// For a pack from its start. `now` is in seconds since the Unix epoch: what times below 2^28 are relative to.
    #[must_use]
    pub fn new(now: f64) -> Self {
        Self { now, index: 0, base: Base::default() }
    }

    /// The measurement of the next record; a record of base values alone has none.
    ///
    /// # Errors
    /// [`SenmlError`]: a version that is unknown, a name that is invalid, a value that is missing, with the record's index.
    pub fn measurement(&mut self, record: &Record) -> Result<Option<Measurement>, SenmlError> {
        let index = self.index;
        self.index += 1;
        self.base.update(index, record)?;
        if record.is_base_only() { Ok(None) } else { self.base.apply(index, record, self.now).map(Some) }
    }
}

/// The base values so far.
#[derive(Clone, Debug, Default)]
struct Base {
    name: String,
    unit: Option<String>,
    time: f64,
    value: Option<f64>,
    sum: Option<f64>,
}

impl Base {
    fn update(&mut self, index: usize, record: &Record) -> Result<(), SenmlError> {
        match record.base_version {
            Some(version) if version > LATEST_VERSION => {
                return Err(SenmlError::UnknownVersion { record: index, version });
            }
            _ => {}
        }
        if let Some(name) = &record.base_name {
            self.name.clone_from(name);
        }
        if record.base_unit.is_some() {
            self.unit.clone_from(&record.base_unit);
        }
        self.time = record.base_time.unwrap_or(self.time);
        self.value = record.base_value.or(self.value);
        self.sum = record.base_sum.or(self.sum);
        Ok(())
    }

    fn apply(&self, index: usize, record: &Record, now: f64) -> Result<Measurement, SenmlError> {
        let name = [self.name.as_str(), record.name.as_deref().unwrap_or_default()].concat();
        if !is_valid_name(&name) {
            return Err(SenmlError::InvalidName { record: index });
        }
        let value = match &record.value {
            Some(Value::Number(value)) => Some(Value::Number(with_base(self.value, *value))),
            other => other.clone(),
        };
        let sum = record.sum.map(|sum| with_base(self.sum, sum));
        if value.is_none() && sum.is_none() {
            return Err(SenmlError::MissingValue { record: index });
        }
        let time = self.time + record.time.unwrap_or_default();
        let time = if time < ABSOLUTE_TIME { now + time } else { time };
        let unit = record.unit.as_ref().or(self.unit.as_ref()).cloned();
        Ok(Measurement { name, unit, time, value, sum, update_time: record.update_time })
    }
}

/// Without a base, not even the sign of a zero changes.
fn with_base(base: Option<f64>, value: f64) -> f64 {
    base.map_or(value, |base| base + value)
}

/// Version 10 of RFC 8428 sets the bits 1 and 3, which RFC 9100 reserves together with 0 and 2; its bit 4 stands for
/// secondary units, which are numbers like any other here.
const LATEST_VERSION: u32 = 0b1_1111;

/// 2^28: times below it are relative (RFC 8428 §4.5.3).
const ABSOLUTE_TIME: f64 = 268_435_456.0;

fn is_valid_name(name: &str) -> bool {
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-:./_".contains(byte);
    name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) && name.as_bytes().iter().all(is_inner)
}
