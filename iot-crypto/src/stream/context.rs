use core::fmt;

/// Which stream a message belongs to, in 1 to 8 octets that its receiver chose and that mean nothing to others: the
/// `kid` of the COSE form. Two receivers may choose the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextId {
    /// Left-aligned; what lies behind the length is zero.
    octets: [u8; Self::MAX_LEN],
    len: u8,
}

impl ContextId {
    /// Octets of the longest identifier.
    pub const MAX_LEN: usize = 8;

    /// Wraps 1 to 8 octets; `None` for fewer or more.
    #[inline]
    pub fn new(identifier: &[u8]) -> Option<Self> {
        let mut octets = [0; Self::MAX_LEN];
        octets.get_mut(..identifier.len())?.copy_from_slice(identifier);
        if identifier.is_empty() { None } else { Some(Self { octets, len: identifier.len() as u8 }) }
    }

    /// The identifier of `len` octets that is `number`, big endian; `None` if it does not fit, or `len` is not 1 to 8.
    pub fn from_number(number: u64, len: usize) -> Option<Self> {
        let octets = number.to_be_bytes();
        let (leading, identifier) = octets.split_at(Self::MAX_LEN.checked_sub(len)?);
        if leading.iter().all(|octet| *octet == 0) { Self::new(identifier) } else { None }
    }

    /// The octets.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.len()]
    }

    /// The octets as a number, big endian.
    #[inline]
    pub const fn number(&self) -> u64 {
        u64::from_be_bytes(self.octets) >> (8 * (Self::MAX_LEN - self.len as usize))
    }

    /// How many octets there are; never none.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "none is empty")]
    pub const fn len(&self) -> usize {
        self.len as usize
    }
}

impl fmt::Display for ContextId {
    /// Lower-case hexadecimal, two digits an octet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContextId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_one_to_eight_octets() {
        assert_eq!(ContextId::new(&[]), None);
        assert_eq!(ContextId::new(&[0; 9]), None);
        assert_eq!(ContextId::new(&[7; 8]).unwrap().as_bytes(), [7; 8]);
        assert_ne!(ContextId::new(&[0]), ContextId::new(&[0, 0]));
    }

    #[test]
    fn is_a_number_of_its_length() {
        for (number, len) in [(0, 1), (255, 1), (256, 2), (0x01_02_03, 3), (u64::MAX, 8), (5, 8)] {
            let context = ContextId::from_number(number, len).unwrap();
            assert_eq!((context.number(), context.len()), (number, len));
        }
        assert_eq!(ContextId::from_number(256, 1), None);
        assert_eq!(ContextId::from_number(0, 0), None);
        assert_eq!(ContextId::from_number(0, 9), None);
    }
}
