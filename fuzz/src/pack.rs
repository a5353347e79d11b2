//! A pack of `SenML` that was read.

use iot_codec::{
    cbor::Limits,
    senml::{Measurement, Record, Value, from_batch, resolve, to_batch},
    series,
};

use crate::batch;

/// Equal to the bit: neither the sign of a zero nor the payload of a NaN is lost.
pub fn same(first: &[Record], second: &[Record]) -> bool {
    first.len() == second.len() && first.iter().zip(second).all(|(first, second)| halves(first) == halves(second))
}

/// The bits of the numbers, and a record of all else.
fn halves(record: &Record) -> ([Option<u64>; 6], Record) {
    let Record { base_time, base_value, base_sum, sum, time, update_time, .. } = record;
    let numbers = [base_time, base_value, base_sum, sum, time, update_time].map(|number| number.map(f64::to_bits));
    let value = match &record.value {
        Some(Value::Number(value)) => Some(Value::Data(value.to_bits().to_be_bytes().into())),
        other => other.clone(),
    };
    let (base_time, base_value, base_sum, sum, time, update_time) = (None, None, None, None, None, None);
    let rest = record.clone();
    (numbers, Record { base_time, base_value, base_sum, sum, time, update_time, value, ..rest })
}

const NOW: f64 = 1_800_000_000.0;
/// Small, so that a small input gets past it.
const TEXTS: u32 = 400;

/// Resolves a pack, and checks what can be said of any.
///
/// # Panics
/// If a measurement is none of the pack, or breaks a rule of RFC 8428 §4.
pub fn check_resolution(pack: &[Record]) {
    let Ok(measurements) = resolve(pack, NOW, &Limits::default().bytes(TEXTS)) else { return };
    assert!(measurements.len() <= pack.len());
    let texts = measurements.iter().map(|found| found.name.len() + found.unit.as_ref().map_or(0, String::len));
    assert!(texts.sum::<usize>() <= TEXTS as usize, "names and units beyond the limit");
    assert!(measurements.is_sorted_by(|first, second| first.time.total_cmp(&second.time).is_le()));
    for measurement in &measurements {
        let name = measurement.name.as_bytes();
        assert!(name.first().is_some_and(u8::is_ascii_alphanumeric));
        assert!(name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-:./_".contains(byte)));
        assert!(measurement.value.is_some() || measurement.sum.is_some());
    }
    check_batch(&measurements);
}

/// Puts measurements into a batch, and takes them out again by way of a pack.
fn check_batch(measurements: &[Measurement]) {
    let limits = series::Limits::default().samples(30).channels(5);
    let Ok((names, values)) = to_batch(measurements, &limits) else { return };
    assert!(values.times.len() <= 30 && names.len() <= 5 && names.len() == values.channels.len());
    assert!(values.times.is_sorted_by(|first, second| first < second));

    let pack = from_batch(&values, "", &names).expect("measurements that have a batch have a pack");
    assert_eq!(pack.len(), measurements.len());
    let again = resolve(&pack, NOW, &Limits::default().bytes(TEXTS)).expect("names and units are as long as before");
    let (names_again, values_again) = to_batch(&again, &limits).expect("a batch has a batch");
    assert_eq!(names_again, names);
    assert!(batch::same(&values_again, &values), "{values_again:?} is not {values:?}");
}
