use alloc::{vec, vec::Vec};

use super::{
    Channel, DecodeError, EncodeError, Kind, Limits, Reader,
    encoder::{Scratch, encode},
};

/// A batch with memory of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Microseconds since the Unix epoch.
    pub times: Vec<i64>,
    /// As many as there are channels, each with a value for each time.
    pub channels: Vec<Samples>,
}

/// The values of a channel; `None` stands for a missing one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Samples {
    /// Floats, to the bit.
    Floats(Vec<Option<f64>>),
    /// Integers.
    Integers(Vec<Option<i64>>),
}

/// Writes a batch of any number of samples up to [`MAX_SAMPLES`](super::MAX_SAMPLES).
///
/// # Errors
/// All of [`EncodeError`] but [`EncodeError::BufferFull`].
pub fn to_vec(times: &[i64], channels: &[Channel<'_>]) -> Result<Vec<u8>, EncodeError> {
    let samples = times.len();
    let (mut integers, mut residuals, mut contexts) = (vec![0; samples], vec![0; samples], vec![0; samples]);
    let mut floats = vec![0.0; samples];
    let mut out = vec![0; 64 + 64 * channels.len() + 9 * samples * (channels.len() + 1)];
    let scratch = Scratch { integers: &mut integers, residuals: &mut residuals, contexts: &mut contexts };
    let len = encode(times, channels, scratch, &mut floats, &mut out)?;
    out.truncate(len);
    out.shrink_to_fit();
    Ok(out)
}

/// Reads a batch. It takes at most 25 bytes of memory a value, and no more values than the limits allow.
///
/// # Errors
/// All of [`DecodeError`] that speak of the input.
pub fn from_slice(bytes: &[u8], limits: &Limits) -> Result<Batch, DecodeError> {
    let mut reader = Reader::new(bytes, limits)?;
    let samples = reader.samples();
    let mut batch = Batch { times: vec![0; samples], channels: Vec::new() };
    reader.times(&mut batch.times)?;
    let mut marks = vec![true; samples];
    while let Some(channel) = reader.next_channel()? {
        channel.present(&mut marks)?;
        batch.channels.push(match channel.kind() {
            Kind::Float => {
                let mut values = vec![0.0; samples];
                channel.floats(&mut values)?;
                Samples::Floats(marked(values, &marks))
            }
            Kind::Integer => {
                let mut values = vec![0; samples];
                channel.integers(&mut values)?;
                Samples::Integers(marked(values, &marks))
            }
        });
    }
    Ok(batch)
}

fn marked<T>(values: Vec<T>, marks: &[bool]) -> Vec<Option<T>> {
    values.into_iter().zip(marks).map(|(value, mark)| mark.then_some(value)).collect()
}
