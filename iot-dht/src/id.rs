use core::cmp::Ordering;
use core::fmt;

use iot_core::DeviceId;
use iot_crypto::VerifyingKey;
use sha2::{Digest as _, Sha256};

/// The identifier of a node: the hash of its verifying key.
pub type NodeId = Id<32>;

/// Where a record is stored: the hash of its owner and its name, a point of the same space as [`NodeId`].
pub type Key = Id<32>;

const NODE_DOMAIN: &[u8] = b"iot-dht node 1\0";
const RECORD_DOMAIN: &[u8] = b"iot-dht record 1\0";

/// A point of the key space, `N` octets, most significant octet first.
///
/// The distance of two points is their exclusive or, read as a number (Maymounkov and Mazières, 2002, §2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id<const N: usize>([u8; N]);

impl<const N: usize> Id<N> {
    /// Octets of an identifier.
    pub const LEN: usize = N;

    /// Wraps `N` octets.
    pub const fn from_bytes(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The identifier that shares the first `shared` bits with this one, differs in the next, and takes its other bits
    /// from `random`.
    ///
    /// Looking such an identifier up refreshes one bucket. All bits are shared if `shared` is `8 * N` or more.
    pub fn with_shared_prefix(&self, shared: usize, random: [u8; N]) -> Self {
        let mut bytes = random;
        for (index, byte) in bytes.iter_mut().enumerate() {
            let first_bit = index * 8;
            let keep = shared.saturating_sub(first_bit).min(8);
            let mask = 0xff_u8.checked_shr(keep as u32).unwrap_or(0);
            *byte = (self.0[index] & !mask) | (*byte & mask);
            if shared / 8 == index {
                let flipped = 0x80_u8 >> (shared % 8);
                *byte = (*byte & !flipped) | (!self.0[index] & flipped);
            }
        }
        Self(bytes)
    }

    /// An identifier that shares at least the first `shared` bits with this one and takes its other bits from `random`.
    pub(crate) fn within(&self, shared: usize, random: [u8; N]) -> Self {
        let here = Self(random);
        // Of the two that differ in the next bit, the one that `random` would have given.
        if shared < 8 * N && here.bit(shared) == self.bit(shared) {
            return self.with_shared_prefix(shared, random).with_flipped(shared);
        }
        self.with_shared_prefix(shared, random)
    }

    /// The identifier that differs in this bit alone, counted from the most significant; the same beyond the last.
    pub(crate) fn with_flipped(mut self, bit: usize) -> Self {
        if let Some(byte) = self.0.get_mut(bit / 8) {
            *byte ^= 0x80 >> (bit % 8);
        }
        self
    }

    /// The octets.
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// How far apart two points are.
    pub fn distance(&self, other: &Self) -> Distance<N> {
        let mut bytes = self.0;
        bytes.iter_mut().zip(&other.0).for_each(|(byte, other)| *byte ^= other);
        Distance(bytes)
    }

    /// How many leading bits two points share: `8 * N` if they are the same.
    pub fn shared_prefix(&self, other: &Self) -> usize {
        let differ = self.prefix() ^ other.prefix();
        if differ != 0 {
            return differ.leading_zeros() as usize;
        }
        for (index, (a, b)) in self.0.iter().zip(&other.0).enumerate() {
            if a != b {
                return index * 8 + (a ^ b).leading_zeros() as usize;
            }
        }
        8 * N
    }

    /// Whether the bit is set, counted from the most significant; `false` beyond the last.
    pub(crate) fn bit(&self, index: usize) -> Bit {
        let set = self.0.get(index / 8).is_some_and(|byte| byte & (0x80 >> (index % 8)) != 0);
        if set { Bit::One } else { Bit::Zero }
    }

    /// The first eight octets as a number; missing octets count as zeros.
    pub(crate) fn prefix(&self) -> u64 {
        prefix(&self.0)
    }
}

fn prefix<const N: usize>(octets: &[u8; N]) -> u64 {
    let mut first = [0; 8];
    first.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(first)
}

/// Most pairs differ in the first eight octets, which one instruction compares.
fn compare<const N: usize>(a: &[u8; N], b: &[u8; N]) -> Ordering {
    prefix(a).cmp(&prefix(b)).then_with(|| a.cmp(b))
}

impl<const N: usize> PartialOrd for Id<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Id<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl Id<32> {
    /// The identifier of the node that holds the signing half of `key`.
    pub fn of_node(key: &VerifyingKey) -> Self {
        Self::of_node_key(key.as_bytes())
    }

