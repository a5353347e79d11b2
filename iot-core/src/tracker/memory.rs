use super::{Ranges, SequenceError, Window};

/// The memory of one incarnation: [`Ranges`] or [`Window`].
pub trait Memory: sealed::Sealed {
    /// Nothing seen.
    const EMPTY: Self;

    /// Whether [`insert`](Self::insert) would record the number.
    ///
    /// # Errors
    ///
    /// [`SequenceError`] says why not.
    fn check(&self, sequence: u64) -> Result<(), SequenceError>;

    /// Records a number.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check); nothing was recorded then.
    fn insert(&mut self, sequence: u64) -> Result<(), SequenceError>;
}

mod sealed {
    pub trait Sealed {}

    impl<const N: usize> Sealed for crate::Ranges<N> {}
    impl<const WORDS: usize> Sealed for crate::Window<WORDS> {}
}

impl<const N: usize> Memory for Ranges<N> {
    const EMPTY: Self = Self::new();

    #[inline]
    fn check(&self, sequence: u64) -> Result<(), SequenceError> {
        Self::check(self, sequence)
    }

    #[inline]
    fn insert(&mut self, sequence: u64) -> Result<(), SequenceError> {
        Self::insert(self, sequence)
    }
}

impl<const WORDS: usize> Memory for Window<WORDS> {
    const EMPTY: Self = Self::new();

    #[inline]
    fn check(&self, sequence: u64) -> Result<(), SequenceError> {
        Self::check(self, sequence)
    }

    #[inline]
    fn insert(&mut self, sequence: u64) -> Result<(), SequenceError> {
        Self::insert(self, sequence)
    }
}
