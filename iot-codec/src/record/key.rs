use crate::cbor::DecodeError;

/// A key of a record in the order of CBOR: 0, 1, 2, ..., then -1, -2, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    is_negative: bool,
    argument: u64,
}

impl Key {
    #[must_use]
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub const fn new(key: i32) -> Self {
        if key < 0 {
            Self { is_negative: true, argument: !key as u64 }
        } else {
            Self { is_negative: false, argument: key as u64 }
        }
    }

    pub(super) const fn from_wire(is_negative: bool, argument: u64) -> Self {
        Self { is_negative, argument }
    }

    pub(super) const fn is_negative(self) -> bool {
        self.is_negative
    }

    /// An error that names this key, where it is one that a record can have.
    pub(super) fn name(self, error: DecodeError) -> DecodeError {
        match i32::try_from(self.argument) {
            Ok(number) => error.or_key(if self.is_negative { !number } else { number }),
            Err(_) => error,
        }
    }

    /// The encoding, where it is a single byte.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(super) const fn short(self) -> Option<u8> {
        if self.argument >= 24 {
            None
        } else if self.is_negative {
            Some(0x20 | self.argument as u8)
        } else {
            Some(self.argument as u8)
        }
    }

    const fn precedes(self, other: Self) -> bool {
        if self.is_negative == other.is_negative { self.argument < other.argument } else { other.is_negative }
    }
}

/// Refuses, while compiling, keys that are not in the order of CBOR.
///
/// # Panics
/// When they are not.
pub const fn assert_ascending(keys: &[i32]) {
    let mut index = 0;
    while index < keys.len() {
        assert!(keys[index] != i32::MIN, "record!: the least i32 cannot be a key");
        assert!(
            index == 0 || Key::new(keys[index - 1]).precedes(Key::new(keys[index])),
            "record!: keys must be distinct and in CBOR order: 0, 1, 2, ... and then -1, -2, ..."
        );
        index += 1;
    }
}