    /// The same of the key's octets.
    pub(crate) fn of_node_key(octets: &[u8]) -> Self {
        Self(Sha256::new().chain_update(NODE_DOMAIN).chain_update(octets).finalize().into())
    }

    /// Where the record that `owner` calls `name` is stored.
    pub fn of_record(owner: &DeviceId, name: &[u8]) -> Self {
        Self(
            Sha256::new()
                .chain_update(RECORD_DOMAIN)
                .chain_update(owner.as_bytes())
                .chain_update(name)
                .finalize()
                .into(),
        )
    }
}

impl<const N: usize> fmt::Display for Id<N> {
    /// Lower-case hexadecimal, two digits an octet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

/// How far two points of the key space are apart; compares as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Distance<const N: usize>([u8; N]);

impl<const N: usize> Distance<N> {
    /// The distance of a point to itself.
    pub const ZERO: Self = Self([0; N]);

    /// How many leading bits two distances share.
    pub(crate) fn shared_prefix(&self, other: &Self) -> usize {
        Id(self.0).shared_prefix(&Id(other.0))
    }

    /// The number, most significant octet first.
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> PartialOrd for Distance<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Distance<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bit {
    Zero,
    One,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shared_prefix_counts_the_leading_zeros_of_the_distance(a: [u8; 20], b: [u8; 20]) {
            let (a, b) = (Id::from_bytes(a), Id::from_bytes(b));
            let distance = a.distance(&b);
            let leading = distance.as_bytes().iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
            prop_assert_eq!(a.shared_prefix(&b), leading.take_while(|bit| *bit == 0).count());
        }

        #[test]
        fn identifiers_and_distances_compare_octet_by_octet(a: [u8; 10], b: [u8; 10], same in 0_usize..11) {
            let mut b = b;
            b[..same].copy_from_slice(&a[..same]);
            prop_assert_eq!(Id::from_bytes(a).cmp(&Id::from_bytes(b)), a.as_slice().cmp(b.as_slice()));
            prop_assert_eq!(Distance(a).cmp(&Distance(b)), a.as_slice().cmp(b.as_slice()));
            let shared = Id::from_bytes(a).shared_prefix(&Id::from_bytes(b));
            prop_assert!(shared >= 8 * same && (shared == 80) == (a == b));
        }

        #[test]
        fn distance_obeys_the_triangle_of_exclusive_or(a: [u8; 8], b: [u8; 8], c: [u8; 8]) {
            let number = |x: &[u8; 8], y: &[u8; 8]| {
                u128::from(u64::from_be_bytes(*Id::from_bytes(*x).distance(&Id::from_bytes(*y)).as_bytes()))
            };
            prop_assert!(number(&a, &c) <= number(&a, &b) + number(&b, &c));
            prop_assert_eq!(number(&a, &b), number(&b, &a));
        }

        #[test]
        fn a_refresh_target_falls_into_its_bucket(own: [u8; 32], random: [u8; 32], shared in 0_usize..256) {
            let own = Id::from_bytes(own);
            prop_assert_eq!(own.with_shared_prefix(shared, random).shared_prefix(&own), shared);
        }
    }

    #[test]
    fn what_lies_within_a_prefix_takes_the_rest_from_the_noise() {
        let id = Id::from_bytes([0b1010_1010, 0xff]);
        assert_eq!(id.within(3, [0b0101_0101, 7]), Id::from_bytes([0b1011_0101, 7]));
        assert_eq!(id.within(4, [0b0101_1101, 7]), Id::from_bytes([0b1010_1101, 7]));
        assert_eq!(id.within(0, [1, 2]), Id::from_bytes([1, 2]));
        assert_eq!(id.within(16, [1, 2]), id);
    }

    #[test]
    fn all_bits_are_shared_with_itself() {
        let id = Id::from_bytes([7; 32]);
        assert_eq!(id.shared_prefix(&id), 256);
        assert_eq!(id.with_shared_prefix(256, [9; 32]), id);
    }

    #[test]
    fn names_of_different_owners_never_share_a_key() {
        let a = Key::of_record(&DeviceId::from_bytes([1; 32]), b"head");
        assert_ne!(a, Key::of_record(&DeviceId::from_bytes([2; 32]), b"head"));
        assert_ne!(a, Key::of_record(&DeviceId::from_bytes([1; 32]), b"hea"));
    }
}
