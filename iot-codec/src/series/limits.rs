use super::MAX_CHANNELS;

/// What a batch may claim before it is refused.
///
/// A few bytes can stand for [`MAX_SAMPLES`](super::MAX_SAMPLES) equal values in each of [`MAX_CHANNELS`] channels; only these limits keep
/// a small input small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(super) samples: usize,
    pub(super) channels: usize,
}

impl Limits {
    /// How many samples a batch may have; 1,024 by default.
    #[must_use]
    pub const fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// What [`samples`](Self::samples) set.
    #[cfg(feature = "senml")]
    pub(crate) const fn max_samples(&self) -> usize {
        self.samples
    }

    /// How many channels a batch may have; [`MAX_CHANNELS`] by default.
    #[must_use]
    pub const fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// What [`channels`](Self::channels) set.
    #[cfg(feature = "senml")]
    pub(crate) const fn max_channels(&self) -> usize {
        self.channels
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { samples: 1024, channels: MAX_CHANNELS }
    }
}
