//! A batch made of the input, written and read.
//!
//! The input is the number of samples, how the times go, and for each channel its kind and gaps, and then its values.
//!
//! - It comes back to the bit: NaNs, infinities, negative zeros and the extremes of integers included.
//! - `Encoder` and `to_vec` write the same bytes, into a buffer of just that size, and refuse one that is smaller.

#![no_main]

use iot_codec::series::{Batch, Channel, EncodeError, Encoder, Limits, Samples, from_slice};
use iot_fuzz::batch::{Column, same, write};
use libfuzzer_sys::fuzz_target;

/// More than the 61 from which the number takes more bits.
const SAMPLES: usize = 70;

fuzz_target!(|input: &[u8]| {
    let mut bytes = Bytes(input);
    let [choice] = bytes.take();
    let samples = (usize::from(choice) % (SAMPLES + 1)).min(bytes.0.len());
    let mut batch = Batch { times: integers(&mut bytes, samples), channels: Vec::new() };
    while !bytes.0.is_empty() && batch.channels.len() < 2 {
        batch.channels.push(channel(&mut bytes, samples, batch.channels.last()));
    }

    let blob = write(&batch);
    let read = from_slice(&blob, &Limits::default()).expect("what was written can be read");
    assert!(same(&read, &batch), "{read:?} is not {batch:?}");

    let columns: Vec<Column> = batch.channels.iter().map(Column::of).collect();
    let channels: Vec<Channel> = columns.iter().map(Column::channel).collect();
    let mut encoder = Encoder::<SAMPLES>::new();
    let mut space = vec![0xaa; blob.len()];
    assert_eq!(encoder.encode(&batch.times, &channels, &mut space), Ok(blob.len()));
    assert_eq!(space, blob);
    // It takes as long as the others, so not every input has it.
    if input.len().is_multiple_of(8) {
        let (needed, available) = (blob.len(), blob.len() - 1);
        let refused = encoder.encode(&batch.times, &channels, &mut space[..available]);
        assert_eq!(refused, Err(EncodeError::BufferFull { needed, available }));
    }
});

/// The input, with zeros behind its end.
struct Bytes<'i>(&'i [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_at(self.0.len().min(N));
        self.0 = rest;
        let mut bytes = [0; N];
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }
}

fn channel(bytes: &mut Bytes, samples: usize, before: Option<&Samples>) -> Samples {
    let [kind, gaps] = bytes.take();
    let is_there = |index: usize| match gaps {
        0..100 => true,
        // The gaps of the channel before.
        100..120 => match before {
            Some(Samples::Floats(values)) => values[index].is_some(),
            Some(Samples::Integers(values)) => values[index].is_some(),
            _ => false,
        },
        _ => !(index + usize::from(gaps >> 6)).is_multiple_of(2 + usize::from(gaps & 0x1f)),
    };
    match kind % 4 {
        0 => {
            let values = integers(bytes, samples).into_iter().enumerate();
            Samples::Integers(values.map(|(index, value)| is_there(index).then_some(value)).collect())
        }
        1 => {
            let values = (0..samples).map(|index| (index, f64::from_le_bytes(bytes.take())));
            Samples::Floats(values.map(|(index, value)| is_there(index).then_some(value)).collect())
        }
        2 => {
            let values = (0..samples).map(|index| (index, f32::from_le_bytes(bytes.take()).into()));
            Samples::Floats(values.map(|(index, value)| is_there(index).then_some(value)).collect())
        }
        _ => {
            let power = 10_f64.powi(i32::from(kind >> 2) % 24);
            let values = integers(bytes, samples).into_iter().map(|value| value as f64 / power).enumerate();
            Samples::Floats(values.map(|(index, value)| is_there(index).then_some(value)).collect())
        }
    }
}

/// A walk in steps of one, two or eight bytes, times a factor, from a start; now and then to anywhere.
fn integers(bytes: &mut Bytes, samples: usize) -> Vec<i64> {
    let [form] = bytes.take();
    let mut value = i64::from_le_bytes(bytes.take());
    let factor = if form & 8 == 0 { 1 } else { i64::from(u16::from_le_bytes(bytes.take())) };
    let mut slope = 0_i64;
    (0..samples)
        .map(|_| {
            let step = match form & 3 {
                0 => i8::from_le_bytes(bytes.take()).into(),
                1 => i16::from_le_bytes(bytes.take()).into(),
                2 => i64::from_le_bytes(bytes.take()),
                _ => match i8::from_le_bytes(bytes.take()) {
                    i8::MAX => i64::from_le_bytes(bytes.take()),
                    step => step.into(),
                },
            };
            // Steps of steps, for what has a trend.
            slope = if form & 4 == 0 { step } else { slope.wrapping_add(step) };
            value = value.wrapping_add(slope.wrapping_mul(factor));
            value
        })
        .collect()
}
