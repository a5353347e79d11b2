use super::EncodeError;

/// Where a [`Writer`](super::Writer) puts its bytes.
pub trait Output {
    /// Appends `bytes`, all of them or none.
    ///
    /// # Errors
    /// [`EncodeError::BufferFull`] when they do not fit.
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError>;
}

impl<O: Output + ?Sized> Output for &mut O {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        (**self).put(bytes)
    }
}

/// A caller's buffer, filled from its start.
#[derive(Debug)]
pub struct Buffer<'b> {
    space: &'b mut [u8],
    len: usize,
}

impl<'b> Buffer<'b> {
    /// An empty buffer over `space`, which it overwrites.
    #[inline]
    pub fn new(space: &'b mut [u8]) -> Self {
        Self { space, len: 0 }
    }

    /// What was written so far.
    #[inline]
    #[must_use]
    pub fn written(&self) -> &[u8] {
        self.space.get(..self.len).unwrap_or_default()
    }

    /// What was written, for as long as the caller's buffer lives.
    #[inline]
    #[must_use]
    pub fn into_written(self) -> &'b [u8] {
        let space: &'b [u8] = self.space;
        space.get(..self.len).unwrap_or_default()
    }

    /// How many bytes were written.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written yet.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[cold]
    fn full(&self, needed: usize) -> EncodeError {
        EncodeError::BufferFull { needed, available: self.space.len() - self.len }
    }
}

impl Output for Buffer<'_> {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline)]
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let target = self.space.get_mut(self.len..).and_then(|free| free.get_mut(..bytes.len()));
        match target {
            Some(target) => {
                target.copy_from_slice(bytes);
                self.len += bytes.len();
                Ok(())
            }
            None => Err(self.full(bytes.len())),
        }
    }
}

/// Counts bytes without keeping them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    len: usize,
}

impl Length {
    /// Starts at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self { len: 0 }
    }

    /// How many bytes were put; `usize::MAX` also stands for more.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was put yet.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Output for Length {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.len = self.len.saturating_add(bytes.len());
        Ok(())
    }
}

/// Grows as it must, and never fails.
#[cfg(feature = "alloc")]
impl Output for alloc::vec::Vec<u8> {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}
