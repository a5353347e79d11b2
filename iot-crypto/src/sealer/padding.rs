use core::num::NonZeroU16;

use crate::cose::Filling;

/// How the length of a sealed message is coarsened, because the length of a ciphertext is that of its plaintext, and
/// may tell what it says ("on" from "off", or how many alarms there are).
///
/// Padding stands inside what is sealed. It costs what it adds, and on average half of the multiple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Padding {
    /// None: an observer sees the length of the payload.
    #[default]
    None,
    /// What is sealed is made a multiple of so many octets long, the signature and its headers included. A multiple
    /// that the padding's own head of at least 6 octets overshoots is passed over, so one of 32 or more is sensible.
    Multiple(NonZeroU16),
}

impl Padding {
    /// What a structure of `len` octets is padded to.
    pub(super) fn padded_len(self, len: usize) -> usize {
        #[cfg(iot_fault)]
        if crate::fault::is_off(crate::fault::Check::Padding) {
            return len;
        }
        let Self::Multiple(multiple) = self else { return len };
        let multiple = usize::from(multiple.get());
        let mut padded = len.next_multiple_of(multiple);
        while padded > len && Filling::of(padded - len).is_none() {
            padded += multiple;
        }
        padded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_to_a_multiple_that_padding_can_fill() {
        for multiple in [1, 2, 7, 16, 32, 100, 256, 1000, u16::MAX] {
            let padding = Padding::Multiple(NonZeroU16::new(multiple).unwrap());
            for len in (80..700).chain(65_500..65_700) {
                let padded = padding.padded_len(len);
                assert_eq!(padded % usize::from(multiple), 0);
                assert!(padded == len || Filling::of(padded - len).is_some(), "{len} to {padded}");
                assert!(padded - len < 8 + 2 * usize::from(multiple), "{len} to {padded} by {multiple}");
            }
        }
        assert_eq!(Padding::None.padded_len(81), 81);
    }
}
