/// The number of a simple value (RFC 8949 §3.3): any of a byte but 24 to 31, which do not exist.
///
/// `false`, `true`, `null` and `undefined` are 20 to 23, and have methods of their own on
/// [`Writer`](super::Writer) and [`Cursor`](super::Cursor).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Simple(u8);

impl Simple {
    /// The simple value of this number, if there is one.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            24..32 => None,
            _ => Some(Self(number)),
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// For a number that has been checked.
    pub(super) const fn checked(number: u8) -> Self {
        Self(number)
    }
}
