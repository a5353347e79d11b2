use super::{
    EncodeError, MAX_CHANNELS, MAX_SAMPLES,
    bits::ReverseBitWriter,
    channel::{put_floats, put_integers},
    head,
    integers::{put_extension, tag},
    presence, times,
};

/// A channel to write: values, one for each time, and which of them are there.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    values: Values<'a>,
    present: Option<&'a [bool]>,
}

#[derive(Clone, Copy, Debug)]
enum Values<'a> {
    Floats(&'a [f64]),
    Integers(&'a [i64]),
}

impl Values<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Integers(values) => values.len(),
        }
    }
}

impl<'a> Channel<'a> {
    /// Floats, kept to the bit.
    #[must_use]
    pub const fn floats(values: &'a [f64]) -> Self {
        Self { values: Values::Floats(values), present: None }
    }

    /// Integers of the whole range.
    #[must_use]
    pub const fn integers(values: &'a [i64]) -> Self {
        Self { values: Values::Integers(values), present: None }
    }

    /// Says which values are there: those marked `false` are missing, whatever stands in their place.
    #[must_use]
    pub const fn present(mut self, marks: &'a [bool]) -> Self {
        self.present = Some(marks);
        self
    }

    /// The marks, if they say that anything is missing.
    fn gaps(&self) -> Option<&'a [bool]> {
        self.present.filter(|marks| marks.contains(&false))
    }
}

/// Writes batches of up to `N` samples, with all the memory that it needs: 25 bytes a sample.
///
/// `Encoder<64>` takes 1.6 KB; a device keeps one in static memory and writes all its batches with it. Nothing of a
/// batch stays behind: the same batch always gives the same bytes. The stack stays below 1 KB on a Cortex-M3.
///
/// ```
/// use iot_codec::series::{Channel, Encoder};
///
/// let times = [1_767_225_600_000_000, 1_767_225_660_000_000, 1_767_225_720_000_000];
/// let celsius = [21.5, 21.6, 21.6];
///
/// let mut space = [0; 64];
/// let len = Encoder::<64>::new().encode(&times, &[Channel::floats(&celsius)], &mut space)?;
/// assert_eq!(len, 7);
/// # Ok::<(), iot_codec::series::EncodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Encoder<const N: usize> {
    integers: [i64; N],
    residuals: [u64; N],
    floats: [f64; N],
    contexts: [u8; N],
}

impl<const N: usize> Encoder<N> {
    /// An encoder; it can be the value of a `static`.
    #[must_use]
    pub const fn new() -> Self {
        Self { integers: [0; N], residuals: [0; N], floats: [0.0; N], contexts: [0; N] }
    }

    /// Writes a batch to the front of `out` and returns its length in bytes. What lies behind it is overwritten too.
    ///
    /// Times are microseconds since the Unix epoch, in any order, repeated or not. Time and memory are linear in the
    /// number of values. A value takes at most 64 bits, and a channel 50 bytes and 3 bits a sample beyond its values.
    ///
    /// # Errors
    /// All of [`EncodeError`].
    pub fn encode(&mut self, times: &[i64], channels: &[Channel<'_>], out: &mut [u8]) -> Result<usize, EncodeError> {
        let scratch =
            Scratch { integers: &mut self.integers, residuals: &mut self.residuals, contexts: &mut self.contexts };
        encode(times, channels, scratch, &mut self.floats, out)
    }
}

impl<const N: usize> Default for Encoder<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Memory that each column uses anew, each slice with an element for each sample.
pub(super) struct Scratch<'s> {
    pub(super) integers: &'s mut [i64],
    pub(super) residuals: &'s mut [u64],
    pub(super) contexts: &'s mut [u8],
}

pub(super) fn encode(
    times: &[i64],
    channels: &[Channel<'_>],
    mut scratch: Scratch<'_>,
    floats: &mut [f64],
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let maximum = floats.len().min(MAX_SAMPLES);
    if times.len() > maximum {
        return Err(EncodeError::TooManySamples { samples: times.len(), maximum });
    }
    if channels.len() > MAX_CHANNELS {
        return Err(EncodeError::TooManyChannels { channels: channels.len(), maximum: MAX_CHANNELS });
    }
    let expected = times.len();
    for (channel, Channel { values, present }) in channels.iter().enumerate() {
        let lens = [values.len(), present.map_or(expected, <[bool]>::len)];
        if let Some(&found) = lens.iter().find(|len| **len != expected) {
            return Err(EncodeError::UnequalLengths { channel, expected, found });
        }
    }
    let available = out.len();
    let mut out = ReverseBitWriter::new(out);
    for (index, channel) in channels.iter().enumerate().rev() {
        let before = index.checked_sub(1).and_then(|before| channels.get(before));
        put_channel(&mut out, channel, before, &mut scratch, floats);
    }
    times::put(&mut out, times, &mut scratch);
    head::put(&mut out, times.len(), channels.len());
    out.finish().map_err(|needed| EncodeError::BufferFull { needed, available })
}

fn put_channel(
    out: &mut ReverseBitWriter<'_>,
    channel: &Channel<'_>,
    before: Option<&Channel<'_>>,
    scratch: &mut Scratch<'_>,
    floats: &mut [f64],
) {
    let gaps = channel.gaps();
    match (channel.values, gaps) {
        (Values::Floats(values), None) => put_floats(out, values, scratch),
        (Values::Integers(values), None) => put_integers(out, values, scratch.residuals, scratch.contexts),
        (Values::Floats(values), Some(marks)) => put_floats(out, keep(values, marks, floats), scratch),
        (Values::Integers(values), Some(marks)) => {
            let Scratch { integers, residuals, contexts } = scratch;
            put_integers(out, keep(values, marks, integers), residuals, contexts);
        }
    }
    let Some(marks) = gaps else { return };
    if before.and_then(Channel::gaps) == Some(marks) {
        put_extension(out, tag::MISSING_AS_BEFORE);
    } else {
        presence::put(out, marks);
        put_extension(out, tag::MISSING);
    }
}

/// Copies the values that are there to the front of `place`, and returns them.
fn keep<'p, T: Copy>(values: &[T], marks: &[bool], place: &'p mut [T]) -> &'p [T] {
    let there = values.iter().zip(marks).filter(|(_, mark)| **mark);
    let count = there.zip(place.iter_mut()).map(|((value, _), place)| *place = *value).count();
    place.get(..count).unwrap_or(&[])
}
