//! The number of channels and of samples, before all else.

use super::{
    MAX_CHANNELS,
    bits::{BitReader, ReverseBitWriter},
};

/// Follows a one; a zero alone stands for one channel.
const CHANNELS_BITS: u32 = 6;

const SAMPLES_BITS: u32 = 6;
/// Eight bits follow, for what exceeds this number.
const MEDIUM: u32 = 62;
/// Sixteen bits follow, for the number itself.
const LONG: u32 = 63;
const LEAST_LONG: u32 = MEDIUM + 256;

pub(super) fn put(out: &mut ReverseBitWriter<'_>, samples: usize, channels: usize) {
    let samples = samples as u32;
    if samples < MEDIUM {
        out.put_short(samples.into(), SAMPLES_BITS);
    } else if samples < LEAST_LONG {
        out.put_short(u64::from(samples - MEDIUM) << SAMPLES_BITS | u64::from(MEDIUM), SAMPLES_BITS + 8);
    } else {
        out.put_short(u64::from(samples) << SAMPLES_BITS | u64::from(LONG), SAMPLES_BITS + 16);
    }
    match channels {
        1 => out.put_short(0, 1),
        _ => out.put_short((channels as u64) << 1 | 1, CHANNELS_BITS + 1),
    }
}

/// The numbers of samples and of channels; `None` for a form that is not the shortest.
pub(super) fn take(bits: &mut BitReader<'_>) -> Option<(usize, usize)> {
    let channels = if bits.take(1) == 0 { 1 } else { other_channels(bits)? };
    let samples = match bits.take(SAMPLES_BITS) as u32 {
        MEDIUM => MEDIUM + bits.take(8) as u32,
        LONG => Some(bits.take(16) as u32).filter(|samples| *samples >= LEAST_LONG)?,
        samples => samples,
    };
    Some((samples as usize, channels))
}

fn other_channels(bits: &mut BitReader<'_>) -> Option<usize> {
    let channels = bits.take(CHANNELS_BITS) as usize;
    (channels != 1 && channels <= MAX_CHANNELS).then_some(channels)
}
