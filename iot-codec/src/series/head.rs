//! The number of samples and of channels, before all else.

use super::{
    MAX_CHANNELS,
    bits::{BitReader, ReverseBitWriter},
};

/// A batch of so many samples has a head of one bit: a minute of seconds, an hour of minutes.
const USUAL: u32 = 60;

const SAMPLES_BITS: u32 = 6;
/// Eight bits follow, for what exceeds this number.
const MEDIUM: u32 = 61;
/// Sixteen bits follow, for the number itself.
const LONG: u32 = 62;
const LEAST_LONG: u32 = MEDIUM + 256;
/// In place of the number of samples: the number of channels follows, which is not one, and then the other.
const CHANNELS: u32 = 63;
const CHANNELS_BITS: u32 = 6;

pub(super) fn put(out: &mut ReverseBitWriter<'_>, samples: usize, channels: usize) {
    let samples = samples as u32;
    if samples == USUAL {
        out.put_short(1, 1);
    } else {
        if samples < MEDIUM {
            out.put_short(samples.into(), SAMPLES_BITS);
        } else if samples < LEAST_LONG {
            out.put_short(u64::from(samples - MEDIUM) << SAMPLES_BITS | u64::from(MEDIUM), SAMPLES_BITS + 8);
        } else {
            out.put_short(u64::from(samples) << SAMPLES_BITS | u64::from(LONG), SAMPLES_BITS + 16);
        }
        out.put_short(0, 1);
    }
    if channels != 1 {
        out.put_short((channels as u64) << SAMPLES_BITS | u64::from(CHANNELS), SAMPLES_BITS + CHANNELS_BITS);
        out.put_short(0, 1);
    }
}

/// The numbers of samples and of channels; `None` for a form that is not the shortest.
pub(super) fn take(bits: &mut BitReader<'_>) -> Option<(usize, usize)> {
    let mut channels = 1;
    let mut code = take_code(bits);
    if code == CHANNELS {
        channels = bits.take(CHANNELS_BITS) as usize;
        if channels == 1 || channels > MAX_CHANNELS {
            return None;
        }
        code = take_code(bits);
    }
    let samples = match code {
        CHANNELS => return None,
        MEDIUM => MEDIUM + bits.take(8) as u32,
        LONG => Some(bits.take(16) as u32).filter(|samples| *samples >= LEAST_LONG)?,
        USUAL_IN_ONE_BIT => USUAL,
        USUAL => return None,
        samples => samples,
    };
    Some((samples as usize, channels))
}

/// No code of [`SAMPLES_BITS`].
const USUAL_IN_ONE_BIT: u32 = 1 << SAMPLES_BITS;

fn take_code(bits: &mut BitReader<'_>) -> u32 {
    match bits.take(1) {
        0 => bits.take(SAMPLES_BITS) as u32,
        _ => USUAL_IN_ONE_BIT,
    }
}
