use super::LimitsError;

/// What untrusted input may claim before it is refused.
///
/// ```
/// use iot_codec::cbor::{Limits, validate};
/// let limits = Limits::default().bytes(64).items(8).depth(2)?;
/// assert!(validate(&[0x81, 0x81, 0x00], &limits).is_ok());
/// assert!(validate(&[0x81, 0x81, 0x81, 0x00], &limits).is_err());
/// # Ok::<(), iot_codec::cbor::LimitsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(super) bytes: u32,
    pub(super) depth: u8,
    pub(super) items: u32,
}

impl Limits {
    /// The deepest nesting that any reader of this crate can be asked to follow.
    ///
    /// The validator keeps 12 bytes for each level but the outermost in a fixed array, and with this many levels it stays
    /// below 512 bytes of stack on a Cortex-M3.
    pub const MAX_DEPTH: usize = 20;

    /// The length of the input in bytes; 1 MiB by default.
    #[must_use]
    pub const fn bytes(mut self, bytes: u32) -> Self {
        self.bytes = bytes;
        self
    }

    /// What [`bytes`](Self::bytes) set.
    #[cfg(feature = "senml")]
    pub(crate) const fn max_bytes(&self) -> usize {
        self.bytes as usize
    }

    /// What [`items`](Self::items) set.
    #[cfg(feature = "senml")]
    pub(crate) const fn max_items(&self) -> u32 {
        self.items
    }

    /// How deep arrays, maps and tags may nest; 16 by default, at most [`Limits::MAX_DEPTH`].
    ///
    /// A number or a string alone has depth 0, `[]` has depth 1, `[[]]` and `tag([])` have depth 2.
    ///
    /// # Errors
    /// [`LimitsError::DepthAboveMaximum`].
    pub const fn depth(mut self, depth: usize) -> Result<Self, LimitsError> {
        if depth > Self::MAX_DEPTH {
            return Err(LimitsError::DepthAboveMaximum { depth, maximum: Self::MAX_DEPTH });
        }
        self.depth = depth as u8;
        Ok(self)
    }

    /// How many items all containers may hold together; 65,536 by default.
    ///
    /// An array of n elements counts n, a map of n pairs 2n, a tag 1.
    #[must_use]
    pub const fn items(mut self, items: u32) -> Self {
        self.items = items;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 20, depth: 16, items: 1 << 16 }
    }
}
