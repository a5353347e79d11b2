use core::convert::Infallible;

use iot_core::Incarnation;
use iot_core::limits::OutOfRange;
use sha2::{Digest, Sha256};

/// Where a source keeps, across power cuts, how far it may have used the sequence numbers of a stream.
///
/// Everything rests on it: a number that is used twice is a nonce that is used twice, which gives both messages away
/// and lets others forge. So:
///
/// - [`store`](Self::store) returns only when the counter is durable.
/// - When the power is cut in between, [`load`](Self::load) gives the old counter or the new one, or nothing: never a
///   mixture. [`Counter::to_bytes`] has a checksum for this, and two places that are written in turn keep one of them
///   whole.
/// - Nobody copies the storage back. A store that was put back from an old copy, or cloned into a second device, gives
///   numbers out again, and no library can tell; the receiver sees the second message of a number as repeated and
///   refuses it, when both have already been sent. Where that may happen, begin a new epoch at each boot, and save no
///   sender.
pub trait CounterStore {
    /// What can go wrong with the storage.
    type Error;

    /// The counter that was stored last; `None` if there is none, or it is damaged.
    ///
    /// # Errors
    ///
    /// Whatever the storage reports. Reading again may help.
    fn load(&mut self) -> Result<Option<Counter>, Self::Error>;

    /// Replaces the counter, and returns when the new one is durable.
    ///
    /// # Errors
    ///
    /// Whatever the storage reports; the old counter or the new one is stored then.
    fn store(&mut self, counter: Counter) -> Result<(), Self::Error>;
}

/// Remembers until the power goes: for a source that begins a new incarnation whenever it starts, and resumes none.
impl CounterStore for Option<Counter> {
    type Error = Infallible;

    fn load(&mut self) -> Result<Option<Counter>, Infallible> {
        Ok(*self)
    }

    fn store(&mut self, counter: Counter) -> Result<(), Infallible> {
        *self = Some(counter);
        Ok(())
    }
}

impl<C: CounterStore> CounterStore for &mut C {
    type Error = C::Error;

    fn load(&mut self) -> Result<Option<Counter>, Self::Error> {
        (**self).load()
    }

    fn store(&mut self, counter: Counter) -> Result<(), Self::Error> {
        (**self).store(counter)
    }
}

/// How far the sequence numbers of an incarnation may have been used: all that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The incarnation.
    pub incarnation: Incarnation,
    /// This number and those above it were never used.
    pub unused_from: u64,
}

impl Counter {
    /// Octets of a stored counter.
    pub const LEN: usize = CHECKED_LEN + CHECKSUM_LEN;

    /// The octets to store: incarnation, number, big endian, and the first four octets of the SHA-256 over both, which
    /// notices damage and no forger.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut octets = [0; Self::LEN];
        octets[..Incarnation::LEN].copy_from_slice(self.incarnation.as_bytes());
        octets[Incarnation::LEN..CHECKED_LEN].copy_from_slice(&self.unused_from.to_be_bytes());
        let checksum = checksum(&octets[..CHECKED_LEN]);
        octets[CHECKED_LEN..].copy_from_slice(&checksum);
        octets
    }

    /// Reads what [`to_bytes`](Self::to_bytes) gave; `None` if it is damaged.
    pub fn from_bytes(octets: &[u8; Self::LEN]) -> Option<Self> {
        let (checked, expected) = octets.split_at(CHECKED_LEN);
        if checksum(checked) != *expected {
            return None;
        }
        let (incarnation, unused_from) = checked.split_at(Incarnation::LEN);
        Some(Self {
            incarnation: Incarnation::from_bytes(incarnation.try_into().ok()?),
            unused_from: u64::from_be_bytes(unused_from.try_into().ok()?),
        })
    }
}

const CHECKED_LEN: usize = Incarnation::LEN + size_of::<u64>();
const CHECKSUM_LEN: usize = 4;

fn checksum(octets: &[u8]) -> [u8; CHECKSUM_LEN] {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(octets).into();
    [a, b, c, d]
}

/// How many sequence numbers a source reserves at once: how seldom it writes, and how many numbers a power cut may
/// leave unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation(u32);

impl Reservation {
    /// The most that can be reserved at once.
    pub const MAX: u32 = 1 << 20;

    /// Reserves `count` numbers at once. Default: 1,000. Range: 1 to [`MAX`](Self::MAX).
    ///
    /// # Errors
    ///
    /// [`OutOfRange`].
    pub const fn new(count: u32) -> Result<Self, OutOfRange> {
        match count {
            1..=Self::MAX => Ok(Self(count)),
            _ => Err(OutOfRange { setting: "reservation", value: count as u64, min: 1, max: Self::MAX as u64 }),
        }
    }

    pub(super) const fn count(self) -> u64 {
        self.0 as u64
    }
}

impl Default for Reservation {
    fn default() -> Self {
        Self(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_any_flipped_bit() {
        let counter = Counter { incarnation: Incarnation::from_bytes(*b"a chance"), unused_from: 70_001 };
        let octets = counter.to_bytes();
        assert_eq!(Counter::from_bytes(&octets), Some(counter));
        for bit in 0..8 * Counter::LEN {
            let mut octets = octets;
            octets[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Counter::from_bytes(&octets), None, "bit {bit}");
        }
        assert_eq!(Counter::from_bytes(&[0; Counter::LEN]), None);
        assert_eq!(Counter::from_bytes(&[0xff; Counter::LEN]), None);
    }

    #[test]
    fn refuses_to_reserve_nothing_or_too_much() {
        let refused = |value| OutOfRange { setting: "reservation", value, min: 1, max: 1 << 20 };
        assert_eq!(Reservation::new(0), Err(refused(0)));
        assert_eq!(Reservation::new((1 << 20) + 1), Err(refused((1 << 20) + 1)));
        assert_eq!(Reservation::new(1).map(Reservation::count), Ok(1));
    }
}
