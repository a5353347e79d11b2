#[cfg(test)]
mod tests;

use core::fmt;

use super::{RestoreError, SequenceError};
use crate::limits::LAST_SEQUENCE;

/// Which of the latest sequence numbers of one incarnation were seen: a sliding window, in the manner of RFC 6479.
///
/// For live traffic, where what comes too late is worth nothing: anything older than the window is refused, seen or not.
/// The window reaches back [`SIZE`](Self::SIZE) numbers from the highest one seen; one of its `WORDS`, at least two, is the
/// one that is being filled. (Fewer than two do not compile.)
///
/// Takes 8 octets a word and 8 more. Takes constant time, and for a jump ahead time in proportion to `WORDS` at most.
///
/// ```
/// use iot_core::{SequenceError, Window};
///
/// let mut seen = Window::<2>::new();
/// seen.insert(100)?;
/// seen.insert(99)?;
/// assert_eq!(seen.insert(99), Err(SequenceError::Repeated { sequence: 99 }));
/// assert_eq!(seen.insert(36), Err(SequenceError::TooOld { sequence: 36, oldest: 37 }));
/// # Ok::<(), SequenceError>(())
/// ```
#[derive(Clone)]
pub struct Window<const WORDS: usize> {
    /// One past the highest number seen.
    end: u64,
    /// A ring: number `n` has bit `n % 64` of word `n / 64 % WORDS`.
    words: [u64; WORDS],
}

const BITS: u64 = u64::BITS as u64;

impl<const WORDS: usize> Window<WORDS> {
    /// How many numbers the window holds, the highest one seen included.
    pub const SIZE: u64 = (WORDS as u64 - 1) * BITS;

    /// Nothing seen.
    pub const fn new() -> Self {
        const { assert!(WORDS >= 2, "a window has at least two words") };
        Self { end: 0, words: [0; WORDS] }
    }

    /// What [`end`](Self::end) and [`words`](Self::words) had given, after a restart.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Window`] if the words are not those of a window that ends there.
    pub fn from_words(end: u64, words: [u64; WORDS]) -> Result<Self, RestoreError> {
        let mut window = Self::new();
        window.end = end;
        window.words = words;
        let Some(highest) = end.checked_sub(1) else {
            return if words == [0; WORDS] { Ok(window) } else { Err(RestoreError::Window { end }) };
        };
        let above = !(u64::MAX >> (BITS - 1 - highest % BITS));
        let unused = (highest / BITS + 1).min(WORDS as u64)..WORDS as u64;
        let clean = window.words[Self::word(highest)] & above == 0
            && unused.into_iter().all(|word| window.words[word as usize] == 0);
        if clean && window.has(highest) { Ok(window) } else { Err(RestoreError::Window { end }) }
    }

    /// Records a sequence number.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check). Nothing was recorded then.
    #[inline]
    pub fn insert(&mut self, sequence: u64) -> Result<(), SequenceError> {
        self.check(sequence)?;
        if sequence >= self.end {
            let filling = self.end.saturating_sub(1) / BITS;
            // Words that the window slides over hold what has become too old.
            let steps = (sequence / BITS - filling).min(WORDS as u64);
            for step in 1..=steps {
                self.words[Self::word((filling + step) * BITS)] = 0;
            }
            self.end = sequence + 1;
        }
        self.words[Self::word(sequence)] |= Self::bit(sequence);
        Ok(())
    }

    /// Whether [`insert`](Self::insert) would record the number, for a caller that verifies a signature in between.
    ///
    /// # Errors
    ///
    /// [`SequenceError::Repeated`] if the number was seen, [`SequenceError::TooOld`] if it lies before the window,
    /// [`SequenceError::AboveLast`] above [`LAST_SEQUENCE`].
    #[inline]
    pub fn check(&self, sequence: u64) -> Result<(), SequenceError> {
        if sequence > LAST_SEQUENCE {
            return Err(SequenceError::AboveLast { sequence });
        }
        if sequence >= self.end {
            return Ok(());
        }
        if sequence < self.oldest() {
            return Err(SequenceError::TooOld { sequence, oldest: self.oldest() });
        }
        if self.has(sequence) { Err(SequenceError::Repeated { sequence }) } else { Ok(()) }
    }

    /// One past the highest number seen; 0 if there is none.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// The lowest number that is not too old.
    pub const fn oldest(&self) -> u64 {
        self.end.saturating_sub(Self::SIZE)
    }

    /// The words of the ring: with the end, all that there is to save.
    pub const fn words(&self) -> &[u64; WORDS] {
        &self.words
    }

    fn has(&self, sequence: u64) -> bool {
        self.words[Self::word(sequence)] & Self::bit(sequence) != 0
    }

    const fn word(sequence: u64) -> usize {
        (sequence / BITS % WORDS as u64) as usize
    }

    const fn bit(sequence: u64) -> u64 {
        1 << (sequence % BITS)
    }
}

impl<const WORDS: usize> Default for Window<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const WORDS: usize> fmt::Debug for Window<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = (self.oldest()..self.end).filter(|&sequence| self.has(sequence)).count();
        write!(f, "Window {{ oldest: {}, end: {}, seen: {seen} }}", self.oldest(), self.end)
    }
}
