//! What a mean is made of.

use iot_codec::cbor;
use iot_core::Timestamp;
use iot_queue::Stored;
use iot_queue::stage::{Aggregate, Span};
use iot_readings::Reading;

use crate::report::Mean;

/// A reading in the log: its time and its value, 8 octets each.
pub fn encode(reading: &Reading) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&reading.time.to_be_bytes());
    octets[8..].copy_from_slice(&reading.value.to_be_bytes());
    octets
}

fn decode(message: &Stored) -> Option<Reading> {
    let (time, value) = message.payload.split_first_chunk()?;
    Some(Reading { time: i64::from_be_bytes(*time), value: f64::from_be_bytes(value.try_into().ok()?) })
}

/// The means of readings, a device's by themselves.
pub struct Means;

/// What is known of a minute that is not over.
pub struct Sum {
    readings: u64,
    total: f64,
    least: f64,
    most: f64,
}

impl Aggregate for Means {
    type Sum = Sum;

    fn key(&self, message: &Stored) -> Option<Vec<u8>> {
        message.position.map(|position| position.source.as_bytes().to_vec())
    }

    fn time(&self, message: &Stored) -> Option<Timestamp> {
        decode(message).and_then(|reading| u64::try_from(reading.time).ok()).map(Timestamp::from_secs)
    }

    fn begin(&self) -> Sum {
        Sum { readings: 0, total: 0.0, least: f64::INFINITY, most: f64::NEG_INFINITY }
    }

    fn add(&self, sum: &mut Sum, message: &Stored) {
        let Some(Reading { value, .. }) = decode(message) else { return };
        *sum = Sum {
            readings: sum.readings + 1,
            total: sum.total + value,
            least: sum.least.min(value),
            most: sum.most.max(value),
        };
    }

    fn finish(&self, span: &Span, sum: Sum) -> Option<Vec<u8>> {
        let Sum { readings, total, least, most } = sum;
        let (device, minute) = (span.key.as_slice().try_into().ok()?, span.start.as_secs());
        Some(cbor::to_vec(&Mean { device, minute, readings, mean: total / readings as f64, least, most }))
    }
}
